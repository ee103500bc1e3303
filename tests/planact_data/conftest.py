"""Recipes for small builds, and solved trajectories."""

import asyncio

import pytest

from planact.loop import run_episode
from planact.recipe import Agent, Data, Recipe
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.suites import load_suite

AGENT = Agent(prompts="compact", observation="short", plan_history=1)


@pytest.fixture
def agent():
    return AGENT


@pytest.fixture
def recipe():
    """recipe(tasks=5, ...) is a recipe with that data section."""

    def make(seed=1, planner=("plan", "replan"), executor=("act", "act_dynamic", "react"), **data):
        section = Data(suite="miniweb-short", planner=planner, executor=executor, **data)
        return Recipe(name="test/row", seed=seed, base_model="none", agent=AGENT, data=section)

    return make


@pytest.fixture(scope="session")
def solved():
    """Three solved trajectories of 3, 4 and 7 turns. The last one carries a value from page to page."""
    suite = load_suite("miniweb-short")
    tasks = [next(task for task in suite.tasks("train") if task.template == name) for name in ("shop.price", "forum.karma", "shop.spare")]

    async def run():
        env = MiniwebEnv("short")
        agent = Agent(planner="none", prompts="compact", observation="short")
        trajectories = [await run_episode(task, env, agent, suite.teacher("short", "webrl")) for task in tasks]
        await env.close()
        return trajectories

    trajectories = asyncio.run(run())
    assert [len(t.turns) for t in trajectories] == [3, 4, 7] and all(t.outcome.success for t in trajectories)
    return trajectories
