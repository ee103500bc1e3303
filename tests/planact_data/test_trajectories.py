"""Rolling out training tasks: one stored trajectory per task, the outcome filter, and an actor that gives out."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from planact.env import EnvError
from planact.llm import BudgetExceeded, ScriptedLLM
from planact.recipe import Eval
from planact.store import RunStore
from planact.types import FailureInfo, Observation, Outcome, StopReason, from_dict
from planact_data.build import build
from planact_data.trajectories import KIND, load_trajectories, rejection, roll_out
from planact_envs.suites import load_suite

SUITE = load_suite("miniweb-short")
TASKS = [task for task in SUITE.tasks("train") if task.template == "shop.price"][:6]


def quitter():
    """Answers nothing at once: one call per episode, none solved."""
    return ScriptedLLM(lambda messages: 'exit(message="")')


@pytest.fixture
def store(tmp_path):
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        yield store


async def test_every_task_gets_one_trajectory_and_none_is_run_twice(store, agent):
    actor = quitter()
    await roll_out(TASKS[:4], SUITE, agent, actor, store, 5, 3)
    assert len(actor.calls) == 4 and store.keys(KIND) == {task.id for task in TASKS[:4]}
    stored = dict(store.items(KIND))
    await roll_out(TASKS, SUITE, agent, actor, store, 5, 3)
    assert len(actor.calls) == 6
    assert {key: value for key, value in store.items(KIND) if key in stored} == stored
    loaded = load_trajectories(TASKS[::-1], store)
    assert [t.task_id for t in loaded] == [task.id for task in TASKS[::-1]]
    assert all(t.task_hash == task.hash and t.intent == task.intent and t.seed == 5 for t, task in zip(loaded, TASKS[::-1]))


async def test_when_all_is_there_no_world_is_opened(store, agent):
    await roll_out(TASKS[:2], SUITE, agent, quitter(), store, 0, 1)
    await roll_out(TASKS[:2], replace(SUITE, open=None), agent, quitter(), store, 0, 1)
    with pytest.raises(TypeError):  # it would have been
        await roll_out(TASKS[:3], replace(SUITE, open=None), agent, quitter(), store, 0, 1)


async def test_the_actor_sees_no_plan_whatever_the_recipe_says(store, agent):
    actor = quitter()
    await roll_out(TASKS[:1], SUITE, replace(agent, planner="trained", replan="every_turn"), actor, store, 0, 1)
    assert actor.calls[0][0]["content"] == f"act\n\n# Task\n{TASKS[0].intent}"


async def test_the_teacher_solves_them_and_they_come_back_from_the_store_unchanged(store, agent):
    await roll_out(TASKS, SUITE, agent, SUITE.teacher("short", "webrl"), store, 0, 3)
    assert [rejection(t) for t in load_trajectories(TASKS, store)] == [""] * 6
    trajectory = load_trajectories(TASKS, store)[0]
    assert trajectory.outcome.success is True and trajectory.turns[0].observation.outline.startswith("page 'Fernhill Store'")
    assert from_dict(type(trajectory), store.get(TASKS[0].id, KIND)) == trajectory


async def test_a_spent_budget_stops_the_run_and_keeps_what_is_done(store, agent):
    def answer(messages):
        if len(actor.calls) > 3:
            raise BudgetExceeded("no money left")
        return 'exit(message="")'

    actor = ScriptedLLM(answer)
    with pytest.raises(BudgetExceeded, match="no money left"):
        await roll_out(TASKS, SUITE, agent, actor, store, 0, 1)
    assert store.keys(KIND) == {task.id for task in TASKS[:3]} and len(actor.calls) == 4
    more = quitter()
    await roll_out(TASKS, SUITE, agent, more, store, 0, 1)
    assert store.count(KIND) == 6 and len(more.calls) == 3


async def test_a_model_that_fails_is_data(store, agent):
    await roll_out(TASKS[:2], SUITE, agent, ScriptedLLM(['exit(message="")'], name="short script"), store, 0, 1)
    first, second = load_trajectories(TASKS[:2], store)
    assert rejection(first) == "not solved (answered)"
    assert rejection(second) == "unscored (model_error)" and "short script has 1 replies" in second.error


async def test_a_broken_episode_is_unscored_and_played_again_by_the_next_run(store, agent):
    await roll_out(TASKS[:3], SUITE, agent, ScriptedLLM(['exit(message="")'], name="short script"), store, 0, 1)
    assert [rejection(t).split()[0] for t in load_trajectories(TASKS[:3], store)] == ["not", "unscored", "unscored"]
    again = quitter()
    await roll_out(TASKS[:3], SUITE, agent, again, store, 0, 1)
    assert len(again.calls) == 2 and {rejection(t) for t in load_trajectories(TASKS[:3], store)} == {"not solved (answered)"}


async def test_a_world_that_breaks_is_played_again_too(store, agent):
    @asynccontextmanager
    async def broken(world):
        async with SUITE.open(world) as make_env:

            def make():
                env = make_env()
                env.reset = break_
                return env

            yield make

    async def break_(task):
        raise EnvError("the site is away")

    await roll_out(TASKS[:2], replace(SUITE, open=broken), agent, quitter(), store, 0, 1)
    assert {rejection(t) for t in load_trajectories(TASKS[:2], store)} == {"unscored (env_error)"}
    await roll_out(TASKS[:2], SUITE, agent, quitter(), store, 0, 1)
    assert {rejection(t) for t in load_trajectories(TASKS[:2], store)} == {"not solved (answered)"}


async def test_the_world_hears_of_the_recipes_hosts_and_keeps_to_the_suites_episodes_at_a_time(store, agent):
    worlds, now, most = [], 0, 0

    @asynccontextmanager
    async def open_(world):
        worlds.append(world)
        async with SUITE.open(world) as make_env:
            yield make_env

    class Slow(ScriptedLLM):
        async def complete(self, messages, **options):
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.01)
            now -= 1
            return await super().complete(messages, **options)

    slow = Slow(lambda messages: 'exit(message="")')
    await roll_out(TASKS, replace(SUITE, open=open_, most_in_flight=2), agent, slow, store, 0, 6, hosts=("*.example.com",))
    assert (most, [world.hosts for world in worlds]) == (2, [("*.example.com",)])


@pytest.mark.parametrize("stage", [{}, {"synthetic": 1}, {"targeted": 1}])
def test_every_stage_of_a_build_opens_its_worlds_with_the_recipes_hosts(recipe, tmp_path, monkeypatch, stage):
    hosts, suite = set(), replace(SUITE, open=lambda world: hosts.add(world.hosts) or SUITE.open(world))
    monkeypatch.setattr("planact_data.build.load_suite", lambda name: suite)
    build(replace(recipe(tasks=12, **stage), eval=Eval(allowed_hosts=("cdn.example.com",))), tmp_path)
    assert hosts == {("cdn.example.com",)}


def test_the_outcome_filter(solved):
    good = solved[0]
    assert rejection(good) == ""
    assert rejection(replace(good, outcome=Outcome(False))) == "not solved (answered)"
    assert rejection(replace(good, outcome=Outcome(False), stop_reason=StopReason.MAX_TURNS)) == "not solved (max_turns)"
    assert rejection(replace(good, outcome=Outcome(None), stop_reason=StopReason.ENV_ERROR)) == "unscored (env_error)"
    unreadable = replace(good.turns[1], action=None, failure=FailureInfo("format", "no action found"))
    assert rejection(replace(good, turns=(good.turns[0], unreadable, good.turns[2]))) == "solved with failed actions"
    error = replace(good.turns[1], observation=Observation("p", "p", "http://x/", error="no element '9'"))
    assert rejection(replace(good, turns=(good.turns[0], error, good.turns[2]))) == "solved with failed actions"
