"""The LangGraph form of the loop gives the loop's own trajectories, and can be gone on with from a checkpoint."""

from dataclasses import replace

import pytest

from planact.env import EnvError
from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import StopReason
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks
from planact_envs.miniweb.teacher import ScriptedTeacher

pytest.importorskip("langgraph", reason="needs the extra langgraph")

from langgraph.checkpoint.memory import InMemorySaver

from planact.graph import build_graph, recursion_limit, run_graph

TASKS = load_tasks("train", suite="miniweb-short")
AGENT = Agent(planner="base", executor="base", prompts="compact", observation="short", max_turns=12)


def teacher(error_rate=0.0):
    return ScriptedTeacher("short", "webrl", error_rate=error_rate, seed=3)


def planner():
    """Plans that differ with what is shown, one in four unreadable."""

    def plan(messages):
        length = sum(len(message["content"]) for message in messages)
        return f"## Step 1\nReasoning: r\nStep: goal {length}" if length % 4 else "no plan"

    return ScriptedLLM(plan)


def timeless(trajectory):
    """Without what a clock measured."""
    turns = [replace(t, planner=replace(t.planner, seconds=0.0), executor=replace(t.executor, seconds=0.0)) for t in trajectory.turns]
    return replace(trajectory, seconds=0.0, turns=tuple(turns))


async def in_world(run, *arguments, **settings):
    env = MiniwebEnv("short")
    try:
        return await run(arguments[0], env, *arguments[1:], **settings)
    finally:
        await env.close()


@pytest.mark.parametrize(
    "agent",
    [
        AGENT,
        replace(AGENT, planner="none"),
        replace(AGENT, replan="every_turn"),
        replace(AGENT, replan="every_k", replan_every=2),
        replace(AGENT, replan="on_trigger"),
        replace(AGENT, max_turns=2),
        replace(AGENT, max_episode_tokens=400),
    ],
    ids=["static", "react", "every turn", "every k", "trigger", "turn limit", "token limit"],
)
async def test_the_graph_gives_the_loops_trajectories(agent):
    for task in TASKS[:: len(TASKS) // 5]:
        planners = [planner(), planner()] if agent.planner != "none" else [None, None]
        loop = await in_world(run_episode, task, agent, teacher(0.3), planners[0], seed=5)
        graph = await in_world(run_graph, task, agent, teacher(0.3), planners[1], seed=5)
        assert timeless(graph) == timeless(loop) and loop.turns


@pytest.mark.parametrize(
    "replies, reason",
    [
        (["?"] * 3, StopReason.INVALID_ACTIONS),
        ([], StopReason.MODEL_ERROR),
        (['do(action="Scroll Down")'] * 12, StopReason.REPEATED_ACTION),
    ],
)
async def test_every_kind_of_end_is_the_loops(replies, reason):
    agent = replace(AGENT, planner="none")
    loop = await in_world(run_episode, TASKS[0], agent, ScriptedLLM(replies))
    graph = await in_world(run_graph, TASKS[0], agent, ScriptedLLM(replies))
    assert timeless(graph) == timeless(loop) and loop.stop_reason == reason


class Broken(MiniwebEnv):
    async def step(self, action):
        raise EnvError("the browser is gone")


async def test_a_world_that_breaks_leaves_what_was_done():
    agent, replies = replace(AGENT, planner="none"), ["go_backward()"]
    loop = await run_episode(TASKS[0], Broken("short"), agent, ScriptedLLM(replies))
    graph = await run_graph(TASKS[0], Broken("short"), agent, ScriptedLLM(replies))
    assert timeless(graph) == timeless(loop)
    assert (graph.stop_reason, graph.outcome.success, len(graph.turns)) == (StopReason.ENV_ERROR, None, 1)


async def test_an_episode_goes_on_from_a_checkpoint_in_another_world():
    agent, task, saver = replace(AGENT, replan="every_turn"), TASKS[0], InMemorySaver()
    whole = await in_world(run_graph, task, agent, teacher(), planner())
    assert whole.outcome.success and len(whole.turns) > 2
    config = {"recursion_limit": recursion_limit(agent), "configurable": {"thread_id": "mine"}}

    async def begin(task, env):
        made = build_graph(task, env, agent, teacher(), planner(), checkpointer=saver)
        async for state in made.astream({}, config, stream_mode="values"):
            if len(state.get("turns", ())) == 2:
                return

    await in_world(begin, task)  # and the process dies here
    rest = await in_world(run_graph, task, agent, teacher(), planner(), thread="mine", checkpointer=saver)
    assert timeless(rest) == timeless(whole)


async def test_a_world_that_shows_something_else_is_not_gone_on_with():
    saver, agent, other = InMemorySaver(), replace(AGENT, planner="none"), next(t for t in TASKS if t.start_url != TASKS[0].start_url)
    await in_world(run_graph, TASKS[0], agent, ScriptedLLM([]), thread="t", checkpointer=saver)
    with pytest.raises(EnvError, match="the world shows .* otherwise than before"):
        await in_world(run_graph, other, agent, ScriptedLLM([]), thread="t", checkpointer=saver)
