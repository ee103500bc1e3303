"""Log-probabilities of the first token: what is sent for them, what is read, and what a server without them is told."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from planact.endpoint import EndpointLLM, ResponseCache
from planact.llm import EndpointUnusable, ScriptedLLM
from planact.replies import read_reply

ASK = [{"role": "user", "content": "Was it solved?"}]


def body(text="YES", logprobs=None):
    choice = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": text}, "logprobs": logprobs}
    counts = {"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": counts}).encode()


def told(*alternatives):
    """Logprobs as OpenAI and vLLM write them."""
    listed = [{"token": token, "logprob": value, "bytes": None} for token, value in alternatives]
    return {"content": [{"token": "YES", "logprob": -0.1, "bytes": None, "top_logprobs": listed}]}


@asynccontextmanager
async def server(answer):
    """The address of a server that always answers `answer`, and the requests that it has seen."""
    seen, tasks = [], set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.decode().lower().split("\r\n") if line.startswith("content-length:"))
                seen.append(json.loads(await reader.readexactly(int(length.split(":")[1]))))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", seen
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_they_are_asked_for_only_when_they_are_wanted():
    async with server(body(logprobs=told(("YES", -0.1), (" NO", -2.4)))) as (url, seen), EndpointLLM(url, "orm") as llm:
        plain = await llm.complete(ASK, max_tokens=1)
        reply = await llm.complete(ASK, max_tokens=1, top_logprobs=20)
    assert plain.top_logprobs is None and "logprobs" not in seen[0] and "top_logprobs" not in seen[0]
    assert seen[1] == seen[0] | {"logprobs": True, "top_logprobs": 20}
    assert (reply.text, reply.top_logprobs) == ("YES", {"YES": -0.1, " NO": -2.4})


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, {"content": [{"top_logprobs": []}]}, told()])
async def test_a_server_without_them_ends_the_run_with_advice(logprobs):
    async with server(body(logprobs=logprobs)) as (url, seen), EndpointLLM(url, "orm") as llm:
        with pytest.raises(EndpointUnusable, match=r"no log-probabilities; an outcome reward model \(ORM\) needs .* vLLM"):
            await llm.complete(ASK, max_tokens=1, top_logprobs=20)
        assert len(seen) == 1


async def test_an_empty_reply_has_no_alternatives():
    async with server(body(text="")) as (url, _), EndpointLLM(url, "orm") as llm:
        assert (await llm.complete(ASK, max_tokens=1, top_logprobs=20)).top_logprobs == {}


async def test_the_cache_keeps_replies_without_them_and_those_with_them_pass_it_by(tmp_path):
    async with server(body(logprobs=told(("YES", -0.1)))) as (url, seen):
        with ResponseCache(tmp_path / "cache.sqlite") as cache:
            async with EndpointLLM(url, "orm", cache=cache) as llm:
                for _ in range(2):
                    reply = await llm.complete(ASK, max_tokens=1, top_logprobs=20)
                    assert reply.top_logprobs == {"YES": -0.1} and not reply.cached
                assert not (await llm.complete(ASK, max_tokens=1)).cached
                assert (await llm.complete(ASK, max_tokens=1)).cached
    assert len(seen) == 3


async def test_callers_that_share_a_call_all_get_them():
    async with server(body(logprobs=told(("NO", -0.2)))) as (url, seen), EndpointLLM(url, "orm") as llm:
        replies = await asyncio.gather(*(llm.complete(ASK, max_tokens=1, top_logprobs=5) for _ in range(3)))
    assert [reply.top_logprobs for reply in replies] == [{"NO": -0.2}] * 3 and len(seen) == 1


def test_odd_entries_are_left_out():
    reply = read_reply(body(logprobs=told(("YES", -1), (5, -1.0), ("NO", "-1"), ("No", float("-inf")), ("x\ud800", float("nan")))))
    assert reply.top_logprobs == {"YES": -1.0}
    assert read_reply(body(logprobs={"content": [{"top_logprobs": [{"token": "YES"}]}]})).top_logprobs is None
    assert read_reply(body(logprobs={"content": [{"top_logprobs": 3}]})).top_logprobs is None


async def test_a_scripted_model_is_certain_of_its_first_word():
    llm = ScriptedLLM(["YES it was", "", "YES"])
    assert (await llm.complete(ASK, max_tokens=1, top_logprobs=3)).top_logprobs == {"YES": 0.0}
    assert (await llm.complete(ASK, max_tokens=1, top_logprobs=3)).top_logprobs == {}
    assert (await llm.complete(ASK, max_tokens=1)).top_logprobs is None
