"""A site on this machine whose pages the tests write, a second one that nobody may reach, and a visitor in Chromium."""

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest_asyncio
import uvicorn
from starlette.responses import HTMLResponse, Response

from planact.types import Action, Op
from planact_envs.acting import ActionFailed
from planact_envs.chromium.gate import Gate
from planact_envs.chromium.launch import open_browser
from planact_envs.chromium.session import ChromiumSession
from planact_envs.chromium.tab import Limits
from planact_envs.miniweb.server import Server

HOST = "shop.test"
HOME = f"http://{HOST}/"
LIMITS = Limits(navigation=6.0, action=4.0)  # what a busy machine keeps


class Site:
    """Pages by path: HTML, a Response, or a coroutine function of the request. `visits` are the paths that were asked for."""

    def __init__(self, address):
        self.address, self.pages, self.visits = address, {}, []

    async def __call__(self, scope, receive, send):
        path = scope["path"]
        self.visits.append(path)
        page = self.pages.get(path, Response("nothing here", 404))
        if callable(page) and not isinstance(page, Response):
            page = await page(scope)
        await (HTMLResponse(page) if isinstance(page, str) else page)(scope, receive, send)


@asynccontextmanager
async def serve():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        site = Site(listening.getsockname())
        server = Server(uvicorn.Config(site, lifespan="off", ws="none", log_level="critical", timeout_graceful_shutdown=0))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield site
        server.should_exit = server.force_exit = True
        await task


class Visitor:
    """A session whose elements are named instead of numbered; `do` gives what went wrong, "" when nothing did."""

    def __init__(self, session):
        self.session = session

    async def open(self, path="/"):
        return await self.do(Op.GOTO, text=f"{HOME}{path[1:]}")

    async def do(self, op, name="", text=""):
        try:
            await self.session.act(Action(op, self.id(name) if name else "", text))
            error = ""
        except ActionFailed as failure:
            error = str(failure)
        self.seen = await self.session.observe(error)
        return self.seen.error

    def id(self, name):
        return next((key for key, node in self.session.tab.page.nodes.items() if node.name == name), name)

    def node(self, name):
        return self.session.tab.page.nodes[self.id(name)]

    @property
    def text(self):
        return self.seen.text.split("\n")[1:]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with open_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def site():
    async with serve() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def elsewhere():
    """A server that is on no list."""
    async with serve() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser, site):
    session = await ChromiumSession.open(browser, "short", Gate(served={HOST: site.address}), limits=LIMITS)
    yield Visitor(session)
    await session.close()
