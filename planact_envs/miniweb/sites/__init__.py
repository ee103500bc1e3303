"""The miniweb sites as one ASGI application, told apart by host name.

Handlers find their episode's database at `request.state.db`: whoever drives the application sets
`scope["state"] = {"db": connection}` on each request, so one application serves many isolated episodes.
"""

from __future__ import annotations

import functools

from starlette.applications import Starlette
from starlette.routing import Host

from planact_envs.miniweb.sites import admin, code, forum, shop
from planact_envs.miniweb.sites import map as map_site
from planact_envs.miniweb.sites.pages import not_found

SITES = {"shop": shop, "admin": admin, "forum": forum, "code": code, "map": map_site}
HOME = {name: f"http://{name}.miniweb/" for name in SITES}
HOSTS = frozenset(f"{name}.miniweb" for name in SITES)


@functools.cache
def app() -> Starlette:
    """The application of all sites."""
    hosts = [Host(f"{name}.miniweb", app=site_app(site.ROUTES, name), name=name) for name, site in SITES.items()]
    return Starlette(routes=hosts)


def site_app(routes, name: str) -> Starlette:
    errors = {404: not_found(name), 405: not_found(name)}
    return Starlette(routes=routes, exception_handlers=errors)
