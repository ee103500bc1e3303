"""Progress of a long stage: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Self

from tqdm import tqdm

LINE_EVERY = 10.0  # seconds between plain lines


class Progress:
    """Counts `done` of `total`; `note` is what stands behind the count, such as a loss or a success rate."""

    def __init__(self, label: str, total: int, done: int = 0, unit: str = "it"):
        self.label, self.total, self.done, self.unit = label, total, done, unit
        self.bar = tqdm(total=total, initial=done, desc=label, unit=unit, dynamic_ncols=True) if sys.stderr.isatty() else None
        self.printed = 0.0

    def update(self, note: str = "", steps: int = 1) -> None:
        self.done += steps
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(steps)
        elif self.done >= self.total or time.monotonic() - self.printed > LINE_EVERY:
            self.printed = time.monotonic()
            print(f"{self.label}: {self.done}/{self.total} {self.unit} {note}".rstrip(), file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.bar is not None:
            self.bar.close()
