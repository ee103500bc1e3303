"""The stages of the data engine in their order (paper 4.1 to 4.3): from a recipe to everything that its rows are rendered from.

    seed tasks ─ roll-outs ─┬─ grounded plans ─┬─ expansion, targeted augmentation
    new requests ─ roll-outs ┘                  └─ replans        reasoning for all of them, where the recipe has `cot`

Each stage asks through the `Desk`, so a stage that is done costs nothing the second time.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Mapping

from planact.recipe import Recipe
from planact.store import RunStore
from planact.types import Task, Trajectory
from planact_data import trajectories
from planact_data.checks import drop_near_duplicates
from planact_data.cot import Reasoning, write_reasoning
from planact_data.desk import Desk
from planact_data.expansion import expand
from planact_data.grounding import Grounded, ground_plans
from planact_data.imports import import_pairs, import_trajectories
from planact_data.leaks import Gate
from planact_data.models import Models
from planact_data.pairs import Pair, pair_of, site_of
from planact_data.replanning import write_replans
from planact_data.synthesis import synthesize
from planact_data.targeting import augment
from planact_envs.suites import Suite


@dataclass
class Material:
    """What rows are rendered from. Trajectories are solved and have a plan; `counts` says what was dropped on the way and why."""

    gate: Gate
    trajectories: list[Trajectory] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)  # task id -> "seed" or "synthetic" or an import's format
    plans: dict[str, Grounded] = field(default_factory=dict)  # by task id
    replans: dict[str, tuple[Grounded, ...]] = field(default_factory=dict)  # by task id, the first plan included
    pairs: list[Pair] = field(default_factory=list)  # of every source; those of trajectories first
    reasoning: Reasoning = field(default_factory=Reasoning)
    counts: dict[str, Any] = field(default_factory=dict)


async def collect(recipe: Recipe, suite: Suite, models: Models, desk: Desk, store: RunStore, kinds: frozenset[str]) -> Material:
    """Everything that the rows of `kinds` need. Raises BudgetExceeded, ModelError, RecipeError."""
    data = recipe.data
    gate = _gate(recipe, suite)
    made = Material(gate)
    tasks, made.counts["seed"] = select_tasks(recipe, suite)
    seeds = await _solved_seeds(tasks, suite, recipe, models, store, made.counts["seed"])
    made.sources = {t.task_id: "seed" for t in seeds}
    found, foreign = [*seeds], list[Pair]()
    for format_, path in data.imports.items():
        imported, made.counts[f"import {format_}, actions"] = import_trajectories(format_, path, gate)
        made.sources |= {t.task_id: format_ for t in imported}
        found += imported
        pairs, made.counts[f"import {format_}, plans"] = import_pairs(format_, path, gate)
        foreign += pairs
    if data.synthetic:
        new, made.counts["synthetic"] = await synthesize(tasks, suite, recipe, models, desk, store, gate, found[len(seeds) :])
        made.sources |= {t.task_id: "synthetic" for t in new}
        found += new
    made.plans = await ground_plans(found, models.teacher, desk)
    made.trajectories = [t for t in found if t.task_id in made.plans]
    made.pairs = [pair_of(t, made.plans[t.task_id].plan, made.sources[t.task_id]) for t in made.trajectories]
    made.pairs = [replace(pair, site=site_of(suite.locate(pair.page.url))) for pair in (*made.pairs, *foreign)]
    seed_pairs = tuple(made.pairs)
    if data.expansion:
        pairs, made.counts["expansion"] = await expand(seed_pairs, data.expansion, models.teacher, desk, gate, recipe.seed)
        made.pairs += pairs
    if data.targeted:
        pairs, made.counts["targeted"] = await augment(seed_pairs, made.pairs, recipe, suite, models, desk, gate, store)
        made.pairs += pairs
    if any(kind.startswith(("replan", "act_dynamic")) for kind in kinds):
        made.replans, made.counts["replans"] = await write_replans(made.trajectories, made.plans, models.teacher, desk)
    if any(kind.endswith("_cot") for kind in kinds):
        made.reasoning = await write_reasoning(made, kinds, models.reasoner, desk, recipe.agent)
    made.counts["nearest held-out requests"] = gate.summary()
    return made


async def _solved_seeds(
    tasks: list[Task], suite: Suite, recipe: Recipe, models: Models, store: RunStore, counts: dict[str, Any]
) -> list[Trajectory]:
    hosts = trajectories.hosts_of(recipe)
    await trajectories.roll_out(tasks, suite, recipe.agent, models.actor, store, recipe.seed, models.in_flight, hosts=hosts)
    tried = trajectories.load_trajectories(tasks, store)
    reasons = Counter(trajectories.rejection(t) for t in tried)
    counts["trajectories kept"] = reasons.pop("", 0)
    counts["trajectories rejected"] = dict(sorted(reasons.items()))
    return [t for t in tried if not trajectories.rejection(t)]


def select_tasks(recipe: Recipe, suite: Suite) -> tuple[list[Task], dict[str, Any]]:
    """The training tasks to roll out, and how many were dropped on the way and why."""
    pool = suite.tasks("train") if "train" in suite.splits else ()
    gate = _gate(recipe, suite)
    clean = [task for task in pool if not gate.repeats(task.intent)]
    distinct, near = drop_near_duplicates(clean, recipe.data.near_duplicate)
    chosen = random.Random(recipe.seed).sample(distinct, min(recipe.data.tasks or len(distinct), len(distinct)))
    counts: Mapping[str, Any] = {
        "training tasks": len(pool),
        "match a held-out intent": len(pool) - len(clean),
        "near-duplicate queries": len(near),
        "tried": len(chosen),
    }
    return chosen, dict(counts)


def _gate(recipe: Recipe, suite: Suite) -> Gate:
    held_out = [split for split in ("test", "validation") if split in suite.splits]
    return Gate([task for split in held_out for task in suite.tasks(split)], recipe.data.near_duplicate)
