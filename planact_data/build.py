"""From a recipe to the rows of its roles: a folder that `datasets.load_dataset` reads, one configuration per row kind.

Every paid item (a trajectory, an answer) is stored the moment it exists, so the same command again continues; rows
are rendered afresh from the store and written only when they are not there yet.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

from planact.layout import MANIFEST, data_folder, data_settings, data_store, missing_kinds, read_manifest, store_settings, write_json
from planact.llm import Budget
from planact.recipe import Recipe, RecipeError
from planact.spending import note_spent, spent
from planact.store import RunStore
from planact.teaching import teaching_hash
from planact.types import content_hash
from planact_data.card import write_card
from planact_data.checks import drop_duplicates
from planact_data.desk import Desk, Tally
from planact_data.imports import check_imports, write_rejected
from planact_data.models import open_models
from planact_data.pipeline import Material, collect
from planact_data.replanning import plans_behind
from planact_data.rows import Row, features, kept_ratio, make_rows, pair_row
from planact_envs.suites import Suite, load_suite

REPORT = "nearest-held-out.csv"  # the leak gate's: each written request with the test request most like it


def build(recipe: Recipe, runs: Path) -> Path:
    """Build what is missing of the recipe's rows. Returns their folder. Raises RecipeError, BudgetExceeded, ModelError."""
    check_imports(recipe.data.imports)
    suite = load_suite(recipe.data.suite)
    folder = data_folder(recipe, suite.version, runs)
    if kinds := missing_kinds(recipe, folder):
        with RunStore.open(data_store(recipe, suite.version, runs), store_settings(recipe, suite.version)) as store:
            asyncio.run(_build(recipe, suite, store, folder, kinds))
    return folder


async def _build(recipe: Recipe, suite: Suite, store: RunStore, folder: Path, kinds: list[str]) -> None:
    budget = Budget(recipe.data.max_usd)
    budget.add(spent(store))
    async with open_models(recipe, suite, budget, store.path.parent) as models:
        desk = Desk(store, recipe.seed, models.questions)
        try:
            made = await collect(recipe, suite, models, desk, store, frozenset(kinds))
        finally:
            note_spent(store, budget.spent)
    manifest = read_manifest(folder) if (folder / MANIFEST).exists() else {"rows": {}}
    for kind in kinds:
        manifest["rows"][kind] = _write_rows(kind, made, recipe, folder)
    made.gate.write_report(folder / REPORT)
    for format_, path in recipe.data.imports.items():
        write_rejected(path, folder, *(made.counts[f"import {format_}, {what}"] for what in ("actions", "plans")))
    asked = manifest.get("questions", {}) | {kind: _work(tally) for kind, tally in desk.tallies.items()}
    manifest |= {
        "recipe": recipe.to_yaml(),
        "settings": data_settings(recipe, suite.version),
        "teaching": teaching_hash(),
        "counts": manifest.get("counts", {}) | made.counts,  # a stage that the missing kinds do not need has not run again
        "questions": dict(sorted(asked.items())),
    }
    write_json(folder / MANIFEST, manifest)
    write_card(folder, manifest)


def _work(tally: Tally) -> dict[str, Any]:
    """What one kind of question came to; no times, so that two builds are equal to the byte."""
    usage = tally.usage
    work = {"asked": tally.asked, "accepted": tally.accepted, "rejected": dict(sorted(tally.rejected.items())), "repairs": tally.repairs}
    return work | {"prompt tokens": usage.prompt_tokens, "completion tokens": usage.completion_tokens, "usd": usage.usd}


def _write_rows(kind: str, made: Material, recipe: Recipe, folder: Path) -> dict[str, Any]:
    """Render, deduplicate and write the rows of one kind. Returns its entry in the manifest."""
    from datasets import Dataset

    dropped: Counter[str] = Counter()
    sizes = None if recipe.agent.max_page_tokens is None else Counter[str]()  # counting tokens takes time
    rendered = (_plan_rows if kind in ("plan", "plan_cot") else _trajectory_rows)(kind, made, recipe, dropped, sizes)
    if not rendered:
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise RecipeError(
            f"{recipe.name}: no {kind} rows: {len(made.trajectories)} trajectories are solved and planned; dropped: {reasons or 'none'}; "
            "raise data.tasks, or take a teacher that makes fewer mistakes"
        )
    rows, duplicates = drop_duplicates(rendered)
    rows = _sample(rows, recipe.data.max_rows.get(kind.removesuffix("_cot")), recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}.parquet"
    Dataset.from_list(rows, features=features()).to_parquet(path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)
    kept = {} if sizes is None else {"kept tokens": round(kept_ratio(sizes), 4)}  # share of the pages' tokens
    return kept | {
        "rows": len(rows),
        "by source": dict(sorted(Counter(row["source"] for row in rows).items())),
        "duplicates dropped": duplicates,
        "dropped": dict(sorted(dropped.items())),
        "hash": content_hash([[r["prompt"], r["completion"]] for r in rows]),
        "hashes": {
            source: content_hash([[r["prompt"], r["completion"]] for r in rows if r["source"] == source])
            for source in sorted({row["source"] for row in rows})
        },
    }


def _plan_rows(kind: str, made: Material, recipe: Recipe, dropped: Counter[str], sizes: Counter[str] | None) -> list[Row]:
    rows = [row for pair in made.pairs if (row := pair_row(kind, pair, recipe.agent, made.reasoning, sizes)) is not None]
    if lost := len(made.pairs) - len(rows):
        dropped["rows without reasoning"] += lost
    return rows


def _trajectory_rows(kind: str, made: Material, recipe: Recipe, dropped: Counter[str], sizes: Counter[str] | None) -> list[Row]:
    rows: list[Row] = []
    for trajectory in made.trajectories:
        key = trajectory.task_id
        plans = plans_behind(kind, key, made.plans, made.replans)
        if not plans:
            dropped["trajectories without replans"] += 1
            continue
        rows += make_rows(kind, trajectory, plans, recipe.agent, made.reasoning, made.sources[key], dropped, sizes)
    return rows


def _sample(rows: list[Row], limit: int | None, seed: int) -> list[Row]:
    """At most `limit` of the rows, in their order."""
    if limit is None or limit >= len(rows):
        return rows
    return [rows[i] for i in sorted(random.Random(seed).sample(range(len(rows)), limit))]
