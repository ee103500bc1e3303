"""A Chromium in a thread of its own: BrowserGym's tasks use Playwright's synchronous objects, which live in one thread only."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Iterator

from planact.env import EnvError
from planact_envs.chromium.launch import FLAGS, INSTALL, START, find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

THREADS = max(1, min(8, (os.cpu_count() or 1) // 2))  # ours: a Chromium keeps two cores busy
LIMIT = 90.0  # s for one reset or step; the slowest seen on two busy cores took 5
BID = "bid"  # the attribute by which BrowserGym finds elements


@asynccontextmanager
async def open_threads(count: int = THREADS) -> AsyncIterator[Iterator[BrowserThread]]:
    """The threads, each with its Chromium, in endless turn. Raises EnvError when Chromium does not start."""
    threads = [BrowserThread() for _ in range(count)]
    try:
        for thread in threads:
            await thread.run(thread.start)
        yield itertools.cycle(threads)
    finally:
        await asyncio.gather(*(thread.close() for thread in threads))


class BrowserThread:
    """Runs functions one after another beside the event loop, with one Chromium."""

    def __init__(self, limit: float = LIMIT):
        self.limit = limit
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="miniwob")
        self.driver = None
        self.browser: Browser | None = None
        self.process = 0  # leader of the browser's process group

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function` returns. Raises EnvError when the browser is gone or does not answer; a new one is started then."""
        from playwright.sync_api import Error

        work = asyncio.get_running_loop().run_in_executor(self.thread, function, *arguments)
        try:
            return await asyncio.wait_for(asyncio.shield(work), self.limit)
        except TimeoutError as error:
            self._kill()
            with suppress(Error, EnvError):
                await work  # ends at once now that the browser is gone
            raise EnvError(f"the browser did not answer within {self.limit:g} s and was stopped") from error
        except Error as error:
            raise EnvError(f"the browser failed: {error.message.splitlines()[0]}") from error

    def new_context(self, **settings: Any) -> BrowserContext:
        """In the thread: a context that reaches no network. Raises EnvError when a new Chromium is needed and does not start."""
        if self.browser is None or not self.browser.is_connected():
            self.start()
        return self.browser.new_context(offline=True, **settings)

    async def close(self) -> None:
        with suppress(EnvError):
            await self.run(self._stop)
        self.thread.shutdown()

    def start(self) -> None:
        """In the thread: start Chromium. Raises EnvError with what to type."""
        from playwright.sync_api import Error, sync_playwright

        if self.driver is None:
            self.driver = sync_playwright().start()
            self.driver.selectors.set_test_id_attribute(BID)
        try:
            self.browser = self.driver.chromium.launch(executable_path=find_chromium(), args=list(FLAGS), timeout=1000 * START)
        except Error as error:
            raise EnvError(f"Chromium does not start: {error.message.splitlines()[0]}; to install it: {INSTALL}") from error
        session = self.browser.new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        self.process = next(process["id"] for process in processes if process["type"] == "browser")
        session.detach()

    def _stop(self) -> None:
        try:
            if self.browser:
                self.browser.close()
        finally:
            if self.driver:
                self.driver.stop()

    def _kill(self) -> None:
        if self.process:  # 0 would mean our own group
            with suppress(ProcessLookupError):
                os.killpg(self.process, signal.SIGKILL)
