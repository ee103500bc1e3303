"""Plan expansion (paper 4.3): new pairs of request and plan after the seed pairs of a site, without acting on it.

A batch is one question: a few seed pairs in, up to ten new ones out. Batches are independent, so many are in flight at once;
their results are taken site by site in turn and in the order of their numbers, so a larger target keeps what a smaller one had.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Sequence

from planact.llm import LLM
from planact.teaching.expansion import SEEDS, WANTED, Expansion, expansion_messages, parse_expansion
from planact_data import pair_checks
from planact_data.desk import Desk, Question
from planact_data.distinct import Distinct
from planact_data.leaks import Gate
from planact_data.pairs import Pair

KIND = "expansion"
SOURCE = "expansion"
TEMPERATURE = 1.0  # of the writing of requests (WebRL; the paper does not say)
MAX_TOKENS = 8192  # of an answer; ten pairs have about 4,000; ours
MAX_IDLE = 20  # batches in a row without a new pair, after which a site is done; ours
GROWTH = 2  # times the size of the last wave that one may have; ours


@dataclass
class Site:
    """A site's seed pairs, the requests that it has by now, and how its batches went."""

    name: str
    seeds: list[Pair]
    distinct: Distinct
    batches: int = 0  # asked for
    idle: int = 0  # batches in a row without a new pair

    @property
    def done(self) -> bool:
        return self.idle >= MAX_IDLE


@dataclass
class Batch:
    """One question. `pairs` are those of the answer that are still in the running."""

    site: Site
    number: int  # from 0
    seeds: list[Pair]
    pairs: list[Pair] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{SOURCE}/{self.site.name}/{self.number}"


@dataclass
class Counts:
    """Where the pairs of all batches went: written = rejected + accepted."""

    batches: int = 0
    unusable: Counter[str] = field(default_factory=Counter)  # whole answers, in which no pair could be read
    written: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def as_dict(self, wanted: int, accepted: Sequence[Pair]) -> dict[str, Any]:
        return {
            "pairs wanted": wanted,
            "batches": self.batches,
            "answers without pairs": dict(sorted(self.unusable.items())),
            "pairs written": self.written,
            "rejected": dict(sorted(self.rejected.items())),
            "pairs accepted": len(accepted),
            "accepted by site": dict(sorted(Counter(pair.site for pair in accepted).items())),
        }


async def expand(
    seed_pairs: Sequence[Pair], target: int, teacher: LLM, desk: Desk, gate: Gate, seed: int
) -> tuple[list[Pair], dict[str, Any]]:
    """`target` new pairs, fewer where the sites give no more; and what was dropped on the way and why."""
    sites = _sites(seed_pairs, gate.near_duplicate)
    accepted: list[Pair] = []
    counts, wave, size = Counts(), [], ceil(target / WANTED)
    while len(accepted) < target and (wave := _next_batches(sites, size, seed)):
        await desk.each("new pairs", wave, lambda batch: _write(batch, teacher, desk, counts), [KIND])
        for batch in wave:
            batch.pairs = [pair for pair in batch.pairs if _is_fresh(pair, batch.site, gate, counts)]
        judged = [batch for batch in wave if batch.pairs]
        await desk.each("verdicts on pairs", judged, lambda batch: _judge(batch, teacher, desk, counts), [pair_checks.KIND])
        for batch in wave:
            accepted += _take(batch, target - len(accepted), counts)
        size = _wave_size(target - len(accepted), wave)
    counts.batches = sum(site.batches for site in sites)
    if len(accepted) < target:
        done = ", ".join(site.name for site in sites) or "there is no seed pair"
        print(
            f"WARNING: {len(accepted)} of {target} expansion pairs: the last {MAX_IDLE} batches of each site brought none ({done}); "
            "see the counts in the card, and raise data.tasks for more seeds",
            file=sys.stderr,
        )
    return accepted, counts.as_dict(target, accepted)


def _sites(seed_pairs: Sequence[Pair], near_duplicate: float) -> list[Site]:
    seeds: dict[str, list[Pair]] = {}
    for pair in seed_pairs:
        seeds.setdefault(pair.site, []).append(pair)
    sites = [Site(name, pairs, Distinct(near_duplicate)) for name, pairs in sorted(seeds.items())]
    for site in sites:
        for pair in site.seeds:
            site.distinct.is_new(pair.id, pair.intent)
    return sites


def _next_batches(sites: Sequence[Site], size: int, seed: int) -> list[Batch]:
    """The next `size` batches, one site after the other as in the released code; none when all sites are done."""
    batches: list[Batch] = []
    going = [site for site in sites if not site.done]
    while going and len(batches) < size:
        site = min(going, key=lambda one: one.batches)  # the first of those that have had the fewest
        dice = random.Random(f"{seed}/expansion/{site.name}/{site.batches}")
        batches.append(Batch(site, site.batches, dice.sample(site.seeds, min(SEEDS, len(site.seeds)))))
        site.batches += 1
    return batches


def _wave_size(missing: int, last: Sequence[Batch]) -> int:
    """As many batches as bring the `missing` pairs when they are like those of the last wave, of sites that go on; within bounds."""
    going = [batch for batch in last if not batch.site.done]
    brought = sum(len(batch.pairs) for batch in going)
    return max(1, min(ceil(missing * len(going) / max(brought, 1)), GROWTH * len(last)))


async def _write(batch: Batch, teacher: LLM, desk: Desk, counts: Counts) -> None:
    """Fill in what the teacher writes and the rules let through."""
    messages = expansion_messages(batch.seeds, batch.number + 1)
    question = Question(
        batch.key, messages, lambda text: parse_expansion(text, len(batch.seeds)), max_tokens=MAX_TOKENS, temperature=TEMPERATURE
    )
    answer = await desk.ask(KIND, teacher, question)
    if answer.rejected:
        counts.unusable[answer.rejected] += 1
        return
    expansion: Expansion = answer.value
    counts.written += len(expansion.pairs) + len(expansion.malformed)
    counts.rejected.update(expansion.malformed)
    for number, new in enumerate(expansion.pairs, 1):
        parent = batch.seeds[new.example - 1]
        if rule := pair_checks.broken_rule(new.intent, new.plan, parent.page):
            counts.rejected[rule] += 1
        else:
            batch.pairs.append(Pair(f"{batch.key}/{number}", new.intent, parent.page, new.plan, parent.site, SOURCE, parent.id))


def _is_fresh(pair: Pair, site: Site, gate: Gate, counts: Counts) -> bool:
    """Nothing of the held-out tasks, and no (near-)duplicate of a request of this site, whatever became of that one."""
    reason = gate.refusal(pair.intent, pair.plan) or ("" if site.distinct.is_new(pair.id, pair.intent) else "near-duplicate")
    counts.rejected.update([reason] if reason else [])
    return not reason


async def _judge(batch: Batch, teacher: LLM, desk: Desk, counts: Counts) -> None:
    reasons = await pair_checks.verdicts(batch.pairs, batch.key, teacher, desk)
    counts.rejected.update(filter(None, reasons))
    batch.pairs = [pair for pair, reason in zip(batch.pairs, reasons) if not reason]


def _take(batch: Batch, missing: int, counts: Counts) -> list[Pair]:
    """The batch's pairs, `missing` at most. A site that is done gives no more, although later batches of this wave were asked for."""
    taken = [] if batch.site.done else batch.pairs[:missing]
    batch.site.idle = 0 if taken else batch.site.idle + 1
    if left := len(batch.pairs) - len(taken):
        counts.rejected["not needed"] += left
    return taken
