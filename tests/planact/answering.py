"""An endpoint on 127.0.0.1 that answers as it is told, and a client of it."""

import asyncio
import json
import time

from planact.endpoint import EndpointLLM

ASK = [{"role": "user", "content": "hello"}]
KEY = "sk-canary-0123456789abcdef"


def http(status: int, body: bytes, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def chat(text="hi", *, finish="stop", usage=(10, 5), **over) -> bytes:
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    body["choices"] = [{"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}]
    if usage:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return http(200, json.dumps(body | over).encode())


def error(status: int, message: str = "no", code: str | None = None, **headers: str) -> bytes:
    return http(status, json.dumps({"error": {"message": message, "type": "t", "code": code}}).encode(), **headers)


async def hang(writer):
    await asyncio.sleep(60)


async def trickle(writer):
    answer = chat("x" * 500)
    for i in range(len(answer)):
        writer.write(answer[i : i + 1])
        await writer.drain()
        await asyncio.sleep(0.05)


async def reset(writer):
    writer.write(chat()[:-20])
    await writer.drain()
    writer.transport.abort()


class Server:
    """Answers its steps in order, the last one for ever; a step is bytes, a coroutine function, or a function of the headers."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.seen = []  # (monotonic seconds, headers, body)
        self.in_flight = self.most_in_flight = 0

    async def __aenter__(self):
        self.tasks = set()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *exc_info):
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:] if line)
                headers = {name.lower(): value for name, value in headers.items()}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                self.seen.append((time.monotonic(), headers, body))
                step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await asyncio.sleep(0.005)
                    await (step(writer) if callable(step) else self.write(writer, step))
                finally:
                    self.in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def write(self, writer, answer):
        writer.write(answer)
        await writer.drain()


def client(server, **settings):
    return EndpointLLM(server.url, "m", **{"backoff": 0.01, "timeout": 5.0} | settings)


async def ask(llm, text="hello", **settings):
    return await llm.complete([{"role": "user", "content": text}], **{"max_tokens": 20} | settings)
