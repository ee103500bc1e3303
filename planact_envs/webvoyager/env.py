"""One WebVoyager episode: a live site in Chromium, a text page for the agent, and a screenshot of every page for the judge."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

from planact.env import EnvError
from planact.recipe import RecipeError
from planact.types import Action, Observation, Outcome, Task
from planact_envs.acting import ActionFailed
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import open_browsers
from planact_envs.chromium.session import ChromiumSession
from planact_envs.suites import MakeEnv, World
from planact_envs.webvoyager.judge import judge_answer

if TYPE_CHECKING:
    from playwright.async_api import Browser

EMPTY = "about:blank"  # what a fresh tab shows
VIEWPORT = (1024, 768)  # pixels, as in WebVoyager
COUNTRY_SUFFIXES = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})  # as in bbc.co.uk


class WebVoyagerEnv:
    """Pages load from the task's site, the rest of its domain and the world's hosts."""

    def __init__(self, running: Callable[[], Awaitable[Browser]], world: World):
        self.running, self.world = running, world
        self.session: ChromiumSession | None = None

    async def reset(self, task: Task) -> Observation:
        await self.close()
        self.task = task
        self.screenshots: list[Path] = []
        self.pictures = self.world.pictures_of(task)
        gate = Gate((*site_hosts(task.start_url), *self.world.hosts))
        self.session = await ChromiumSession.open(await self.running(), self.world.form, gate, viewport=VIEWPORT)
        try:
            await self.session.goto(task.start_url)
        except ActionFailed as error:
            if self.session.page.url == EMPTY:
                raise EnvError(f"task {task.id}: the start page cannot be opened: {error}") from error
        return self._seen(await self.session.observe(screenshot=self._picture()))

    async def step(self, action: Action) -> Observation:
        return self._seen(await self.session.step(action, self.page, self._picture()))

    async def score(self, answer: str) -> Outcome:
        """The judge's verdict; a reference answer is named in the reason, for people."""
        outcome = await judge_answer(self.world.judge, self.world.scorer, self.task.intent, answer, self.screenshots)
        if reference := self.task.eval.get("reference"):
            return replace(outcome, reason=f"{outcome.reason}; {reference['type']} reference answer: {reference['answer']}")
        return outcome

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()
            self.session = None

    def _picture(self) -> Path | None:
        """Where the next page is drawn."""
        return self.pictures and self.pictures / f"{len(self.screenshots):02}.png"

    def _seen(self, page: Observation) -> Observation:
        self.page = page
        self.screenshots += [Path(page.screenshot)] if page.screenshot else []
        return page


@asynccontextmanager
async def open_sites(world: World) -> AsyncIterator[MakeEnv]:
    """One browser for all episodes, and another when it is gone.

    Raises RecipeError for a judge without screenshots, EnvError when there is no browser.
    """
    if world.judge is not None and world.screenshots is None:
        raise RecipeError("webvoyager's judge looks at screenshots; set eval.screenshots to true")
    async with open_browsers() as running:
        yield partial(WebVoyagerEnv, running, world)


def site_hosts(url: str) -> tuple[str, ...]:
    """The host of `url`, and its domain with everything below it: www.bbc.co.uk, bbc.co.uk, *.bbc.co.uk."""
    host = urlsplit(url).netloc.lower()
    labels = urlsplit(url).hostname.split(".")
    if len(labels) < 2 or labels[-1].isdigit():  # a name of this machine, or an address
        return (host,)
    country = len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in COUNTRY_SUFFIXES
    domain = ".".join(labels[-3 if country else -2 :])
    return (host, domain, f"*.{domain}")
