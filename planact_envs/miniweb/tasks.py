"""The miniweb tasks: each template's instances, cut into test, validation and training tasks."""

from __future__ import annotations

import functools
import random
import sqlite3

from planact.types import Task
from planact_envs.miniweb.database import connect
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.solution import Solution
from planact_envs.miniweb.templates import TEMPLATES, Template
from planact_envs.miniweb.templates.base import Params
from planact_envs.miniweb.world import build_world

SUITE = "miniweb"
SPLIT_SEED = 11
SIZES = {"test": 4, "validation": 2, "train": 120}  # of each template; train takes what is left, up to this


def load_tasks(split: str) -> tuple[Task, ...]:
    """All tasks of "train", "validation" or "test". Raises ValueError for another name."""
    if split not in SIZES:
        raise ValueError(f"miniweb has no split {split!r}; it has {', '.join(SIZES)}")
    return tuple(task for task in _all_tasks().values() if task.split == split)


def find(task_id: str) -> Task:
    """The task with this id. Raises KeyError."""
    tasks = _all_tasks()
    if task_id not in tasks:
        raise KeyError(f"miniweb has no task {task_id!r}")
    return tasks[task_id]


def template_of(task: Task) -> Template:
    """The template that a task comes from."""
    return TEMPLATES[task.template]


@functools.cache
def _solution_of(task_id: str) -> Solution:
    task = find(task_id)
    return template_of(task).solve(world_reader(), dict(task.params))


def solution(task: Task) -> Solution:
    """The oracle's solution of a task."""
    return _solution_of(task.id)


@functools.cache
def world_reader() -> sqlite3.Connection:
    """The untouched world. Writing to it is an error."""
    db = connect(build_world())
    db.execute("PRAGMA query_only = ON")
    return db


@functools.cache
def _all_tasks() -> dict[str, Task]:
    tasks = [task for template in TEMPLATES.values() for task in template_tasks(template)]
    return {task.id: task for task in tasks}


def template_tasks(template: Template) -> list[Task]:
    """The template's tasks: test first, then validation, then train."""
    rng = random.Random(f"{SPLIT_SEED}:{template.name}")
    groups = group_by_main(template, template.instances(world_reader()))
    rng.shuffle(groups)
    tasks: list[Task] = []
    for split in ("test", "validation"):
        chosen, groups = groups[: SIZES[split]], groups[SIZES[split] :]
        for group in chosen:
            tasks.append(make_task(template, split, len(tasks), rng.choice(group), rng.choice(template.phrasings)))
    # Training asks for one thing in several wordings: a planner that never met that learns names instead of requests.
    left = [(params, phrasing) for group in groups for params in group for phrasing in template.phrasings]
    for params, phrasing in rng.sample(left, min(SIZES["train"], len(left))):
        tasks.append(make_task(template, "train", len(tasks), params, phrasing))
    return tasks


def group_by_main(template: Template, instances: list[Params]) -> list[list[Params]]:
    """Instances about the same thing go to one split together: no split tests what another one trains on."""
    groups: dict[tuple[str, ...], list[Params]] = {}
    for params in instances:
        groups.setdefault(tuple(params[name] for name in template.main), []).append(params)
    return list(groups.values())


def make_task(template: Template, split: str, index: int, params: Params, phrasing: str) -> Task:
    return Task(
        id=f"{template.name}.{index:03d}",
        suite=SUITE,
        split=split,
        sites=template.sites,
        intent=phrasing.format(**params),
        start_url=HOME[template.sites[0]],
        template=template.name,
        params=params,
        eval=template.evaluate(world_reader(), params),
    )
