"""One tab: what Chromium says about its page over CDP, and the calls into the page, each with a deadline."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Awaitable

from planact_envs.acting import shown
from planact_envs.page import Page, read_html

if TYPE_CHECKING:
    from playwright.async_api import CDPSession
    from playwright.async_api import Page as Window

WORLD = "planact"  # the isolated world that reader.js runs in
FREED = 2.0  # s, for a page to answer once its script is stopped
GONE = ("crashed", "has been closed")  # in the message of a call whose page is gone
NAVIGATED = ("context", "navigated", "collected", "uniqueContextId")  # in the message of a call whose document went away


@dataclass(frozen=True)
class Limits:
    """Deadlines in seconds."""

    navigation: float = 30.0  # until a page answers
    action: float = 5.0  # until an action, or a page that has answered, is done
    quiet: float = 0.02  # without a change of the document: one frame of 60 a second, and a bit
    patience: float = 1.0  # for a document that keeps changing by itself


class Hung(Exception):
    """The page did not answer in time."""


class Crashed(Exception):
    """The page's process is gone."""


class Navigated(Exception):
    """The document that was asked is gone: the page went elsewhere."""


def said(error: Exception) -> str:
    """What went wrong, without the browser's log, which Playwright puts behind it."""
    return str(error).split("\n", 1)[0] or type(error).__name__


@cache
def script(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


class Tab:
    """`notes` collects what the agent should be told about the last action: dialogs, downloads, pages that did not open; `slow` what
    had not ended when the time for it was over."""

    def __init__(self, window: Window, cdp: CDPSession, limits: Limits):
        self.window, self.cdp, self.limits = window, cdp, limits
        self.page: Page = read_html("")
        self.world: int | None = None  # the isolated world of the current document
        self.notes: list[str] = []
        self.slow: list[str] = []
        self.popups: list[Window] = []  # opened by this page, and not yet tabs
        self.downloaded = asyncio.Event()  # a download was refused since `begin`
        self.awaited = 0  # windows that the page has opened since `begin`
        self.popup = asyncio.Event()  # set when one of them is there
        self.crashed = asyncio.Event()
        self.answered, self.idle = asyncio.Event(), asyncio.Event()  # the page has answered; it has loaded
        self.leaving = asyncio.Event()  # it has not: another document was asked for
        self.answers()
        self.idle.set()
        self.opening = ""  # the url that is being opened
        self.unopened = ""  # the url that could not be opened since `begin`
        self.failure = ""  # why, in the browser's words
        self.missed = False  # it was asked for another document while it was acted on
        self.lost = False  # Chromium shows a page of its own in place of it

    def begin(self) -> None:
        """Forget what earlier actions left to say."""
        self.notes, self.slow, self.unopened, self.lost, self.failure, self.missed = [], [], "", False, "", False
        self.downloaded.clear()
        self.awaited = 0

    @classmethod
    async def open(cls, window: Window, limits: Limits) -> Tab:
        tab = cls(window, await window.context.new_cdp_session(window), limits)
        tab.frame = (await tab.cdp.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        for event, heard in {
            "Page.frameRequestedNavigation": tab._requests,
            "Page.frameStartedNavigating": tab._requests,
            "Page.frameStartedLoading": tab._starts,
            "Page.frameNavigated": tab._arrives,
            "Page.navigatedWithinDocument": tab._moves,
            "Page.windowOpen": lambda _: tab._awaits(),
            "Page.frameStoppedLoading": tab._stops,
        }.items():
            tab.cdp.on(event, heard)
        window.on("crash", lambda _: tab.crashed.set())
        window.on("close", lambda _: tab.crashed.set())
        window.on("dialog", tab._dialog)
        window.on("popup", tab._opens)
        window.on("requestfailed", tab._fails)
        window.on("download", tab._downloads)
        await tab.cdp.send("Page.enable")
        return tab

    def _requests(self, event: dict[str, Any]) -> None:
        if event["frameId"] == self.frame and event.get("disposition", "currentTab") == "currentTab":
            self.opening = event["url"]
            self._starts(event)

    def _starts(self, event: dict[str, Any]) -> None:
        if event["frameId"] == self.frame:
            self.leaves()

    def leaves(self) -> None:
        """Another document was asked for."""
        self.answered.clear()
        self.idle.clear()
        self.leaving.set()

    def answers(self) -> None:
        self.answered.set()
        self.leaving.clear()

    def _arrives(self, event: dict[str, Any]) -> None:
        if event["frame"]["id"] == self.frame:
            self.world = None
            self.opening = ""
            if "unreachableUrl" in event["frame"]:
                self.unopened, self.lost = event["frame"]["unreachableUrl"], True
            self.answers()

    def _moves(self, event: dict[str, Any]) -> None:
        """The page changed its address without loading another."""
        if event["frameId"] == self.frame:
            self.opening = ""
            self.stays()

    def _stops(self, event: dict[str, Any]) -> None:
        if event["frameId"] == self.frame:
            self.stays()

    def stays(self) -> None:
        """Nothing is loading any more. What was still being opened then did not open."""
        if self.opening:
            self.unopened, self.opening = self.opening, ""
        self.answers()
        self.idle.set()

    def _fails(self, request: Any) -> None:
        if request.is_navigation_request() and request.frame == self.window.main_frame:
            self.failure = self.failure or request.failure or ""

    def _downloads(self, download: Any) -> None:
        self.notes.append(f"the download of {shown(download.suggested_filename)} was refused")
        self.downloaded.set()

    def _awaits(self) -> None:
        self.awaited += 1

    def _opens(self, window: Window) -> None:
        self.popups.append(window)
        self.popup.set()

    async def _dialog(self, dialog: Any) -> None:
        self.notes.append(f"the page opened a dialog ({dialog.type}): {shown(dialog.message)}; it was dismissed")
        await dialog.dismiss()
        if dialog.type == "beforeunload":
            self.stays()

    @property
    def url(self) -> str:
        return self.window.url

    async def within(self, work: Awaitable[Any], seconds: float | None = None, unless: asyncio.Event | None = None) -> Any:
        """The result of `work`. Raises Hung after `seconds` (the action's limit), Crashed when the page's process is gone, Navigated
        when its document is, or when `unless` happens first."""
        from playwright.async_api import Error

        call, *ends = (asyncio.ensure_future(one) for one in (work, self.crashed.wait(), *([unless.wait()] if unless else [])))
        try:
            await asyncio.wait({call, *ends}, timeout=seconds or self.limits.action, return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return call.result()
        except Error as error:
            if self.crashed.is_set() or any(word in error.message for word in GONE):
                raise Crashed(said(error)) from error
            if any(word in error.message for word in NAVIGATED):
                raise Navigated from error
            raise
        finally:
            for one in (call, *ends):
                one.cancel()
        if self.crashed.is_set():
            raise Crashed("the page crashed")
        raise Navigated if unless and unless.is_set() else Hung

    async def send(self, method: str, parameters: dict[str, Any] | None = None, *more: Any) -> Any:
        """The answer to a CDP call; what `within` takes follows the parameters."""
        return await self.within(self.cdp.send(method, parameters), *more)

    async def evaluate(self, expression: str, world: int | None = None, seconds: float | None = None) -> Any:
        """The value of a constant expression of ours; arguments in it are JSON. Raises Navigated as soon as another document is asked
        for, because Chromium then holds the answer back until that one is there."""
        parameters = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        if world is not None:
            parameters["contextId"] = world
        answer = await self.send("Runtime.evaluate", parameters, seconds, self.leaving)
        return answer["result"].get("value")

    async def call(self, function: str, *arguments: Any) -> Any:
        """A function of reader.js, in the world in which the page was last read. Raises Navigated when that is gone."""
        if self.world is None:
            raise Navigated
        return await self.evaluate(f"planact.{function}({', '.join(map(json.dumps, arguments))})", self.world)

    async def read(self) -> Page:
        """Read the page as it is now. One that was asked for meanwhile, and does not answer, is given up."""
        while True:
            try:
                self.page = read_html(await self._snapshot())
                return self.page
            except Navigated:
                self.world = None
            try:
                await self.within(self.answered.wait())
            except Hung:
                await self.send("Page.stopLoading")
                self.stays()

    async def _snapshot(self) -> str:
        if self.world is not None:
            return await self.call("snapshot")
        made = await self.send("Page.createIsolatedWorld", {"frameId": self.frame, "worldName": WORLD})
        html = await self.evaluate(f"{script('reader.js')}\nplanact.snapshot()", made["executionContextId"])
        self.world = made["executionContextId"]
        return html

    async def free(self) -> bool:
        """Stop the script of a page that does not answer; whether it answers now."""
        try:
            await self.send("Runtime.terminateExecution", None, FREED)
            return await self.evaluate("1", seconds=FREED) == 1
        except (Hung, Navigated):
            return False

    async def close(self) -> None:
        """A page that does not answer is left to the end of its context."""
        with suppress(Hung, Crashed, Navigated):
            await self.within(self.window.close())
