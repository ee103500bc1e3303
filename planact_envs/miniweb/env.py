"""miniweb behind the `Env` protocol: an isolated world and a text browser per episode, in process."""

from __future__ import annotations

import sqlite3
from typing import Any

from planact.env import EnvError
from planact.types import Action, Observation, Outcome, Task
from planact_envs.acting import ActionFailed
from planact_envs.miniweb import scorer, sites, world
from planact_envs.miniweb.browser import TextBrowser, with_database
from planact_envs.observation import FORMS, observation_of


class MiniwebEnv:
    """One episode. `form` is one of `planact_envs.observation.FORMS`."""

    def __init__(self, form: str = "axtree"):
        if form not in FORMS:
            raise ValueError(f"observation form {form!r} does not exist; choose one of {', '.join(FORMS)}")
        self.form = form
        self.browser: TextBrowser | None = None

    async def reset(self, task: Task) -> Observation:
        await self.close()
        self.task = task
        self.start = world.build_world()
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        self.database.deserialize(self.start)
        self.browser = TextBrowser(with_database(sites.app(), self.database), sites.HOSTS)
        try:
            await self.browser.goto(task.start_url)
        except ActionFailed as error:
            raise EnvError(f"task {task.id}: the start page cannot be opened: {error}") from error
        return self._observe()

    async def step(self, action: Action) -> Observation:
        try:
            await self.browser.act(action)
        except ActionFailed as error:
            return self._observe(str(error))
        return self._observe()

    async def score(self, answer: str) -> Outcome:
        self.changes = scorer.changes(self.start, self.database) if self.task.eval else None
        return await scorer.verdict(self.task.eval, answer=answer, url=self.browser.tab.url, changes=self.changes, fetch=self._fetch)

    async def evidence(self) -> dict[str, Any]:
        """For scoring the episode again (planact_envs.evidence)."""
        return await scorer.evidence(self.task.eval, url=self.browser.tab.url, changes=self.changes, fetch=self._fetch)

    async def close(self) -> None:
        if self.browser:
            self.database.close()
            self.browser = None

    async def _fetch(self, url: str) -> str:
        try:
            return await self.browser.fetch(url)
        except ActionFailed:  # an empty tab shows nothing
            return ""

    def _observe(self, error: str = "") -> Observation:
        tab = self.browser.tab
        return observation_of(tab.page, self.form, tab.url, tuple(t.url for t in self.browser.tabs), error)
