"""Evaluate a recipe: every planned episode in the real loop, several in flight, resumable after any crash.

An episode counts once it is in the run store; the same command again runs the rest, and nothing when all are there.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from planact.layout import STORE, NotBuilt, write_json
from planact.llm import Budget
from planact.progress import Progress
from planact.recipe import Endpoint, Recipe, RecipeError
from planact.spending import note_spent, spent
from planact.store import RunStore, read_run
from planact.types import Task, Trajectory, from_dict, to_dict
from planact_envs import evidence
from planact_envs.suites import Suite, load_suite, scorer_of
from planact_eval import ray_backend
from planact_eval.episodes import Played, Stage, play_here
from planact_eval.live import Live
from planact_eval.markdown import one_line
from planact_eval.metrics import BROKEN, Summary, summarize
from planact_eval.planned import Planned, eval_folder, eval_settings, models_of, planned_episodes, planned_tasks, trained_model

KIND = "trajectory"
REPLACED = "replaced trajectory"  # what broke and was played again, kept to be counted and read
RESULTS = "results.json"
BACKENDS = {"asyncio": play_here, "ray": ray_backend.play_all}  # eval.backend


def evaluate(*arguments: Any, **more: Any) -> tuple[Path, Summary, list[Trajectory]]:
    """`evaluate_async` in an event loop of its own."""
    return asyncio.run(evaluate_async(*arguments, **more))


async def evaluate_async(
    recipe: Recipe,
    runs: Path,
    retry_errors: bool = False,
    models: Mapping[str, str] | None = None,
    servers: Mapping[str, Endpoint] | None = None,
    folder: Path | None = None,
) -> tuple[Path, Summary, list[Trajectory]]:
    """Run what has not been run yet. Returns the run folder, the summary over all planned episodes, and their trajectories.

    With `retry_errors`, episodes that the environment or a model's endpoint broke, the judge's too, are run again, and the
    verdict of the new episode counts. `models` are played instead of the recipe's own, by role, e.g. a checkpoint; `servers` are where
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
            await _run(Stage(recipe, suite, roles, folder, servers), episodes, todo, store)
        stored = dict(store.items(KIND))
    trajectories = [from_dict(Trajectory, stored[episode.key]) for episode in episodes]
    summary = summarize(planned_tasks(recipe, suite), trajectories, recipe.eval.repeats, suite.oracle, recipe.agent.observation)
    results = {"recipe": recipe.name, "settings": settings, "summary": to_dict(summary)}
    if not (folder / RESULTS).exists() or json.loads((folder / RESULTS).read_text()) != results:  # also with fewer repeats than before
        write_json(folder / RESULTS, results)
    return folder, summary, trajectories


def to_run(episodes: Sequence[Planned], store: RunStore, retry_errors: bool) -> list[Planned]:
    """The episodes without a trajectory; with `retry_errors` those too that ended because something broke."""
    done = store.keys(KIND)
    if retry_errors:
        done -= {key for key, trajectory in store.items(KIND) if broke(trajectory)}
    return [episode for episode in episodes if episode.key not in done]


def broke(stored: Mapping[str, Any]) -> bool:
    """Whether something other than the agent kept a stored trajectory from its verdict."""
    outcome = stored["outcome"]
    unjudged = outcome["success"] is None and any(judgement.get("failed") for judgement in outcome["judgements"])
    return stored["stop_reason"] in BROKEN or unjudged


def longest_first(episodes: Sequence[Planned], suite: Suite, played: Iterable[tuple[Task, int]] = ()) -> list[Planned]:
    """Long episodes started last would run alone at the end.

    An episode is as long as those of its template that were `played` before, (task, turns), on average; else as its oracle; else it
    counts as an average one. The order of episodes that are alike stays.
    """
    turns: dict[str, list[int]] = {}
    for task, count in played:
        turns.setdefault(task.template, []).append(count)
    lengths = {}
    for task in {episode.task.id: episode.task for episode in episodes}.values():
        oracle = suite.oracle(task)
        lengths[task.id] = fmean(turns[task.template]) if task.template in turns else len(oracle) if oracle else None
    average = fmean([length for length in lengths.values() if length is not None] or [0])
    return sorted(episodes, key=lambda episode: -(average if lengths[episode.task.id] is None else lengths[episode.task.id]))


async def _run(stage: Stage, episodes: Sequence[Planned], todo: Sequence[Planned], store: RunStore) -> None:
    budget, live = Budget(stage.recipe.eval.max_usd), Live()
    budget.add(spent(store))
    kept = _kept(episodes, todo, store)
    for _, trajectory in kept:
        live.add(trajectory)
    todo = longest_first(todo, stage.suite, [(task, len(t.turns)) for task, t in kept if t.stop_reason not in BROKEN])
    done_before, label = len(episodes) - len(todo), f"evaluate {stage.recipe.name}"
    bar = Progress(label, len(episodes), done_before, unit="episodes", at_a_time=stage.in_flight)
    _note_limit(stage)

    def done(episode: Planned, played: Played) -> None:
        keep(store, episode, played)
        for trajectory in played.broken:
            print(f"note: {episode.key} was played again, because its environment broke: {one_line(trajectory.error)}", file=sys.stderr)
        live.add(played.trajectory)
        bar.update(live.note())

    try:
        with bar:
            await BACKENDS[stage.recipe.eval.backend](stage, todo, budget, done)
    finally:
        note_spent(store, budget.spent)


def _kept(episodes: Sequence[Planned], todo: Sequence[Planned], store: RunStore) -> list[tuple[Task, Trajectory]]:
    """What earlier runs have played and this one does not play again."""
    tasks = {episode.key: episode.task for episode in episodes}
    stays = tasks.keys() - {episode.key for episode in todo}
    return [(tasks[key], from_dict(Trajectory, stored)) for key, stored in store.items(KIND) if key in stays]


def _note_limit(stage: Stage) -> None:
    wanted, most = stage.recipe.eval.episodes_in_flight, stage.in_flight
    if most < wanted:
        print(f"note: {stage.suite.name} takes {most} episodes at a time in one process, {wanted} were asked for", file=sys.stderr)


def keep(store: RunStore, episode: Planned, played: Played) -> None:
    """Store an episode's trajectory and the evidence that it left; trajectories that it takes the place of stay beside it."""
    before = store.get(episode.key, KIND)
    with store.together():
        for replaced in (*([] if before is None else [before]), *map(to_dict, played.broken)):
            store.put(f"{episode.key} {store.count(REPLACED)}", replaced, REPLACED)
        store.put(episode.key, to_dict(played.trajectory), KIND, replace=before is not None)
        if played.evidence is not None:
            store.put(episode.key, played.evidence, evidence.KIND, replace=True)


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
