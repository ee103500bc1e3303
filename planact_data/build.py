"""From a recipe to the rows of its roles: a folder that `datasets.load_dataset` reads, one configuration per row kind.

Every paid item (a trajectory, an annotation) is stored the moment it exists, so the same command again continues; rows
are rendered afresh from the store and written only when they are not there yet.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, AsyncIterator

from planact.endpoint import EndpointLLM
from planact.layout import MANIFEST, STORE, data_folder, data_settings, read_manifest, write_json
from planact.llm import LLM
from planact.recipe import Recipe, RecipeError
from planact.store import RunStore, read_run
from planact.types import Task, Trajectory, content_hash
from planact_data import grounding, trajectories
from planact_data.card import write_card
from planact_data.checks import drop_duplicates, drop_leaks, drop_near_duplicates
from planact_data.rows import features, make_rows
from planact_envs.suites import Suite, load_suite

SCRIPTED_IN_FLIGHT = 8  # episodes at once with a teacher that answers at once


def wanted_kinds(recipe: Recipe) -> tuple[str, ...]:
    return (*recipe.data.planner, *recipe.data.executor)


def missing_kinds(recipe: Recipe, folder: Path) -> list[str]:
    built = read_manifest(folder)["rows"] if (folder / MANIFEST).exists() else {}
    return [kind for kind in wanted_kinds(recipe) if kind not in built or not (folder / f"{kind}.parquet").exists()]


def build(recipe: Recipe, runs: Path) -> Path:
    """Build what is missing of the recipe's rows. Returns their folder."""
    suite = load_suite(recipe.data.suite)
    folder = data_folder(recipe, suite.version, runs)
    kinds = missing_kinds(recipe, folder)
    if not kinds:
        return folder
    with RunStore.open(folder / STORE, data_settings(recipe, suite.version)) as store:
        asyncio.run(_build(recipe, suite, store, folder, kinds))
    return folder


def describe(recipe: Recipe, runs: Path) -> list[str]:
    """What `build` would do, without doing it."""
    if recipe.data is None:
        return ["data      not part of this recipe"]
    suite = load_suite(recipe.data.suite)
    folder = data_folder(recipe, suite.version, runs)
    chosen, counts = select_tasks(recipe, suite)
    done = 0
    if (folder / STORE).exists():
        with read_run(folder / STORE) as store:
            done = store.count(trajectories.KIND)
    missing = missing_kinds(recipe, folder)
    kinds = [f"{kind} ({'to build' if kind in missing else 'built'})" for kind in wanted_kinds(recipe)]
    tasks = f"{len(chosen)} of {counts['training tasks']} training tasks of {suite.name} {suite.version}"
    return [
        f"data      {folder}",
        f"          {tasks}, {done} rolled out; teacher {recipe.data.teacher}",
        f"          rows: {', '.join(kinds)}",
    ]


async def _build(recipe: Recipe, suite: Suite, store: RunStore, folder: Path, kinds: list[str]) -> None:
    async with open_teacher(recipe, suite) as teacher:
        planned, counts = await _collect(recipe, suite, teacher, store, with_replans=bool({"replan", "act_dynamic"} & set(kinds)))
    manifest = read_manifest(folder) if (folder / MANIFEST).exists() else {"rows": {}}
    for kind in kinds:
        manifest["rows"][kind] = _write_rows(kind, planned, store, recipe, folder)
    manifest |= {"settings": data_settings(recipe, suite.version), "counts": counts, "teacher": _teacher_work(store)}
    write_json(folder / MANIFEST, manifest)
    write_card(folder, manifest)


async def _collect(
    recipe: Recipe, suite: Suite, teacher: LLM, store: RunStore, with_replans: bool
) -> tuple[list[Trajectory], dict[str, Any]]:
    """Everything that the teacher is asked for. Returns the solved trajectories that have a plan, and what was dropped."""
    in_flight = recipe.endpoints["teacher"].max_in_flight if recipe.data.teacher == "endpoint" else SCRIPTED_IN_FLIGHT
    tasks, counts = select_tasks(recipe, suite)
    await trajectories.roll_out(tasks, suite, recipe.agent, teacher, store, recipe.seed, in_flight)
    solved = _keep_solved(trajectories.load_trajectories(tasks, store), counts)
    await grounding.annotate_all(solved, False, teacher, store, recipe.seed, in_flight)
    planned = [t for t in solved if grounding.load_plans(t.task_id, store, replans=False)]
    if with_replans:
        await grounding.annotate_all(planned, True, teacher, store, recipe.seed, in_flight)
    counts["plans rejected"] = len(solved) - len(planned)
    return planned, counts


@asynccontextmanager
async def open_teacher(recipe: Recipe, suite: Suite) -> AsyncIterator[LLM]:
    """The recipe's teacher: a model behind an endpoint, or the suite's scripted one."""
    if recipe.data.teacher == "endpoint":
        async with EndpointLLM(**asdict(recipe.endpoints["teacher"])) as teacher:
            yield teacher
    elif suite.teacher is None:
        raise ValueError(f"the suite {suite.name} has no scripted teacher; set data.teacher: endpoint and endpoints.teacher")
    else:
        yield suite.teacher(recipe.agent.observation, recipe.agent.grammar, recipe.data.teacher_error_rate, recipe.seed)


def select_tasks(recipe: Recipe, suite: Suite) -> tuple[list[Task], dict[str, Any]]:
    """The training tasks to roll out, and how many were dropped on the way and why."""
    pool = suite.tasks("train")
    clean, leaked = drop_leaks(pool, (*suite.tasks("validation"), *suite.tasks("test")))
    distinct, near = drop_near_duplicates(clean, recipe.data.near_duplicate)
    chosen = random.Random(recipe.seed).sample(distinct, min(recipe.data.tasks or len(distinct), len(distinct)))
    counts = {
        "training tasks": len(pool),
        "match a held-out intent": len(leaked),
        "near-duplicate queries": len(near),
        "tried": len(chosen),
    }
    return chosen, counts


def _keep_solved(all_trajectories: list[Trajectory], counts: dict[str, Any]) -> list[Trajectory]:
    reasons = Counter(trajectories.rejection(t) for t in all_trajectories)
    counts["trajectories kept"] = reasons.pop("", 0)
    counts["trajectories rejected"] = dict(sorted(reasons.items()))
    return [t for t in all_trajectories if not trajectories.rejection(t)]


def _write_rows(kind: str, planned: list[Trajectory], store: RunStore, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Render, deduplicate and write the rows of one kind. Returns its entry in the manifest."""
    from datasets import Dataset

    rendered, rejected = [], 0
    for trajectory in planned:
        plans = grounding.load_plans(trajectory.task_id, store, replans=kind in ("replan", "act_dynamic"))
        rejected += not plans
        rendered += make_rows(kind, trajectory, plans, recipe.agent) if plans else []
    if not rendered:
        lacking = f", {rejected} of them without replans" if rejected else ""
        raise RecipeError(
            f"{recipe.name}: no {kind} rows: {len(planned)} trajectories are solved and planned{lacking}; "
            "raise data.tasks, or take a teacher that makes fewer mistakes"
        )
    rows, duplicates = drop_duplicates(rendered)
    rows = _sample(rows, recipe.data.max_rows.get(kind), recipe.seed)
    path = folder / f"{kind}.parquet"
    Dataset.from_list(rows, features=features()).to_parquet(path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    rows_hash = content_hash([[r["prompt"], r["completion"]] for r in rows])
    return {"rows": len(rows), "duplicates dropped": duplicates, "trajectories without replans": rejected, "hash": rows_hash}


def _sample(rows: list[dict], limit: int | None, seed: int) -> list[dict]:
    """At most `limit` of the rows, in their order."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[i] for i in sorted(random.Random(seed).sample(range(len(rows)), limit))]


def _teacher_work(store: RunStore) -> dict[str, Any]:
    """What the teacher did, over all runs of this folder: answers sent back for repair, and tokens."""
    work = Counter()
    for kind in ("plan", "replan"):
        for _, record in store.items(kind):
            work[f"{kind} repairs"] += record["repairs"]
            work["prompt tokens"] += record["usage"]["prompt_tokens"]
            work["completion tokens"] += record["usage"]["completion_tokens"]
    for _, record in store.items("trajectory"):
        for turn in record["turns"]:
            work["prompt tokens"] += turn["executor"]["prompt_tokens"]
            work["completion tokens"] += turn["executor"]["completion_tokens"]
    return dict(work)
