"""WebArena behind the `Env` protocol: a Chromium context per episode, signed in to the task's sites, on sites that the user hosts."""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, AsyncIterator, Awaitable, Callable, Iterator

from playwright.async_api import Error as PlaywrightError

from planact.env import EnvError
from planact.types import Action, Observation, Op, Outcome, Task
from planact_envs.acting import ActionFailed
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import open_browsers
from planact_envs.chromium.session import ChromiumSession
from planact_envs.chromium.tab import Limits
from planact_envs.evidence import Evidence, kept
from planact_envs.scoring import browsergym, rules, vab, verified
from planact_envs.scoring.ending import Ending, Unscorable
from planact_envs.scoring.locator import UnknownLocator
from planact_envs.webarena.login import Logins
from planact_envs.webarena.network import NetworkRecorder, storable
from planact_envs.webarena.reset import reset_sites
from planact_envs.webarena.sites import PUBLISHED, Sites, hosts_of, needed_sites, require_answers, sites_from_environment
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
SESSION = 16  # characters of a cookie's value that signs in; shorter ones are words that pages show too (ours)
LIMITS = Limits(navigation=60.0, action=20.0)  # seconds; ours: Magento and GitLab take long on the first visit


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
        async with open_browsers() as running:

            async def open_session(storage_state: Path | None = None) -> ChromiumSession:
                settings = {"storage_state": storage_state, "extra_headers": sites.headers, "limits": LIMITS}
                return await ChromiumSession.open(await running(), world.form, gate, **settings)

            logins = Logins(sites, open_session, Path(folder))
            yield partial(WebArenaEnv, world, sites, logins, open_session)


def _login(task: Task) -> tuple[str, ...]:
    """The sites to be signed in to: the task file's word, or all of the task's for a request that no file has (planact_data.synthesis)."""
    return tuple(task.eval["login"]) if task.eval else tuple(site for site in task.sites if site in PUBLISHED)


@contextmanager
def browser_faults() -> Iterator[None]:
    """A browser that is gone, or a page that does not answer, is the world's fault and no error of ours."""
    try:
        yield
    except PlaywrightError as error:
        raise EnvError(f"the browser failed: {error.message.splitlines()[0]}") from error


class WebArenaEnv:
    """One episode. Pages load from the sites and the world's hosts."""

    def __init__(self, world: World, sites: Sites, logins: Logins, open_session: Callable[..., Awaitable[ChromiumSession]]):
        self.world, self.sites, self.logins, self.open_session = world, sites, logins, open_session
        self.session: ChromiumSession | None = None
        self.recorder: NetworkRecorder | None = None
        self.readings: dict[str, str] = {}  # what page checks have read since the episode ended

    async def reset(self, task: Task) -> Observation:
        await self.close()
        self.task = self.sites.resolve_task(task)
        self.seen = 0  # pages
        self.pictures = self.world.pictures_of(task)
        with browser_faults():
            self.session = await self.open_session(storage_state=await self.logins.state(_login(task)))
            self.recorder = NetworkRecorder(self.session.context)
            if place := task.eval.get("geolocation"):
                await self.session.context.grant_permissions(["geolocation"])
                await self.session.context.set_geolocation(place)
        first, *others = self.task.start_url.split(AND)
        await self._start(first)
        for url in others:
            await self.session.act(Action(Op.NEW_TAB))
            await self._start(url)
        if others:  # as in WebArena, which begins with the first
            await self.session.act(Action(Op.TAB_FOCUS, text="0"))
        self.page = await self.session.observe(screenshot=self._picture())
        return self.page

    async def _start(self, url: str) -> None:
        error = ""
        try:
            await self.session.goto(url)
        except ActionFailed as failure:  # which may only say that a part of the page is slow
            error = str(failure)
        if not self.session.page.url.startswith("http"):
            raise EnvError(f"task {self.task.id}: the start page {url} cannot be opened: {error}")

    async def step(self, action: Action) -> Observation:
        self.page = await self.session.step(action, self.page, self._picture())
        return self.page

    async def score(self, answer: str) -> Outcome:
        if not self.task.eval:
            return Outcome(None, self.world.scorer, "the task has no evaluation")
        self.readings = {}
        with browser_faults():
            self.events = await self.recorder.entries_in_time()  # before page checks make requests of their own
            if self.events is None and self.world.scorer == verified.NAME:
                raise EnvError("the network events cannot be told: an answer of a site is still on its way")
            ending = Ending(answer, self.session.page, self.sites, self.world.judge, self.events or (), self.readings)
            return await SCORERS[self.world.scorer](self.task, ending)

    async def evidence(self) -> dict[str, Any]:
        """For scoring the episode again (planact_envs.evidence): every check of the task is read, whether the scorer needed it or not."""
        if not self.task.eval:
            return {}
        with browser_faults():
            page, context = self.session.page, self.session.context
            pages, left_out = {}, []
            try:
                pages[page.url] = await rules.in_time(page.content(), {"url": "last"})
            except EnvError as error:
                left_out.append(f"the last page: {error}")
            ending = Ending("", page, self.sites, readings=self.readings)
            for check in self.task.eval["program_html"]:
                try:
                    await rules.reading(check, ending)
                except (EnvError, Unscorable, UnknownLocator) as error:
                    left_out.append(f"page {check['url']}: {error}")
            secrets = {f"password of {site}": account.password for site, account in self.sites.accounts.items()}
            secrets |= {f"header {name}": value for name, value in self.sites.headers.items()}
            secrets |= {
                f"cookie {cookie['name']}": cookie["value"] for cookie in await context.cookies() if len(cookie["value"]) >= SESSION
            }
        events = None if self.events is None else storable(self.events, self.sites.headers)
        return kept(Evidence(page.url, pages, self.readings, events, sites=self.sites.urls, left_out=tuple(left_out)), secrets)

    async def close(self) -> None:
        if self.session:
            await self.session.close()
            self.session = None

    def _picture(self) -> Path | None:
        """Where the next page is drawn."""
        self.seen += 1
        return self.pictures and self.pictures / f"{self.seen - 1:02}.png"
