"""The network events of an episode as HAR entries, for the scorer of webarena-verified.

They hold what was typed and what signs in; `storable` is what of them may be written down.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext, Request
from playwright.async_api import Error as PlaywrightError

from planact_envs.evidence import without_passwords

SECRET = frozenset({"authorization", "cookie"})  # request headers that nothing is scored by
MAX_BODY = 1_000_000  # bytes of a JSON answer that is kept
PATIENCE = 20.0  # seconds for answers that are on their way when an episode ends; ours
ASSETS = (
    ".css",
    ".js",
    ".png",
    ".jpg",
    ".jpeg",
    ".gif",
    ".svg",
    ".woff",
    ".woff2",
    ".ttf",
    ".ico",
    ".webp",
)  # webarena-verified looks at none
MESSAGES = "mage-messages"  # the one cookie that tasks are scored by: what Magento tells its user
BODIES = ("postData", "content")
_SECRET_HEADER = re.compile(r"auth|cookie|token|secret|api-?key|session", re.I)


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

    async def entries_in_time(self) -> list[dict[str, Any]] | None:
        """The entries; None when a site does not finish an answer within PATIENCE."""
        try:
            return await asyncio.wait_for(self.entries(), PATIENCE)
        except TimeoutError:
            return None


def storable(entries: Sequence[Mapping[str, Any]], secret: Collection[str]) -> tuple[dict[str, Any], ...]:
    """The entries that are scored by, without cookies, without headers that sign in and those named in `secret`, without passwords."""
    hidden = {name.lower() for name in secret}

    def clean(message: Mapping[str, Any]) -> dict[str, Any]:
        headers = [pair for pair in message["headers"] if not _SECRET_HEADER.search(pair["name"]) and pair["name"].lower() not in hidden]
        bodies = {name: message[name] | {"text": without_passwords(message[name]["text"])} for name in BODIES if name in message}
        return {**message, "headers": headers, **bodies}

    found = []
    for entry in entries:
        if not urlsplit(entry["request"]["url"]).path.endswith(ASSETS):
            response = clean(entry["response"])
            cookies = [cookie for cookie in response.get("cookies", ()) if cookie["name"] == MESSAGES]
            found.append({**entry, "request": clean(entry["request"]), "response": response | {"cookies": cookies}})
    return tuple(found)


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
