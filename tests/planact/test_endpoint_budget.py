"""Every paid answer counts against the budget, and identical calls are paid once: at the same time, and over restarts."""

import asyncio
import subprocess
import sys
import time

import pytest

from planact.endpoint import EndpointLLM, ResponseCache
from planact.llm import Budget, BudgetExceeded, EndpointUnusable
from planact.store import StoreDamaged
from tests.planact.answering import Server, ask, chat, client, error, hang


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
