"""One episode's browser: a context of its own, tabs, actions and observations."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping

from planact.env import EnvError
from planact.types import Action, Observation, Op
from planact_envs.acting import ActionFailed, choice, node_of, shown, tab_index, text_field
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.proxy import Proxy
from planact_envs.chromium.settle import settle
from planact_envs.chromium.tab import Crashed, Hung, Limits, Navigated, Tab, script
from planact_envs.observation import observation_of

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page

MAX_TABS = 10
DEFAULTS = Limits()
PICKED = frozenset({"date", "time", "datetime-local", "month", "week", "color", "range"})  # inputs that take no typed text
FAULTS = {
    "stale": "is no longer on the page; look at the page again",
    "hidden": "is not visible",
    "disabled": "is disabled",
    "covered": "is covered by another element",
}


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
            context = await browser.new_context(
                proxy={"server": server, "bypass": "<-loopback>"},
                storage_state=storage_state,
                extra_http_headers=dict(extra_headers or {}),
                viewport={"width": viewport[0], "height": viewport[1]},
                accept_downloads=False,
                service_workers="block",
            )
            session = cls(context, proxy, form, gate, limits)
            context.on("response", lambda r: session.requests.append((r.request.method, r.url, r.status)))
            context.on("requestfailed", lambda r: session.requests.append((r.method, r.url, 0)))
            await context.add_init_script(script("settle.js"))
            await session._new_tab()
        except Error as error:
            await proxy.close()
            raise EnvError(f"the browser does not open a page: {error.message}") from error
        return session

    @property
    def tab(self) -> Tab:
        return self.tabs[self.current]

    @property
    def page(self) -> Page:
        return self.tab.window

    @property
    def pages(self) -> list[Page]:
        return [tab.window for tab in self.tabs]

    async def close(self) -> None:
        from playwright.async_api import Error

        with suppress(Error):  # the browser may be gone, and the context with it
            await self.context.close()
        await self.proxy.close()

    async def goto(self, url: str) -> None:
        """Open `url` in the current tab. Raises ActionFailed when it does not open."""
        await self._carry_out(Action(Op.GOTO, text=url))

    async def act(self, action: Action) -> None:
        """Carry an action out and wait for its effects. Raises ActionFailed with what the agent should know, EnvError when the
        browser is gone."""
        await self._carry_out(action)

    async def observe(self, error: str = "", screenshot: Path | None = None) -> Observation:
        """The current tab as the agent sees it; a picture of it goes to the file `screenshot`."""
        tab = self.tab
        page = await tab.read()
        if screenshot:
            await tab.window.screenshot(path=screenshot, timeout=1000 * self.limits.action)
        urls = tuple(t.url for t in self.tabs)
        return observation_of(page, self.form, tab.url, urls, error, str(screenshot) if screenshot else None)

    async def fetch(self, url: str) -> str:
        """The HTML of the page at `url` as Chromium renders it, in a tab that the agent never sees."""
        window = await self.context.new_page()
        tab = await Tab.open(window, self.limits)
        try:
            await self._navigate(tab, url)
            return await window.content()
        finally:
            await window.close()

    async def _carry_out(self, action: Action) -> None:
        from playwright.async_api import Error

        tab = self.tab
        tab.begin()
        before = len(self.proxy.unreached)
        try:
            await self._do(action)
            if tab.lost:
                await self._travel(-1)
                await settle(tab)
        except Navigated:
            raise ActionFailed(f"element {shown(action.element)} {FAULTS['stale']}") from None
        except (Hung, Crashed, Error) as error:
            raise EnvError(f"the page does not answer: {error}") from error
        if tab.unopened:
            reasons = [reason for _, reason in self.proxy.unreached[before:]] or ["the site did not send a page"]
            tab.notes.append(f"{shown(tab.unopened)} could not be opened: {reasons[-1]}")
        if tab.notes:
            raise ActionFailed("; ".join(tab.notes))

    async def _do(self, action: Action) -> None:
        match action.op:
            case Op.CLICK:
                await self._click(action.element)
            case Op.TYPE | Op.SEARCH:
                await self._type(action.element, action.text)
                if action.op == Op.SEARCH:
                    await self.page.keyboard.press("Enter")
            case Op.SELECT:
                index = choice(self.tab.page, action.element, action.text)
                await self._point(action.element)
                await self.tab.call("select", self._number(action.element), index)
            case Op.HOVER:
                await self.page.mouse.move(*await self._point(action.element))
            case Op.PRESS:
                await self._press(action.text)
            case Op.SCROLL:
                await self.tab.call("scroll", -1 if action.text == "up" else 1)
            case Op.GOTO:
                await self._navigate(self.tab, action.text)
                return
            case Op.BACK:
                await self._travel(-1)
            case Op.FORWARD:
                await self._travel(+1)
            case Op.NEW_TAB:
                await self._new_tab()
            case Op.TAB_FOCUS:
                self.current = tab_index(len(self.tabs), action.text)
                await self.page.bring_to_front()
            case Op.CLOSE_TAB:
                await self._close_tab()
            case Op.NOTE:
                return
            case _:
                raise ActionFailed(f"{action.op} is not an action on a page")
        await settle(self.tab)

    def _number(self, key: str) -> int:
        """What reader.js calls the element."""
        return int(self.tab.page.elements[key].attributes["planact"])

    async def _point(self, key: str) -> tuple[float, float]:
        """The middle of an element, scrolled into view. Raises ActionFailed when it cannot be reached."""
        node = node_of(self.tab.page, key)
        found = await self.tab.call("locate", self._number(key))
        if fault := found.get("fault"):
            by = f" ({found['by']})" if found.get("by") else ""
            raise ActionFailed(f"{node.role} {node.name!r} {FAULTS[fault]}{by}")
        return found["x"], found["y"]

    async def _click(self, key: str) -> None:
        node = node_of(self.tab.page, key)
        if node.role == "combobox":  # its list is no part of the page; options are chosen by `select`
            await self.tab.call("focus", self._number(key), False)
            return
        await self.page.mouse.click(*await self._point(key))
        if node.role == "textbox":
            await self.tab.call("focus", self._number(key), False)

    async def _type(self, key: str, text: str) -> None:
        node = text_field(self.tab.page, key)
        await self._point(key)
        number = self._number(key)
        if await self.tab.call("kind", number) in PICKED:
            if not await self.tab.call("set", number, text):
                raise ActionFailed(f"{node.role} {node.name!r} does not take {shown(text)}")
            return
        await self.tab.call("focus", number, True)
        if text:
            await self.page.keyboard.insert_text(text)
        else:
            await self.page.keyboard.press("Delete")

    async def _press(self, key: str) -> None:
        from playwright.async_api import Error

        try:
            await self.page.keyboard.press(key[:1].upper() + key[1:] if key.lower() == "enter" else key)
        except Error as error:
            if "Unknown key" not in error.message:
                raise
            raise ActionFailed(f"there is no key {shown(key)}") from error

    async def _navigate(self, tab: Tab, url: str) -> None:
        if reason := self.gate.refusal(url):
            raise ActionFailed(f"{shown(url)} is not opened: {reason}")
        tab.answered.clear()
        tab.idle.clear()
        await tab.send("Page.navigate", {"url": url}, self.limits.navigation)
        await settle(tab)

    async def _travel(self, step: int) -> None:
        history = await self.tab.send("Page.getNavigationHistory")
        position = history["currentIndex"] + step
        entries = history["entries"]
        if not 0 <= position < len(entries) or (position == 0 and entries[0]["url"] == "about:blank"):
            raise ActionFailed("there is no page to go back to" if step < 0 else "there is no page to go forward to")
        self.tab.answered.clear()
        self.tab.idle.clear()
        await self.tab.send("Page.navigateToHistoryEntry", {"entryId": entries[position]["id"]})

    async def _new_tab(self) -> None:
        self.tabs.append(await Tab.open(await self.context.new_page(), self.limits))
        self.current = len(self.tabs) - 1

    async def _close_tab(self) -> None:
        if len(self.tabs) == 1:
            raise ActionFailed("the last tab cannot be closed")
        await self.tabs.pop(self.current).window.close()
        self.current = max(0, self.current - 1)
