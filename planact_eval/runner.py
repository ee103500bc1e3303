"""Evaluate a recipe: every planned task in the real loop, several episodes in flight, resumable after any crash.

A task counts once it is in the run store; the same command again runs the rest, and nothing when all are there.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, AsyncIterator, Sequence

from planact.endpoint import EndpointLLM
from planact.layout import STORE, NotBuilt, base_model_identity, finished_model, write_json
from planact.llm import LLM
from planact.loop import run_episode
from planact.parallel import run_all
from planact.progress import Progress
from planact.prompts import prompts_hash
from planact.recipe import Recipe, RecipeError
from planact.store import RunStore, read_run
from planact.types import Task, Trajectory, content_hash, from_dict, to_dict
from planact_envs.suites import Suite, World, load_suite, scorer_of
from planact_eval.metrics import Summary, summarize, wilson

KIND = "trajectory"
RESULTS = "results.json"


def evaluate(recipe: Recipe, runs: Path) -> tuple[Path, Summary, list[Trajectory]]:
    """Run what has not been run yet. Returns the run folder, the summary over all planned tasks, and their trajectories.

    Raises NotBuilt when a trained role has no finished model.
    """
    suite = load_suite(recipe.eval.suite)
    scorer_of(suite, recipe.eval.scorer)  # a wrong name is refused before a model is missed
    tasks = planned_tasks(recipe, suite)
    roles = models_of(recipe, runs)
    settings = eval_settings(recipe, suite, roles)
    folder = eval_folder(recipe, suite, roles, runs)
    with RunStore.open(folder / STORE, settings) as store:
        done = store.keys(KIND)
        todo = [task for task in tasks if task.id not in done]
        if todo:
            (folder / "recipe.yaml").write_text(recipe.to_yaml())
            asyncio.run(_run(recipe, suite, tasks, todo, roles, store, folder))
        stored = dict(store.items(KIND))
    trajectories = [from_dict(Trajectory, stored[task.id]) for task in tasks]
    summary = summarize(tasks, trajectories)
    if todo or not (folder / RESULTS).exists():
        write_json(folder / RESULTS, {"recipe": recipe.name, "settings": settings, "summary": to_dict(summary)})
    return folder, summary, trajectories


def planned_tasks(recipe: Recipe, suite: Suite) -> tuple[Task, ...]:
    """The tasks that are in the denominator, crash or not. With a limit, spread over all templates."""
    tasks = suite.tasks(recipe.eval.split)
    if recipe.eval.limit is None or recipe.eval.limit >= len(tasks):
        return tasks
    seen: dict[str, int] = {}
    ranked = []
    for position, task in enumerate(tasks):
        ranked.append((seen.setdefault(task.template, 0), position, task))
        seen[task.template] += 1
    return tuple(task for _, _, task in sorted(ranked)[: recipe.eval.limit])


def models_of(recipe: Recipe, runs: Path) -> dict[str, str]:
    """Role → what plays it: a model folder, a Hub id, or an endpoint's URL and model. Raises NotBuilt."""
    roles = {"executor": recipe.agent.executor} | ({} if recipe.agent.planner == "none" else {"planner": recipe.agent.planner})
    if recipe.eval.serving == "endpoint":
        return {role: f"{recipe.endpoints[role].base_url} {recipe.endpoints[role].model}" for role in roles}
    return {role: _trained(recipe, role, runs) if source == "trained" else recipe.base_model for role, source in roles.items()}


def _trained(recipe: Recipe, role: str, runs: Path) -> str:
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
    local = recipe.eval.serving == "local"
    return {
        "suite": suite.name,
        "suite_version": suite.version,
        "split": recipe.eval.split,
        "scorer": scorer_of(suite, recipe.eval.scorer),
        "judge": f"{judge.base_url} {judge.model}" if (judge := recipe.endpoints.get("judge")) else None,
        "limit": recipe.eval.limit,
        "seed": recipe.seed,
        "agent": to_dict(recipe.agent),
        "prompts": prompts_hash(recipe.agent.prompts, recipe.agent.grammar, recipe.agent.cot),
        "models": {role: base_model_identity(path) for role, path in roles.items()} if local else roles,
    }


async def _run(
    recipe: Recipe, suite: Suite, tasks: Sequence[Task], todo: Sequence[Task], roles: dict[str, str], store: RunStore, folder: Path
) -> None:
    done = [t for _, t in store.items(KIND)]
    solved = sum(t["outcome"]["success"] is True for t in done)
    errors = sum(t["outcome"]["success"] is None for t in done)
    bar = Progress(f"evaluate {recipe.name}", len(tasks), done=len(tasks) - len(todo), unit="tasks")
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(open_models(recipe, roles))
        judge = await stack.enter_async_context(open_judge(recipe))
        make_env = await stack.enter_async_context(suite.open(world_of(recipe, suite, judge, folder)))

        async def work(task: Task) -> None:
            nonlocal solved, errors
            env = make_env()
            try:
                trajectory = await run_episode(task, env, recipe.agent, models["executor"], models.get("planner"), seed=recipe.seed)
            finally:
                await env.close()
            store.put(task.id, to_dict(trajectory), kind=KIND)
            solved += trajectory.outcome.success is True
            errors += trajectory.outcome.success is None
            low, high = wilson(solved, bar.done + 1)
            bar.update(f"success {solved / (bar.done + 1):.1%} [{low:.0%}, {high:.0%}]" + (f", {errors} unscored" if errors else ""))

        with bar:
            await run_all(todo, work, recipe.eval.episodes_in_flight)


def describe(recipe: Recipe, runs: Path) -> list[str]:
    """Which models an evaluation would use, whether they are there, and how many tasks are left; does nothing."""
    lines = []
    for role in ("planner", "executor"):
        if recipe.agent and getattr(recipe.agent, role) == "trained":
            try:
                lines.append(f"{role:9} {_trained(recipe, role, runs)} (finished)")
            except (NotBuilt, RecipeError) as error:
                lines.append(f"{role:9} to train: {error}")
    if recipe.eval is None:
        return [*lines, "eval      not part of this recipe"]
    suite = load_suite(recipe.eval.suite)
    tasks = planned_tasks(recipe, suite)
    try:
        folder = eval_folder(recipe, suite, models_of(recipe, runs), runs)
    except (NotBuilt, RecipeError):
        return [*lines, f"eval      {len(tasks)} {recipe.eval.split} tasks of {suite.name} {suite.version}, once the models are there"]
    done = 0
    if (folder / STORE).exists():
        with read_run(folder / STORE) as store:
            done = store.count(KIND)
    return [*lines, f"eval      {folder}: {done} of {len(tasks)} {recipe.eval.split} tasks of {suite.name} {suite.version} done"]


def world_of(recipe: Recipe, suite: Suite, judge: LLM | None, folder: Path) -> World:
    """What the recipe says about the world of its episodes; `folder` is the run's."""
    screenshots = folder / "screenshots" if recipe.eval.screenshots else None
    return World(recipe.agent.observation, scorer_of(suite, recipe.eval.scorer), judge, recipe.eval.allowed_hosts, screenshots)


def eval_folder(recipe: Recipe, suite: Suite, roles: dict[str, str], runs: Path) -> Path:
    return runs / "eval" / f"{recipe.name.replace('/', '-')}-{content_hash(eval_settings(recipe, suite, roles), 10)}"


@asynccontextmanager
async def open_judge(recipe: Recipe) -> AsyncIterator[LLM | None]:
    """The model that scorers ask, None when the recipe names no `endpoints.judge`."""
    if "judge" not in recipe.endpoints:
        yield None
        return
    async with EndpointLLM(**asdict(recipe.endpoints["judge"])) as judge:
        yield judge


@asynccontextmanager
async def open_models(recipe: Recipe, roles: dict[str, str]) -> AsyncIterator[dict[str, LLM]]:
    """The models by role; two roles played by one model folder share one model."""
    if recipe.eval.serving == "endpoint":
        async with AsyncExitStack() as stack:
            yield {role: await stack.enter_async_context(EndpointLLM(**asdict(recipe.endpoints[role]))) for role in roles}
    else:
        from planact_eval.serving import LocalLLM

        loaded = {path: LocalLLM(path) for path in dict.fromkeys(roles.values())}
        yield {role: loaded[path] for role, path in roles.items()}
