"""Where the user's WebArena sites are, who signs in to them, and whether they answer. All of it comes from the environment."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterable, Mapping
from urllib.parse import urlsplit

import httpx

from planact.env import EnvError
from planact.recipe import RecipeError
from planact.types import Task

SITES = ("shopping", "shopping_admin", "reddit", "gitlab", "map", "wikipedia", "homepage")
NOT_HOSTED = "todo"  # BrowserGym's word for a site that the user does not host; its tasks end unscored
PUBLISHED = {  # the accounts of WebArena's own images, printed in its README
    "shopping": ("emma.lopez@gmail.com", "Password.123"),
    "shopping_admin": ("admin", "admin1234"),
    "reddit": ("MarvelsGrantMan136", "test1234"),
    "gitlab": ("byteblaze", "hello1234"),
}
PORTS = {"http": 80, "https": 443}
TIMEOUT = 20.0  # seconds for a site to answer
_ADDRESS = re.compile(r"([^\s:\[\]]+|\[[0-9a-f:.]+\])(?::(\d*))?")  # host and port
_LONGEST_FIRST = sorted(SITES, key=len, reverse=True)
_PLACEHOLDER = re.compile(
    rf"__({'|'.join(_LONGEST_FIRST).upper()})__|^webarena://({'|'.join(_LONGEST_FIRST)})(?=/|$)"
)  # the second: imported pages'


@dataclass(frozen=True)
class Account:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Sites:
    urls: Mapping[str, str]  # site -> address without a final slash; a site that is not hosted has none
    accounts: Mapping[str, Account]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # sent with every request, e.g. an access token

    def url(self, site: str) -> str:
        """The address of a site. Raises EnvError when it is not hosted."""
        if site not in self.urls:
            raise EnvError(f"the site {site} is not hosted here; set {site.upper()} to its address")
        return self.urls[site]

    def resolve(self, data: Any) -> Any:
        """`data` with addresses for placeholders, in texts at any depth. Raises EnvError when a site is not hosted."""
        if isinstance(data, str):
            return _PLACEHOLDER.sub(lambda match: self.url((match[1] or match[2]).lower()), data)
        if isinstance(data, Mapping):
            return {key: self.resolve(value) for key, value in data.items()}
        return [self.resolve(value) for value in data] if isinstance(data, list) else data

    def resolve_task(self, task: Task) -> Task:
        """The task with addresses for placeholders. Raises EnvError when a site is not hosted."""
        return replace(task, start_url=self.resolve(task.start_url), eval=self.resolve(task.eval))


def needed_sites(tasks: Iterable[Task]) -> tuple[str, ...]:
    """The sites that tasks use, in the order of SITES."""
    used = {site for task in tasks for site in task.sites}
    return tuple(site for site in SITES if site in used)


def sites_from_environment(needed: Iterable[str], environ: Mapping[str, str] = os.environ) -> Sites:
    """The sites by WebArena's own variables (`SHOPPING`, or BrowserGym's `WA_SHOPPING`). Raises RecipeError with what to export."""
    found = {site: environ.get(site.upper()) or environ.get(f"WA_{site.upper()}", "") for site in SITES}
    if missing := [site for site in needed if not found[site]]:
        lines = "\n".join(f"  export {site.upper()}=http://<host>:<port>" for site in missing)
        raise RecipeError(
            f"where the site{'s' * (len(missing) > 1)} {', '.join(missing)} can be reached is not known; type\n{lines}\n"
            f"or {NOT_HOSTED!r} instead of an address for a site that you do not host (docs/WEBARENA.md)"
        )
    urls = {site: _checked(site, url) for site, url in found.items() if url and url.lower() != NOT_HOSTED}
    return Sites(urls, {site: _account(site, environ) for site in PUBLISHED}, _headers(environ))


def locate(url: str) -> str:
    """The address of `webarena://<site>/` here; as it is while nobody has said where the site is."""
    try:
        return sites_from_environment(()).resolve(url)
    except EnvError:
        return url


def _checked(site: str, url: str) -> str:
    """The address as a browser writes it, because tasks are scored by what it shows: in small letters, without the usual port."""
    parts = urlsplit(url)
    if parts.username is not None:  # and the message does not repeat it
        raise RecipeError(f"{site.upper()} holds a user name; leave it out of the address (docs/WEBARENA.md says where it goes)")
    address = _ADDRESS.fullmatch(parts.netloc.lower())
    if parts.scheme not in PORTS or not address:
        raise RecipeError(f"{site.upper()} is no address such as http://<host>:<port>: {url!r}")
    host, port = address.groups()
    usual = not port or int(port) == PORTS[parts.scheme]
    return parts._replace(netloc=host if usual else f"{host}:{port}").geturl().rstrip("/")


def _account(site: str, environ: Mapping[str, str]) -> Account:
    username, password = PUBLISHED[site]
    return Account(environ.get(f"{site.upper()}_USERNAME", username), environ.get(f"{site.upper()}_PASSWORD", password))


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    """The headers in the JSON file that PW_EXTRA_HEADERS names (BrowserGym's variable)."""
    if not (path := environ.get("PW_EXTRA_HEADERS")):
        return {}
    try:
        headers = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"PW_EXTRA_HEADERS names {path}, which cannot be read as JSON: {type(error).__name__}") from error
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise RecipeError(f"PW_EXTRA_HEADERS names {path}, which must hold one JSON object of texts")
    return headers


@dataclass(frozen=True)
class Probe:
    """One request to a site's start page. `status` 0: it did not answer, and `error` says why."""

    site: str
    url: str
    status: int
    milliseconds: float
    error: str = ""

    @property
    def answers(self) -> bool:
        """A site that boots answers 5xx, GitLab for minutes."""
        return 0 < self.status < 500


async def probe(sites: Sites, site: str) -> Probe:
    """Ask a hosted site for its start page, redirects followed."""
    url, started = sites.url(site), time.monotonic()
    try:
        async with httpx.AsyncClient(headers=dict(sites.headers), follow_redirects=True, timeout=TIMEOUT) as client:
            status, error = (await client.get(url)).status_code, ""
    except httpx.HTTPError as failure:
        status, error = 0, f"{type(failure).__name__} {failure}".strip()
    return Probe(site, url, status, 1000 * (time.monotonic() - started), error)


async def require_answers(sites: Sites, needed: Iterable[str], suite: str) -> None:
    """Raises RecipeError, which names the doctor, when a needed site that is hosted does not answer."""
    asked = [site for site in needed if site in sites.urls]
    silent = [found for found in await asyncio.gather(*(probe(sites, site) for site in asked)) if not found.answers]
    if silent:
        lines = "\n".join(f"  {found.site} at {found.url}: {found.error or f'status {found.status}'}" for found in silent)
        raise RecipeError(f"sites of {suite} do not answer:\n{lines}\nstart them, and look with: python scripts/doctor.py {suite}")


async def hosts_of(sites: Sites) -> tuple[str, ...]:
    """What a gate must let through for the sites: each host at its port, and the addresses behind a name, which may be private."""
    hosts: list[str] = []
    for url in sites.urls.values():
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        try:
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise RecipeError(f"the host of {url} is not known: {error}") from error
        addresses = [parts.hostname, *(address[0] for *_, address in found)]
        hosts += [f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address in addresses]
    return tuple(dict.fromkeys(hosts))
