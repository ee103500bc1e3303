"""The endpoint client against a real HTTP server on 127.0.0.1 that misbehaves on demand."""

import asyncio
import email.utils
import time

import pytest

from planact.endpoint import EndpointLLM
from planact.llm import EndpointUnusable, ModelError
from planact.replies import Failure, read_reply, retry_after
from tests.planact.answering import ASK, KEY, Server, ask, chat, client, error, hang, http, reset, trickle


async def test_one_call_sends_what_was_asked_and_counts_it(monkeypatch):
    monkeypatch.setenv("SOME_KEY", KEY)
    async with Server(chat("hi")) as server, client(server, api_key_env="SOME_KEY", usd_per_m_prompt=2, usd_per_m_completion=10) as llm:
        reply = await ask(llm, temperature=0.5, seed=7)
    assert (reply.text, reply.finish_reason, reply.cached) == ("hi", "stop", False)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.calls) == (10, 5, 1)
    assert reply.usage.usd == pytest.approx(70e-6)
    assert 0 < reply.usage.seconds < 5
    _, headers, body = server.seen[0]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert body == {"model": "m", "messages": ASK, "max_tokens": 20, "temperature": 0.5, "seed": 7}


RETRIED = {
    "429": error(429),
    "408": error(408),
    "409": error(409),
    "500": error(500),
    "502 page": http(502, b"<html>bad gateway</html>"),
    "503": error(503, retry_after="0"),
    "reset": reset,
    "not JSON": http(200, b"<html>please log in</html>"),
    "cut JSON": http(200, b'{"choices": [{"mess'),
    "nested": http(200, b"[" * 100_000),
    "empty body": http(200, b""),
    "null": http(200, b"null"),
    "no choices": chat(choices=[], usage=None),
    "null choice": chat(choices=[None]),
    "no message": chat(choices=[{"finish_reason": "stop"}]),
    "text is a number": chat(5),
    "error inside a 200": http(200, b'{"error": {"message": "upstream died"}}'),
}


@pytest.mark.parametrize("name", RETRIED)
async def test_passing_faults_are_retried(name):
    async with Server(RETRIED[name], RETRIED[name], chat("ok")) as server, client(server) as llm:
        assert (await ask(llm)).text == "ok"
        assert llm.requests == len(server.seen) == 3


@pytest.mark.parametrize("name", ["500", "429", "no choices"])
async def test_retries_end(name):
    async with Server(RETRIED[name]) as server, client(server) as llm:
        with pytest.raises(ModelError, match="given up after 5 requests") as caught:
            await ask(llm)
        assert not isinstance(caught.value, EndpointUnusable)
        assert len(server.seen) == 5


@pytest.mark.parametrize(
    "answer, stops_run, advice",
    [
        (error(401, "bad key"), True, "environment variable SOME_KEY"),
        (error(402), True, "credit"),
        (error(403), True, "SOME_KEY"),
        (error(404, "no model m"), True, "/v1/models"),
        (error(429, "quota", code="insufficient_quota"), True, "credit"),
        (error(400, "This model's maximum context length is 2048 tokens"), False, "lower max_tokens"),
        (error(413), False, "lower max_tokens"),
        (error(400, "unknown parameter"), False, "unknown parameter.*chat model"),
        (error(422), False, "chat model"),
    ],
)
async def test_refusals_stop_at_once_with_advice(monkeypatch, answer, stops_run, advice):
    monkeypatch.setenv("SOME_KEY", KEY)
    async with Server(answer) as server, client(server, api_key_env="SOME_KEY") as llm:
        with pytest.raises(ModelError, match=advice) as caught:
            await ask(llm)
        assert isinstance(caught.value, EndpointUnusable) == stops_run
        assert server.url in str(caught.value) and len(server.seen) == 1


async def test_retry_after_is_honoured_by_every_call():
    async with Server(error(429, retry_after="0.4"), chat()) as server, client(server) as llm:
        first = asyncio.create_task(ask(llm, "first"))
        while not llm._paused_until:  # until the 429 has arrived
            await asyncio.sleep(0.01)
        await asyncio.gather(first, ask(llm, "second"))
        start, *later = [when for when, _, _ in server.seen]
        assert len(later) == 2 and min(later) >= start + 0.4


async def test_retry_after_past_the_deadline_ends_the_call_at_once():
    async with Server(error(429, retry_after="3600")) as server, client(server, timeout=2.0) as llm:
        started = time.monotonic()
        with pytest.raises(ModelError, match=r"60 s away.*raise `timeout`"):
            await ask(llm)
        assert time.monotonic() - started < 1 and len(server.seen) == 1


def test_retry_after_forms():
    in_30_s = email.utils.formatdate(time.time() + 30, usegmt=True)
    assert 28 < retry_after({"retry-after": in_30_s}) <= 30
    known = {"1.5": 1.5, "0": 0.0, "-3": 0.0, "3600": 60.0, "": None, "soon": None, "nan": None, "Wed, 21 Oct 2015 07:28:00 GMT": 0.0}
    assert {text: retry_after({"retry-after": text}) for text in known} == known
    assert retry_after({}) is None


def test_backoff_grows_with_jitter_and_is_the_same_for_the_same_request():
    llm = EndpointLLM("http://127.0.0.1:9/v1", "m", backoff=1.0)
    waits = {n: [llm._wait_before_retry(Failure("x"), f"key {k}", n) for k in range(200)] for n in (1, 2, 3, 4, 9)}
    for number, limit in {1: 1, 2: 2, 3: 4, 4: 8, 9: 30}.items():
        assert 0.9 * limit < max(waits[number]) <= limit and min(waits[number]) < 0.1 * limit
    assert waits[3] == [llm._wait_before_retry(Failure("x"), f"key {k}", 3) for k in range(200)]


async def test_faults_cost_few_extra_requests():
    """One request in ten fails: every row completes, with at most 1.17 requests per row."""
    steps = [error((429, 500, 503)[i % 3]) if i % 10 == 4 else chat() for i in range(400)]
    async with Server(*steps) as server, client(server, max_in_flight=8) as llm:
        replies = await asyncio.gather(*(ask(llm, f"row {i}") for i in range(200)))
        assert [r.text for r in replies] == ["hi"] * 200
        assert len(server.seen) / 200 <= 1.17
        assert 1 < server.most_in_flight <= 8


@pytest.mark.parametrize("step", [hang, trickle])
async def test_call_ends_at_its_deadline_and_frees_its_slot(step):
    async with Server(step, chat("after")) as server, client(server, timeout=0.5, max_in_flight=1) as llm:
        stuck = asyncio.create_task(ask(llm, "stuck"))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        waiting = asyncio.create_task(ask(llm, "waiting"))  # its clock starts when it gets the slot
        with pytest.raises(ModelError, match="within timeout=0.5 s"):
            await stuck
        assert time.monotonic() - started < 0.6
        assert (await waiting).text == "after"
        assert len(server.seen) == 2


async def test_deadline_covers_the_retries_and_says_what_went_before():
    async with Server(error(500, "overloaded"), hang) as server, client(server, timeout=0.5) as llm:
        with pytest.raises(ModelError, match="within timeout.*overloaded"):
            await ask(llm)
        assert len(server.seen) == 2


async def test_no_server():
    llm = EndpointLLM("http://127.0.0.1:9/v1", "m", backoff=0.001)
    async with llm:
        with pytest.raises(ModelError, match="no connection.*http|http.*no connection"):
            await ask(llm)
    assert llm.requests == 5


async def test_a_server_that_was_there_is_waited_for_until_the_deadline():
    async with Server(chat("ok")) as server, client(server, timeout=1.0) as llm:
        await ask(llm)
        server.server.close()
        for task in server.tasks:  # and the connection that is kept open
            task.cancel()
        start = time.monotonic()
        with pytest.raises(ModelError, match="past timeout|within timeout=1 s.*no connection"):
            await ask(llm, "again")
        assert llm.requests > 1 + 5 and time.monotonic() - start < 1.0 + 5  # s; more than the deadline on a busy machine
        port = int(server.url.split(":")[2].split("/")[0])
        server.server = await asyncio.start_server(server.serve, "127.0.0.1", port)
        assert (await ask(llm, "back")).text == "ok"


@pytest.mark.parametrize("usage", [None, (0, 0)])
async def test_missing_usage_is_unknown_and_not_free(usage):
    async with Server(chat(usage=usage)) as server, client(server, usd_per_m_prompt=1, usd_per_m_completion=1) as llm:
        reply = await ask(llm)
    assert reply.usage.usd is None and reply.usage.calls == 1 and reply.usage.prompt_tokens == 0


async def test_unknown_price_is_not_free():
    async with Server(chat()) as server, client(server, usd_per_m_prompt=1) as llm:
        reply = await ask(llm)
    assert reply.usage.usd is None and reply.usage.prompt_tokens == 10


@pytest.mark.parametrize("finish", ["length", "content_filter", None])
async def test_finish_reason_is_recorded(finish):
    async with Server(chat(None, finish=finish)) as server, client(server) as llm:
        reply = await ask(llm)
    assert (reply.text, reply.finish_reason) == ("", finish or "unknown")


async def test_lone_surrogates_go_in_and_out():
    async with Server(chat("a\ud800b")) as server, client(server) as llm:
        assert (await ask(llm, "page \udfff")).text == "a?b"
        assert server.seen[0][2]["messages"][0]["content"] == "page ?"


def test_no_answer_body_breaks_the_reader():
    whole = chat("text").split(b"\r\n\r\n", 1)[1]
    for end in range(len(whole)):
        assert read_reply(whole[:end]).text is None
    assert read_reply(whole).text == "text"
    assert read_reply(b"\xff\xfe\x00").text is None
