"""What the scripted teacher knows: how it was asked to answer, and the oracle's solution of every request that miniweb can make."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from planact.llm import RequestRefused
from planact.types import Task
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.solution import Solution
from planact_envs.miniweb.splits import make_task
from planact_envs.miniweb.tasks import all_tasks, world_reader
from planact_envs.miniweb.templates import TEMPLATES, Template
from planact_envs.miniweb.templates.base import Params


@dataclass(frozen=True)
class Habits:
    form: str  # observation form of the pages it acts on
    grammar: str  # of the actions it writes
    error_rate: float  # share of its answers (0 to 1) with a planted mistake


@dataclass(frozen=True)
class Request:
    """One instance of a template in one wording: any request that miniweb can make, whether a split has it or not."""

    intent: str
    template: Template
    params: Params


@cache
def requests() -> dict[str, Request]:
    """All requests by intent. The tasks of the splits come first, in case two templates word one alike."""
    found = {task.intent: Request(task.intent, TEMPLATES[task.template], dict(task.params)) for task in all_tasks().values()}
    for template in TEMPLATES.values():
        for params in template.instances(world_reader()):
            for phrasing in template.phrasings:
                intent = phrasing.format(**params)
                found.setdefault(intent, Request(intent, template, params))
    return found


def task_of(intent: str, start_url: str) -> Task | None:
    """A request that starts at `start_url` as a task; None when no template makes it or when its oracle starts elsewhere."""
    request = requests().get(intent)
    if request is None or HOME[request.template.sites[0]] != start_url:
        return None
    return make_task(request.template, world_reader(), "train", 0, dict(request.params), intent)


def solution_of(intent: str) -> Solution:
    """Raises RequestRefused for a request that no template makes."""
    request = requests().get(intent)
    if request is None:
        raise RequestRefused(f"the scripted teacher knows no miniweb task {intent!r}; name another teacher in data.teacher")
    return _solve(intent)


@cache
def _solve(intent: str) -> Solution:
    request = requests()[intent]
    return request.template.solve(world_reader(), dict(request.params))
