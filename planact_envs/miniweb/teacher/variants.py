"""The scripted teacher as a writer of variants: another request of the same template, about a thing that no held-out task is about."""

from __future__ import annotations

import random
import re
from typing import Sequence

from planact.llm import Message
from planact.teaching.variants import Variant, render_variant
from planact_envs.miniweb.teacher.knowledge import Habits, requests, solution_of
from planact_envs.miniweb.teacher.pairs import plan_of
from planact_envs.miniweb.teacher.queries import requests_of

_PAIR = re.compile(r"^## Pair\nUser Query: (?P<intent>.*)$", re.M)
_EARLIER = re.compile(r"^- (?P<intent>.*)$", re.M)


def write(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """One variant. Wrong ones lack their plan, copy the pair, or ask what a held-out task asks."""
    user = messages[1]["content"]
    intent, earlier = _PAIR.search(user)["intent"], _EARLIER.findall(user.rpartition("## Earlier Variants\n")[2])
    solution_of(intent)  # raises RequestRefused for a pair that is not of miniweb
    template = requests()[intent].template.name
    chosen = dice.choice([one for one in requests_of(template, False) if one not in earlier] or [intent])
    if len(messages) == 2 and dice.random() < habits.error_rate:
        match dice.randrange(3):
            case 0:
                return f"User Query: {chosen}"
            case 1:
                chosen = intent
            case 2:
                chosen = dice.choice(requests_of(template, True) or [intent])
    return render_variant(Variant(chosen, plan_of(chosen)))
