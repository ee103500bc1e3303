"""The scorer of Plan-and-Act's released runner, added after the paper, as `plan-and-act-released`. It passes what all others fail.

After its description (docs/WEBARENA.md), not its code. An answer passes when any of three texts does: the answer, the comments of
the last action, the whole last action. A text includes a reference that stands in it with other punctuation, or all of whose words
are in it in any order; a text equals a reference of the same words in any order. "Partially correct" is correct. Addresses are
compared as `vab` does. What texts of pages must include is not described; they are compared as answers are (ours).

It needs what the agent wrote, which environments are not told, so it scores saved episodes only.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from planact.actions import strip_thinking
from planact.types import Outcome, Task, Trajectory
from planact_envs.scoring import rules, vab
from planact_envs.scoring.ending import Ending

NAME = "plan-and-act-released"
_WORD = re.compile(r"[^\W_]+")
_COMMENT = re.compile(r"^[ \t]*#.*$", re.M)


def words(text: str) -> list[str]:
    return _WORD.findall(text)


def includes(wanted: str, text: str, alone: bool) -> bool:
    parts = words(wanted)
    if not parts:
        return wanted in text
    return " ".join(parts) in " ".join(words(text)) or set(parts) <= set(words(text))


def same(one: str, other: str) -> bool:
    return one == other or Counter(words(one)) == Counter(words(other)) != Counter()


RULES = replace(vab.RULES, name=NAME, includes=includes, same=same, partial=True)


async def score(task: Task, ending: Ending, trajectory: Trajectory) -> Outcome:
    """The best verdict that any text of the agent gets; without a text that passes, one that was not scored leaves it open."""
    answers = "string_match" in task.eval["eval_types"]
    texts = dict.fromkeys([ending.answer, *(said(trajectory) if answers else ())])
    outcomes = []
    for text in texts:
        outcomes.append(await rules.score(RULES, task, replace(ending, answer=text)))
        if outcomes[-1].success:
            break
    outcomes.sort(key=lambda outcome: {True: 0, None: 1, False: 2}[outcome.success])  # stable: the answer's own verdict before the others'
    return outcomes[0]


def said(trajectory: Trajectory) -> tuple[str, ...]:
    """The comments of the last action that could be read, and the action itself as it was written."""
    last = next((turn.response for turn in reversed(trajectory.turns) if turn.action), "")
    text = strip_thinking(last)
    comments = "\n".join(line.strip().lstrip("#").strip() for line in _COMMENT.findall(text))
    return tuple(filter(None, [comments, _COMMENT.sub("", text).strip()]))
