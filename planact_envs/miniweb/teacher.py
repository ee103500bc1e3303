"""The scripted teacher: a model without weights that answers the same rendered prompts as a real teacher would.

It reads the request out of the prompt, looks the task up, and answers from the oracle's `Solution`: as an actor it
gives the next action for the page in the prompt; as an annotator it groups a trajectory's actions into plan steps. At a
set rate it makes the mistakes that real teachers make, so that the filters behind it have work to do.
"""

from __future__ import annotations

import asyncio
import random
import re
from functools import cache
from typing import Sequence

from planact.actions import render_action
from planact.annotate import AnnotatedStep, render_annotation
from planact.llm import Completion, ModelError
from planact.prompts import Message
from planact.types import ELEMENT_OPS, Action, Op, PlanStep, Task, Usage, content_hash
from planact_envs.miniweb import tasks
from planact_envs.miniweb.solution import Move, Solution
from planact_envs.observation import Element, describe_element, read_elements

_ACTOR_INTENT = re.compile(r"^# Task\n(?P<intent>.*)$", re.M)
_QUERY = re.compile(r"^## User Query\n(?P<intent>.*)$", re.M)
_FUTURE = re.compile(r"^## Future Actions\n(?P<first>\d+)\.", re.M)
_TITLE = re.compile(r"^## Current HTML State\n(?P<line>.*)$", re.M)
_QUOTED_TITLE = re.compile(r"'(?P<single>[^']*)'|<title> (?P<tag>.*?) </title>")


class ScriptedTeacher:
    """`planact.llm.LLM` over the oracle. `error_rate` is the share of answers (0 to 1) with a planted mistake."""

    name = "scripted"

    def __init__(self, form: str, grammar: str, error_rate: float = 0.0, seed: int = 0):
        self.form, self.grammar, self.error_rate, self.seed = form, grammar, error_rate, seed

    async def complete(self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> Completion:
        await asyncio.sleep(0)  # as a real model would, it lets other episodes on, and Ctrl-C
        dice = random.Random(content_hash([list(messages), self.seed, seed]))
        head = messages[0]["content"]
        text = self._act(messages, dice) if _ACTOR_INTENT.search(head) else self._annotate(messages, dice)
        words = sum(len(m["content"].split()) for m in messages)
        return Completion(text, Usage(prompt_tokens=words, completion_tokens=len(text.split()), calls=1))

    def _act(self, messages: Sequence[Message], dice: random.Random) -> str:
        """The next action for the page in the last message."""
        solution = _solution(_ACTOR_INTENT.search(messages[0]["content"])["intent"])
        done = sum(m["role"] == "assistant" for m in messages)
        moves = solution.moves
        elements = read_elements(messages[-1]["content"], self.form)
        if dice.random() < self.error_rate / len(moves):  # an episode has len(moves) answers
            return render_action(self._slip(elements, dice), self.grammar)
        move = moves[done] if done < len(moves) else Move(Op.STOP)
        return render_action(self._as_action(move, elements), self.grammar)

    def _as_action(self, move: Move, elements: Sequence[Element]) -> Action:
        """The move on this page; giving up when the page does not have its element."""
        if move.op not in ELEMENT_OPS:
            return Action(move.op, text=move.text)
        for element in elements:
            if (element.role, element.name) == (move.role, move.name):
                return Action(move.op, element.id, move.text, target=describe_element(element, self.form))
        return Action(Op.STOP)

    def _slip(self, elements: Sequence[Element], dice: random.Random) -> Action:
        """A click on some other element, or stopping early."""
        links = [e for e in elements if e.role == "link"]
        if not links or dice.random() < 0.3:
            return Action(Op.STOP, text="I could not find it")
        element = dice.choice(links)
        return Action(Op.CLICK, element.id, target=describe_element(element, self.form))

    def _annotate(self, messages: Sequence[Message], dice: random.Random) -> str:
        """Plan steps for the numbered actions in the prompt. A prompt that carries an error message is answered rightly."""
        user = messages[:2][-1]["content"]
        query, future = _QUERY.search(user), _FUTURE.search(user)
        if not query:
            raise ModelError("the scripted teacher cannot read this prompt: it holds neither '# Task' nor '## User Query'")
        solution = _solution(query["intent"])
        done = int(future["first"]) - 1 if future else 0
        steps = annotate(solution, done, _page_title(user))
        if len(messages) == 2 and dice.random() < self.error_rate:
            return _spoil(steps, solution, done, _page_title(user), dice)
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
        description = "; ".join(" ".join(filter(None, [m.op, m.role, m.name and f"'{m.name}'", m.text and f"'{m.text}'"])) for m in moves)
        steps.append(AnnotatedStep(PlanStep(reasoning, solution.wording(stage.step, done)), description, left))
    return tuple(steps)


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


def _page_title(user: str) -> str:
    line = _TITLE.search(user)
    match = _QUOTED_TITLE.search(line["line"]) if line else None
    return (match["single"] or match["tag"] or "") if match else ""


def _solution(intent: str) -> Solution:
    task = _tasks_by_intent().get(intent)
    if task is None:
        raise ModelError(f"the scripted teacher knows no miniweb task {intent!r}; name another teacher in data.teacher")
    return tasks.solution(task)


@cache
def _tasks_by_intent() -> dict[str, Task]:
    return {task.intent: task for task in tasks.all_tasks().values()}
