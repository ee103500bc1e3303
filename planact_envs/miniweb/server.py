"""The miniweb sites over HTTP on this machine, for a real browser: one server, and a database for every episode.

A request says which episode it belongs to in the header EPISODE; without a known one there is no page.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import sqlite3
from contextlib import asynccontextmanager, nullcontext
from typing import AsyncIterator

import uvicorn
from starlette.responses import PlainTextResponse

from planact_envs.miniweb import sites
from planact_envs.miniweb.browser import with_database

EPISODE = "x-episode"


class Server(uvicorn.Server):
    def capture_signals(self):
        """Ctrl-C belongs to the program around the server."""
        return nullcontext()


class Episodes:
    """The databases of the running episodes, and the ASGI application that serves each request from its own."""

    def __init__(self, address: tuple[str, int]):
        self.address = address
        self.databases: dict[str, sqlite3.Connection] = {}

    def open(self, database: sqlite3.Connection) -> str:
        """The episode's name, to be sent in the header EPISODE. It cannot be guessed by a page of another episode."""
        name = secrets.token_hex(16)
        self.databases[name] = database
        return name

    def close(self, name: str) -> None:
        del self.databases[name]

    async def __call__(self, scope, receive, send) -> None:
        headers = dict(scope["headers"])
        database = self.databases.get(headers.get(EPISODE.encode(), b"").decode("ascii", "replace"))
        app = with_database(sites.app(), database) if database else PlainTextResponse("There is no such episode.", 404)

        async def fresh(message) -> None:
            """Going back shows the site as it is now, as in process."""
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"cache-control", b"no-store")]
            await send(message)

        await app(scope, receive, fresh)


@asynccontextmanager
async def serve() -> AsyncIterator[Episodes]:
    """Serve on a free port of 127.0.0.1 for as long as the context lasts."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        episodes = Episodes(listening.getsockname())
        server = Server(uvicorn.Config(episodes, lifespan="off", ws="none", log_level="warning", access_log=False))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0.01)
            yield episodes
        finally:
            server.should_exit = True
            await task
