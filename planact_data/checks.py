"""Gates that rows must pass: no row or query twice."""

from __future__ import annotations

import re
from typing import Iterable, Sequence

from planact.types import Task, content_hash
from planact_data.distinct import Distinct

_VALUES = re.compile(r"(?<!\w)'([^']+)'(?!\w)|(?<![\w.])([#$]?[\w-]*\d[\w.,:-]*\w|\d)")


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def drop_near_duplicates(tasks: Sequence[Task], threshold: float) -> tuple[list[Task], list[Task]]:
    """Split `tasks` into the first of each group of near-duplicate queries (see `Distinct`), and the others."""
    distinct = Distinct(threshold)
    kept, dropped = [], []
    for task in tasks:
        (kept if distinct.is_new(task.id, task.intent) else dropped).append(task)
    return kept, dropped


def drop_duplicates(rows: Iterable[dict]) -> tuple[list[dict], int]:
    """Rows without those whose prompt and completion an earlier row has; and how many were dropped."""
    seen: set[str] = set()
    kept, dropped = [], 0
    for row in rows:
        key = content_hash([row["prompt"], row["completion"]], 32)
        if key in seen:
            dropped += 1
        else:
            seen.add(key)
            kept.append(row)
    return kept, dropped


def values_in(text: str) -> set[str]:
    """What stands between single quotes in `text`, and its words with digits."""
    return {quoted or word for quoted, word in _VALUES.findall(text)}


def shows(text: str, value: str) -> bool:
    """`value` stands in `text` as a whole: "12" in "12 pieces" and in "$12.", not in "120", "12.50" or "1.12"."""
    return re.search(rf"(?<!\w)(?<!\d[.,:]){re.escape(value)}(?!\w)(?![.,:]\d)", text) is not None
