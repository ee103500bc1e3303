"""The benchmarks by name: their tasks, their scorers, how their world is opened, and the scripted teacher where there is one.

A suite from outside the repository is an entry point of the group `planact.suites`, or `module:function` in the recipe;
both name a function without arguments that returns a `Suite` and says so in its annotation.
"""

from __future__ import annotations

import importlib
import re
import typing
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import AsyncIterator, Callable

from planact.env import Env
from planact.llm import LLM
from planact.recipe import RecipeError
from planact.types import Task

GROUP = "planact.suites"
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class World:
    """What a recipe says about the world that its episodes run in."""

    form: str = "axtree"  # observation form
    scorer: str = ""  # one of `Suite.scorers`
    judge: LLM | None = None  # asks a model where a task's scoring needs one; None leaves such a task unscored
    hosts: tuple[str, ...] = ()  # hosts that pages may load from beside the suite's own sites
    screenshots: Path | None = None  # folder for a PNG of every page, where the back end can draw


MakeEnv = Callable[[], Env]


@dataclass(frozen=True)
class Suite:
    name: str
    version: str  # changes whenever a page or a task does
    tasks: Callable[[str], tuple[Task, ...]]  # by split
    scorers: tuple[str, ...]  # the first is the benchmark's own
    open: Callable[[World], AbstractAsyncContextManager[MakeEnv]]  # starts what episodes share (a browser, a server)
    teacher: Callable[..., LLM] | None = None  # (form, grammar, error_rate, seed)


def load_suite(name: str) -> Suite:
    """Raises RecipeError with the names that exist."""
    if name in _SUITES:
        return _SUITES[name]()
    if _FUNCTION.fullmatch(name):
        return _foreign(name, *name.split(":"))
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = ", ".join([*_SUITES, *sorted(found)])
        raise RecipeError(f"unknown suite {name!r}; suites are {known}; one of your own is written module:function (docs/ENVIRONMENTS.md)")
    return _foreign(name, found[name].module, found[name].attr)


def _foreign(name: str, module: str, function: str) -> Suite:
    """A suite of another package. Only a function that is annotated to return a `Suite` is called: a recipe is data."""
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise RecipeError(f"the suite {name!r} cannot be loaded: {error}; is its package installed?") from error
    hints = typing.get_type_hints(make) if callable(make) else {}
    if hints.get("return") is not Suite:
        raise RecipeError(f"the suite {name!r}: {module}.{function} must be a function annotated `-> Suite` (planact_envs.suites.Suite)")
    return make()


def check_scorer(suite: Suite, scorer: str) -> None:
    """Raises RecipeError when the suite has no such scorer."""
    if scorer not in suite.scorers:
        raise RecipeError(f"{suite.name} has no scorer {scorer!r}; set eval.scorer to {' or '.join(suite.scorers)}")


def _miniweb(name: str) -> Suite:
    from planact_envs.miniweb import tasks, world
    from planact_envs.miniweb.env import MiniwebEnv
    from planact_envs.miniweb.scorer import SCORER
    from planact_envs.miniweb.teacher import ScriptedTeacher

    @asynccontextmanager
    async def open_(settings: World) -> AsyncIterator[MakeEnv]:
        yield partial(MiniwebEnv, settings.form)

    return Suite(name, world.MINIWEB_VERSION, partial(tasks.load_tasks, suite=name), (SCORER,), open_, ScriptedTeacher)


_SUITES: dict[str, Callable[[], Suite]] = {name: partial(_miniweb, name) for name in ("miniweb", "miniweb-short")}
