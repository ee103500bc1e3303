"""Finished runs for the tests of what reads them: real episodes of models in this process, stored as `evaluate` stores them."""

import asyncio

from planact.layout import STORE, write_json
from planact.loop import run_episode
from planact.recipe import load_recipe
from planact.store import RunStore
from planact.types import to_dict
from planact_envs import evidence
from planact_envs.suites import World, load_suite, scorer_of
from planact_eval.metrics import summarize
from planact_eval.planned import eval_settings, planned_episodes, planned_tasks
from planact_eval.runner import KIND, RESULTS

MINIWEB = (
    "agent.executor=base", "eval.serving=endpoint", "endpoints.executor.base_url=http://127.0.0.1:9/v1", "endpoints.executor.model=m"
)  # fmt: skip


def save_run(folder, config, changes, player, judge=None):
    """Play every planned episode with the model `player(task)`. Returns the recipe and the trajectories by key."""
    recipe = load_recipe(config, [*changes])
    suite = load_suite(recipe.eval.suite)
    episodes = planned_episodes(recipe, suite)
    settings = eval_settings(recipe, suite, {"executor": f"{recipe.endpoints['executor'].base_url} m"})
    with RunStore.open(folder / STORE, settings) as store:
        (folder / "recipe.yaml").write_text(recipe.to_yaml())
        found = asyncio.run(_play(recipe, suite, episodes, store, player, judge))
    summary = summarize(planned_tasks(recipe, suite), list(found.values()), recipe.eval.repeats)
    write_json(folder / RESULTS, {"recipe": recipe.name, "settings": settings, "summary": to_dict(summary)})
    return recipe, found


async def _play(recipe, suite, episodes, store, player, judge):
    found = {}
    async with suite.open(World(recipe.agent.observation, scorer_of(suite, recipe.eval.scorer), judge)) as make_env:
        for episode in episodes:
            env = make_env()
            try:
                seed = recipe.seed + episode.repeat
                trajectory = await run_episode(episode.task, env, recipe.agent, player(episode.task), seed=seed)
                store.put(episode.key, to_dict(trajectory), KIND)
                store.put(episode.key, await evidence.collect(env, trajectory) or {}, evidence.KIND)
            finally:
                await env.close()
            found[episode.key] = trajectory
    return found
