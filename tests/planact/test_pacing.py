"""The number of calls in flight, and the end of a run whose server is dead."""

import asyncio
import re

import pytest

from planact.endpoint import EndpointLLM
from planact.llm import EndpointUnusable, ModelError
from planact.pacing import Pace
from planact.replies import Failure

REFUSED, BROKEN, AWAY = Failure("x", status=429), Failure("x", status=503), Failure("x")


class Clock:
    """Seconds that stand still until a test moves them."""

    now = 1000.0

    def __call__(self):
        return self.now


async def taken(pace):
    """How many calls get a slot at once; they give it back."""
    got = []

    async def call():
        async with pace:
            got.append(1)
            await asyncio.sleep(60)

    calls = [asyncio.create_task(call()) for _ in range(200)]
    await asyncio.sleep(0.01)
    number = len(got)
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    return number


async def test_it_starts_at_a_quarter_and_doubles_with_each_round_of_answers():
    pace = Pace(64)
    assert pace.limit == 16 == await taken(pace)
    for round_, limit in enumerate((32, 64, 64)):
        for _ in range(pace.limit):
            pace.answered()
        assert pace.limit == limit == await taken(pace), round_


async def test_one_slot_is_never_less():
    clock = Clock()
    pace = Pace(1, clock=clock)
    for _ in range(5):
        pace.stumbled(REFUSED)
        clock.now += 100
    assert pace.limit == 1 == await taken(pace)


async def test_a_429_takes_a_fifth_away_once_in_15_seconds_and_growth_is_slow_from_then_on():
    clock = Clock()
    pace = Pace(40, clock=clock)
    for _ in range(30):
        pace.answered()
    assert pace.limit == 40
    for _ in range(10):  # all that are in flight are refused together
        pace.stumbled(REFUSED)
    assert pace.limit == 32  # 40 x 0.8
    pace.answered()
    assert pace.limit == 32  # cooling down
    clock.now += 15
    pace.stumbled(REFUSED)
    assert pace.limit == 25  # 32 x 0.8 = 25.6
    clock.now += 15
    for _ in range(24):
        pace.answered()
    assert pace.limit == 25
    pace.answered()  # a whole round
    assert pace.limit == 26


async def test_slots_in_use_are_withdrawn_when_their_calls_end():
    clock = Clock()
    pace = Pace(8, clock=clock)
    for _ in range(6):
        pace.answered()
    for _ in range(8):
        await pace.__aenter__()
    pace.stumbled(REFUSED)
    assert pace.limit == 6  # 8 x 0.8 = 6.4
    for _ in range(8):
        await pace.__aexit__()
    assert await taken(pace) == 6


async def test_a_5xx_pauses_growth_and_takes_nothing_away():
    clock = Clock()
    pace = Pace(16, clock=clock)
    pace.stumbled(BROKEN)
    pace.answered()
    assert pace.limit == 4
    clock.now += 15
    pace.answered()
    assert pace.limit == 5


async def test_a_cancelled_wait_loses_no_slot():
    pace = Pace(4)
    await pace.__aenter__()
    waiting = asyncio.create_task(pace.__aenter__())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await pace.__aexit__()
    assert await taken(pace) == 1


@pytest.mark.parametrize("failure, dead", [(AWAY, True), (BROKEN, True), (REFUSED, False), (Failure("no JSON", status=200), False)])
async def test_only_a_server_that_is_away_or_broken_is_dead(failure, dead):
    pace = Pace(4, dead_after=3)
    for _ in range(3):
        assert not pace.dead
        pace.ended(failure)
    assert pace.dead is dead


async def test_one_good_call_or_one_refused_request_clears_the_count():
    for sign_of_life in (None, Failure("too long", retry=False, status=400)):
        pace = Pace(4, dead_after=3)
        for failure in (AWAY, AWAY, sign_of_life, AWAY, AWAY):
            pace.ended(failure)
        assert not pace.dead


async def test_a_dead_server_ends_the_run_after_ten_calls_and_not_after_all():
    """100 calls wait for a server that is not there, four at most in flight: ten fail after 5 requests each, then nothing more is sent."""
    async with EndpointLLM("http://127.0.0.1:9/v1", "m", backoff=0.001, max_in_flight=4, dead_after=10) as llm:
        calls = (llm.complete([{"role": "user", "content": str(i)}], max_tokens=5) for i in range(100))
        results = await asyncio.gather(*calls, return_exceptions=True)
    stopped = [r for r in results if isinstance(r, EndpointUnusable)]
    assert all(isinstance(r, ModelError) for r in results) and len(stopped) >= 100 - 10
    assert re.search(r"m at http://127.0.0.1:9/v1 has failed 1\d calls in a row", str(stopped[-1]))
    assert "give the same command again" in str(stopped[-1])
    assert 10 * 5 <= llm.requests <= (10 + 3) * 5  # and those in flight at that moment


async def test_a_client_that_sets_no_limit_keeps_trying():
    async with EndpointLLM("http://127.0.0.1:9/v1", "m", backoff=0.001, max_in_flight=4) as llm:
        calls = (llm.complete([{"role": "user", "content": str(i)}], max_tokens=5) for i in range(15))
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(r) for r in results] == [ModelError] * 15 and llm.requests == 75
