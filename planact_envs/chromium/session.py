"""One episode's browser: a context of its own, tabs, actions and observations."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

from planact.env import EnvError
from planact.types import Action, Observation, Op
from planact_envs.acting import ActionFailed, shown, tab_index
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.hands import act_on
from planact_envs.chromium.proxy import Proxy
from planact_envs.chromium.settle import settle
from planact_envs.chromium.tab import Crashed, Hung, Limits, Navigated, Tab, said, script
from planact_envs.observation import observation_of
from planact_envs.page import Page as PageTree

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

MAX_TABS = 10
ABORTED = "net::ERR_ABORTED"  # what Chromium says of a navigation that became a download, or that the page stopped
DEFAULTS = Limits()


class ChromiumSession:
    """`act` carries an action out and raises ActionFailed with what went wrong; `observe` reads the current tab."""

    def __init__(self, context: BrowserContext, proxy: Proxy, form: str, gate: Gate, limits: Limits):
        self.context, self.proxy, self.form, self.gate, self.limits = context, proxy, form, gate, limits
        self.tabs: list[Tab] = []
        self.current = 0
        self.requests: list[tuple[str, str, int]] = []  # method, url, status; 0 when there was no answer

    @classmethod
    async def open(
        cls,
        browser: Browser,
        form: str,
        gate: Gate,
        *,
        storage_state: Any = None,
        extra_headers: Mapping[str, str] | None = None,
        viewport: tuple[int, int] = (1280, 720),
        limits: Limits = DEFAULTS,
    ) -> ChromiumSession:
        """A fresh context with one empty tab. Raises EnvError when the browser is gone."""
        from playwright.async_api import Error

        proxy = Proxy(gate)
        server = await proxy.start()
        try:
            settings = {"accept_downloads": False, "service_workers": "block", "storage_state": storage_state}
            settings |= {"proxy": {"server": server, "bypass": "<-loopback>"}, "extra_http_headers": {**(extra_headers or {})}}
            size = {"width": viewport[0], "height": viewport[1]}
            context = await asyncio.wait_for(browser.new_context(viewport=size, **settings), limits.navigation)
            session = cls(context, proxy, form, gate, limits)
            context.on("response", lambda r: session.requests.append((r.request.method, r.url, r.status)))
            context.on("requestfailed", lambda r: session.requests.append((r.method, r.url, 0)))
            await context.grant_permissions([])  # and so deny all others
            await context.add_init_script(script("settle.js"))
            await session._new_tab()
        except (Error, EnvError, TimeoutError) as error:
            await proxy.close()
            raise EnvError(f"the browser does not open a page: {said(error)}") from error
        return session

    @property
    def tab(self) -> Tab:
        return self.tabs[self.current]

    @property
    def page(self) -> Page:
        return self.tab.window

    async def close(self) -> None:
        from playwright.async_api import Error

        with suppress(Error, TimeoutError):  # the browser may be gone, and the context with it
            await asyncio.wait_for(self.context.close(), self.limits.navigation)
        await self.proxy.close()

    async def goto(self, url: str) -> None:
        """Open `url` in the current tab. Raises ActionFailed when it does not open."""
        await self.act(Action(Op.GOTO, text=url))

    async def act(self, action: Action) -> None:
        """Carry an action out and wait for its effects. Raises ActionFailed with what the agent should know, or EnvError."""
        if slow := await self._carry_out(action):
            raise ActionFailed(slow)

    async def step(self, action: Action, before: Observation, screenshot: Path | None = None) -> Observation:
        """Act and observe, on a live site. That a page goes on loading is an error only when nothing has changed since `before`:
        three errors in a row end an episode."""
        slow = error = ""
        try:
            slow = await self._carry_out(action)
        except ActionFailed as failure:
            error = str(failure)
        page = await self.observe(error, screenshot)
        changed = (page.url, page.text) != (before.url, before.text)
        return page if changed or not slow else replace(page, error="; ".join(filter(None, [slow, page.error])))

    async def observe(self, error: str = "", screenshot: Path | None = None) -> Observation:
        """The current tab as the agent sees it; a PNG of what is in view goes to the file `screenshot`, if it can be drawn."""
        page, more = await self._read()
        error = "; ".join(filter(None, [error, *more]))
        drawn = str(screenshot) if screenshot and await self._draw(screenshot) else None
        urls = tuple(t.url for t in self.tabs)
        return observation_of(page, self.form, self.tab.url, urls, error, drawn)

    async def _draw(self, path: Path) -> bool:
        """Asked of Chromium itself, because Playwright waits for fonts first, and live pages may wait for theirs for ever."""
        try:
            drawn = await self.tab.send("Page.captureScreenshot", {"format": "png"})
        except (Hung, Crashed, Navigated):
            return False
        _write(path, base64.b64decode(drawn["data"]))
        return True

    async def _read(self) -> tuple[PageTree, list[str]]:
        """The current page, and what had to be done to get it."""
        tab = self.tab
        try:
            return await tab.read(), []
        except (Hung, Crashed) as failure:
            tab.begin()
            await self._recover(tab, failure)
        try:
            return await self.tab.read(), tab.notes
        except (Hung, Crashed) as failure:
            raise EnvError(f"the page cannot be read: {failure}") from failure

    async def fetch(self, url: str) -> str:
        """The HTML of the page at `url` as Chromium renders it, in a tab that the agent never sees. Raises EnvError."""
        tab = await self._blank()
        try:
            await self._navigate(tab, url)
            return await tab.within(tab.window.content())
        except (Hung, Crashed, Navigated) as error:
            raise EnvError(f"{url} could not be read: {error}") from error
        finally:
            await tab.close()

    async def _carry_out(self, action: Action) -> str:
        """What had not ended in time, "" when all had. Raises ActionFailed when there is more to tell."""
        from playwright.async_api import Error

        tab = self.tab
        tab.begin()
        before = len(self.proxy.unreached)
        try:
            await self._do(action)
            await self._leave_error_page(tab)
            await self._take_popups(tab)
        except Navigated:
            tab.missed = True
        except (Hung, Crashed) as error:
            await self._recover(tab, error)
        except Error as error:
            raise EnvError(f"the browser does not answer: {said(error)}") from error
        if tab.unopened and ABORTED in tab.failure:
            with suppress(Hung):  # an address that turned out to be a download says so a moment later
                await tab.within(tab.downloaded.wait(), self.limits.patience)
        if tab.unopened and not tab.notes and not tab.slow:
            reasons = [tab.failure or "the site did not send a page"] + [reason for _, reason in self.proxy.unreached[before:]]
            tab.notes.append(f"{shown(tab.unopened)} could not be opened: {reasons[-1]}")
        if tab.missed:
            tab.notes.append("the page was leaving for another one before the action was done; look at the page again")
        if tab.notes:
            raise ActionFailed("; ".join(dict.fromkeys(tab.notes)))
        return "; ".join(dict.fromkeys(tab.slow))

    async def _leave_error_page(self, tab: Tab) -> None:
        """Chromium shows a page of its own when a site cannot be reached; the agent stays where it was."""
        if tab.lost:
            await self._travel(tab, -1, blank=True)
            await settle(tab)

    async def _take_popups(self, tab: Tab) -> None:
        """Windows that the page opened become tabs, the last one the current tab."""
        while tab.awaited or tab.popups:
            if not tab.popups:
                tab.popup.clear()
                try:
                    await tab.within(tab.popup.wait(), self.limits.patience)
                except Hung:
                    reason = self.proxy.unreached[-1:] or [("", "it did not show in time")]
                    tab.notes.append(f"a window that the page opened stayed empty: {reason[0][1]}")
                    return
            window = tab.popups.pop(0)
            tab.awaited = max(0, tab.awaited - 1)
            if len(self.tabs) == MAX_TABS:
                await window.close()
                tab.notes.append(f"a new tab was refused: {MAX_TABS} are open")
                continue
            opened = await Tab.open(window, self.limits)
            await settle(opened)
            self.tabs.append(opened)
            self.current = len(self.tabs) - 1

    async def _recover(self, tab: Tab, error: Hung | Crashed) -> None:
        """Go on after a page that hangs or is gone. Raises EnvError when the browser is gone."""
        from playwright.async_api import Error

        try:
            if isinstance(error, Hung) and await tab.free():
                tab.notes.append(f"the page did not respond for {self.limits.action:g} s; its script was stopped")
                return
            position, closed = self.tabs.index(tab), tab.window.is_closed()
            if closed and len(self.tabs) > 1:
                del self.tabs[position]
                self.current = max(0, position - 1)
            else:
                await self._replace(position, reload=isinstance(error, Crashed) and not closed)
            gone = "closed its tab" if closed else "crashed and was opened again"
            tab.notes.append(f"the page {'does not respond; its tab was emptied' if isinstance(error, Hung) else gone}")
        except (Hung, Crashed, Navigated, Error) as gone:
            raise EnvError(f"the browser does not answer: {error}, then {said(gone)}") from error

    async def _replace(self, position: int, reload: bool) -> None:
        """A fresh tab in the place of a broken one, with the same page if it opens."""
        broken = self.tabs[position]
        url = broken.url
        self.tabs[position] = await self._blank()
        await broken.close()
        if reload and not self.gate.refusal(url):
            await self._navigate(self.tabs[position], url)

    async def _do(self, action: Action) -> None:
        tab = self.tab
        match action.op:
            case Op.GOTO:
                await self._navigate(tab, action.text)
                return
            case Op.BACK | Op.FORWARD:
                await self._travel(tab, -1 if action.op == Op.BACK else +1)
            case Op.NEW_TAB:
                await self._new_tab()
            case Op.TAB_FOCUS:
                self.current = tab_index(len(self.tabs), action.text)
                await self.tab.within(self.page.bring_to_front())
            case Op.CLOSE_TAB:
                await self._close_tab()
            case Op.NOTE:
                return
            case _:
                try:
                    await act_on(tab, action)
                except Hung:
                    if tab.answered.is_set():  # else the page is only waiting for the one that the action opens
                        raise
                except Navigated:
                    tab.missed = True
        await settle(self.tab)

    async def _navigate(self, tab: Tab, url: str) -> None:
        if reason := self.gate.refusal(url):
            raise ActionFailed(f"{shown(url)} is not opened: {reason}")
        tab.leaves()
        await tab.send("Page.navigate", {"url": url}, self.limits.navigation)
        await settle(tab)

    async def _travel(self, tab: Tab, step: int, blank: bool = False) -> None:
        """To another page of the tab's history; to the empty page that every tab starts with only if `blank`."""
        history = await tab.send("Page.getNavigationHistory")
        position, entries = history["currentIndex"] + step, history["entries"]
        if not 0 <= position < len(entries) or (not blank and position == 0 and entries[0]["url"] == "about:blank"):
            raise ActionFailed("there is no page to go back to" if step < 0 else "there is no page to go forward to")
        tab.leaves()
        await tab.send("Page.navigateToHistoryEntry", {"entryId": entries[position]["id"]})

    async def _blank(self) -> Tab:
        """An empty tab. Raises EnvError when the browser is gone; one that dies at this moment may never answer, not even with an error."""
        from playwright.async_api import Error

        try:
            async with asyncio.timeout(self.limits.navigation):
                return await Tab.open(await self.context.new_page(), self.limits)
        except (Error, TimeoutError) as error:
            raise EnvError(f"the browser does not open a tab: {said(error)}") from error

    async def _new_tab(self) -> None:
        if len(self.tabs) == MAX_TABS:
            raise ActionFailed(f"no more than {MAX_TABS} tabs can be open")
        self.tabs.append(await self._blank())
        self.current = len(self.tabs) - 1

    async def _close_tab(self) -> None:
        if len(self.tabs) == 1:
            raise ActionFailed("the last tab cannot be closed")
        await self.tabs.pop(self.current).close()
        self.current = max(0, self.current - 1)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
