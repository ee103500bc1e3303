"""Pages that hang, crash, redirect for ever or never load: each ends within its deadline, with words of its own."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.async_api import Error
from starlette.responses import RedirectResponse

from planact.env import EnvError
from planact.types import Op
from planact_envs.chromium import launch
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import find_chromium, open_browser, open_browsers
from planact_envs.chromium.session import ChromiumSession

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SLACK = 6.0  # s on a busy machine, beside the 6 s of the longest deadline


async def never(scope):
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    "html, error",
    [
        ("<button onclick='while (1);'>Go</button>", "the page did not respond for 4 s; its script was stopped"),
        ("<a href=/never>Go</a>", "'http://shop.test/never' could not be opened: the site did not answer within 6 s"),
        (
            "<button onclick='setTimeout(() => (location = `/never`), 50)'>Go</button>",
            "'http://shop.test/never' could not be opened: the site did not answer within 6 s",
        ),
        ("<a href=/half>Go</a>", "the page was still loading after 4 s and was stopped"),
        ("<a href=/loop>Go</a>", "'http://shop.test/loop' could not be opened: net::ERR_TOO_MANY_REDIRECTS"),
        ("<button onclick='fetch(`/never`)'>Go</button>", "the page was still waiting for a request after 4 s"),
        ("<a href=http://down.test/>Go</a>", "'http://down.test/' could not be opened: [Errno"),
    ],
    ids=["infinite loop", "no answer", "no answer later", "never loads", "redirects", "request", "no server"],
)
async def test_a_broken_page_ends_in_time_and_says_why(visitor, site, html, error):
    visitor.session.gate.served["down.test"] = ("127.0.0.1", 1)
    site.pages |= {"/": html, "/never": never, "/half": "<p>Half</p><img src=/never>", "/loop": RedirectResponse("/loop")}
    await visitor.open()
    start = time.perf_counter()
    assert error in await visitor.do(Op.CLICK, "Go")
    assert time.perf_counter() - start < 6 + SLACK
    if "half" in html:
        assert visitor.text == ["Half"]
    else:
        assert visitor.seen.url == "http://shop.test/" and visitor.node("Go")
    site.pages["/"] = "<p>fine</p>"
    assert await visitor.open() == "" and visitor.text == ["fine"]


async def test_a_page_that_leaves_by_itself_for_one_that_never_answers_is_still_read(visitor, site):
    """2 s is more than `settle` waits for a timer, so that nothing is being opened when the action is over."""
    site.pages |= {"/": "<p>Here</p><script>setTimeout(() => (location = `/never`), 2000)</script>", "/never": never}
    await visitor.open()
    while "/never" not in site.visits:
        await asyncio.sleep(0.05)
    assert (await visitor.session.observe()).text.split("\n")[1:] == ["Here"]


async def crash(session):
    session.page.set_default_timeout(500)
    with suppress(Error, TimeoutError):
        await asyncio.wait_for(session.page.goto("chrome://crash"), 1)


async def test_a_page_whose_process_is_killed_is_opened_again(visitor, site):
    site.pages["/"] = "<p>Page</p><button>Go</button>"
    await visitor.open()
    await crash(visitor.session)
    seen = await visitor.session.observe()
    assert seen.error == "the page crashed and was opened again"
    assert seen.url == "http://shop.test/" and "Page" in seen.text


async def test_a_browser_that_is_gone_is_an_error_of_the_environment_and_is_replaced(site):
    async with open_browsers() as running:
        first = await running()
        session = await ChromiumSession.open(first, "short", Gate(served={"shop.test": site.address}))
        site.pages["/"] = "<p>Page</p>"
        await session.goto("http://shop.test/")
        os.killpg(await launch._process_group(first), signal.SIGKILL)
        with pytest.raises(EnvError):
            await session.goto("http://shop.test/")
        await session.close()
        with pytest.raises(EnvError):
            await ChromiumSession.open(first, "short", Gate())
        second = await running()
        assert second is not first and second.is_connected()


def runs(pid):
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()  # Z: dead, and not yet collected by the driver


async def test_a_browser_that_does_not_close_is_killed(monkeypatch):
    monkeypatch.setattr(launch, "STOP", 0.5)
    async with open_browser() as browser:
        group = await launch._process_group(browser)
        os.killpg(group, signal.SIGSTOP)
    assert not runs(group)


async def test_a_program_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/no/such/browser")
    with pytest.raises(EnvError, match="CHROMIUM=/no/such/browser is no program"):
        find_chromium()


async def test_without_a_chromium_the_command_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setattr(launch, "NAMES", ("no-such-browser",))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert not launch.has_chromium()
    with pytest.raises(EnvError, match="python -m playwright install --with-deps chromium"):
        async with open_browser():
            pass
