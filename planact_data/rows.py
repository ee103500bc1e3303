"""Training rows, rendered by the same functions that render inference prompts.

Kinds: `plan` (request + first page → plan), `replan` (… + what was done + current page → rest of the plan), `act`
(executor under the first plan), `act_dynamic` (executor under the newest plan), `react` (executor without a plan).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Callable, Iterator, Sequence

from planact.prompts import executor_answer, executor_messages, planner_answer, planner_messages, prompts_hash, replanner_messages
from planact.recipe import Agent
from planact.types import Plan, Trajectory, Turn

KINDS = ("plan", "replan", "act", "act_dynamic", "react")
Row = dict


def features():
    """The schema of every kind, as `datasets.Features`."""
    from datasets import Features, List, Value

    chat = List({"role": Value("string"), "content": Value("string")})
    return Features(
        {
            "id": Value("string"),  # "<task>/<kind>/<turn>"
            "kind": Value("string"),
            "task_id": Value("string"),
            "turn": Value("int32"),  # from 0
            "prompt": chat,
            "completion": chat,  # one assistant message
            "prompts_hash": Value("string"),
            "source": Value("string"),  # the pipeline stage that the row comes from
        }
    )


def make_rows(kind: str, trajectory: Trajectory, plans: Sequence[Plan], agent: Agent) -> Iterator[Row]:
    """All rows of `kind` from one solved trajectory; `plans[t]` is what is still to do at turn t, `plans[0]` the first plan."""
    for turn, messages, answer in _MAKERS[kind](trajectory, plans, agent):
        yield {
            "id": f"{trajectory.task_id}/{kind}/{turn}",
            "kind": kind,
            "task_id": trajectory.task_id,
            "turn": turn,
            "prompt": messages,
            "completion": [answer],
            "prompts_hash": prompts_hash(agent.prompts, agent.grammar),
            "source": "seed",
        }


def _plan(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    page = trajectory.turns[0].observation
    yield 0, planner_messages(agent.prompts, trajectory.intent, page), planner_answer(plans[0])


def _replan(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    turns = under_plans(trajectory.turns, plans)
    for t in range(1, len(plans)):
        messages = replanner_messages(agent.prompts, trajectory.intent, turns[:t], turns[t].observation, agent.plan_history)
        yield t, messages, planner_answer(plans[t])


def _act(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    yield from _executor(trajectory, under_plans(trajectory.turns, plans[:1]), agent)


def _act_dynamic(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    yield from _executor(trajectory, under_plans(trajectory.turns, plans), agent)


def _react(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    yield from _executor(trajectory, [replace(t, plan=None) for t in trajectory.turns], agent)


def _executor(trajectory: Trajectory, turns: Sequence[Turn], agent: Agent):
    for t, turn in enumerate(turns):
        messages = executor_messages(agent.prompts, agent.grammar, trajectory.intent, turn.plan, turns[:t], turn.observation)
        yield t, messages, executor_answer(turn.action, agent.grammar)


def under_plans(turns: Sequence[Turn], plans: Sequence[Plan]) -> list[Turn]:
    """The turns as if `plans[t]` had been written before turn t; the last plan stays in force after that."""
    return [replace(turn, plan=plans[min(t, len(plans) - 1)], replanned=t < len(plans)) for t, turn in enumerate(turns)]


_MAKERS: dict[str, Callable] = {"plan": _plan, "replan": _replan, "act": _act, "act_dynamic": _act_dynamic, "react": _react}
