"""The scripted teacher as a writer of pairs: other requests of the kinds that it is shown, with the oracle's plans; and as their judge."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache
from typing import Callable, Sequence

from planact.llm import Message
from planact.teaching.annotation import annotated_plan
from planact.teaching.expansion import WANTED, NewPair, render_expansion
from planact.teaching.feasibility import Verdict, render_verdicts
from planact.types import Plan
from planact_envs.miniweb.teacher.knowledge import Habits, requests, solution_of
from planact_envs.miniweb.teacher.planning import annotate
from planact_envs.miniweb.teacher.queries import HELD_OUT, requests_of

NOTHING = "Glass Harpsichord"  # miniweb has no such thing

_QUERY = re.compile(r"^User Query: (?P<intent>.*)$", re.M)
_VALUE = re.compile(r"(?<!\w)'([^'\n]+)'(?!\w)")


def write(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Ten pairs of the kinds of the examples. A wrong answer has one pair that must not be used (MISTAKES)."""
    examples = _QUERY.findall(messages[1]["content"])
    for intent in examples:
        solution_of(intent)  # says so when it is none of miniweb's
    templates = sorted({requests()[intent].template.name for intent in examples})
    chosen = [dice.choice(requests_of(dice.choice(templates), False)) for _ in range(WANTED)]
    held_out = [intent for name in templates for intent in requests_of(name, True)]
    if held_out and dice.random() < HELD_OUT:
        chosen[dice.randrange(WANTED)] = dice.choice(held_out)
    pairs = [NewPair(intent, _page_for(intent, examples, dice), plan_of(intent)) for intent in chosen]
    if len(messages) > 2 or dice.random() >= habits.error_rate:
        return render_expansion(pairs)
    wrong, mistake = dice.randrange(WANTED), MISTAKES[dice.choice(sorted(MISTAKES))]
    blocks = [render_expansion([pair]) for pair in pairs]
    blocks[wrong] = mistake(pairs[wrong], examples, dice)
    return "\n\n".join(blocks)


def judge(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Whether miniweb can make each request. In a wrong answer one verdict is the opposite."""
    intents = _QUERY.findall(messages[1]["content"])
    usable = [intent in requests() for intent in intents]
    if dice.random() < habits.error_rate:
        wrong = dice.randrange(len(usable))
        usable[wrong] = not usable[wrong]
    return render_verdicts([Verdict("The site has it." if good else "The site has no such thing.", good) for good in usable])


@cache
def plan_of(intent: str) -> Plan:
    return annotated_plan(annotate(solution_of(intent), 0))


def _page_for(intent: str, examples: Sequence[str], dice: random.Random) -> int:
    """The number of an example that starts where the request does."""
    home = requests()[intent].template.sites[0]
    return dice.choice([n for n, example in enumerate(examples, 1) if requests()[example].template.sites[0] == home])


def _without_reasoning(pair: NewPair, examples: Sequence[str], dice: random.Random) -> str:
    lines = render_expansion([pair]).split("\n")
    del lines[dice.choice([n for n, line in enumerate(lines) if line.startswith("Reasoning:")])]
    return "\n".join(lines)


def _on_no_page(pair: NewPair, examples: Sequence[str], dice: random.Random) -> str:
    return render_expansion([replace(pair, example=len(examples) + 1)])


def _contradicting(pair: NewPair, examples: Sequence[str], dice: random.Random) -> str:
    """A plan with another value than the request."""
    return render_expansion([replace(pair, plan=_with_value(pair.plan, _value_in(pair.plan), NOTHING))])


def _scrolling(pair: NewPair, examples: Sequence[str], dice: random.Random) -> str:
    first, *rest = pair.plan.steps
    return render_expansion([replace(pair, plan=Plan((replace(first, step=f"Scroll down. {first.step}"), *rest)))])


def _repeating(pair: NewPair, examples: Sequence[str], dice: random.Random) -> str:
    number = dice.randrange(len(examples))
    return render_expansion([NewPair(examples[number], number + 1, plan_of(examples[number]))])


def _infeasible(pair: NewPair, examples: Sequence[str], dice: random.Random) -> str:
    """A request about something that miniweb does not have; the plan fits it."""
    value = _value_in(pair.plan)
    return render_expansion([NewPair(pair.intent.replace(value, NOTHING), pair.example, _with_value(pair.plan, value, NOTHING))])


MISTAKES: dict[str, Callable[[NewPair, Sequence[str], random.Random], str]] = {
    "no reasoning": _without_reasoning,
    "no such page": _on_no_page,
    "another value": _contradicting,
    "scrolling": _scrolling,
    "repeats an example": _repeating,
    "infeasible": _infeasible,
}


def _value_in(plan: Plan) -> str:
    """The first quoted value of the steps; every plan of the oracle has one."""
    return next(value for step in plan.steps for value in _VALUE.findall(step.step))


def _with_value(plan: Plan, old: str, new: str) -> Plan:
    return Plan(tuple(replace(s, reasoning=s.reasoning.replace(old, new), step=s.step.replace(old, new)) for s in plan.steps))
