"""What an evaluation consists of: its episodes, the models that play them, and the folder that its settings name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planact.layout import NotBuilt, base_model_identity, finished_model
from planact.prompts import prompts_hash
from planact.recipe import Recipe, RecipeError, Serving
from planact.types import Task, content_hash, to_dict
from planact_envs.suites import Suite, load_suite, scorer_of


@dataclass(frozen=True)
class Planned:
    """One episode that is in the denominator, crash or not."""

    task: Task
    repeat: int = 0

    @property
    def key(self) -> str:
        """Its name in the run store. Repeats are added behind, so that a run with more of them keeps what it has."""
        return f"{self.task.id}#{self.repeat}" if self.repeat else self.task.id


def planned_episodes(recipe: Recipe, suite: Suite) -> tuple[Planned, ...]:
    """Every task `eval.repeats` times, all tasks before the second time of any."""
    tasks = planned_tasks(recipe, suite)
    return tuple(Planned(task, repeat) for repeat in range(recipe.eval.repeats) for task in tasks)


def planned_tasks(recipe: Recipe, suite: Suite) -> tuple[Task, ...]:
    """The tasks that are in the denominator. With a limit, spread over all templates."""
    tasks = suite.tasks(recipe.eval.split)
    if recipe.eval.limit is None or recipe.eval.limit >= len(tasks):
        return tasks
    seen: dict[str, int] = {}
    ranked = []
    for position, task in enumerate(tasks):
        ranked.append((seen.setdefault(task.template, 0), position, task))
        seen[task.template] += 1
    return tuple(task for _, _, task in sorted(ranked)[: recipe.eval.limit])


def models_of(recipe: Recipe, runs: Path, instead: Mapping[str, str] | None = None) -> dict[str, str]:
    """Role → what plays it: a model folder, a Hub id, or an endpoint's URL and model; `instead` of the recipe's own where it names one.

    Raises NotBuilt.
    """
    instead = instead or {}
    roles = {"executor": recipe.agent.executor} | ({} if recipe.agent.planner == "none" else {"planner": recipe.agent.planner})
    if recipe.eval.serving == "endpoint":
        return {role: f"{recipe.endpoints[role].base_url} {recipe.endpoints[role].model}" for role in roles}
    own = {role: source for role, source in roles.items() if role not in instead}
    played = {role: trained_model(recipe, role, runs) if source == "trained" else recipe.base_model for role, source in own.items()}
    return {role: instead.get(role) or played[role] for role in roles}


def trained_model(recipe: Recipe, role: str, runs: Path) -> str:
    """The folder of the recipe's own model. Raises RecipeError when the recipe trains none, NotBuilt when it is not finished."""
    for section in ("data", "sft"):
        if getattr(recipe, section) is None:
            raise RecipeError(
                f"agent.{role} of {recipe.name} is `trained`, but there is no section `{section}`; add it, or set agent.{role}: base"
            )
    folder = finished_model(recipe, role, load_suite(recipe.data.suite).version, runs)
    if folder is None:
        raise NotBuilt(f"the {role} of {recipe.name} is not trained", "scripts/sft.py", f"--role {role}")
    return str(folder)


def eval_settings(recipe: Recipe, suite: Suite, roles: dict[str, str]) -> dict[str, Any]:
    """Everything that changes a trajectory; two runs with the same settings are the same run."""
    endpoint = recipe.eval.serving == "endpoint"
    return {
        "suite": suite.name,
        "suite_version": suite.version,
        "split": recipe.eval.split,
        "scorer": scorer_of(suite, recipe.eval.scorer),
        "judge": f"{judge.base_url} {judge.model}" if (judge := recipe.endpoints.get("judge")) else None,
        "limit": recipe.eval.limit,
        "seed": recipe.seed,
        "serving": recipe.eval.serving,  # the same weights answer otherwise in another precision
        "structured_outputs": recipe.serving.structured_outputs,
        "agent": to_dict(recipe.agent),
        "prompts": prompts_hash(recipe.agent.prompts, recipe.agent.grammar, recipe.agent.cot),
        "models": roles if endpoint else {role: base_model_identity(path) for role, path in roles.items()},
        **(served_as(recipe.serving) if recipe.eval.serving == "vllm" else {}),
    }


def served_as(serving: Serving) -> dict[str, Any]:
    """The settings of vLLM that change what a model answers."""
    return {"vllm": {"dtype": serving.dtype, "max_model_len": serving.max_model_len, "options": dict(serving.options)}}


def eval_folder(recipe: Recipe, suite: Suite, roles: dict[str, str], runs: Path) -> Path:
    return runs / "eval" / f"{recipe.name.replace('/', '-')}-{content_hash(eval_settings(recipe, suite, roles), 10)}"
