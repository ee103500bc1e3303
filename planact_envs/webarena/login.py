"""Sign in to the sites through their own forms, once for each set of sites, and keep the browser state for the episodes.

A state is a file of Playwright's that holds session cookies: mode 0600, in a private folder that goes when the run ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Awaitable, Callable

from playwright.async_api import Error as PlaywrightError

from planact.env import EnvError
from planact_envs.webarena.sites import Account, Sites

if TYPE_CHECKING:
    from playwright.async_api import Page

    from planact_envs.chromium.session import ChromiumSession

MAX_AGE = 600.0  # seconds before a state is made anew: Magento signs an administrator out after 900 without use
TIMEOUT = 60_000.0  # milliseconds for a form to come and for the page after it; GitLab is slow to wake


@dataclass(frozen=True)
class Form:
    """A site's login form. Fields are found by the names under which the site reads them, whatever its theme calls them."""

    path: str  # below the site's address
    username: str
    password: str


FORMS = {
    "shopping": Form("/customer/account/login/", "login[username]", "login[password]"),
    "shopping_admin": Form("", "login[username]", "login[password]"),
    "reddit": Form("/login", "_username", "_password"),
    "gitlab": Form("/users/sign_in", "user[login]", "user[password]"),
}


class Logins:
    """The browser states of a run, by the sites that are signed in to."""

    def __init__(self, sites: Sites, open_session: Callable[[], Awaitable[ChromiumSession]], folder: Path):
        self._sites, self._open, self._folder = sites, open_session, folder
        self._made: dict[tuple[str, ...], float] = {}  # when, on the monotonic clock
        self._locks: defaultdict[tuple[str, ...], asyncio.Lock] = defaultdict(asyncio.Lock)

    async def state(self, names: tuple[str, ...]) -> Path | None:
        """The file with the state after signing in to these sites; None when there are none. Raises EnvError."""
        if not names:
            return None
        file = self._folder / f"{'.'.join(names)}_state.json"
        async with self._locks[names]:
            if time.monotonic() - self._made.get(names, float("-inf")) > MAX_AGE:
                await self._make(names, file)
                self._made[names] = time.monotonic()
        return file

    async def _make(self, names: tuple[str, ...], file: Path) -> None:
        session = await self._open()
        try:
            for name in names:
                await sign_in(session.page, name, self._sites.url(name), self._sites.accounts[name])
            state = json.dumps(await session.context.storage_state())
        finally:
            await session.close()
        new = file.with_suffix(".new")  # put in place whole: an episode may be reading the old one
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(state)
        new.replace(file)


async def sign_in(page: Page, site: str, url: str, account: Account) -> None:
    """Fill in and send a site's login form. Raises EnvError, which names no credentials, when it is still there afterwards."""
    form = FORMS[site]
    address = url + form.path
    username, password = (page.locator(f'[name="{name}"]').first for name in (form.username, form.password))
    try:
        await page.goto(address, timeout=TIMEOUT)
        await username.fill(account.username, timeout=TIMEOUT)
        await password.fill(account.password, timeout=TIMEOUT)
        async with page.expect_navigation(timeout=TIMEOUT):
            await password.press("Enter")
        refused = await username.count() > 0
    except PlaywrightError as error:
        # Playwright's own message holds a log of the calls, and with it what was typed.
        fields = f"{form.username} and {form.password}"
        reason = f"{type(error).__name__}; does a login form with the fields {fields} open there?"
        raise EnvError(f"signing in to {site} at {address} did not work: {reason}") from None
    if refused:
        name = site.upper()
        raise EnvError(f"{site} at {address} refused the account; if it is not WebArena's own, set {name}_USERNAME and {name}_PASSWORD")
