"""The network events of an episode as HAR entries, for the scorer of webarena-verified. They stay in memory: they hold what was typed."""

from __future__ import annotations

import asyncio
from typing import Any

from playwright.async_api import BrowserContext, Request
from playwright.async_api import Error as PlaywrightError

SECRET = frozenset({"authorization", "cookie"})  # request headers that nothing is scored by
MAX_BODY = 1_000_000  # bytes of a JSON answer that is kept


class NetworkRecorder:
    """Notes every finished request of a browser context, in the order in which they began."""

    def __init__(self, context: BrowserContext):
        self._begun: list[Request] = []
        self._entries: dict[Request, dict[str, Any]] = {}
        self._pending: set[asyncio.Task[None]] = set()
        context.on("request", self._begins)
        context.on("requestfinished", self._finished)

    def _begins(self, request: Request) -> None:
        self._begun.append(request)

    def _finished(self, request: Request) -> None:
        task = asyncio.ensure_future(self._note(request))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _note(self, request: Request) -> None:
        try:
            self._entries[request] = await entry_of(request)
        except PlaywrightError:  # the page is gone, and what it had asked for with it
            self._entries.pop(request, None)

    async def entries(self) -> list[dict[str, Any]]:
        """What has finished so far."""
        while self._pending:
            await asyncio.wait(self._pending)
        return [self._entries[request] for request in self._begun if request in self._entries]


async def entry_of(request: Request) -> dict[str, Any]:
    """A finished request and its response as a HAR entry, as far as webarena-verified reads it."""
    response = await request.response()
    sent, received = await request.headers_array(), await response.headers_array()
    headers = [pair for pair in sent if pair["name"].lower() not in SECRET]
    entry: dict[str, Any] = {
        "request": {"method": request.method, "url": request.url, "headers": headers},
        "response": {
            "status": response.status,
            "headers": [pair for pair in received if pair["name"].lower() != "set-cookie"],
            "redirectURL": value_of(received, "location"),
            "cookies": [cookie(pair["value"]) for pair in received if pair["name"].lower() == "set-cookie"],
        },
    }
    if body := request.post_data_buffer:
        entry["request"]["postData"] = {"mimeType": value_of(sent, "content-type"), "text": body.decode(errors="replace")}
    kind = value_of(received, "content-type")
    if "application/json" in kind and len(content := await response.body()) <= MAX_BODY:
        entry["response"]["content"] = {"mimeType": kind, "text": content.decode(errors="replace")}
    return entry


def value_of(headers: list[dict[str, str]], name: str) -> str:
    return next((pair["value"] for pair in headers if pair["name"].lower() == name), "")


def cookie(header: str) -> dict[str, str]:
    name, _, value = header.partition(";")[0].partition("=")
    return {"name": name.strip(), "value": value.strip()}
