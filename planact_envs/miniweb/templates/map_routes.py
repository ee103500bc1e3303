"""Task templates of the map about directions: times, distances, and what is nearest."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from planact.types import Op
from planact_envs.miniweb.content.map_routes import Route, kilometres, route
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.solution import Move, Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, end_on, report
from planact_envs.miniweb.templates.map import URL, list_places, listed, place_of, places
from planact_envs.miniweb.templates.stages import (
    answer,
    click,
    conclude,
    fact,
    first_route,
    go,
    next_route,
    pass_notice,
    plain,
    stop_on_page,
)

PAIRED = ("Library", "Museum", "Pharmacy")  # categories with two places in each town
ON_FOOT, BY_BIKE, BY_CAR = "Walk", "Bike", "Drive"


def directions() -> Stage:
    return go("Directions", "There is a page for directions.")


def route_url(start: str, end: str, mode: str, read: bool = False) -> str:
    fields = {"from": start, "to": end, "mode": mode} | ({"read": "yes"} if read else {})
    return f"{URL}/directions?{urlencode(fields)}"


def way(db: Database, start: str, end: str, mode: str) -> Route:
    return route(place_of(db, start), place_of(db, end), mode)


def time_instances(db: Database) -> list[Params]:
    found = places(db)
    modes = (ON_FOOT, BY_BIKE)
    return [{"start": a["name"], "end": b["name"], "mode": modes[i % 2]} for i, (a, b) in enumerate(zip(found[0:120:2], found[1:120:2]))]


def time_solve(db: Database, params: Params) -> Solution:
    form = first_route(plain(params["start"]), plain(params["end"]), params["mode"])
    return Solution((directions(), form, answer("minutes", str(way(db, **params).minutes))))


def time_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return number(str(way(db, **params).minutes), route_url(**params))


def number(value: str, url: str) -> dict[str, Any]:
    """Evaluation of a question for a number, with or without its unit, on one of the pages of `url`."""
    return report(value, url) | {"reference_answers": {"must_include": [value]}}


def of_one_town(db: Database, where: str) -> list[list[Row]]:
    """For each town its places for which `where`, SQL of this module, holds."""
    towns = [row["name"] for row in rows(db, "SELECT name FROM map_town ORDER BY name")]
    return [rows(db, f"SELECT * FROM map_place WHERE town = ? AND {where} ORDER BY name", town) for town in towns]


def nearer_instances(db: Database) -> list[Params]:
    triples = [found[i : i + 3] for found in of_one_town(db, "category IN ('Bakery', 'Restaurant')") for i in range(0, 18, 3)]
    named = [{"start": a["name"], "first": b["name"], "second": c["name"]} for a, b, c in triples]
    return [params for params in named if distances(db, params)[0] != distances(db, params)[1]]


def distances(db: Database, params: Params) -> tuple[int, int]:
    first, second = (way(db, params["start"], params[name], ON_FOOT).tenths for name in ("first", "second"))
    return first, second


def nearer(db: Database, params: Params) -> str:
    first, second = distances(db, params)
    return params["first"] if first < second else params["second"]


def nearer_solve(db: Database, params: Params) -> Solution:
    form = first_route(plain(params["start"]), plain(params["first"]), ON_FOOT)
    return Solution((directions(), form, next_route(plain(params["second"])), conclude("the nearer place", nearer(db, params))))


def nearer_evaluate(db: Database, params: Params) -> dict[str, Any]:
    urls = [route_url(params["start"], params[end], ON_FOOT) for end in ("first", "second")]
    return report(nearer(db, params), " |OR| ".join(urls))


def nearest_instances(db: Database) -> list[Params]:
    """Each place of a pair is the nearest one of one instance, so that no two instances have the same answer."""
    found = {}
    for hotels in of_one_town(db, "category = 'Hotel'"):
        for category in PAIRED:
            for hotel in hotels:
                params = {"hotel": hotel["name"], "category": category.lower(), "town": hotel["town"]}
                first, second = (walk_tenths(hotel, place) for place in pair(db, params))
                if first != second:
                    found.setdefault(nearest(db, params)["name"], params)
    return list(found.values())


def walk_tenths(start: Row, end: Row) -> int:
    return route(start, end, ON_FOOT).tenths


def pair(db: Database, params: Params) -> list[Row]:
    return listed(db, params["category"].capitalize(), params["town"])


def nearest(db: Database, params: Params) -> Row:
    hotel = place_of(db, params["hotel"])
    return min(pair(db, params), key=lambda place: walk_tenths(hotel, place))


def nearest_solve(db: Database, params: Params) -> Solution:
    first, second = (place["name"] for place in pair(db, params))
    one_end, facts = fact("first", first, f"the first {params['category']}", seen_after=4)
    other_end, more = fact("second", second, f"the second {params['category']}", seen_after=4)
    wanted = nearest(db, params)
    # The last route shown leads to the second one.
    back = (Move(Op.BACK),) if wanted["name"] == first else ()
    there = Stage("Open the place that is nearer on foot.", "The routes show both distances.", (*back, click(wanted["name"])))
    ways = directions(), first_route(plain(params["hotel"]), one_end, ON_FOOT), next_route(other_end)
    lists = list_places(params["category"].capitalize(), params["town"])
    return Solution((*lists, *ways, there, answer("phone number", wanted["phone"])), facts | more)


def nearest_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(nearest(db, params)["phone"])


def tour_instances(db: Database) -> list[Params]:
    triples = [found[i : i + 3] for found in of_one_town(db, "category IN ('Cafe', 'Hotel')") for i in range(0, 12, 3)]
    return [{"first": a["name"], "second": b["name"], "third": c["name"]} for a, b, c in triples]


def tour_legs(params: Params) -> list[tuple[str, str]]:
    first, second, third = params["first"], params["second"], params["third"]
    return [(first, second), (second, third), (third, first)]


def tour_solve(db: Database, params: Params) -> Solution:
    (first, second), *rest = tour_legs(params)
    more = [next_route(plain(end), plain(start)) for start, end in rest]
    end = conclude("the sum of the distances", tour_length(db, params))
    return Solution((directions(), first_route(plain(first), plain(second), BY_BIKE), *more, end))


def tour_length(db: Database, params: Params) -> str:
    return kilometres(sum(way(db, start, end, BY_BIKE).tenths for start, end in tour_legs(params)))


def tour_evaluate(db: Database, params: Params) -> dict[str, Any]:
    urls = [route_url(start, end, BY_BIKE) for start, end in tour_legs(params)]
    return number(tour_length(db, params), " |OR| ".join(urls))


def drive_instances(db: Database) -> list[Params]:
    """From places of other towns. Where one of the two towns has road works, a notice about them comes first."""
    stations = rows(db, "SELECT p.*, t.works FROM map_place p JOIN map_town t ON t.name = p.town WHERE category = 'Station' ORDER BY town")
    found = places(db, "category IN ('Bakery', 'Cafe')")[:60]
    pairs = [(place, stations[i % len(stations)]) for i, place in enumerate(found)]
    return [{"start": place["name"], "town": station["town"]} for place, station in pairs if place["town"] != station["town"]]


def station(db: Database, params: Params) -> str:
    return one(db, "SELECT name FROM map_place WHERE category = 'Station' AND town = ?", params["town"])["name"]


def has_works(db: Database, params: Params) -> bool:
    towns = params["town"], place_of(db, params["start"])["town"]
    return one(db, "SELECT 1 FROM map_town WHERE name IN (?, ?) AND works <> ''", *towns) is not None


def drive_solve(db: Database, params: Params) -> Solution:
    goal, facts = fact("station", station(db, params), "the station", seen_after=4)
    notice = (pass_notice(),) if has_works(db, params) else ()
    ways = directions(), first_route(plain(params["start"]), goal, BY_CAR)
    return Solution((*list_places("Station", params["town"]), *ways, *notice, stop_on_page()), facts)


def drive_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return end_on(route_url(params["start"], station(db, params), BY_CAR, read=has_works(db, params)))


MAP = ("map",)
TIME = (
    "How many minutes does it take from '{start}' to '{end}' with the mode {mode}?",
    "I go from '{start}' to '{end}' (mode {mode}). How many minutes does the map say?",
    "Tell me the minutes that the map gives for the way from '{start}' to '{end}' in the mode {mode}.",
)
NEARER = (
    "Which is nearer to '{start}' on foot, '{first}' or '{second}'?",
    "I walk from '{start}'. Is it less far to '{first}' or to '{second}'? Answer with the name.",
    "Compare the walks from '{start}' to '{first}' and to '{second}' and name the place at the end of the shorter one.",
)
NEAREST = (
    "What is the phone number of the {category} in '{town}' that is nearest to '{hotel}' on foot?",
    "I stay at '{hotel}'. Which {category} of '{town}' is the shortest walk away? Give me its phone number.",
    "Find the {category} in '{town}' with the shortest walk from '{hotel}' and report its phone number.",
)
TOUR = (
    "How far is it in kilometres by bike from '{first}' to '{second}', on to '{third}' and back to '{first}'?",
    "I plan a round trip by bike: '{first}', '{second}', '{third}' and home to '{first}'. Add up the kilometres of all three parts.",
    "Sum up the distances in km by bike from '{first}' to '{second}', from there to '{third}' and from there to '{first}'.",
)
DRIVE = (
    "Show me the way by car from '{start}' to the station of '{town}'.",
    "Open the driving directions from '{start}' to the station in '{town}'.",
    "I want to see the route for a drive that starts at '{start}' and ends at the station in the town '{town}'.",
)
TEMPLATES = (
    Template("map.time", MAP, TIME, ("start",), time_instances, time_solve, time_evaluate, "find", weight=2),
    Template("map.nearer", MAP, NEARER, ("start",), nearer_instances, nearer_solve, nearer_evaluate, "compare", weight=3),
    Template("map.nearest", MAP, NEAREST, ("hotel",), nearest_instances, nearest_solve, nearest_evaluate, "compare", weight=3),
    Template("map.tour", MAP, TOUR, ("first",), tour_instances, tour_solve, tour_evaluate, "aggregate", unseen=True, weight=3),
    Template("map.drive", MAP, DRIVE, ("start",), drive_instances, drive_solve, drive_evaluate, "navigate", weight=3),
)
