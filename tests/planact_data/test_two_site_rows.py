"""Rows from trajectories over two sites and to the answer N/A: their plans pass the checks without a repair."""

import asyncio

import pytest

from planact.loop import run_episode
from planact.recipe import Agent
from planact.store import RunStore
from planact_data.desk import Desk
from planact_data.grounding import ground_plans
from planact_data.replanning import plans_of, write_replans
from planact_data.rows import make_rows
from planact_data.trajectories import rejection
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks
from planact_envs.miniweb.templates import TEMPLATES
from planact_envs.suites import load_suite

NAMES = [name for name, template in TEMPLATES.items() if not template.short and template.group in ("forum", "two-site")]


@pytest.fixture(scope="module")
def tasks():
    known = [task for split in ("train", "test") for task in load_tasks(split)]
    return {name: next(task for task in known if task.template == name) for name in NAMES}


@pytest.fixture(scope="module")
def planned(tasks, tmp_path_factory):
    """task id -> (solved trajectory, its plans)"""
    teacher = load_suite("miniweb").teacher("short", "webrl")

    async def run():
        env = MiniwebEnv("short")
        agent = Agent(planner="none", prompts="compact", observation="short")
        solved = [await run_episode(task, env, agent, teacher) for task in tasks.values()]
        await env.close()
        assert [rejection(trajectory) for trajectory in solved] == [""] * len(solved)
        with RunStore.open(tmp_path_factory.mktemp("store") / "run.sqlite", {}) as store:
            desk = Desk(store, seed=0, in_flight=4)
            replans, _ = await write_replans(solved, await ground_plans(solved, teacher, desk), teacher, desk)
        assert all(tally.repairs == 0 and not tally.rejected for tally in desk.tallies.values())
        return {t.task_id: (t, plans_of(replans[t.task_id])) for t in solved}

    return asyncio.run(run())


def test_each_turn_has_a_plan_and_a_row(planned, agent):
    for trajectory, plans in planned.values():
        assert len(plans) == len(trajectory.turns), trajectory.task_id
        assert len(list(make_rows("replan", trajectory, plans, agent))) == len(trajectory.turns) - 1


def test_the_row_that_crosses_to_the_other_site(planned, tasks, agent):
    trajectory, plans = planned[tasks["two_site.release"].id]
    rows = list(make_rows("act_dynamic", trajectory, plans, agent))
    assert rows[2]["completion"][0]["content"] == 'do(action="Goto", argument="http://forum.miniweb/")'
    assert "Go to the site 'http://forum.miniweb/'." in rows[2]["prompt"][-1]["content"] + rows[2]["prompt"][0]["content"]


def test_the_row_that_gives_up(planned, tasks, agent):
    trajectory, plans = planned[tasks["forum.stranger"].id]
    assert trajectory.answer == "N/A" and trajectory.outcome.success is True
    assert list(make_rows("act", trajectory, plans, agent))[-1]["completion"][0]["content"] == 'exit(message="N/A")'
