"""The scripted teacher as an actor: the next action for the page in the last message."""

from __future__ import annotations

import random
import re
from typing import Sequence

from planact.actions import render_action
from planact.llm import Message
from planact.types import ELEMENT_OPS, Action, Op
from planact_envs.miniweb.solution import Move
from planact_envs.miniweb.teacher.knowledge import Habits, requests, solution_of
from planact_envs.observation import Element, describe_element, read_elements

LOST = 3  # actions at most before it gives up on a request that it does not know

_INTENT = re.compile(r"^# Task\n(?P<intent>.*)$", re.M)


def is_for_actor(system: str) -> bool:
    return _INTENT.search(system) is not None


def act(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """The oracle's next move; a wrong one in `error_rate` of all episodes. Of a request that miniweb cannot make, a few clicks."""
    intent = _INTENT.search(messages[0]["content"])["intent"]
    done = sum(m["role"] == "assistant" for m in messages)
    elements = read_elements(messages[-1]["content"], habits.form)
    if intent not in requests():
        return render_action(_slip(elements, habits.form, dice) if done < LOST else Action(Op.STOP), habits.grammar)
    moves = solution_of(intent).moves
    if dice.random() < habits.error_rate / len(moves):  # an episode has len(moves) answers
        return render_action(_slip(elements, habits.form, dice), habits.grammar)
    move = moves[done] if done < len(moves) else Move(Op.STOP)
    return render_action(_as_action(move, elements, habits.form), habits.grammar)


def _as_action(move: Move, elements: Sequence[Element], form: str) -> Action:
    """The move on this page; giving up when the page does not have its element."""
    if move.op not in ELEMENT_OPS:
        return Action(move.op, text=move.text)
    for element in elements:
        if (element.role, element.name) == (move.role, move.name):
            return Action(move.op, element.id, move.text, target=describe_element(element, form))
    return Action(Op.STOP)


def _slip(elements: Sequence[Element], form: str, dice: random.Random) -> Action:
    """A click on some other element, or stopping early."""
    links = [e for e in elements if e.role == "link"]
    if not links or dice.random() < 0.3:
        return Action(Op.STOP, text="I could not find it")
    element = dice.choice(links)
    return Action(Op.CLICK, element.id, target=describe_element(element, form))
