"""Progress of a long stage: a bar on a terminal, a plain line every few seconds elsewhere; both tell the time that is left."""

from __future__ import annotations

import sys
import time
from typing import Self

from tqdm import tqdm

LINE_EVERY = 10.0  # seconds between plain lines
TIMES = 45  # columns that tqdm takes for percentage, times and speed


class Progress:
    """Counts `done` of `total`; `note` is what stands behind the count, such as a loss or a success rate.

    The time left is told once as many have ended as run `at_a_time`: before, most of the work has gone into those that have not.

    The first plain line comes after `patience` seconds: a stage that is one of many and may be done at once then takes one line.
    """

    def __init__(self, label: str, total: int, done: int = 0, unit: str = "it", patience: float = 0.0, at_a_time: int = 1):
        self.label, self.total, self.done, self.unit = label, total, done, unit
        options = {"desc": label, "unit": unit, "initial": done, "dynamic_ncols": True, "smoothing": 0}
        self.bar = tqdm(total=total, **options) if sys.stderr.isatty() else None
        self.at_a_time = at_a_time
        self.worked = 0  # steps that took time in this run, from which the time left is told
        self.started = time.monotonic()
        self.printed = self.started - LINE_EVERY + patience

    def update(self, note: str = "", steps: int = 1, stored: bool = False) -> None:
        """Count `steps` more; `stored` ones were there already, so that they say nothing about the speed of the others."""
        self.done += steps
        self.worked += 0 if stored else steps
        if self.bar is not None:
            self.bar.initial += steps if stored else 0
            self.bar.set_postfix_str(shortened(note, self._room()), refresh=False)
            self.bar.update(steps)
        elif self.done >= self.total or time.monotonic() - self.printed >= LINE_EVERY:
            self.printed = time.monotonic()
            print(f"{self.label}: {self.done}/{self.total} {self.unit} {note}".rstrip() + f" [{self.times()}]", file=sys.stderr, flush=True)

    def _room(self) -> int:
        """Columns of the terminal that the label, the counts and the times leave to the note."""
        return max(0, (self.bar.ncols or 80) - len(self.label) - 2 * len(str(self.total)) - TIMES)

    def times(self) -> str:
        """Time since the start, and the time left at the speed so far, where there is one."""
        elapsed = time.monotonic() - self.started
        left = self.total - self.done
        return clock(elapsed) + (f", {clock(elapsed / self.worked * left)} left" if self.worked >= self.at_a_time and left > 0 else "")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.close()


def clock(seconds: float) -> str:
    """1:05 or 2:00:09."""
    return tqdm.format_interval(seconds).removeprefix("0")


def shortened(note: str, width: int) -> str:
    """`note` in `width` characters at most."""
    return note if len(note) <= width else note[: max(0, width - 1)] + "…"
