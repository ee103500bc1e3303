"""The scripted teacher on failures: a class is a template of miniweb that failed, and a pair belongs to it when its request does."""

from __future__ import annotations

import random
import re
from collections import Counter
from string import ascii_uppercase
from typing import Sequence

from planact.llm import Message
from planact.teaching.failures import MAX_CLASSES, FailureClass, render_classes, render_classification
from planact_envs.miniweb.teacher.knowledge import Habits, requests, solution_of
from planact_envs.miniweb.templates import Template

_REQUEST = re.compile(r"^Request: (.*)$", re.M)
_NAME = re.compile(r"^Name: (.*)$", re.M)
_QUERY = re.compile(r"^## User Query\n(.*)$", re.M)

_GOALS = {
    "find": "The agent looks in the wrong place or reports nothing. It must open the page of what is asked for and report what is there",
    "navigate": "The agent ends on the way. It must go on until the page that is asked for is open",
    "change": "The agent stops before the change is made. It must fill in every value of the request and send the form",
    "compare": "The agent looks at one thing alone. It must open each of the things and compare what it has read",
    "aggregate": "The agent takes a part for the whole. It must go through all that belongs to the request before it reports",
    "infeasible": "The agent goes on where there is nothing. It must say so when the page shows that the request cannot be met",
}


def classes(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """The templates that failed most often. Wrong answers have no blocks, or name one of the requests."""
    intents = _REQUEST.findall(messages[1]["content"])
    for intent in intents:
        solution_of(intent)  # says so when it is none of miniweb's
    failed = Counter(requests()[intent].template for intent in intents)
    found = [_class_of(template) for template, _ in failed.most_common(MAX_CLASSES)]
    if len(messages) == 2 and dice.random() < habits.error_rate:
        if dice.random() < 0.5:
            return "\n".join(f"- {one.name}: {one.description}" for one in found)
        found[0] = FailureClass(found[0].name, f"{found[0].description} One request was: {intents[0]}")
    return render_classes(found)


def classification(messages: Sequence[Message], habits: Habits, dice: random.Random) -> str:
    """The class of the request's template. Wrong answers name another class, or one that does not exist."""
    user = messages[1]["content"]
    names = _NAME.findall(user)
    request = requests().get(_QUERY.search(user)[1])
    name = _class_of(request.template).name if request else ""
    index = names.index(name) if name in names else None
    if len(messages) == 2 and dice.random() < habits.error_rate:
        if dice.random() < 0.5:
            return f"## Reasoning\nIt is of a kind of its own.\n## Classification\nClass {ascii_uppercase[len(names)]}"
        index = dice.choice([other for other in (*range(len(names)), None) if other != index])
    return render_classification("The request is of this kind." if index is not None else "None of the classes is about this.", index)


def _class_of(template: Template) -> FailureClass:
    return FailureClass(re.sub(r"[._]", " ", template.name), f"{_GOALS[template.kind]}.")
