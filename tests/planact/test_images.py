"""Messages with images: sent whole, counted as text only, told apart by the cache, and never in an error."""

import asyncio
import json

import pytest

from planact.cache import ResponseCache
from planact.endpoint import EndpointLLM
from planact.llm import ModelError, ScriptedLLM, message_text

PICTURE = "data:image/png;base64," + "QUJD" * 100


def ask(picture=PICTURE, text="what is it"):
    return [{"role": "user", "content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": picture}}]}]


class ChatServer:
    """An endpoint that answers every request with one status and body, and keeps what it was sent."""

    def __init__(self, status: int, body: dict):
        data = json.dumps(body).encode()
        self.answer = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
        self.seen = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *exc_info):
        self.server.close()

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(int(line[15:]) for line in head.decode().lower().split("\r\n") if line.startswith("content-length:"))
                self.seen.append(json.loads(await reader.readexactly(length)))
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def said(text):
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": {"prompt_tokens": 700}}


async def test_parts_arrive_as_they_were_given():
    async with ChatServer(200, said("a cat")) as server, EndpointLLM(server.url, "m") as llm:
        assert (await llm.complete(ask(text="what\udfff is it"), max_tokens=5)).text == "a cat"
    assert server.seen[0]["messages"] == ask(text="what? is it")


async def test_the_cache_tells_images_apart(tmp_path):
    async with ChatServer(200, said("a cat")) as server:
        with ResponseCache(tmp_path / "cache.sqlite") as cache:
            async with EndpointLLM(server.url, "m", cache=cache) as llm:
                for picture in (PICTURE, PICTURE, PICTURE[:-4] + "QUJE", PICTURE):
                    await llm.complete(ask(picture), max_tokens=5)
    assert len(server.seen) == 2


async def test_an_error_quotes_no_image():
    echo = {"error": {"message": f"cannot read {PICTURE} of this message"}}
    async with ChatServer(400, echo) as server, EndpointLLM(server.url, "m") as llm:
        with pytest.raises(ModelError, match=r"cannot read \(image\) of this message") as caught:
            await llm.complete(ask(), max_tokens=5)
    assert "QUJD" not in str(caught.value)


async def test_the_scripted_model_counts_words_and_keeps_its_own_copy():
    llm, messages = ScriptedLLM(["a cat"]), ask()
    assert (await llm.complete(messages, max_tokens=5)).usage.prompt_tokens == 3
    messages[0]["content"][0]["text"] = "changed"
    assert llm.calls == [ask()]


def test_the_words_of_a_message():
    assert message_text({"role": "user", "content": "one two"}) == "one two"
    assert message_text({"role": "user", "content": [*ask()[0]["content"], {"type": "text", "text": "three"}]}) == "what is it\nthree"
