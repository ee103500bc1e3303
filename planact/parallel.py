"""Run many awaitable jobs with a bounded number in flight."""

from __future__ import annotations

import asyncio
from typing import Awaitable, Callable, Iterable, TypeVar

Item = TypeVar("Item")


async def run_all(items: Iterable[Item], work: Callable[[Item], Awaitable[None]], in_flight: int) -> None:
    """Await `work(item)` for every item, at most `in_flight` at a time, started in order.

    `work` saves its own result, so that what is done stays done. The first exception stops new starts, lets the jobs
    in flight finish, and is raised.
    """
    items = list(items)
    queue = iter(items)
    failures: list[BaseException] = []

    async def worker() -> None:
        for item in queue:
            if failures:
                return
            try:
                await work(item)
            except Exception as error:
                failures.append(error)

    await asyncio.gather(*(worker() for _ in range(min(in_flight, len(items)))))
    if failures:
        raise failures[0]
