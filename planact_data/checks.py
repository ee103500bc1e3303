"""Gates that rows must pass: no row or query twice, no value from the future."""

from __future__ import annotations

import re
from typing import Iterable, Sequence

from planact.actions import describe_action
from planact.types import Plan, Task, Turn, content_hash
from planact_data.distinct import Distinct

_VALUES = re.compile(r"(?<!\w)'([^']+)'(?!\w)|(?<![\w.])([#$]?[\w-]*\d[\w.,:-]*\w|\d)")


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


def foreseen_values(plan: Plan, intent: str, turns: Sequence[Turn], done: int) -> list[str]:
    """Values in `plan` (quoted texts, and words with digits) that no page up to turn `done` has shown, but a later one does."""
    seen = "\n".join([intent, *(_sight(turn) for turn in turns[:done]), turns[done].observation.outline])
    later = "".join(_sight(turn) for turn in turns[done:])
    values = {a or b for step in plan.steps for a, b in _VALUES.findall(f"{step.reasoning} {step.step}")}
    return sorted(v for v in values if not _shows(seen, v) and _shows(later, v))


def _shows(text: str, value: str) -> bool:
    """`value` stands in `text` as a whole: "12" in "12 pieces" and in "$12.", not in "120", "12.50" or "1.12"."""
    return re.search(rf"(?<!\w)(?<!\d[.,:]){re.escape(value)}(?!\w)(?![.,:]\d)", text) is not None


def _sight(turn: Turn) -> str:
    return f"{turn.observation.outline}\n{describe_action(turn.action)}\n"
