"""Prompts and formats with which a teacher model turns trajectories into plans (paper 4.2 and 4.2.1; A.5 and A.9).

The teacher sees a solved trajectory as numbered actions and groups them into plan steps. Its answer names, for each
step, the indices of the actions it covers; `check_spans` holds them to the paper's rules.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Sequence

from planact.actions import MAX_RESPONSE, describe_action, strip_thinking
from planact.prompts import PAST_PAGE, Message
from planact.teaching import AnswerError
from planact.types import Plan, PlanStep, Turn

_RULES = """Group the actions into few steps; each step is a goal that takes one or more actions.
- Every action index appears in exactly one step, and the indices of all steps, read in order, are {first}, {second}, {third}, ... \
without a gap.
- Say what to reach, not which element to use, and put every concrete value that is known into the step that needs it. Values stand
  between single quotes, labels of the site's menus and buttons do not.
- Never mention scrolling.
- Write as if you did not know the actions: {knowledge}
Answer with one block for each step, numbered from 1:
## Step 1
Reasoning: why this step is needed
Description: the actions of this step, copied
Step: what to do
Actions: [{first}, {second}]"""

PLAN_SYSTEM = "You explain how a web task was solved by writing the plan behind a finished list of actions.\n" + _RULES.format(
    first=1, second=2, third=3, knowledge="use only the request and the first page; call anything seen later by a description."
)
REPLAN_SYSTEM = (
    "You explain how a web task goes on by writing the plan behind the actions that are still to come.\n"
    + _RULES.format(
        first="N", second="N+1", third="N+2", knowledge="use the request, the past actions and the current page, never what comes later."
    )
    + "\nN is the first index under Future Actions. Values read on earlier pages stand in your earlier plans: carry them over."
    + "\nKeep the steps of your last plan that still hold word for word, and say more exactly what the current page tells about others."
)
PAST_FUTURE = "** Left out **"  # stands for the future actions of every round but the last (paper A.9)


@dataclass(frozen=True)
class AnnotatedStep:
    step: PlanStep
    description: str
    actions: tuple[int, ...]  # indices as the prompt numbers them, from 1


def plan_annotation_messages(intent: str, turns: Sequence[Turn]) -> list[Message]:
    """Ask for the plan behind a whole trajectory (paper A.5)."""
    user = f"## User Query\n{intent}\n\n## Initial HTML State\n{turns[0].observation.outline}\n\n## Actions\n{_numbered(turns, 1)}"
    return [{"role": "system", "content": PLAN_SYSTEM}, {"role": "user", "content": user}]


def replan_annotation_messages(intent: str, turns: Sequence[Turn], earlier: Sequence[Sequence[AnnotatedStep]]) -> list[Message]:
    """Ask for the plan of what is left of `turns` (paper A.9). `earlier[t]` was written before turn t; they are the chat so far.

    Earlier rounds lose their page and their future actions.
    """
    messages = [{"role": "system", "content": REPLAN_SYSTEM}]
    for done, steps in enumerate(earlier):
        messages.append({"role": "user", "content": _round(turns[:done], PAST_PAGE, PAST_FUTURE)})
        messages.append({"role": "assistant", "content": render_annotation(steps)})
    done = len(earlier)
    future = _numbered(turns[done:], done + 1)
    messages.append({"role": "user", "content": _round(turns[:done], turns[done].observation.outline, future)})
    messages[1]["content"] = f"## User Query\n{intent}\n\n{messages[1]['content']}"
    return messages


def _round(past: Sequence[Turn], page: str, future: str) -> str:
    return f"## Past Actions\n{_numbered(past, 1) or 'none'}\n\n## Current HTML State\n{page}\n\n## Future Actions\n{future}"


def _numbered(turns: Sequence[Turn], first: int) -> str:
    return "\n".join(f"{n}. {describe_action(turn.action)}" for n, turn in enumerate(turns, first))


_BLOCK = re.compile(r"^[ \t]*## Step (\d{1,4})[ \t\r]*$", re.M)
_LINES = [re.compile(p, re.M) for p in (r"^Reasoning:", r"^Description:", r"^Step:", r"^Actions:[ \t]*\[([\d,\s]*)\]")]


def parse_annotation(text: str) -> tuple[AnnotatedStep, ...]:
    """The steps in a teacher's answer. Raises AnswerError when it has another form."""
    text = strip_thinking(text[:MAX_RESPONSE])
    headings = list(_BLOCK.finditer(text))
    if [int(h[1]) for h in headings] != list(range(1, len(headings) + 1)) or not headings:
        raise AnswerError("expected blocks '## Step 1', '## Step 2', ... in order", "format")
    ends = [h.start() for h in headings[1:]] + [len(text)]
    return tuple(_annotated_step(n, text[h.end() : end]) for n, h, end in zip(range(1, len(ends) + 1), headings, ends))


def _annotated_step(number: int, block: str) -> AnnotatedStep:
    found: list[re.Match[str]] = []
    for line in _LINES:  # one after the other: a single pattern needs cubic time on repeated lines
        match = line.search(block, found[-1].end() if found else 0)
        if not match:
            raise AnswerError(f"step {number} lacks its Reasoning, Description, Step or Actions line", "format")
        found.append(match)
    reasoning, description, step = (" ".join(block[a.end() : b.start()].split()) for a, b in pairwise(found))
    if not step:
        raise AnswerError(f"step {number} is empty", "format")
    numbers = found[-1][1].replace(",", " ").split()
    if any(len(n) > 4 for n in numbers):
        raise AnswerError(f"step {number} names an action that does not exist", "spans")
    return AnnotatedStep(PlanStep(reasoning, step), description, tuple(int(n) for n in numbers))


def render_annotation(steps: Sequence[AnnotatedStep]) -> str:
    """The text that `parse_annotation` reads back into `steps`."""
    return "\n".join(
        f"## Step {n}\nReasoning: {s.step.reasoning}\nDescription: {s.description}\nStep: {s.step.step}\nActions: {list(s.actions)}"
        for n, s in enumerate(steps, 1)
    )


def check_spans(steps: Sequence[AnnotatedStep], first: int, last: int) -> None:
    """Hold the steps to the paper's rules. Raises AnswerError naming the first one broken."""
    for n, step in enumerate(steps, 1):
        if not step.actions:
            raise AnswerError(f"step {n} covers no action", "spans")
        if "scroll" in f"{step.step.step} {step.step.reasoning}".lower():
            raise AnswerError(f"step {n} mentions scrolling", "scrolling")
    covered = [index for step in steps for index in step.actions]
    if covered != list(range(first, last + 1)):
        expected = list(range(first, last + 1))
        raise AnswerError(f"the steps cover actions {covered}; expected {expected} in this order, each once", "spans")


def annotate_plan(plan: Plan, spans: Sequence[Sequence[int]], turns: Sequence[Turn]) -> tuple[AnnotatedStep, ...]:
    """A plan with the actions of each step, as a teacher that copies them rightly would write it."""
    actions = [describe_action(turn.action) for turn in turns]
    return tuple(
        AnnotatedStep(step, " ".join("; ".join(actions[n - 1] for n in span).split()), tuple(span))
        for step, span in zip(plan.steps, spans, strict=True)
    )


def annotated_plan(steps: Sequence[AnnotatedStep]) -> Plan:
    """The training target: reasoning and step only."""
    return Plan(tuple(step.step for step in steps))
