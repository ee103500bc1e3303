"""WebArena behind the `Env` protocol: a Chromium context per episode, signed in to the task's sites, on sites that the user hosts."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, AsyncIterator, Awaitable, Callable

from planact.types import Action, Observation, Op, Outcome, Task
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import open_browser
from planact_envs.chromium.session import ChromiumSession
from planact_envs.scoring import browsergym, vab, verified
from planact_envs.scoring.ending import Ending
from planact_envs.webarena.login import Logins
from planact_envs.webarena.network import NetworkRecorder
from planact_envs.webarena.reset import reset_sites
from planact_envs.webarena.sites import Sites, hosts_of, needed_sites, require_answers, sites_from_environment
from planact_envs.webarena.tasks import load_tasks

if TYPE_CHECKING:
    from planact_envs.suites import MakeEnv, World

AND = " |AND| "  # between the start pages of a task, each in its own tab
SCORERS: dict[str, Callable[[Task, Ending], Awaitable[Outcome]]] = {
    "vab": vab.score,
    "browsergym": browsergym.score,
    "webarena": browsergym.score_webarena,
    verified.NAME: verified.score,
}


@asynccontextmanager
async def open_sites(suite: str, world: World) -> AsyncIterator[MakeEnv]:
    """Everything that the episodes of a run share: sites that answer, after a reset if there is one, a browser, and the logins.

    Raises RecipeError with what to type when something that the user provides is missing.
    """
    if world.scorer == verified.NAME:
        verified.check_installed()
    needed = needed_sites(load_tasks(suite, "test"))
    sites = sites_from_environment(needed)
    await reset_sites()
    await require_answers(sites, needed, suite)
    gate = Gate((*await hosts_of(sites), *world.hosts))
    with tempfile.TemporaryDirectory(prefix="planact-login-") as folder:
        async with open_browser() as browser:

            async def open_session(storage_state: Path | None = None) -> ChromiumSession:
                return await ChromiumSession.open(browser, world.form, gate, storage_state=storage_state, extra_headers=dict(sites.headers))

            logins = Logins(sites, open_session, Path(folder))
            yield lambda: WebArenaEnv(world, sites, logins, open_session)


class WebArenaEnv:
    """One episode."""

    def __init__(self, world: World, sites: Sites, logins: Logins, open_session: Callable[[Path | None], Awaitable[ChromiumSession]]):
        self._world, self._sites, self._logins, self._open = world, sites, logins, open_session
        self._session: ChromiumSession | None = None
        self._recorder: NetworkRecorder | None = None

    async def reset(self, task: Task) -> Observation:
        await self.close()
        self._task = self._sites.resolve_task(task)
        self._session = session = await self._open(await self._logins.state(tuple(task.eval["login"])))
        context = session.page.context
        self._recorder = NetworkRecorder(context) if self._world.scorer == verified.NAME else None
        if place := task.eval["geolocation"]:
            await context.grant_permissions(["geolocation"])
            await context.set_geolocation(place)
        urls = self._task.start_url.split(AND)
        for index, url in enumerate(urls):
            if index:
                await session.act(Action(Op.NEW_TAB))
            await session.goto(url)
        if len(urls) > 1:
            await session.act(Action(Op.TAB_FOCUS, text="0"))
        return await session.observe()

    async def score(self, answer: str) -> Outcome:
        events = await self._recorder.entries() if self._recorder else ()
        ending = Ending(answer, self._session.page, self._sites, self._world.judge, events)
        return await SCORERS[self._world.scorer](self._task, ending)

    async def close(self) -> None:
        if self._session:
            await self._session.close()
            self._session = None
