"""Evaluate a recipe: every planned episode in the real loop, several in flight, resumable after any crash.

An episode counts once it is in the run store; the same command again runs the rest, and nothing when all are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from planact.layout import STORE, NotBuilt, write_json
from planact.llm import LLM, Budget
from planact.loop import run_episode
from planact.parallel import run_all
from planact.progress import Progress
from planact.recipe import Endpoint, Recipe, RecipeError
from planact.spending import note_spent, spent
from planact.store import RunStore, read_run
from planact.types import Trajectory, from_dict, to_dict
from planact_envs import evidence
from planact_envs.suites import Suite, World, load_suite, scorer_of
from planact_eval.live import Live
from planact_eval.metrics import BROKEN, Summary, summarize
from planact_eval.planned import Planned, eval_folder, eval_settings, models_of, planned_episodes, planned_tasks, trained_model
from planact_eval.players import open_judge, open_models

KIND = "trajectory"
REPLACED = "replaced trajectory"  # what a retry took the place of, kept to be counted and read
RESULTS = "results.json"


def evaluate(
    recipe: Recipe,
    runs: Path,
    retry_errors: bool = False,
    models: Mapping[str, str] | None = None,
    servers: Mapping[str, Endpoint] | None = None,
    folder: Path | None = None,
) -> tuple[Path, Summary, list[Trajectory]]:
    """Run what has not been run yet. Returns the run folder, the summary over all planned episodes, and their trajectories.

    With `retry_errors`, episodes that the environment or a model's endpoint broke are run again, and the verdict of the
    new episode counts. `models` are played instead of the recipe's own, by role, e.g. a checkpoint; `servers` are where
    models are served already. `folder` is the run's, instead of the one that its settings name; raises ConfigChanged when
    it holds a run with other settings. Raises NotBuilt when a trained role has no finished model.
    """
    suite = load_suite(recipe.eval.suite)
    scorer_of(suite, recipe.eval.scorer)  # a wrong name is refused before a model is missed
    episodes = planned_episodes(recipe, suite)
    roles = models_of(recipe, runs, models)
    settings = eval_settings(recipe, suite, roles)
    folder = folder or eval_folder(recipe, suite, roles, runs)
    with RunStore.open(folder / STORE, settings) as store:
        todo = to_run(episodes, store, retry_errors)
        if todo:
            (folder / "recipe.yaml").write_text(recipe.to_yaml())
            asyncio.run(_run(recipe, suite, longest_first(todo, suite), roles, servers, store, len(episodes)))
        stored = dict(store.items(KIND))
    trajectories = [from_dict(Trajectory, stored[episode.key]) for episode in episodes]
    summary = summarize(planned_tasks(recipe, suite), trajectories, recipe.eval.repeats, suite.oracle, recipe.agent.observation)
    results = {"recipe": recipe.name, "settings": settings, "summary": to_dict(summary)}
    if todo or not (folder / RESULTS).exists():
        write_json(folder / RESULTS, results)
    return folder, summary, trajectories


def to_run(episodes: Sequence[Planned], store: RunStore, retry_errors: bool) -> list[Planned]:
    """The episodes without a trajectory; with `retry_errors` those too that ended because something broke."""
    done = store.keys(KIND)
    if retry_errors:
        done -= {key for key, trajectory in store.items(KIND) if trajectory["stop_reason"] in BROKEN}
    return [episode for episode in episodes if episode.key not in done]


def longest_first(episodes: Sequence[Planned], suite: Suite) -> list[Planned]:
    """Long episodes started last would run alone at the end. Where no length is known the order stays."""
    return sorted(episodes, key=lambda episode: -len(suite.oracle(episode.task) or ()))


async def _run(
    recipe: Recipe,
    suite: Suite,
    todo: Sequence[Planned],
    roles: dict[str, str],
    servers: Mapping[str, Endpoint] | None,
    store: RunStore,
    planned: int,
) -> None:
    budget, live = Budget(recipe.eval.max_usd), Live()
    budget.add(spent(store))
    again = {episode.key for episode in todo}
    for key, stored in store.items(KIND):
        if key not in again:
            live.add(from_dict(Trajectory, stored))
    bar = Progress(f"evaluate {recipe.name}", planned, done=planned - len(todo), unit="episodes")
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(open_models(recipe, roles, budget, store.path.parent, servers))
        judge = await stack.enter_async_context(open_judge(recipe, budget))
        make_env = await stack.enter_async_context(suite.open(world_of(recipe, suite, judge, store.path.parent)))

        async def work(episode: Planned) -> None:
            env = make_env()
            try:
                seed = recipe.seed + episode.repeat
                trajectory = await run_episode(episode.task, env, recipe.agent, models["executor"], models.get("planner"), seed=seed)
                left = await evidence.collect(env, trajectory)
            finally:
                await env.close()
            keep(store, episode, trajectory, left)
            live.add(trajectory)
            bar.update(live.note())

        try:
            with bar:
                await run_all(todo, work, recipe.eval.episodes_in_flight)
        finally:
            note_spent(store, budget.spent)


def keep(store: RunStore, episode: Planned, trajectory: Trajectory, left: Mapping[str, Any] | None = None) -> None:
    """Store an episode's trajectory and the evidence that it left; a trajectory that it takes the place of stays beside it."""
    before = store.get(episode.key, KIND)
    with store.together():
        if before is not None:
            store.put(f"{episode.key} {store.count(REPLACED)}", before, REPLACED)
        store.put(episode.key, to_dict(trajectory), KIND, replace=before is not None)
        if left is not None:
            store.put(episode.key, left, evidence.KIND, replace=True)


def describe(recipe: Recipe, runs: Path) -> list[str]:
    """Which models an evaluation would use, whether they are there, and how many episodes are left; does nothing."""
    lines = []
    for role in ("planner", "executor"):
        if recipe.agent and getattr(recipe.agent, role) == "trained":
            try:
                lines.append(f"{role:9} {trained_model(recipe, role, runs)} (finished)")
            except (NotBuilt, RecipeError) as error:
                lines.append(f"{role:9} to train: {error}")
    if recipe.eval is None:
        return [*lines, "eval      not part of this recipe"]
    suite = load_suite(recipe.eval.suite)
    episodes = planned_episodes(recipe, suite)
    what = f"{recipe.eval.split} tasks of {suite.name} {suite.version}"
    what = f"episodes on the {what}" if recipe.eval.repeats > 1 else what
    try:
        folder = eval_folder(recipe, suite, models_of(recipe, runs), runs)
    except (NotBuilt, RecipeError):
        return [*lines, f"eval      {len(episodes)} {what}, once the models are there"]
    done = 0
    if (folder / STORE).exists():
        with read_run(folder / STORE) as store:
            done = len({episode.key for episode in episodes} & store.keys(KIND))
    return [*lines, f"eval      {folder}: {done} of {len(episodes)} {what} done"]


def world_of(recipe: Recipe, suite: Suite, judge: LLM | None, folder: Path) -> World:
    """What the recipe says about the world of its episodes; `folder` is the run's."""
    screenshots = folder / "screenshots" if recipe.eval.screenshots else None
    return World(recipe.agent.observation, scorer_of(suite, recipe.eval.scorer), judge, recipe.eval.allowed_hosts, screenshots)
