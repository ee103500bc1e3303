"""The benchmarks by name: their tasks, how to make an environment, and the scripted teacher where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from planact.env import Env
from planact.llm import LLM
from planact.recipe import RecipeError
from planact.types import Task


@dataclass(frozen=True)
class Suite:
    name: str
    version: str  # changes whenever a page or a task does
    tasks: Callable[[str], tuple[Task, ...]]  # by split
    make_env: Callable[[str], Env]  # by observation form
    teacher: Callable[..., LLM] | None = None  # (form, grammar, error_rate, seed)


def load_suite(name: str) -> Suite:
    """Raises RecipeError with the names that exist."""
    if name not in _SUITES:
        raise RecipeError(f"unknown suite {name!r}; suites are {', '.join(_SUITES)}")
    return _SUITES[name]()


def _miniweb() -> Suite:
    from planact_envs.miniweb import tasks, world
    from planact_envs.miniweb.env import MiniwebEnv
    from planact_envs.miniweb.teacher import ScriptedTeacher

    return Suite("miniweb", world.MINIWEB_VERSION, tasks.load_tasks, MiniwebEnv, ScriptedTeacher)


_SUITES = {"miniweb": _miniweb}
