"""The plan-and-act loop as a LangGraph graph (extra `langgraph`), for those who build on graphs: the same episode, node by node.

    START → reset → planner | executor → (replanner →) executor → ... → judge → END

Every node calls the loop's own `Episode`, so the trajectory is the one that `run_episode` gives. The state is plain JSON data, so
any checkpointer can keep it; the world is not in it: `restore` brings a fresh one to where a state stands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from planact.env import Env, EnvError
from planact.llm import LLM, ModelError
from planact.loop import Episode, EpisodeEnd, Planning, broken
from planact.recipe import Agent
from planact.types import FINAL_OPS, FailureInfo, Observation, Outcome, Plan, StopReason, Task, Trajectory, Turn, Usage, from_dict, to_dict

NODES_PER_TURN = 2  # planner or replanner, and executor


class State(TypedDict, total=False):
    turns: list[dict[str, Any]]
    page: dict[str, Any] | None
    plan: dict[str, Any]
    planning: list[Any]  # a Planning, for the turn that is coming
    due: bool  # the planner is asked next
    end: list[str] | None  # reason, answer and error of the episode's end
    outcome: dict[str, Any] | None
    seconds: float  # of work so far


def build_graph(
    task: Task, env: Env, agent: Agent, executor: LLM, planner: LLM | None = None, seed: int = 0, checkpointer: Any = None
) -> CompiledStateGraph:
    """One episode as a graph. Run it with `run_graph`, or with `graph.ainvoke({}, {"recursion_limit": recursion_limit(agent)})`."""

    def node(work: Callable[[Episode], Awaitable[None]]) -> Callable[[State], Awaitable[State]]:
        async def run(state: State) -> State:
            episode, started = load(state, task, env, agent, executor, planner, seed), time.monotonic()
            end, outcome, spent = None, None, state.get("seconds", 0.0)
            limit = asyncio.timeout(None if agent.max_episode_seconds is None else max(0.0, agent.max_episode_seconds - spent))
            try:
                async with limit:
                    await work(episode)
                episode.check_limits()
            except EpisodeEnd as reached:
                end = reached
            except (ModelError, EnvError) as error:
                end, outcome = broken(error)
            except TimeoutError:
                if not limit.expired():
                    raise
                end = EpisodeEnd(StopReason.TIME_LIMIT)
                if episode.page is None:
                    end, outcome = broken(EnvError(f"task {task.id}: the world did not open within {agent.max_episode_seconds:g} s"))
            seconds = spent + time.monotonic() - started
            due = end is None and work is not plan and episode.plan_is_due()
            return save(episode, end, outcome, due, seconds)

        return run

    async def reset(episode: Episode) -> None:
        episode.page = await env.reset(task)

    async def plan(episode: Episode) -> None:
        episode.planning = await episode.make_plan()

    async def act(episode: Episode) -> None:
        try:
            await episode.act()
        finally:
            episode.planning = Planning()

    async def judge(state: State) -> State:
        if state["outcome"] is not None:
            return {}
        started = time.monotonic()
        try:
            end, outcome = state["end"], await env.score(state["end"][1])
        except (ModelError, EnvError) as error:
            cut_off, outcome = broken(error)
            end = _ending(cut_off)
        return {"end": end, "outcome": to_dict(outcome), "seconds": state["seconds"] + time.monotonic() - started}

    def after(state: State) -> str:
        if state["end"] is not None:
            return "judge"
        if state["due"]:
            return "replanner" if state["turns"] else "planner"
        return "executor"

    graph = StateGraph(State)
    for name, work in {"reset": reset, "planner": plan, "replanner": plan, "executor": act}.items():
        graph.add_node(name, node(work))
        graph.add_conditional_edges(name, after, ["planner", "replanner", "executor", "judge"])
    graph.add_node("judge", judge)
    graph.add_edge(START, "reset")
    graph.add_edge("judge", END)
    return graph.compile(checkpointer=checkpointer)


def recursion_limit(agent: Agent) -> int:
    """Steps that a graph of this agent may need; LangGraph's own limit is for short graphs."""
    return NODES_PER_TURN * agent.max_turns + 5


async def run_graph(
    task: Task, env: Env, agent: Agent, executor: LLM, planner: LLM | None = None, seed: int = 0, thread: str = "", checkpointer: Any = None
) -> Trajectory:
    """`run_episode` through the graph. With a checkpointer, the thread's last state is gone on from, in a world that it is restored to."""
    graph = build_graph(task, env, agent, executor, planner, seed, checkpointer)
    config: dict[str, Any] = {"recursion_limit": recursion_limit(agent), "configurable": {"thread_id": thread or f"{task.id} {seed}"}}
    begun = (await graph.aget_state(config)).values if checkpointer else {}
    if begun:
        await restore(begun, env, task)
    state = await graph.ainvoke(None if begun else {}, config)
    episode = load(state, task, env, agent, executor, planner, seed)
    reason, answer, error = state["end"]
    return episode.trajectory(EpisodeEnd(StopReason(reason), answer, error), from_dict(Outcome, state["outcome"]), state["seconds"])


async def restore(state: State, env: Env, task: Task) -> None:
    """Bring a fresh world to where `state` stands by doing its actions again. Raises EnvError when it shows another page then."""
    page = await env.reset(task)
    for turn in (from_dict(Turn, turn) for turn in state.get("turns", ())):
        if turn.action and turn.action.op not in FINAL_OPS:
            page = await env.step(turn.action)
    if state.get("page") and page.text != state["page"]["text"]:
        raise EnvError(f"task {task.id} cannot be gone on with: the world shows {page.url} otherwise than before; run the episode anew")


def load(state: State, task: Task, env: Env, agent: Agent, executor: LLM, planner: LLM | None, seed: int) -> Episode:
    """The loop's episode at a state."""
    episode = Episode(task, env, agent, executor, planner, seed)
    episode.turns = [from_dict(Turn, turn) for turn in state.get("turns", ())]
    episode.page = from_dict(Observation, state["page"]) if state.get("page") else None
    episode.plan = from_dict(Plan, state.get("plan", {"steps": []}))
    if "planning" in state:
        replanned, response, failure, usage = state["planning"]
        episode.planning = Planning(replanned, response, from_dict(FailureInfo, failure) if failure else None, from_dict(Usage, usage))
    return episode


def save(episode: Episode, end: EpisodeEnd | None, outcome: Outcome | None, due: bool, seconds: float) -> State:
    """The state of the loop's episode."""
    return State(
        turns=to_dict(episode.turns),
        page=to_dict(episode.page),
        plan=to_dict(episode.plan),
        planning=to_dict(episode.planning),
        due=due,
        end=_ending(end) if end else None,
        outcome=to_dict(outcome) if outcome else None,
        seconds=seconds,
    )


def _ending(end: EpisodeEnd) -> list[str]:
    return [str(end.reason), end.answer, end.error]
