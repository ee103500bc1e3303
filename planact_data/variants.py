"""Variants of seed pairs (paper 4.3, A.8): one question each, until there are enough that pass rules, leak gate and a teacher's verdict.

Seeds of one site stand in blocks of ten. A batch is the next variant of each seed of a block, and is judged together. What
it asks and gets depends on the earlier batches alone, so a larger target keeps what a smaller one had.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from math import ceil
from typing import Any, Sequence

from planact.llm import LLM
from planact.teaching.failures import FailureClass
from planact.teaching.variants import parse_variant, variant_messages
from planact_data import pair_checks
from planact_data.desk import Desk, Question
from planact_data.distinct import Distinct
from planact_data.leaks import Gate
from planact_data.pairs import Pair

KIND = "variant"
SOURCE = "targeted"
LABEL = "failure class"
TEMPERATURE = 1.0  # of the writing of requests (WebRL; the paper does not say)
BLOCK = 10  # seeds; ours
LEAST = 0.2  # share of variants that is counted on to be accepted, however few were; ours
MAX_IDLE = 6  # variants of a seed in a row that were not accepted, after which it gets no more; ours


@dataclass
class Seed:
    """A seed pair, the class of failures that calls for more like it, and how its variants went."""

    pair: Pair
    concern: FailureClass
    written: list[str] = field(default_factory=list)  # requests of its variants, whatever became of them
    idle: int = 0  # variants in a row that were not accepted


@dataclass
class Draft:
    """A variant on its way: written, or dropped for a `reason`."""

    seed: Seed
    number: int  # among the variants of its seed, from 1
    pair: Pair | None = None
    reason: str = ""


async def write_variants(
    seeds: Sequence[Seed], known: Sequence[Pair], target: int, teacher: LLM, desk: Desk, gate: Gate, seed: int
) -> tuple[list[Pair], dict[str, Any]]:
    """`target` variants that repeat no other and none of the `known`, fewer where `seeds` give no more; and what was dropped and why."""
    distinct = {pair.site: Distinct(gate.near_duplicate) for pair in known}
    for pair in known:
        distinct[pair.site].is_new(pair.id, pair.intent)
    blocks, accepted, dropped, number = _blocks(seeds, seed), [], Counter[str](), 0
    while len(accepted) < target and (going := [live for block in blocks if (live := [s for s in block if s.idle < MAX_IDLE])]):
        number += 1
        while going and len(accepted) < target:
            size = _batches(target - len(accepted), len(accepted), dropped.total())
            wave, going = [[Draft(one, number) for one in block] for block in going[:size]], going[size:]
            await _work_out(wave, distinct, teacher, desk, gate)
            for draft in chain.from_iterable(wave):
                if not draft.reason and len(accepted) == target:
                    draft.reason = "not needed"
                draft.seed.idle = draft.seed.idle + 1 if draft.reason else 0
                if draft.reason:
                    dropped[draft.reason] += 1
                else:
                    accepted.append(draft.pair)
    return accepted, {
        "variants asked for": len(accepted) + dropped.total(),
        "rejected": dict(sorted(dropped.items())),
        "pairs accepted": len(accepted),
        "accepted by class": _by_class(accepted),
    }


def _batches(missing: int, accepted: int, dropped: int) -> int:
    """As many as bring the `missing` variants when those to come are like those before them."""
    share = max(accepted / (accepted + dropped), LEAST) if accepted or dropped else 1
    return ceil(missing / (BLOCK * share))


def _by_class(pairs: Sequence[Pair]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for pair in pairs:
        counts.setdefault(pair.site, Counter())[pair.labels[LABEL]] += 1
    return {site: dict(sorted(found.items())) for site, found in sorted(counts.items())}


def _blocks(seeds: Sequence[Seed], seed: int) -> list[list[Seed]]:
    """The seeds in random order in blocks of one site, the sites in turn."""
    sites: dict[str, list[Seed]] = {}
    for one in seeds:
        sites.setdefault(one.pair.site, []).append(one)
    for site, found in sites.items():
        random.Random(f"{seed}/targeted/{site}").shuffle(found)
    cut = [[found[n : n + BLOCK] for n in range(0, len(found), BLOCK)] for _, found in sorted(sites.items())]
    return [block for block in chain.from_iterable(zip_longest(*cut)) if block]


async def _work_out(wave: Sequence[Sequence[Draft]], distinct: dict[str, Distinct], teacher: LLM, desk: Desk, gate: Gate) -> None:
    """Have the drafts written and say of each why it cannot be used, where that is so."""
    drafts = list(chain.from_iterable(wave))
    await desk.each("variants", drafts, lambda draft: _write(draft, teacher, desk), [KIND])
    for draft in drafts:
        if draft.pair:
            draft.seed.written.append(draft.pair.intent)
            draft.reason = _objection(draft.pair, distinct[draft.pair.site], gate)
    written = [kept for batch in wave if (kept := [draft for draft in batch if not draft.reason])]
    await desk.each("verdicts on variants", written, lambda batch: _judge(batch, teacher, desk), [pair_checks.KIND])


async def _write(draft: Draft, teacher: LLM, desk: Desk) -> None:
    seed = draft.seed
    messages = variant_messages(seed.pair, seed.concern, seed.written, draft.number)
    key = f"{SOURCE}/{seed.pair.id}/{draft.number}"
    answer = await desk.ask(KIND, teacher, Question(key, messages, parse_variant, temperature=TEMPERATURE))
    if answer.rejected:
        draft.reason = answer.rejected
        return
    new, old = answer.value, seed.pair
    draft.pair = Pair(key, new.intent, old.page, new.plan, old.site, SOURCE, old.id, {LABEL: seed.concern.name})


def _objection(pair: Pair, distinct: Distinct, gate: Gate) -> str:
    """Why a variant cannot be used, without asking anybody."""
    if reason := gate.refusal(pair.intent, pair.plan) or pair_checks.broken_rule(pair.intent, pair.plan, pair.page):
        return reason
    return "" if distinct.is_new(pair.id, pair.intent) else "near-duplicate"


async def _judge(batch: Sequence[Draft], teacher: LLM, desk: Desk) -> None:
    first = batch[0].pair
    for draft, reason in zip(batch, await pair_checks.verdicts([draft.pair for draft in batch], first.id, teacher, desk)):
        draft.reason = reason
