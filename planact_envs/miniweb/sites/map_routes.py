"""The map's directions from one place to another."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from planact_envs.miniweb.content.map_routes import MODES, route
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.pages import best_matches, page

ALIKE = 3  # places whose names are shown when one cannot be found


async def directions(request: Request) -> Response:
    """The form, and below it the route once both places are found. Road works stand in between until they are read."""
    asked = {name: request.query_params.get(name, "").strip() for name in ("from", "to", "mode")}
    context = {"asked": asked, "modes": list(MODES), "route": None, "unknown": "", "alike": []}
    if not asked["from"] and not asked["to"]:
        return page(request, "map/directions.html", title="Directions", **context)
    start, end = place_named(request, asked["from"]), place_named(request, asked["to"])
    if start is None or end is None or asked["mode"] not in MODES:
        unknown = asked["from"] if start is None else asked["to"] if end is None else ""
        alike = names_like(request, unknown) if unknown else []
        return page(request, "map/directions.html", title="Directions", **context | {"unknown": unknown or "this way", "alike": alike})
    works = works_on(request, start, end) if asked["mode"] == "Drive" else []
    if works and request.query_params.get("read") != "yes":
        return page(request, "map/works.html", title="Road works", works=works, asked=asked)
    return page(request, "map/directions.html", title="Route", **context | {"route": route(start, end, asked["mode"]), "end": end})


def place_named(request: Request, name: str) -> Row | None:
    return one(request.state.db, "SELECT * FROM map_place WHERE lower(name) = ?", name.lower())


def names_like(request: Request, name: str) -> list[str]:
    places = rows(request.state.db, "SELECT name FROM map_place ORDER BY name")
    return [place["name"] for place in best_matches(name, places, lambda place: set(place["name"].lower().split()), ALIKE)]


def works_on(request: Request, start: Row, end: Row) -> list[Row]:
    sql = "SELECT * FROM map_town WHERE name IN (?, ?) AND works <> '' ORDER BY name"
    return rows(request.state.db, sql, start["town"], end["town"])
