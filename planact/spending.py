"""What a store's paid items have cost: the part of a budget that earlier runs have used up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planact.store import RunStore
from planact.types import Usage, from_dict, to_dict

KIND, TOTAL = "spending", "total"  # the note in the store
FREE = frozenset({KIND, "evidence"})  # kinds that nobody paid for; evidence is large, and takes time to read


def spent(store: RunStore) -> Usage:
    """What the runs of this store have spent so far. `usd` is None when the price of an item is unknown."""
    items = sum((usage_of(item) for kind in store.kinds() if kind not in FREE for _, item in store.items(kind)), Usage())
    noted = store.get(TOTAL, KIND)
    return max(items, from_dict(Usage, noted), key=_money) if noted else items


def _money(usage: Usage) -> tuple[bool, float, int]:
    return usage.usd is None, usage.usd or 0.0, usage.prompt_tokens


def note_spent(store: RunStore, usage: Usage) -> None:
    """Keep the sum at the end of a run: it holds calls whose item was never finished, such as those of an episode cut off by the limit."""
    store.put(TOTAL, to_dict(usage), KIND, replace=True)


def usage_of(item: Mapping[str, Any]) -> Usage:
    """What one stored item cost: an answer at the desk, or a trajectory with its turns and the judgements of its outcome."""
    if "usage" in item:
        return from_dict(Usage, item["usage"])
    if "turns" not in item:
        return Usage()  # bookkeeping, such as what a filter said of a trajectory
    paid = [turn[role] for turn in item["turns"] for role in ("planner", "executor")]
    paid += [judgement["usage"] for judgement in item["outcome"]["judgements"]]
    return sum((from_dict(Usage, usage) for usage in paid), Usage())
