"""The scripted teacher as a reasoner: short thoughts that lead from what a prompt shows to the answer that it carries."""

from __future__ import annotations

import random
import re
from typing import Sequence

from planact.actions import parse_action, render_action
from planact.llm import Message
from planact.plans import parse_plan, render_plan
from planact.teaching.reasoning import LABEL, render_reasoning
from planact.types import Action, Op, Plan, PlanStep
from planact_envs.miniweb.teacher.knowledge import Habits, solution_of
from planact_envs.miniweb.teacher.planning import page_title, title_in

_QUERY = re.compile(r"^## User Query\n(?P<intent>.*)$", re.M)
_TASK = re.compile(r"^# Task\n(?P<intent>.*)$", re.M)
_PLAN = re.compile(r"^# Plan\n(?P<steps>(?:\d+\. .*\n?)+)", re.M)
_DONE = re.compile(r"^# Previous Actions\n(?P<lines>(?:\d+\. .*\n?)+)", re.M)
_ANSWER = re.compile(r"^<assistant>\n(?P<text>.*?)\n</assistant>$", re.M | re.S)

_DOES = {
    Op.CLICK: "click {target}",
    Op.TYPE: "type '{text}' into {target}",
    Op.SEARCH: "search for '{text}' with {target}",
    Op.SELECT: "choose '{text}' in {target}",
    Op.GOTO: "go to '{text}'",
    Op.BACK: "go back",
    Op.INFEASIBLE: "say that it cannot be done",
}


def plan(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Thoughts before a first plan."""
    sight, label = _read(messages)
    steps, title = parse_plan(label).steps, page_title(sight)
    thoughts = [
        _one(dice, f"I see the page '{title}'.", f"The page '{title}' is open."),
        _one(dice, "The request is: ", "I am asked for this: ") + _QUERY.search(sight)["intent"],
        steps[0].reasoning,
        _one(dice, "So I begin with this: ", "That makes this the first step: ") + steps[0].step,
    ]
    return _answer(messages, " ".join(thoughts), label, _other_plan(label), habits, dice)


def replan(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Thoughts before a new plan: what was done, what is finished and what the page has shown."""
    sight, label = _read(messages)
    now = sight.rpartition("<user>\n")[2]
    steps = [step.step for step in parse_plan(label).steps]
    earlier = _ANSWER.findall(sight)
    last = [step.step for step in parse_plan(earlier[-1]).steps] if earlier else []
    action = _DONE.search(now)["lines"].strip().splitlines()[-1].split(". ", 1)[1]
    thoughts = [f"{_one(dice, 'I see the page', 'The page is now')} '{page_title(now)}'.", f"My last action worked: {action}."]
    if len(last) > len(steps):
        thoughts.append(f"{_one(dice, 'That finished this step', 'This step is done')}: {last[0]}")
    if new := [step for step in steps if step not in last]:
        thoughts.append(f"{_one(dice, 'The page lets me be more exact', 'I can say this better now')}: {new[0]}")
    thoughts.append(f"{_one(dice, 'What comes next is this', 'Next')}: {steps[0]}")
    return _answer(messages, " ".join(thoughts), label, _other_plan(label), habits, dice)


def action(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Thoughts before an action: the page, the step it belongs to, and what it does."""
    sight, label = _read(messages)
    title = title_in(sight.rpartition("<user>\n")[2].split("\n", 1)[0])
    act = parse_action(label, habits.grammar)
    thoughts = [_one(dice, f"I am on the page '{title}'.", f"The page '{title}' is open."), _aim(sight, dice)]
    does = _DOES.get(act.op, "stop" if not act.text else "report '{text}'").format(target=act.target, text=act.text)
    thoughts.append(_one(dice, f"So I {does}.", f"Therefore I {does}."))
    other = Action(Op.BACK) if act.op == Op.STOP else Action(Op.STOP, text="I could not find it")
    return _answer(messages, " ".join(thoughts), label, render_action(other, habits.grammar), habits, dice)


def _aim(sight: str, dice: random.Random) -> str:
    """The step of the plan in the prompt that is due, or what the task needs where there is no plan."""
    stages, done = solution_of(_TASK.search(sight)["intent"]).stages, len(_ANSWER.findall(sight))
    ends = [sum(len(stage.moves) for stage in stages[: n + 1]) for n in range(len(stages))]
    at = next((n for n, end in enumerate(ends) if end > done), len(stages) - 1)
    if plan := _PLAN.search(sight):
        steps = [line.split(". ", 1)[1] for line in plan["steps"].strip().splitlines()]
        at -= len(stages) - len(steps)  # a revised plan has lost the steps that are done
        if 0 <= at < len(steps):
            return f"{_one(dice, 'I am at this step of the plan', 'The step that is due')}: {steps[at]}"
        return "The plan is carried out."
    return stages[at].reasoning if "{" not in stages[at].reasoning else "I go on with the task."


def _answer(messages: Sequence[Message], reasoning: str, label: str, other: str, habits: Habits, dice: random.Random) -> str:
    """With one of the mistakes that the checks must catch, unless the prompt carries a complaint about one."""
    if len(messages) > 2 or dice.random() >= habits.error_rate:
        return render_reasoning(reasoning, label)
    spoiled = [
        (reasoning, other),
        (f"{reasoning} This leads to the given answer.", label),
        (f"<think>{reasoning}", label),
        ("", label),
    ]
    return render_reasoning(*dice.choice(spoiled))


def _other_plan(label: str) -> str:
    steps = parse_plan(label).steps
    return render_plan(Plan(steps[:-1] or (PlanStep(steps[0].reasoning, "Go back to the first page."),)))


def _read(messages: Sequence[Message]) -> tuple[str, str]:
    sight, _, label = messages[1]["content"].rpartition(LABEL)
    return sight, label


def _one(dice: random.Random, *wordings: str) -> str:
    return dice.choice(wordings)
