"""The endpoint client against a real HTTP server on 127.0.0.1 that misbehaves on demand."""

import asyncio
import email.utils
import json
import logging
import subprocess
import sys
import time
import traceback

import pytest

from planact.endpoint import EndpointLLM, ResponseCache
from planact.llm import Budget, BudgetExceeded, EndpointUnusable, ModelError
from planact.replies import Failure, read_reply, retry_after
from planact.store import StoreDamaged

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


# the key


async def test_missing_key_is_named_before_any_request(monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    async with Server(chat()) as server, client(server, api_key_env="SOME_KEY") as llm:
        with pytest.raises(EndpointUnusable, match="export SOME_KEY="):
            await ask(llm)
        monkeypatch.setenv("SOME_KEY", "sk-\u200bnot-a-key")
        with pytest.raises(EndpointUnusable, match="SOME_KEY"):
            await ask(llm)
        assert not server.seen
        monkeypatch.setenv("SOME_KEY", f" {KEY}\n")  # read at call time, stray white space removed
        await ask(llm)
        assert server.seen[0][1]["authorization"] == f"Bearer {KEY}"


async def test_key_of_the_environment_is_not_sent_to_other_servers(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with Server(chat()) as server, client(server) as llm:
        await ask(llm)
    assert KEY not in str(server.seen)


async def test_key_stays_out_of_errors_logs_and_repr(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("SOME_KEY", KEY)
    echo = error(401, f"Incorrect API key provided: {KEY}\x1b[31m\nBearer {KEY}")
    echo_200 = http(200, json.dumps({"you sent": KEY}).encode())
    async with Server(echo, echo_200, reset) as server, client(server, api_key_env="SOME_KEY", timeout=1.0) as llm:
        shown = [repr(llm), str(llm)]
        for _ in range(2):
            with pytest.raises(ModelError) as caught:
                await ask(llm)
            shown.append("".join(traceback.format_exception(caught.value)))
            assert caught.value.__context__ is None and caught.value.__cause__ is None
    assert "Incorrect API key provided: ***[31m Bearer ***" in shown[2]
    assert KEY not in "".join(shown) and KEY not in caplog.text
    assert caplog.text  # the logs were on


@pytest.mark.parametrize("url", ["localhost:8000/v1", "", "ftp://h/v1", "http://", f"http://user:{KEY}@h/v1"])
def test_bad_address_is_refused(url):
    with pytest.raises(ValueError, match="base_url") as caught:
        EndpointLLM(url, "m")
    assert KEY not in str(caught.value)


# the budget


async def test_budget_overshoots_by_the_calls_in_flight_at_most():
    budget = Budget(max_usd=1.0)
    prices = {"usd_per_m_prompt": 1e4, "usd_per_m_completion": 0.0}  # 0.1 USD per call
    async with Server(chat()) as server, client(server, budget=budget, max_in_flight=4, **prices) as llm:
        results = await asyncio.gather(*(ask(llm, f"row {i}") for i in range(50)), return_exceptions=True)
    stopped = [r for r in results if isinstance(r, BudgetExceeded)]
    assert 10 <= len(server.seen) == 50 - len(stopped) <= 10 + 4
    assert budget.spent.usd == pytest.approx(0.1 * len(server.seen))


async def test_budget_is_shared_and_counts_billed_answers_without_choices():
    budget = Budget(max_tokens=30)
    async with Server(chat(choices=[]), chat()) as server, client(server, budget=budget) as one, client(server, budget=budget) as two:
        await ask(one)
        with pytest.raises(BudgetExceeded, match="30 of max_tokens=30"):
            await ask(two)
    assert len(server.seen) == 2


def test_dollar_limit_without_prices_is_refused_at_the_start():
    with pytest.raises(ValueError, match="max_usd=1 needs the prices of m"):
        EndpointLLM("http://127.0.0.1:9/v1", "m", budget=Budget(max_usd=1.0))


# sharing and the cache


async def test_identical_calls_at_temperature_zero_are_sent_once():
    async with Server(chat()) as server, client(server, usd_per_m_prompt=1, usd_per_m_completion=1) as llm:
        replies = await asyncio.gather(*(ask(llm) for _ in range(10)))
        assert len(server.seen) == 1
        assert sum(r.usage.calls for r in replies) == 1 and sum(r.cached for r in replies) == 9
        assert sum(r.usage.usd for r in replies) == pytest.approx(15e-6)
        await asyncio.gather(*(ask(llm, temperature=0.7) for _ in range(3)))
        assert len(server.seen) == 4


async def test_shared_call_fails_for_all_and_is_not_remembered():
    async with Server(error(401), chat("better")) as server, client(server) as llm:
        results = await asyncio.gather(*(ask(llm) for _ in range(3)), return_exceptions=True)
        assert [type(r) for r in results] == [EndpointUnusable] * 3 and len(server.seen) == 1
        assert (await ask(llm)).text == "better"


async def test_shared_call_survives_one_cancelled_waiter_and_ends_with_the_last():
    async with Server(hang, chat("again")) as server, client(server) as llm:
        first, second = asyncio.create_task(ask(llm)), asyncio.create_task(ask(llm))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.sleep(0.05)
        assert not second.done() and server.in_flight == 1
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert (await ask(llm)).text == "again"


async def test_cache_answers_without_a_request_after_a_restart(tmp_path):
    path = tmp_path / "deep" / "cache.sqlite"
    async with Server(chat("a\x00\n\u2028"), chat("other")) as server:
        with ResponseCache(path) as cache:
            async with client(server, cache=cache, usd_per_m_prompt=1, usd_per_m_completion=1) as llm:
                paid = await ask(llm)
        with ResponseCache(path) as cache:
            async with client(server, cache=cache, budget=Budget(max_tokens=0)) as llm:
                hit = await ask(llm)
        assert len(server.seen) == 1
    assert hit.cached and hit.text == paid.text and hit.finish_reason == "stop"
    assert (hit.usage.prompt_tokens, hit.usage.completion_tokens) == (10, 5)
    assert (hit.usage.calls, hit.usage.usd, hit.usage.seconds) == (0, 0.0, 0.0)


async def test_cache_never_crosses_settings(tmp_path):
    async with Server(chat()) as server:
        with ResponseCache(tmp_path / "cache.sqlite") as cache:
            async with client(server, cache=cache) as llm, EndpointLLM(server.url, "m2", cache=cache) as other_model:
                for _ in range(2):
                    await ask(llm)
                    await ask(llm, "other text")
                    await ask(llm, max_tokens=21)
                    await ask(llm, temperature=0.1)
                    await ask(llm, seed=1)
                    await ask(other_model)
                assert len(server.seen) == 6
    async with Server(chat()) as moved:
        with ResponseCache(tmp_path / "cache.sqlite") as cache:
            async with client(moved, cache=cache) as llm:
                await ask(llm)
        assert len(moved.seen) == 1


@pytest.mark.parametrize("finish, requests", [("stop", 1), ("length", 1), ("content_filter", 2), (None, 2)])
async def test_cache_keeps_normal_endings_only(tmp_path, finish, requests):
    async with Server(chat(finish=finish)) as server:
        with ResponseCache(tmp_path / "cache.sqlite") as cache:
            async with client(server, cache=cache) as llm:
                await ask(llm)
                await ask(llm)
        assert len(server.seen) == requests


def test_cache_refuses_a_foreign_file(tmp_path):
    path = tmp_path / "cache.sqlite"
    path.write_text("my notes " * 100)
    with pytest.raises(StoreDamaged, match="mv "):
        ResponseCache(path)
    assert path.read_text().startswith("my notes")


def test_cache_is_shared_by_processes_that_start_together(tmp_path):
    code = """
import sys
from pathlib import Path
from planact.cache import ResponseCache
from planact.llm import Completion
from planact.types import Usage
sys.stdin.readline()
for turn in range(5):
    with ResponseCache(Path(sys.argv[1])) as cache:
        for i in range(5):
            cache.put(f"{sys.argv[2]}-{turn}-{i}", Completion("text", Usage(1, 1, 1)))
            cache.put("common", Completion("same", Usage(1, 1, 1)))
        assert cache.get("common").text == "same"
"""
    path = tmp_path / "cache.sqlite"
    children = [subprocess.Popen([sys.executable, "-c", code, path, str(n)], stdin=subprocess.PIPE, text=True) for n in range(4)]
    time.sleep(0.3)
    for child in children:
        child.stdin.write("\n")
        child.stdin.close()
    assert [child.wait() for child in children] == [0] * 4
    with ResponseCache(path) as cache:
        assert all(cache.get(f"{n}-{turn}-{i}") for n in range(4) for turn in range(5) for i in range(5))


def test_no_answer_body_breaks_the_reader():
    whole = chat("text").split(b"\r\n\r\n", 1)[1]
    for end in range(len(whole)):
        assert read_reply(whole[:end]).text is None
    assert read_reply(whole).text == "text"
    assert read_reply(b"\xff\xfe\x00").text is None
