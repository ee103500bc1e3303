"""How many calls a server is sent at once: as many as it takes, and none any more when it is dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from planact.replies import Failure

START_SHARE = 4  # begin at a quarter of the most; doubled within each round of answers, it costs 1.25 round trips in all; ours
SHRINK = 0.8  # of the calls in flight, at an HTTP 429 (inspect_ai)
COOL_DOWN = 15.0  # seconds after an HTTP 429 without another cut or any growth, and after an HTTP 5xx without growth (inspect_ai)


class Pace:
    """Slots for calls in flight: `async with pace:` waits for one. `most` is never passed.

    `dead_after` is the number of calls in a row, failed for good on a server that is away or broken, after which it counts as dead.
    """

    def __init__(self, most: int, dead_after: int | None = None, clock: Callable[[], float] = time.monotonic):
        self.most, self.dead_after, self._clock = most, dead_after, clock
        self.limit = max(1, most // START_SHARE)
        self.failed = 0  # calls in a row
        self._slots = asyncio.Semaphore(self.limit)
        self._owed = 0  # slots to withdraw when the calls that hold them end
        self._successes = 0  # since the limit last changed
        self._was_refused = False  # from then on it grows by one call per round of answers
        self._no_cut_until = self._no_growth_until = 0.0  # by the clock, in seconds

    @property
    def dead(self) -> bool:
        return self.dead_after is not None and self.failed >= self.dead_after

    async def __aenter__(self) -> None:
        await self._slots.acquire()

    async def __aexit__(self, *exc_info: object) -> None:
        self._give_back()

    def answered(self) -> None:
        """A request was answered: room for more, unless there was trouble a moment ago."""
        self._successes += 1
        enough = self.limit if self._was_refused else 1
        if self.limit < self.most and self._successes >= enough and self._clock() >= self._no_growth_until:
            self.limit, self._successes = self.limit + 1, 0
            self._give_back()

    def stumbled(self, failure: Failure) -> None:
        """A request failed in a way that may pass."""
        now = self._clock()
        if failure.status == 429 and now >= self._no_cut_until:
            lower = max(1, int(self.limit * SHRINK))
            self._owed += self.limit - lower
            self.limit, self._successes, self._was_refused = lower, 0, True
            self._no_cut_until = now + COOL_DOWN
        if failure.status == 429 or failure.status >= 500:
            self._no_growth_until = now + COOL_DOWN

    def ended(self, failure: Failure | None) -> None:
        """A call ended, well or for good. Only no answer at all and HTTP 5xx speak of a dead server."""
        if failure is None or not failure.retry:
            self.failed = 0
        elif failure.status == 0 or failure.status >= 500:
            self.failed += 1

    def _give_back(self) -> None:
        if self._owed:
            self._owed -= 1
        else:
            self._slots.release()
