"""The tasks of both suites, miniweb and miniweb-short, by split and by id, with the oracle's solutions.

An id names the same task in both suites, and both belong to the benchmark miniweb: `Task.suite` says so.
"""

from __future__ import annotations

import functools
import sqlite3

from planact.types import Task
from planact_envs.miniweb.database import connect
from planact_envs.miniweb.solution import Solution
from planact_envs.miniweb.splits import SPLITS, full_tasks, short_tasks
from planact_envs.miniweb.templates import TEMPLATES, Template
from planact_envs.miniweb.world import build_world
from planact_envs.suites import Step

SUITES = {"miniweb": full_tasks, "miniweb-short": short_tasks}


def load_tasks(split: str, suite: str = "miniweb") -> tuple[Task, ...]:
    """All tasks of "train", "validation" or "test" of one of SUITES. Raises ValueError for another split."""
    if split not in SPLITS:
        raise ValueError(f"{suite} has no split {split!r}; it has {', '.join(SPLITS)}")
    return tuple(task for task in _tasks_of(suite) if task.split == split)


def find(task_id: str) -> Task:
    """The task with this id. Raises KeyError."""
    tasks = all_tasks()
    if task_id not in tasks:
        raise KeyError(f"miniweb has no task {task_id!r}")
    return tasks[task_id]


@functools.cache
def all_tasks() -> dict[str, Task]:
    """The tasks of both suites by id."""
    return {task.id: task for suite in SUITES for task in _tasks_of(suite)}


def template_of(task: Task) -> Template:
    """The template that a task comes from."""
    return TEMPLATES[task.template]


def solution(task: Task) -> Solution:
    """The oracle's solution of a task."""
    return _solution_of(task.id)


def oracle(task: Task) -> tuple[Step, ...]:
    """The oracle's actions, the final one included."""
    return tuple(Step(move.op, move.role, move.name) for move in solution(task).moves)


@functools.cache
def _solution_of(task_id: str) -> Solution:
    task = find(task_id)
    return template_of(task).solve(world_reader(), dict(task.params))


@functools.cache
def world_reader() -> sqlite3.Connection:
    """The untouched world. Writing to it is an error."""
    db = connect(build_world())
    db.execute("PRAGMA query_only = ON")
    return db


@functools.cache
def _tasks_of(suite: str) -> tuple[Task, ...]:
    return tuple(SUITES[suite](TEMPLATES.values(), world_reader()))
