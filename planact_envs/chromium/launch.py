"""Finding a Chromium and starting it: one browser for many episodes, stopped cleanly or killed with all its processes."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, AsyncIterator, Awaitable, Callable

from planact.env import EnvError

if TYPE_CHECKING:
    from playwright.async_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
INSTALL = "python -m playwright install --with-deps chromium"
FLAGS = (
    "--disable-gpu",
    "--disable-quic",  # UDP would go past the gate
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",  # and so would WebRTC
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START = 60.0  # s, a cold start on a busy machine takes about 5
STOP = 10.0  # s


def find_chromium() -> str | None:
    """The program that the variable CHROMIUM names, else one on the path, else None: Playwright's own, if it is installed.

    Raises EnvError when CHROMIUM names no program, or when there is no Chromium at all.
    """
    if named := os.environ.get("CHROMIUM"):
        if found := shutil.which(named):
            return found
        raise EnvError(f"CHROMIUM={named} is no program; name the browser's executable, or unset CHROMIUM")
    return next(filter(None, map(shutil.which, NAMES)), None)


def has_chromium() -> bool:
    """Whether `open_browser` can start one."""
    downloads = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    return find_spec("playwright") is not None and (find_chromium() is not None or any(downloads.glob("chromium*")))


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A headless Chromium for as long as the context lasts. Raises EnvError with the command to type when it cannot start."""
    try:
        from playwright.async_api import async_playwright
    except ImportError as error:
        raise EnvError("Playwright is not installed; pip install 'planact[browser]'") from error
    program = find_chromium()
    driver = await async_playwright().start()
    try:
        browser = await _launch(driver, program)
        group = await _process_group(browser)
        try:
            yield browser
        finally:
            await _stop(browser, group)
    finally:
        await driver.stop()


@asynccontextmanager
async def open_browsers() -> AsyncIterator[Callable[[], Awaitable[Browser]]]:
    """A function that gives the running browser, and starts another when the last one is gone."""
    async with AsyncExitStack() as stack:
        browser, lock = await stack.enter_async_context(open_browser()), asyncio.Lock()

        async def running() -> Browser:
            nonlocal browser
            async with lock:
                if not browser.is_connected():
                    browser = await stack.enter_async_context(open_browser())
                return browser

        yield running


async def _launch(driver: Playwright, program: str | None) -> Browser:
    from playwright.async_api import Error

    try:
        return await driver.chromium.launch(executable_path=program, args=list(FLAGS), timeout=1000 * START)
    except Error as error:
        if program is None and "Executable doesn't exist" in error.message:
            raise EnvError(f"there is no Chromium here; install one: {INSTALL} (or set CHROMIUM to its path)") from error
        raise EnvError(f"{program or 'Chromium'} does not start: {error.message}") from error


async def _process_group(browser: Browser) -> int:
    """Playwright starts the browser as the leader of its own process group."""
    session = await browser.new_browser_cdp_session()
    processes = (await session.send("SystemInfo.getProcessInfo"))["processInfo"]
    await session.detach()
    return next(process["id"] for process in processes if process["type"] == "browser")


async def _stop(browser: Browser, group: int) -> None:
    """Close the browser; one that does not answer is killed with every process that it started."""
    from playwright.async_api import Error

    with suppress(TimeoutError, Error):
        await asyncio.wait_for(browser.close(), STOP)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
