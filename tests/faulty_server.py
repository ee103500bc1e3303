"""The stand-in endpoint with the faults of real ones, which come and go while it runs: `fault(url, "hang")`, `fault(url)`.

Several faults, `fault(url, "hang", "html")`, are dealt out to the conversations, in the order of their first request.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a program of its own it has no package

from openai_server import HEAD, OpenAIServer, parse_options, run

RAW, TRICKLE, WAIT = -1, -2, -3  # no HTTP at all; a byte a second; a 429 that says how long to wait
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x"}}
ANSWERS: dict[str, tuple[int, Any]] = {
    "429": (429, {"error": {"message": "slow down"}}),
    "429 wait": (WAIT, {"error": {"message": "slow down"}}),
    "500": (500, {"error": {"message": "CUDA out of memory"}}),
    "502": (502, b"<html>Bad Gateway</html>"),
    "trickle": (TRICKLE, {"choices": [CHOICE]}),
    "drop": (RAW, b""),
    "garbage": (RAW, bytes(range(256)) * 40),
    "cut": (RAW, b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{'choices': [{"),
    "html": (200, b"<html><body>Please log in</body></html>"),
    "deep": (200, b"[" * 100_000),
    "no choices": (200, {"id": "1", "choices": []}),
    "no text": (200, {"choices": [{**CHOICE, "message": {"role": "assistant", "content": {"a": 1}}}]}),
    "null": (200, b"null"),
    "huge": (200, b'{"junk": "' + b"x" * (8 << 20)),
}
FAULTS = ("hang", *ANSWERS)


class FaultyServer(OpenAIServer):
    faults: tuple[str, ...] = ()

    async def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if path == "/fault":
            self.faults, self.dealt = tuple(json.loads(body)), {}
            return 200, {}
        if not (path.endswith("/chat/completions") and self.faults):
            return await super().answer(method, path, body)
        self.stats["requests"] += 1
        number = self.dealt.setdefault(json.dumps(json.loads(body)["messages"]), len(self.dealt))
        fault = self.faults[number % len(self.faults)]
        if fault == "hang":
            await asyncio.sleep(3600)
        return ANSWERS[fault]

    async def send(self, writer: asyncio.StreamWriter, status: int, content: bytes) -> None:
        if status > 0 and not (status == 429 and self.faults):
            await super().send(writer, status, content)
            return
        if status == RAW:
            writer.write(content)
            writer.close()
            return
        more = "Retry-After: 1\r\n" if status == WAIT else ""
        writer.write(HEAD.format(status=200 if status == TRICKLE else 429, length=len(content), more=more).encode())
        for byte in content if status == TRICKLE else ():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)
        writer.write(content if status != TRICKLE else b"")
        await writer.drain()


def fault(url: str, *names: str) -> None:
    """From now on the server at that base URL has these faults, or none."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/fault", data=json.dumps(names).encode()):
        pass


if __name__ == "__main__":
    asyncio.run(run(FaultyServer(parse_options())))
