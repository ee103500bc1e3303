"""When the plan in force deserves a second look (`agent.replan: on_trigger`): a rule for each name in `agent.replan_triggers`.

The paper replans after every action and leaves triggers to future work; the rules are ours. Each sees the turns so far and the
page that the last action led to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile

from planact.recipe import Agent
from planact.types import FailureInfo, Observation, Op, Turn

ACTIONS_PER_STEP = 3  # of a plan, after which its steps count as used up; ours
HALF = 0.5  # of the turns or tokens of an episode; ours
_WORD = re.compile(r"[^\W\d_]{3,}")
_QUIET = (Op.NOTE, Op.SCROLL)  # need not change the page


def replan_trigger(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> FailureInfo | None:
    """Why the planner is asked again, None when nothing speaks for it."""
    found = (TRIGGERS[name](agent, intent, turns, page) for name in agent.replan_triggers)
    return next((failure for failure in found if failure), None)


def action_failed(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> FailureInfo | None:
    """The last action could not be read or carried out."""
    return FailureInfo("grounding", page.error) if page.error else None


def page_unchanged(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> FailureInfo | None:
    """The last action was to change the page and did not."""
    last = turns[-1]
    same = last.action and last.action.op not in _QUIET and page.text == last.observation.text
    return FailureInfo("environment", "the page did not change") if same else None


def loop(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> FailureInfo | None:
    """The last action was done before on the same page."""
    last = turns[-1]
    again = any(t.action == last.action and t.observation.text == last.observation.text for t in turns[:-1])
    return FailureInfo("plan", "the same action on the same page again") if again else None


def plan_exhausted(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> FailureInfo | None:
    """The plan in force has been followed for `ACTIONS_PER_STEP` actions a step; once for each plan."""
    steps = len(turns[-1].plan.steps)
    since = 1 + len(list(takewhile(lambda turn: not turn.replanned, reversed(turns))))
    if steps and min(since, len(turns)) == ACTIONS_PER_STEP * steps:
        return FailureInfo("plan", f"{ACTIONS_PER_STEP * steps} actions for the {steps} steps of the plan")
    return None


def unexpected_page(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> FailureInfo | None:
    """Another address, whose title has no word of the request, of the plan or of what was acted on."""
    last = turns[-1]
    if page.url == last.observation.url or not (title := _words(page.title)) or not last.action:
        return None
    plan = " ".join(step.step for step in last.plan.steps)
    if title & _words(f"{intent} {plan} {last.action.target} {last.action.text}"):
        return None
    return FailureInfo("observation", f"the page {page.title[:80]!r} has to do with neither the request nor the plan")


def budget(agent: Agent, intent: str, turns: Sequence[Turn], page: Observation) -> FailureInfo | None:
    """Half of the episode's turns or tokens are used up; once for each episode."""
    if _used(agent, turns[:-1]) < HALF <= _used(agent, turns):
        return FailureInfo("plan", "half of the turns or tokens are used up")
    return None


TRIGGERS: dict[str, Callable[[Agent, str, Sequence[Turn], Observation], FailureInfo | None]] = {
    "action_failed": action_failed,
    "page_unchanged": page_unchanged,
    "loop": loop,
    "plan_exhausted": plan_exhausted,
    "unexpected_page": unexpected_page,
    "budget": budget,
}


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def _used(agent: Agent, turns: Sequence[Turn]) -> float:
    """Share of the limit that is nearest."""
    spent = sum(u.prompt_tokens + u.completion_tokens for turn in turns for u in (turn.planner, turn.executor))
    return max(len(turns) / agent.max_turns, spent / agent.max_episode_tokens if agent.max_episode_tokens else 0.0)
