"""Gates that rows must pass: no row or query twice."""

from __future__ import annotations

from typing import Iterable, Sequence

from planact.types import Task, content_hash
from planact_data.distinct import Distinct


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
