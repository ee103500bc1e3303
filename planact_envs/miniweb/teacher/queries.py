"""The scripted teacher as a writer of requests: others of the kinds that it is shown, from all that miniweb can make.

Like a real teacher it happens on a held-out request now and then; the leak gate is for those. Otherwise it keeps to things
that no test or validation task is about, so that miniweb's splits stay apart.
"""

from __future__ import annotations

import random
from functools import cache
from typing import Sequence

from planact.llm import Message
from planact.teaching.queries import WANTED, parse_queries, render_feasibility, render_queries
from planact_envs.miniweb.tasks import all_tasks
from planact_envs.miniweb.teacher.knowledge import Habits, Request, requests

HELD_OUT = 0.3  # share of answers with a request of the test or validation split


def write(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Up to ten requests. Wrong ones are about things that do not exist, or repeat a seed; a wrong answer has no numbers."""
    seeds = parse_queries(messages[1]["content"].rpartition("## Requests\n")[2])
    templates = sorted({requests()[seed].template.name for seed in seeds})
    chosen = [dice.choice(requests_of(dice.choice(templates), False)) for _ in range(WANTED)]
    held_out = [intent for name in templates for intent in requests_of(name, True)]
    if held_out and dice.random() < HELD_OUT:
        chosen[dice.randrange(WANTED)] = dice.choice(held_out)
    for n, intent in enumerate(chosen):
        if dice.random() < habits.error_rate:
            chosen[n] = dice.choice([dice.choice(seeds), _about_nothing(intent, dice)])
    chosen = list(dict.fromkeys(chosen))
    if len(messages) == 2 and dice.random() < habits.error_rate:
        return "\n".join(f"- {intent}" for intent in chosen)
    return render_queries(chosen)


def feasibility(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """Whether miniweb can make the request."""
    intent = messages[1]["content"].removeprefix("## Request\n").partition("\n")[0]
    feasible = (intent in requests()) != (dice.random() < habits.error_rate)
    reason = "The site has what is asked for." if feasible else "Nothing on the site fits what is asked for."
    return render_feasibility(reason, feasible)


@cache
def requests_of(template: str, held_out: bool) -> tuple[str, ...]:
    """The requests of a template: those of the held-out tasks, or all about things that no held-out task is about."""
    tasks = [task for task in all_tasks().values() if task.template == template and task.split != "train"]
    if held_out:
        return tuple(task.intent for task in tasks)
    taken = {_things(requests()[task.intent]) for task in tasks}
    return tuple(intent for intent, one in requests().items() if one.template.name == template and _things(one) not in taken)


def _things(request: Request) -> tuple[str, ...]:
    return tuple(request.params[name] for name in request.template.main)


def _about_nothing(intent: str, dice: random.Random) -> str:
    """The request about something that miniweb does not have."""
    known = requests()[intent]
    params = dict(known.params) | {known.template.main[0]: f"Nimbus {dice.randrange(1000, 10000)}"}
    return dice.choice(known.template.phrasings).format(**params)
