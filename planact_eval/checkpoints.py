"""Evaluate the checkpoints of one training, each as a run of its own: success against training step.

With `eval.serving: vllm` and adapters, one server stays up and takes each checkpoint in turn.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from planact.layout import NotBuilt
from planact.recipe import TRAINED_ROLES, Endpoint, Recipe, RecipeError
from planact.types import Trajectory
from planact_eval.ablation import write_table
from planact_eval.metrics import Summary
from planact_eval.planned import models_of
from planact_eval.players import base_of, served
from planact_eval.plot_curves import steps
from planact_eval.report import PLOTS, write_plots
from planact_eval.runner import evaluate_async
from planact_eval.table import Row

_NAME = re.compile(r"checkpoint-(\d+)")
Result = tuple[Path, Summary, list[Trajectory]]


def evaluate_checkpoints(recipe: Recipe, folders: Sequence[Path], runs: Path, role: str | None = None) -> str:
    """Evaluate what has not been evaluated. Returns the table as text and the paths of what was written.

    Raises RecipeError when the folders are not checkpoints of one training, when its role is not told by the folder's name, and when
    the recipe's agent would not play them.
    """
    training = training_of(folders)
    role = role or role_of(training)
    check_played(recipe, role)
    by_step = dict(sorted((step_of(folder), folder) for folder in folders))
    results = asyncio.run(_all(recipe, role, by_step, runs))
    rows = [Row(f"{role} step {step}", "", None, result[1]) for step, result in results.items()]
    episodes = {row.key: result[2] for row, result in zip(rows, results.values(), strict=True)}
    folder = runs / "checkpoints" / f"{recipe.name.replace('/', '-')}-{training.name}"
    said = write_table(folder, f"Checkpoints of {training.name}", rows, episodes, {row.key: recipe for row in rows})
    write_plots(folder / PLOTS, {"steps": steps([(step, result[1]) for step, result in results.items()], training.name)})
    return f"{said}\ncurve   {folder / PLOTS / 'steps.svg'}"


def step_of(folder: Path) -> int:
    """Raises RecipeError when the folder is not called checkpoint-N, NotBuilt when it holds no model."""
    if not (name := _NAME.fullmatch(folder.name)):
        raise RecipeError(f"{folder} is no checkpoint: expected folders such as runs/models/planner-0123456789/checkpoint-50")
    if not any((folder / file).exists() for file in ("config.json", "adapter_config.json")):
        raise NotBuilt(f"there is no model in {folder}", "scripts/sft.py")
    return int(name[1])


def training_of(folders: Sequence[Path]) -> Path:
    """The folder that all checkpoints lie in. Raises RecipeError when there is more than one."""
    first, *others = {folder.absolute().parent for folder in folders}
    if others:
        raise RecipeError(f"the checkpoints are of {1 + len(others)} trainings; evaluate those of one at a time")
    return first


def role_of(training: Path) -> str:
    """The role that the folder of a training is named after. Raises RecipeError."""
    role = training.name.split("-")[0]
    if role not in TRAINED_ROLES:
        raise RecipeError(f"{training} does not say which role was trained; add --role planner or --role executor")
    return role


def check_played(recipe: Recipe, role: str) -> None:
    """Raises RecipeError when the recipe's agent plays something else than the checkpoints."""
    if recipe.eval.serving == "endpoint":
        raise RecipeError(
            "with eval.serving: endpoint the endpoint's model would be evaluated, whatever the checkpoint; "
            "add --set eval.serving=vllm, or =local for a tiny model"
        )
    if getattr(recipe.agent, role) == "none":
        raise RecipeError(f"{recipe.name} has no {role} (agent.{role}: none) for these checkpoints to play; name a recipe with one")


async def _all(recipe: Recipe, role: str, by_step: Mapping[int, Path], runs: Path) -> dict[int, Result]:
    results = {}
    async with AsyncExitStack() as stack:
        servers: dict[str, Endpoint] | None = None
        adapters = {f"step-{step}": str(folder) for step, folder in by_step.items() if base_of(str(folder)) != str(folder)}
        if recipe.eval.serving == "vllm" and len(adapters) == len(by_step):
            others = models_of(recipe, runs, {role: next(iter(adapters.values()))})
            del others[role]
            servers = await stack.enter_async_context(served(recipe, adapters | others, runs / "checkpoints"))
        for step, folder in by_step.items():
            mine = servers and {**servers, role: servers[f"step-{step}"]}
            results[step] = await evaluate_async(recipe, runs, models={role: str(folder)}, servers=mine)
    return results
