"""miniweb in real Chromium behind the `Env` protocol: the same pages, tasks and scorer as in process."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Awaitable, Callable

from planact.env import EnvError
from planact.types import Action, Observation, Outcome, Task
from planact_envs.acting import ActionFailed
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.session import ChromiumSession
from planact_envs.miniweb import scorer, sites, world
from planact_envs.miniweb.database import connect
from planact_envs.miniweb.server import EPISODE, Episodes

if TYPE_CHECKING:
    from playwright.async_api import Browser


class ChromiumMiniwebEnv:
    """One episode: a context of the `running` browser and a database of `episodes`; a picture of every page in `screenshots`."""

    def __init__(
        self, running: Callable[[], Awaitable[Browser]], episodes: Episodes, form: str = "axtree", screenshots: Path | None = None
    ):
        self.running, self.episodes, self.form, self.screenshots = running, episodes, form, screenshots
        self.session: ChromiumSession | None = None
        self.database: sqlite3.Connection | None = None

    async def reset(self, task: Task) -> Observation:
        await self.close()
        self.task, self.pictures = task, 0
        self.start = world.build_world()
        self.database = connect(self.start)
        self.episode = self.episodes.open(self.database)
        gate = Gate(served=dict.fromkeys(sites.HOSTS, self.episodes.address))
        self.session = await ChromiumSession.open(await self.running(), self.form, gate, extra_headers={EPISODE: self.episode})
        try:
            await self.session.goto(task.start_url)
        except ActionFailed as error:
            raise EnvError(f"task {task.id}: the start page cannot be opened: {error}") from error
        return await self._observe()

    async def step(self, action: Action) -> Observation:
        try:
            await self.session.act(action)
        except ActionFailed as error:
            return await self._observe(str(error))
        return await self._observe()

    async def score(self, answer: str) -> Outcome:
        self.changes = scorer.changes(self.start, self.database) if self.task.eval else None
        return await scorer.verdict(self.task.eval, answer=answer, url=self.session.page.url, changes=self.changes, fetch=self._fetch)

    async def evidence(self) -> dict[str, Any]:
        """For scoring the episode again (planact_envs.evidence)."""
        return await scorer.evidence(self.task.eval, url=self.session.page.url, changes=self.changes, fetch=self._fetch)

    async def close(self) -> None:
        if self.session:
            await self.session.close()
            self.session = None
        if self.database:
            self.episodes.close(self.episode)
            self.database.close()
            self.database = None

    async def _fetch(self, url: str) -> str:
        try:
            return await self.session.fetch(url)
        except ActionFailed:  # an empty tab shows nothing
            return ""

    async def _observe(self, error: str = "") -> Observation:
        picture = None
        if self.screenshots:
            picture = self.screenshots / f"{self.task.id}-{self.episode[:8]}-{self.pictures:03}.png"
            self.pictures += 1
        return await self.session.observe(error, picture)
