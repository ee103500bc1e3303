"""An OpenAI-compatible server of our own, for tests and benchmarks: fixed latency, faults on demand, chat completions and batches.

    python tests/openai_server.py [--latency SECONDS] [--fault-rate SHARE] [--teacher SUITE] ...

The first line that it prints is its base URL; GET /stats tells what it was asked. It answers "ok", or as the suite's scripted teacher.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from planact.llm import ModelError

FAULTS = (429, 500, 503)
HEAD = "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n"


class OpenAIServer:
    """`stats["paid"]` counts the chat completions that a provider would bill: those begun, whether the client lives on or not."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.stats: Counter[str] = Counter()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.running: set[asyncio.Task] = set()
        self.dice = random.Random(options.seed)
        self.teacher = None
        if options.teacher:
            from planact_envs.suites import load_suite

            self.teacher = load_suite(options.teacher).teacher("short", "webrl", options.error_rate, options.seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path = head.decode("latin-1").split(" ", 2)[:2]
                length = re.search(rb"content-length: (\d+)", head, re.I)
                body = await reader.readexactly(int(length[1]) if length else 0)
                status, answer = await self.answer(method, path.partition("?")[0], body)
                await self.send(writer, status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def send(self, writer: asyncio.StreamWriter, status: int, content: bytes) -> None:
        more = "Retry-After: 0\r\n" if status == 429 else ""
        writer.write(HEAD.format(status=status, length=len(content), more=more).encode() + content)
        await writer.drain()

    async def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        self.stats["requests"] += 1
        if path == "/stats":
            return 200, {**self.stats, "requests": self.stats["requests"] - 1}
        if path.endswith("/chat/completions"):
            return await self.chat(json.loads(body))
        if self.options.no_batches:
            return 404, {"error": {"message": f"no {path}"}}
        if path.endswith("/files") and method == "POST":
            name = f"file-{len(self.files) + 1}"
            self.files[name] = body.split(b'filename="requests.jsonl"')[1].split(b"\r\n\r\n", 1)[1].rsplit(b"\r\n--", 1)[0]
            return 200, {"id": name, "object": "file", "bytes": len(body), "created_at": 1, "filename": "x", "purpose": "batch"}
        if found := re.search(r"/files/([\w-]+)/content$", path):
            return 200, self.files[found[1]]
        if path.endswith("/batches"):
            return await self.make_batch(json.loads(body)) if method == "POST" else (200, self.listed())
        if (name := path.rpartition("/")[2]) in self.batches:
            return 200, self.batches[name]
        return 404, {"error": {"message": f"no {path}"}}

    async def chat(self, request: dict[str, Any]) -> tuple[int, Any]:
        if self.dice.random() < self.options.fault_rate:
            self.stats["faults"] += 1
            return FAULTS[self.stats["faults"] % len(FAULTS)], {"error": {"message": "injected"}}
        self.stats["paid"] += 1
        await asyncio.sleep(self.options.latency)
        try:
            return 200, await self.completion(request)
        except ModelError as error:  # of the scripted teacher
            return 400, {"error": {"message": str(error)}}

    async def completion(self, request: dict[str, Any]) -> dict[str, Any]:
        text, tokens, first = "ok", (10, 5), {"ok": -0.1}
        if self.teacher:
            options = {"max_tokens": request["max_tokens"], "seed": request["seed"], "top_logprobs": request.get("top_logprobs", 0)}
            reply = await self.teacher.complete(request["messages"], **options)
            text, tokens, first = reply.text, (reply.usage.prompt_tokens, reply.usage.completion_tokens), reply.top_logprobs or {}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        if request.get("logprobs"):
            choice["logprobs"] = {"content": [{"top_logprobs": [{"token": token, "logprob": value} for token, value in first.items()]}]}
        usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
        return {"id": "1", "object": "chat.completion", "created": 1, "model": request["model"], "choices": [choice], "usage": usage}

    async def make_batch(self, request: dict[str, Any]) -> tuple[int, Any]:
        lines = [json.loads(line) for line in self.files[request["input_file_id"]].splitlines()]
        batch = {"id": f"batch-{len(self.batches) + 1}", "object": "batch", "status": "in_progress", "created_at": 1, **request}
        batch["request_counts"] = {"total": len(lines), "completed": 0, "failed": 0}
        self.batches[batch["id"]] = batch
        self.stats["batches"] += 1
        self.stats["largest_batch"] = max(self.stats["largest_batch"], len(lines))
        self.running.add(asyncio.create_task(self.work(batch, lines)))
        if self.options.lose_batch_answer and self.stats["batches"] == 1:
            return 500, {"error": {"message": "the batch is made and you will not know"}}
        return 200, batch

    async def work(self, batch: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        await asyncio.sleep(self.options.latency)
        batch["status"] = self.options.batch_status
        if batch["status"] == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}]}
            return
        output, errors = [], []
        for number, line in enumerate(lines):
            batch["request_counts"]["completed"] += 1
            bad = self.options.bad_line and re.search(self.options.bad_line, json.dumps(line["body"]["messages"][-1]))
            if bad and (self.options.bad_lines < 0 or self.stats["bad"] < self.options.bad_lines):
                self.stats["bad"] += 1
                error = {"status_code": self.options.bad_status, "body": {"error": {"message": "injected"}}}
                errors.append({"custom_id": line["custom_id"], "response": error, "error": None})
            elif batch["status"] == "completed" or number < len(lines) // 2:
                self.stats["paid"] += 1
                response = {"status_code": 200, "request_id": "r", "body": await self.completion(line["body"])}
                output.append({"custom_id": line["custom_id"], "response": response, "error": None})
            elif batch["status"] == "expired":
                error = {"code": "batch_expired", "message": "not executed"}
                errors.append({"custom_id": line["custom_id"], "response": None, "error": error})
        random.Random(0).shuffle(output)  # the order is not that of the input
        for which, rows in (("output_file_id", output), ("error_file_id", errors)):
            if rows:
                batch[which] = f"{batch['id']}-{which}"
                self.files[batch[which]] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)

    def listed(self) -> dict[str, Any]:
        return {"object": "list", "data": [*reversed(self.batches.values())], "has_more": False}


@contextmanager
def serving(*options: str, program: str = __file__) -> Iterator[str]:
    """The base URL of a server process with these command-line options; it is killed at the end."""
    with subprocess.Popen([sys.executable, program, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def stats(url: str) -> dict[str, int]:
    """What the server at that base URL was asked."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as answer:
        return json.load(answer)


async def run(server: OpenAIServer) -> None:
    served = await asyncio.start_server(server.serve, "127.0.0.1", server.options.port)
    print(f"http://127.0.0.1:{served.sockets[0].getsockname()[1]}/v1", flush=True)
    await served.serve_forever()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds per chat completion, and per batch")
    parser.add_argument("--fault-rate", type=float, default=0.0, help="share of chat requests answered with HTTP 429, 500 or 503")
    parser.add_argument("--teacher", default="", help="suite whose scripted teacher answers")
    parser.add_argument("--error-rate", type=float, default=0.0, help="of that teacher")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-status", default="completed", help="how batches end")
    parser.add_argument("--bad-line", default="", help="pattern of last messages whose lines fail in a batch")
    parser.add_argument("--bad-status", type=int, default=400, help="HTTP status of such a line")
    parser.add_argument("--bad-lines", type=int, default=-1, help="how many fail at most; -1: all")
    parser.add_argument("--no-batches", action="store_true", help="chat completions only")
    parser.add_argument("--lose-batch-answer", action="store_true", help="make the first batch and answer with HTTP 500")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(run(OpenAIServer(parse_options())))
