"""The scripted teacher as a judge: a trajectory is solved when its actions are the oracle's."""

from __future__ import annotations

import json
import math
import random
from typing import Callable, Sequence

from planact.llm import Message
from planact.teaching.outcome import render_verdict
from planact_envs.miniweb.teacher.knowledge import Habits, requests, solution_of

SURE = 0.9  # probability of the verdict that the reward model gives


def judge(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """A verdict in words. A wrong one says the opposite."""
    user = messages[1]["content"]
    intent = user.removeprefix("## Request\n").partition("\n")[0]
    actions = user.partition("## Actions\n")[2].partition("\n\n## Final Page\n")[0]
    solved = _is_solved(intent, actions, repr) != (dice.random() < habits.error_rate)
    return render_verdict("The actions lead to what was asked for." if solved else "The actions do not do what was asked for.", solved)


def reward(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """YES or NO to the reward model's prompt. A wrong one says the opposite."""
    user = messages[1]["content"]
    intent = user.removeprefix("The User Intent:\n").partition("\n")[0]
    actions = user.partition("Action History:\n")[2].partition("\n\nThe Current Screenshot:\n")[0]
    solved = _is_solved(intent, actions, lambda text: json.dumps(text, ensure_ascii=False))
    return "YES" if solved != (dice.random() < habits.error_rate) else "NO"


def alternatives(verdict: str) -> dict[str, float]:
    """The log-probabilities behind a YES or NO."""
    return {verdict: math.log(SURE), "NO" if verdict == "YES" else "YES": math.log(1 - SURE)}


def _is_solved(intent: str, actions: str, spelled: Callable[[str], str]) -> bool:
    """Each line is the oracle's move: it names its element and, as `spelled`, its text."""
    if intent not in requests():
        return False
    moves, lines = solution_of(intent).moves, actions.splitlines()
    return len(lines) == len(moves) and all(
        move.name in line and (not move.text or spelled(move.text) in line) for move, line in zip(moves, lines)
    )
