"""The benchmarks by name: their tasks, their scorers, how their world is opened, and the scripted teacher where there is one.

A suite from outside the repository is an entry point of the group `planact.suites`, or `module:function` in the recipe;
both name a function without arguments that returns a `Suite` and says so in its annotation.
"""

from __future__ import annotations

import importlib
import re
import typing
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, AsyncIterator, Awaitable, Callable, Mapping

from planact.env import Env
from planact.llm import LLM
from planact.recipe import RecipeError
from planact.types import Op, Outcome, Task

if TYPE_CHECKING:
    from planact_envs.evidence import Saved

GROUP = "planact.suites"
IN_CHROMIUM = 32  # episodes in one browser at a time, 60 MiB each on miniweb (benchmarks/evaluation.py); ours
_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True)
class World:
    """What a recipe says about the world that its episodes run in."""

    form: str = "axtree"  # observation form
    scorer: str = ""  # one of `Suite.scorers`
    judge: LLM | None = None  # asks a model where a task's scoring needs one; None leaves such a task unscored
    hosts: tuple[str, ...] = ()  # hosts that pages may load from beside the suite's own sites
    screenshots: Path | None = None  # folder for a PNG of every page, where the back end can draw

    def pictures_of(self, task: Task) -> Path | None:
        """A new folder for the pictures of one episode: every repeat and try of a task has its own. None when none are wanted."""
        if self.screenshots is None:
            return None
        folder = self.screenshots / task.id / token_hex(4)
        folder.mkdir(parents=True)
        return folder


MakeEnv = Callable[[], Env]
OfflineScorer = Callable[["Saved"], Awaitable[Outcome]]


@dataclass(frozen=True)
class Step:
    """One action of a suite's oracle; its element is named as pages name it."""

    op: Op
    role: str = ""  # empty when the action needs no element
    name: str = ""


@dataclass(frozen=True)
class Suite:
    name: str
    version: str  # changes whenever a page or a task does
    tasks: Callable[[str], tuple[Task, ...]]  # by split; raises RecipeError for one that is not in `splits`
    scorers: tuple[str, ...]  # the first is the benchmark's own
    open: Callable[[World], AbstractAsyncContextManager[MakeEnv]]  # starts what episodes share (a browser, a server)
    teacher: Callable[..., LLM] | None = None  # (form, grammar, error_rate, seed)
    oracle: Callable[[Task], tuple[Step, ...] | None] = lambda task: None  # actions that solve a task; None: not known
    task_of: Callable[[str, str], Task | None] | None = None  # (intent, start_url) -> a task with its `eval`; None: it cannot be scored
    splits: tuple[str, ...] = ("train", "validation", "test")
    isolated: bool = True  # every episode has a world of its own; False: sites that others see too, where what was done stays done
    most_in_flight: int | None = None  # episodes that one process plays at a time, whatever a recipe asks for; None: no limit
    locate: Callable[[str], str] = lambda url: url  # where a page of an imported episode is here, so that both are of one site
    offline: Callable[[], Mapping[str, OfflineScorer]] = dict  # scorers of saved episodes by name (planact_envs.evidence)


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


def scorer_of(suite: Suite, scorer: str | None) -> str:
    """The scorer that a recipe means by `scorer`; None is the benchmark's own. Raises RecipeError when the suite has no such scorer."""
    if scorer is None:
        return suite.scorers[0]
    if scorer not in suite.scorers:
        raise RecipeError(f"{suite.name} has no scorer {scorer!r}; set eval.scorer to {' or '.join(suite.scorers)}, or leave it out")
    return scorer


def _miniweb(name: str) -> Suite:
    from planact_envs.miniweb import tasks, world
    from planact_envs.miniweb.scorer import SCORER
    from planact_envs.miniweb.teacher import ScriptedTeacher
    from planact_envs.miniweb.teacher.knowledge import task_of

    @asynccontextmanager
    async def open_(settings: World) -> AsyncIterator[MakeEnv]:
        from planact_envs.miniweb.env import MiniwebEnv

        yield partial(MiniwebEnv, settings.form)

    return Suite(
        name,
        world.MINIWEB_VERSION,
        partial(tasks.load_tasks, suite=name),
        (SCORER,),
        open_,
        ScriptedTeacher,
        oracle=tasks.oracle,
        task_of=task_of,
        offline=_miniweb_offline,
    )


def _miniweb_offline() -> Mapping[str, OfflineScorer]:
    from planact_envs.miniweb.offline import scorers

    return scorers()


def _miniweb_chromium(name: str) -> Suite:
    """The suite `name` with the same tasks and pages, in real Chromium."""

    @asynccontextmanager
    async def open_(settings: World) -> AsyncIterator[MakeEnv]:
        from planact_envs.chromium.launch import open_browsers

        async with open_browsers() as running:  # first, because it says what to install
            from planact_envs.miniweb.chromium_env import ChromiumMiniwebEnv
            from planact_envs.miniweb.server import serve

            async with serve() as episodes:
                yield partial(ChromiumMiniwebEnv, running, episodes, settings.form, settings.screenshots)

    return replace(_miniweb(name), name=f"{name}-chromium", open=open_, most_in_flight=IN_CHROMIUM)


def _webarena(name: str, *scorers: str) -> Suite:
    from planact_envs.webarena import tasks
    from planact_envs.webarena.sites import locate

    @asynccontextmanager
    async def open_(settings: World) -> AsyncIterator[MakeEnv]:
        from planact_envs.webarena.env import open_sites

        async with open_sites(name, settings) as make_env:
            yield make_env

    more = {"splits": tasks.SPLITS[name], "locate": locate, "offline": _webarena_offline, "most_in_flight": IN_CHROMIUM, "isolated": False}
    return Suite(name, tasks.version(name), partial(tasks.load_tasks, name), scorers, open_, **more)


def _webarena_offline() -> Mapping[str, OfflineScorer]:
    from planact_envs.webarena.offline import SCORERS

    return SCORERS


def _webvoyager() -> Suite:
    from planact_envs.webvoyager.judge import CALLS
    from planact_envs.webvoyager.tasks import SUITE, load_tasks, version

    @asynccontextmanager
    async def open_(settings: World) -> AsyncIterator[MakeEnv]:
        from planact_envs.webvoyager.env import open_sites

        async with open_sites(settings) as make_env:
            yield make_env

    return Suite(SUITE, version(), load_tasks, tuple(CALLS), open_, splits=("test",), most_in_flight=IN_CHROMIUM, isolated=False)


def _miniwob() -> Suite:
    from planact_envs.miniwob import tasks
    from planact_envs.miniwob.browser import open_threads
    from planact_envs.miniwob.env import SCORER, MiniwobEnv
    from planact_envs.miniwob.gym import check_installed

    @asynccontextmanager
    async def open_(settings: World) -> AsyncIterator[MakeEnv]:
        check_installed()
        async with open_threads() as threads:
            yield lambda: MiniwobEnv(next(threads), settings.form, settings.screenshots)

    return Suite("miniwob", tasks.VERSION, tasks.load_tasks, (SCORER,), open_, splits=("train", "test"))


_SUITES: dict[str, Callable[[], Suite]] = {
    "miniweb": partial(_miniweb, "miniweb"),
    "miniweb-short": partial(_miniweb, "miniweb-short"),
    "miniweb-chromium": partial(_miniweb_chromium, "miniweb"),
    "miniweb-short-chromium": partial(_miniweb_chromium, "miniweb-short"),
    "miniwob": _miniwob,
    "webarena-lite": partial(_webarena, "webarena-lite", "vab", "browsergym", "webarena-verified"),
    "webarena": partial(_webarena, "webarena", "webarena", "vab", "webarena-verified"),
    "webvoyager": _webvoyager,
}
