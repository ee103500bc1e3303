"""Many jobs, few at a time: order, bound, and what an exception or Ctrl-C leaves behind."""

import asyncio
import signal

import pytest

from planact.parallel import run_all


class Jobs:
    """Work that waits at a gate per item, so that the test decides who finishes when."""

    def __init__(self, count, failing=()):
        self.gates = [asyncio.Event() for _ in range(count)]
        self.failing = failing
        self.started, self.finished = [], []
        self.most = 0  # in flight at once

    async def work(self, item):
        self.started.append(item)
        self.most = max(self.most, len(self.started) - len(self.finished))
        await self.gates[item].wait()
        if item in self.failing:
            raise ValueError(f"job {item}")
        self.finished.append(item)


async def settle():
    """Let every job run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_started_in_order_and_never_more_than_the_bound():
    jobs = Jobs(7)
    run = asyncio.create_task(run_all(range(7), jobs.work, 3))
    await settle()
    assert jobs.started == [0, 1, 2]
    jobs.gates[1].set()
    await settle()
    assert (jobs.started, jobs.finished) == ([0, 1, 2, 3], [1])  # a place that is free is taken at once
    for gate in jobs.gates:
        gate.set()
    await run
    assert jobs.started == list(range(7)) and sorted(jobs.finished) == list(range(7)) and jobs.most == 3


@pytest.mark.parametrize("in_flight", [1, 2, 50])
async def test_every_item_is_done_once(in_flight):
    jobs = Jobs(20)
    for gate in jobs.gates:
        gate.set()
    await run_all(iter(range(20)), jobs.work, in_flight)
    assert sorted(jobs.finished) == list(range(20)) and jobs.most <= in_flight


async def test_nothing_to_do():
    await run_all([], Jobs(0).work, 4)


async def test_an_exception_stops_new_starts_and_lets_the_running_finish():
    jobs = Jobs(9, failing={1, 2})
    run = asyncio.create_task(run_all(range(9), jobs.work, 3))
    await settle()
    jobs.gates[1].set()
    await settle()
    assert jobs.started == [0, 1, 2] and not run.done()
    jobs.gates[2].set()
    jobs.gates[0].set()
    with pytest.raises(ValueError, match="job 1"):  # the first, not the second
        await run
    assert (jobs.started, jobs.finished) == ([0, 1, 2], [0])


async def test_an_exception_at_the_last_item_is_not_lost():
    jobs = Jobs(2, failing={1})
    for gate in jobs.gates:
        gate.set()
    with pytest.raises(ValueError, match="job 1"):
        await run_all(range(2), jobs.work, 2)
    assert jobs.finished == [0]


async def test_cancelling_ends_what_is_running_and_keeps_what_is_done():
    jobs, closed = Jobs(6), []

    async def work(item):
        try:
            await jobs.work(item)
        finally:
            closed.append(item)

    run = asyncio.create_task(run_all(range(6), work, 2))
    await settle()
    jobs.gates[0].set()
    await settle()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (jobs.started, jobs.finished, sorted(closed)) == ([0, 1, 2], [0], [0, 1, 2])  # each running job could clean up


def test_ctrl_c_ends_the_run_and_keeps_what_is_done():
    finished, closed = [], []

    async def work(item):
        try:
            if item == 3:
                signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)
            finished.append(item)
        finally:
            closed.append(item)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run_all(range(10), work, 2))
    assert {0, 1} <= set(finished) < set(range(4)) and set(closed) >= set(finished) and max(closed) <= 4
