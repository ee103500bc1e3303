"""Replies that were paid for once, kept in a SQLite file that any number of processes may share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

from planact.database import Format, drop_lock, open_database, reported, take_lock
from planact.llm import Completion
from planact.types import Usage

CACHE_FORMAT = Format(
    name="response cache",
    application_id=0x504C4143,  # "PLAC"
    version=1,
    tables=(
        """CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT NOT NULL, finish_reason TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL)""",
    ),
    synchronous="NORMAL",  # a power cut may cost the last replies, never the file
)
CACHED_REASONS = frozenset({"stop", "length"})  # other replies may come out otherwise the next time


class ResponseCache:
    """Completions by the hash of everything that changes them. Close it, or use it in a `with`."""

    def __init__(self, path: Path):
        """Open or make the file. Raises StoreDamaged when it is something else, StoreError for disk and rights."""
        self.path = Path(path)
        lock = take_lock(self.path, wait=True)  # while it is opened only: SQLite cannot make one file from two processes
        try:
            self._db = open_database(self.path, CACHE_FORMAT)
        finally:
            drop_lock(lock)

    def get(self, key: str) -> Completion | None:
        """The stored reply, free of charge, or None."""
        with reported(self.path):
            row = self._db.execute(
                "SELECT text, finish_reason, prompt_tokens, completion_tokens FROM replies WHERE key = ?", (key,)
            ).fetchone()
        if row is None:
            return None
        text, finish_reason, prompt_tokens, completion_tokens = row
        return Completion(text, Usage(prompt_tokens, completion_tokens), finish_reason, cached=True)

    def put(self, key: str, completion: Completion) -> None:
        """Keep a reply that ended normally; the first one under a key stays."""
        if completion.finish_reason not in CACHED_REASONS:
            return
        usage = completion.usage
        row = (key, completion.text, completion.finish_reason, usage.prompt_tokens, usage.completion_tokens)
        with reported(self.path):
            self._db.execute("INSERT INTO replies VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING", row)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def free_of_charge(completion: Completion) -> Completion:
    """The same reply for a second caller: its tokens stay known, it cost nothing."""
    return replace(completion, cached=True, usage=replace(completion.usage, calls=0, seconds=0.0, usd=0.0))
