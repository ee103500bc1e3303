"""What a store's paid items have cost: the part of a budget that earlier runs have used up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planact.store import RunStore
from planact.types import Usage, from_dict


def spent(store: RunStore) -> Usage:
    """The sum over all stored items. `usd` is None when the price of one of them is unknown."""
    return sum((usage_of(item) for kind in store.kinds() for _, item in store.items(kind)), Usage())


def usage_of(item: Mapping[str, Any]) -> Usage:
    """What one stored item cost: an answer at the desk, or a trajectory with its turns and the judgements of its outcome."""
    if "usage" in item:
        return from_dict(Usage, item["usage"])
    if "turns" not in item:
        return Usage()  # bookkeeping, such as what a filter said of a trajectory
    paid = [turn[role] for turn in item["turns"] for role in ("planner", "executor")]
    paid += [judgement["usage"] for judgement in item["outcome"]["judgements"]]
    return sum((from_dict(Usage, usage) for usage in paid), Usage())
