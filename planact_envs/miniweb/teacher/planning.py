"""The scripted teacher as an annotator: plans and replans for the numbered actions in a prompt."""

from __future__ import annotations

import random
import re
from typing import Sequence

from planact.llm import Message
from planact.teaching.annotation import AnnotatedStep, render_annotation
from planact.types import Op, PlanStep
from planact_envs.miniweb.solution import Move, Solution
from planact_envs.miniweb.teacher.knowledge import Habits, solution_of

FILLING = (Op.TYPE, Op.SELECT)

_QUERY = re.compile(r"^## User Query\n(?P<intent>.*)$", re.M)
_FUTURE = re.compile(r"^## Future Actions\n(?P<first>\d+)\.", re.M)
_TITLE = re.compile(r"^(?:## Current HTML State|## Initial HTML State|# HTML)\n(?P<line>.*)$", re.M)
_QUOTED_TITLE = re.compile(r"'(?P<single>[^']*)'|<title> (?P<tag>.*?) </title>")


def plan(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Plan steps for a whole trajectory. A prompt that carries a complaint is answered rightly."""
    return _steps(messages, 0, habits, dice)


def replan(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Plan steps for the future actions in the prompt; the rounds before it show theirs no more."""
    (done,) = {int(future["first"]) - 1 for message in messages if (future := _FUTURE.search(message["content"]))}
    return _steps(messages, done, habits, dice)


def _steps(messages: Sequence[Message], done: int, habits: Habits, dice: random.Random) -> str:
    solution, title = solution_of(_QUERY.search(messages[1]["content"])["intent"]), page_title(messages[1 + 2 * done]["content"])
    steps = annotate(solution, done, title)
    earlier_plans, answers = done, sum(message["role"] == "assistant" for message in messages)
    if answers == earlier_plans and dice.random() < habits.error_rate:  # no answer has been complained about
        return _spoil(steps, solution, done, title, dice)
    return render_annotation(steps)


def annotate(solution: Solution, done: int, page_title: str = "") -> tuple[AnnotatedStep, ...]:
    """What is still to do after `done` moves, with every fact that has been seen by then in its place."""
    steps, index = [], 0
    for stage in solution.stages:
        left = tuple(range(max(index, done) + 1, index + len(stage.moves) + 1))
        index += len(stage.moves)
        if not left:
            continue
        reasoning = solution.wording(stage.reasoning, done)
        if not done and not steps:
            reasoning = f"The task ends with this: {solution.wording(_purpose(solution), done)} {reasoning}"
        if done and not steps:
            reasoning = f"The page is now '{page_title}', so the last action worked. {reasoning}"
        moves = solution.moves[left[0] - 1 : left[-1]]
        begun = stage.moves[: len(stage.moves) - len(left)]
        step = what_is_left(moves) if any(move.op in FILLING for move in begun) else solution.wording(stage.step, done)
        description = "; ".join(" ".join(filter(None, [m.op, m.role, m.name and f"'{m.name}'", m.text and f"'{m.text}'"])) for m in moves)
        steps.append(AnnotatedStep(PlanStep(reasoning, step), description, left))
    return tuple(steps)


def what_is_left(moves: Sequence[Move]) -> str:
    """The step of a form that is half filled in: a plan that asked for all of it would have the executor do it again."""
    parts = [f"set {move.name} to '{move.text}'" if move.op in FILLING else f"press {move.name}" for move in moves]
    text = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return f"{text[0].upper()}{text[1:]}."


def _purpose(solution: Solution) -> str:
    """The step that the others lead up to: the report, or the change before the executor stops."""
    *earlier, last = solution.stages
    return last.step if last.moves[-1].text or not earlier else earlier[-1].step


def _spoil(steps: Sequence[AnnotatedStep], solution: Solution, done: int, page_title: str, dice: random.Random) -> str:
    """One of the mistakes that the checks must catch: a gap, scrolling, no format at all, or a value from the future."""
    match dice.randrange(4):
        case 0:
            return render_annotation(steps[:-1])
        case 1:
            first = steps[0]
            scrolled = AnnotatedStep(PlanStep(first.step.reasoning, f"Scroll down. {first.step.step}"), first.description, first.actions)
            return render_annotation([scrolled, *steps[1:]])
        case 2:
            return "1. " + " 2. ".join(step.step.step for step in steps)
    return render_annotation(annotate(_with_foresight(solution), done, page_title))


def _with_foresight(solution: Solution) -> Solution:
    facts = {key: type(fact)(fact.value, fact.unknown, 0) for key, fact in solution.facts.items()}
    return Solution(solution.stages, facts)


def page_title(user: str) -> str:
    """The title of the page that a planner's prompt shows; "" when it shows none."""
    line = _TITLE.search(user)
    return title_in(line["line"]) if line else ""


def title_in(line: str) -> str:
    """The title in the first line of an observation."""
    match = _QUOTED_TITLE.search(line)
    return (match["single"] or match["tag"] or "") if match else ""
