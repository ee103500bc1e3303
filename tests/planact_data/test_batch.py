"""Batches against a local server with the Batch API: what is sent together, what is not paid twice, what failures say."""

import asyncio
import json
import subprocess
import sys
from contextlib import contextmanager

import pytest

from planact.cache import ResponseCache
from planact.llm import Budget, BudgetExceeded, EndpointUnusable, ModelError, RequestRefused
from planact_data.batch import BatchLLM
from tests.openai_server import serving, stats

PRICES = {"usd_per_m_prompt": 1.0, "usd_per_m_completion": 2.0}  # one reply of 10 + 5 tokens: 20e-6 USD


@contextmanager
def opened(url, folder, **settings):
    with ResponseCache(folder / "replies.sqlite") as cache:
        yield BatchLLM(url, "m", **{"folder": folder / "batches", "cache": cache, "quiet": 0.1, "poll": 0.05} | PRICES | settings)


def records(folder):
    return [json.loads(path.read_text()) for path in (folder / "batches").glob("*.json")]


async def ask(llm, text="hello", **settings):
    return await llm.complete([{"role": "user", "content": text}], **{"max_tokens": 20} | settings)


async def test_calls_that_wait_together_are_one_batch_and_a_repair_joins_the_next(tmp_path, capsys):
    budget = Budget()
    with serving() as url, opened(url, tmp_path, budget=budget) as llm:
        async with llm:

            async def converse(number):
                first = await ask(llm, f"question {number}")
                return [first, await ask(llm, f"repair {number}")] if number % 2 else [first]

            replies = [reply for replies in await asyncio.gather(*map(converse, range(20))) for reply in replies]
        found = stats(url)
    assert {reply.text for reply in replies} == {"ok"} and len(replies) == 30
    assert (found["batches"], found["largest_batch"], found["paid"]) == (2, 20, 30)
    assert budget.spent.usd == pytest.approx(30 * 20e-6) == sum(reply.usage.usd for reply in replies)
    assert "batch batch-1: 20/20 done (completed)" in capsys.readouterr().err
    assert records(tmp_path) == []


async def test_identical_calls_are_one_line_and_one_price(tmp_path):
    with serving() as url, opened(url, tmp_path) as llm:
        async with llm:
            replies = await asyncio.gather(*(ask(llm) for _ in range(5)))
            later = await ask(llm)
        assert stats(url)["paid"] == 1
    assert sum(reply.usage.calls for reply in replies) == 1 and sum(reply.cached for reply in replies) == 4
    assert later.cached and later.usage.usd == 0


async def test_batches_keep_to_the_size_limits(tmp_path):
    with serving() as url, opened(url, tmp_path, max_requests=4) as llm:
        async with llm:
            await asyncio.gather(*(ask(llm, str(i)) for i in range(10)))
        assert (stats(url)["batches"], stats(url)["largest_batch"]) == (3, 4)  # 4 + 4 + 2
    with serving() as url, opened(url, tmp_path / "bytes", max_bytes=1000) as llm:
        async with llm:
            await asyncio.gather(*(ask(llm, f"{i}" + "x" * 400) for i in range(3)))  # a line has 400 bytes and some 200 around them
        assert stats(url)["batches"] == 3


async def test_log_probabilities_come_with_the_reply(tmp_path):
    with serving() as url, opened(url, tmp_path) as llm:
        async with llm:
            assert (await ask(llm, top_logprobs=2)).top_logprobs == {"ok": -0.1}


@pytest.mark.parametrize("status, said", [("expired", "batch_expired"), ("cancelled", "was cancelled"), ("failed", "Enqueued token limit")])
async def test_batches_that_end_badly_fail_only_what_they_did_not_answer(tmp_path, status, said):
    with serving("--batch-status", status) as url, opened(url, tmp_path) as llm:
        async with llm:
            results = await asyncio.gather(*(ask(llm, str(i)) for i in range(4)), return_exceptions=True)
    failed = [result for result in results if isinstance(result, Exception)]
    assert len(failed) == (4 if status == "failed" else 2)
    for error in failed:
        assert type(error) is ModelError and said in str(error) and "give the same command again" in str(error)
    with serving() as better, opened(better, tmp_path) as llm:
        async with llm:
            await asyncio.gather(*(ask(llm, str(i)) for i in range(4)))
        assert stats(better)["paid"] == 4  # another server, so nothing of the first one's is its answer


async def test_a_refused_line_is_its_callers_alone(tmp_path):
    with serving("--bad-line", "question 3") as url, opened(url, tmp_path) as llm:
        async with llm:
            results = await asyncio.gather(*(ask(llm, f"question {i}") for i in range(5)), return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["Completion"] * 3 + ["RequestRefused", "Completion"]
    assert isinstance(results[3], RequestRefused) and "HTTP 400: injected" in str(results[3])


@pytest.mark.parametrize("times, batches", [(2, 3), (-1, 3)])
async def test_a_line_on_which_the_server_failed_joins_two_more_batches(tmp_path, times, batches):
    with serving("--bad-line", "3", "--bad-status", "500", "--bad-lines", str(times)) as url, opened(url, tmp_path) as llm:
        async with llm:
            results = await asyncio.gather(*(ask(llm, str(i)) for i in range(5)), return_exceptions=True)
        assert stats(url)["batches"] == batches
    assert isinstance(results[3], ModelError) == (times < 0)


async def test_a_batch_that_may_pass_the_budget_waits_for_the_price_of_those_before_it(tmp_path):
    """A call may cost about 240 bytes / 3 x $1/M + 20 x $2/M = $120e-6 and does cost $20e-6; $300e-6 pay for 15 and are never passed."""
    budget = Budget(max_usd=300e-6)
    with serving() as url, opened(url, tmp_path, budget=budget) as llm:
        async with llm:
            results = await asyncio.gather(*(ask(llm, str(i)) for i in range(40)), return_exceptions=True)
        found = stats(url)
    stopped = [result for result in results if isinstance(result, BudgetExceeded)]
    assert found["largest_batch"] == 2 and found["batches"] >= 5
    assert 8 <= found["paid"] == 40 - len(stopped) <= 15
    assert budget.spent.usd == pytest.approx(found["paid"] * 20e-6) and budget.spent.usd <= 300e-6
    assert "raise it and give the same command again" in str(stopped[0])


def test_dollar_limit_without_prices_is_refused_at_the_start(tmp_path):
    with pytest.raises(ValueError, match="needs the prices of m"), opened("http://h/v1", tmp_path, budget=Budget(1), usd_per_m_prompt=None):
        pass


async def test_a_missing_key_is_named_and_nothing_is_sent(tmp_path, monkeypatch):
    monkeypatch.delenv("SOME_KEY", raising=False)
    with serving() as url, opened(url, tmp_path, api_key_env="SOME_KEY") as llm:
        async with llm:
            with pytest.raises(EndpointUnusable, match="export SOME_KEY="):
                await ask(llm)
        assert stats(url)["requests"] == 0


async def test_a_server_without_batches_is_named(tmp_path):
    with serving("--no-batches") as url, opened(url, tmp_path) as llm:
        async with llm:
            with pytest.raises(EndpointUnusable, match="HTTP 404.*needs OpenAI's Batch API"):
                await ask(llm)


async def test_an_answer_that_was_lost_makes_no_second_batch(tmp_path):
    with serving("--lose-batch-answer") as url, opened(url, tmp_path) as llm:
        async with llm:
            assert (await ask(llm)).text == "ok"
        assert (stats(url)["batches"], stats(url)["paid"]) == (1, 1)


RUN = """
import asyncio, sys
from pathlib import Path
from planact.cache import ResponseCache
from planact.llm import Budget
from planact_data.batch import BatchLLM
async def run():
    folder, budget = Path(sys.argv[2]), Budget()
    with ResponseCache(folder / "replies.sqlite") as cache:
        llm = BatchLLM(sys.argv[1], "m", folder=folder / "batches", cache=cache, quiet=0.1, poll=0.05, budget=budget,
                       usd_per_m_prompt=1.0, usd_per_m_completion=2.0)
        async with llm:
            print("ready", flush=True)
            ask = [llm.complete([{"role": "user", "content": str(i)}], max_tokens=20) for i in range(10)]
            replies = await asyncio.gather(*ask)
            print(len(replies), round(budget.spent.usd * 1e6), flush=True)
            if "stay" in sys.argv:
                await asyncio.sleep(60)
asyncio.run(run())
"""


def start(url, folder, *more):
    command = [sys.executable, "-c", RUN, url, str(folder), *more]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    return child


async def until(true):
    for _ in range(500):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


@pytest.mark.parametrize("moment", ["the batch is under way", "before the server's id is remembered", "the replies were handed out"])
async def test_a_killed_run_finds_its_batch_again_and_pays_once(tmp_path, moment):
    with serving("--latency", "1") as url:
        child = start(url, tmp_path, "stay")
        if moment == "the replies were handed out":
            assert child.stdout.readline() == "10 200\n"
        else:
            await until(lambda: any(record["batch"] for record in records(tmp_path)))
        child.kill()
        child.communicate()
        (record,) = records(tmp_path)
        if moment == "before the server's id is remembered":
            (tmp_path / "batches" / f"{record['name']}.json").write_text(json.dumps(record | {"batch": ""}))
        again = start(url, tmp_path)
        assert again.stdout.readline() == "10 200\n"  # nothing was stored by the first run, so the second one's books have the price
        assert again.wait(timeout=10) == 0
        assert (stats(url)["batches"], stats(url)["paid"]) == (1, 10)
        assert records(tmp_path) == []


async def test_a_record_without_a_batch_is_dropped_and_a_damaged_one_is_named(tmp_path):
    folder = tmp_path / "batches"
    folder.mkdir()
    (folder / "abc.json").write_text('{"name": "abc", "keys": ["k"], "batch": ""}')
    with serving() as url, opened(url, tmp_path) as llm:
        async with llm:
            assert records(tmp_path) == [] and (await ask(llm)).text == "ok"
        (folder / "torn.json").write_text('{"name": "to')
        with opened(url, tmp_path) as other, pytest.raises(EndpointUnusable, match=r"torn.json is no record of a batch.*type: mv "):
            await other.__aenter__()
