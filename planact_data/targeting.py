"""Targeted augmentation (paper 4.3): variants of the training pairs that are of the kinds in which validation tasks failed.

    validation attempts ─ failures ─ classes of failures, by site ─┐
    seed pairs ─────────────────────────────────────────────────── which class ─ variants

"Site" is the host that a task begins on. No validation request or answer may get into a pair: classes must name no value of
one, and every variant passes the leak gate.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from typing import Any, Mapping, Sequence

from planact.failures import KINDS, UNSCORED
from planact.llm import LLM
from planact.recipe import Recipe
from planact.store import RunStore
from planact.teaching import AnswerError
from planact.teaching.failures import (
    FAILURES,
    OTHER,
    FailureClass,
    classes_messages,
    classify_messages,
    parse_classes,
    parse_classification,
)
from planact.types import FailureInfo, Trajectory
from planact_data.attempts import Attempt, validation_attempts
from planact_data.desk import Desk, Question
from planact_data.leaks import Gate
from planact_data.models import Models
from planact_data.pairs import Pair, site_of
from planact_data.values import plain, shows, values_in
from planact_data.variants import Seed, write_variants
from planact_envs.suites import Suite

CLASSES, CLASSIFICATION = "failure classes", "failure class of a pair"  # kinds in the store
TELLING = 4  # characters from which a request's value must not stand in a class; ours

Failed = tuple[Trajectory, FailureInfo]
Classes = Mapping[str, Sequence[FailureClass]]  # by site


async def augment(
    seed_pairs: Sequence[Pair],
    known: Sequence[Pair],
    recipe: Recipe,
    suite: Suite,
    models: Models,
    desk: Desk,
    gate: Gate,
    store: RunStore,
) -> tuple[list[Pair], dict[str, Any]]:
    """At most `recipe.data.targeted` new pairs that repeat none of the `known`, and what was dropped on the way and why.

    Raises RecipeError.
    """
    target, teacher = recipe.data.targeted, models.teacher
    attempts = await validation_attempts(recipe, suite, models, store)
    failures, tried = failures_by_site(attempts)
    classes, named = await name_classes(failures, seed_pairs, teacher, desk, recipe.seed)
    seeds, sorted_ = await classify(seed_pairs, classes, teacher, desk)
    pairs, written = await write_variants(seeds, known, target, teacher, desk, gate, recipe.seed)
    if len(pairs) < target:
        why = _shortage(failures, classes, seeds)
        print(f"WARNING: {len(pairs)} of {target} targeted pairs: {why}; see the counts in the card", file=sys.stderr)
    return pairs, {"pairs wanted": target} | tried | named | sorted_ | written


def _shortage(failures: Mapping[str, Sequence[Failed]], classes: Classes, seeds: Sequence[Seed]) -> str:
    if not failures:
        return "no validation task failed, so nothing is called for; name a weaker agent's evaluation in data.failures_of"
    if not classes:
        return "the teacher named no class of failures that can be used"
    if not seeds:
        return "no seed pair belongs to a class of failures; raise data.tasks for more seeds"
    return f"the last variants of each of the {len(seeds)} seed pairs brought none; raise data.tasks for more seeds"


def failures_by_site(attempts: Sequence[Attempt]) -> tuple[dict[str, list[Failed]], dict[str, Any]]:
    """The agent's failures by site, and what all attempts came to. Episodes that could not be scored are no failures of the agent."""
    found: dict[str, list[Failed]] = {}
    kinds: Counter[str] = Counter()
    for attempt, why in attempts:
        kinds[why.kind if why else ""] += 1
        if why and why.kind in KINDS and attempt.turns:
            found.setdefault(site_of(attempt.turns[0].observation.url), []).append((attempt, why))
    return dict(sorted(found.items())), {
        "validation tasks tried": len(attempts),
        "solved": kinds[""],
        "failures by kind": {kind: kinds[kind] for kind in KINDS if kinds[kind]},
        "not scored": {kind: kinds[kind] for kind in UNSCORED if kinds[kind]},
        "failures by site": {site: len(failed) for site, failed in sorted(found.items())},
    }


async def name_classes(
    failures: Mapping[str, Sequence[Failed]], seed_pairs: Sequence[Pair], teacher: LLM, desk: Desk, seed: int
) -> tuple[dict[str, Sequence[FailureClass]], dict[str, Any]]:
    """The classes of each site that has failures and seed pairs, and why other sites have none."""
    classes: dict[str, Sequence[FailureClass]] = {}
    seeded = {pair.site for pair in seed_pairs}
    missing = Counter("no seed pair" for site in failures if site not in seeded)

    async def work(site: str) -> None:
        shown = _sample(failures[site], random.Random(f"{seed}/targeted/failures/{site}"))
        question = Question(site, classes_messages(site, shown), lambda text: _without_values(parse_classes(text), shown))
        answer = await desk.ask(CLASSES, teacher, question)
        if answer.rejected:
            missing[answer.rejected] += 1
        else:
            classes[site] = answer.value

    await desk.each("classes of failures", [site for site in failures if site in seeded], work, [CLASSES])
    classes = dict(sorted(classes.items()))
    return classes, {
        "classes by site": {site: len(found) for site, found in classes.items()},
        "sites without classes": dict(sorted(missing.items())),
    }


def _sample(failures: Sequence[Failed], dice: random.Random) -> list[Failed]:
    """As many as a question shows, in their order."""
    return [failures[n] for n in sorted(dice.sample(range(len(failures)), min(FAILURES, len(failures))))]


def _without_values(classes: Sequence[FailureClass], shown: Sequence[Failed]) -> Sequence[FailureClass]:
    """The classes, if they name no value of a validation request. Raises AnswerError otherwise."""
    text = plain("\n".join(f"{one.name}\n{one.description}" for one in classes))
    values = {value for attempt, _ in shown for value in values_in(attempt.intent) if len(value) >= TELLING}
    if named := sorted(value for value in values if shows(text, value)):
        raise AnswerError(f"the classes name {named[0]!r}, which belongs to one request", "value of a validation request")
    return classes


async def classify(seed_pairs: Sequence[Pair], classes: Classes, teacher: LLM, desk: Desk) -> tuple[list[Seed], dict[str, Any]]:
    """The seed pairs that belong to a class of their site, and how many belong to each."""
    found: dict[str, FailureClass | None] = {}
    rejected: Counter[str] = Counter()

    async def work(pair: Pair) -> None:
        known = classes[pair.site]
        messages = classify_messages(pair.site, known, pair.intent, pair.plan)
        answer = await desk.ask(CLASSIFICATION, teacher, Question(pair.id, messages, lambda text: parse_classification(text, len(known))))
        if answer.rejected:
            rejected[answer.rejected] += 1
        else:
            found[pair.id] = None if answer.value is None else known[answer.value]

    concerned = [pair for pair in seed_pairs if pair.site in classes]
    await desk.each("classes of pairs", concerned, work, [CLASSIFICATION])
    counts: dict[str, Counter[str]] = {site: Counter() for site in classes}
    for pair in concerned:
        if pair.id in found:
            one = found[pair.id]
            counts[pair.site][one.name if one else OTHER] += 1
    return [Seed(pair, one) for pair in concerned if (one := found.get(pair.id))], {
        "seed pairs by class": {site: dict(sorted(counted.items())) for site, counted in counts.items()},
        "seed pairs of other sites": len(seed_pairs) - len(concerned),
        "seed pairs not classified": dict(sorted(rejected.items())),
    }
