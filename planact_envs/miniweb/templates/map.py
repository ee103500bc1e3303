"""Task templates of the map about places: finding, counting, reviewing and correcting them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from planact_envs.miniweb.content.map import CATEGORIES
from planact_envs.miniweb.content.people import ME, TODAY
from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.map import LIST_SIZE
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, change, report, report_missing
from planact_envs.miniweb.templates.stages import (
    Value,
    answer,
    answer_if_there,
    choose,
    click,
    conclude,
    fact,
    find_places,
    go,
    open_result,
    pass_notice,
    plain,
    press,
    search_places,
    stop,
    submit,
    turn_pages,
    type_,
)

URL = "http://map.miniweb"
LARGE = tuple(category for category, (_, count) in CATEGORIES.items() if count > LIST_SIZE)
TEXTS = ("Lovely staff", "Too loud for me", "Nice view from the window", "Easy to find", "A bit dear", "Clean and bright")
LIMITS = ("3.5", "4.0", "4.2")


def place_of(db: Database, name: str) -> Row:
    return one(db, "SELECT * FROM map_place WHERE name = ?", name)


def place_url(place: Row) -> str:
    return f"{URL}/place/{place['slug']}"


def places(db: Database, where: str = "1") -> list[Row]:
    """The places for which `where`, SQL of these modules, holds, so mixed that neighbours in the list are of different kinds and towns."""
    # 383 is a prime above the number of places, so that the order is one of all of them.
    return rows(db, f"SELECT * FROM map_place WHERE {where} ORDER BY id * 61 % 383")


def find_place(value: Value) -> tuple[Stage, ...]:
    """From the page of the map to a place: two moves."""
    return search_places(value), open_result("place", value)


def back_to_map() -> Stage:
    return go("Map", "The search box is on the page of the map.")


def list_places(category: str, town: str) -> tuple[Stage, ...]:
    """From any page to the list of a town's places of a category: four moves."""
    return go("Find places", "There is a page for finding places by category and town."), find_places(category, town)


def listed(db: Database, category: str, town: str) -> list[Row]:
    """The places of such a list in its order."""
    return rows(db, "SELECT * FROM map_place WHERE category = ? AND town = ? ORDER BY name", category, town)


def last_page(found: list[Row]) -> int:
    """How many pages follow the first one of a list of places."""
    return max(0, (len(found) - 1) // LIST_SIZE)


def list_urls(category: str, town: str, more: int = 0) -> str:
    """The addresses of all pages of a list: an agent may end on any of them."""
    fields = urlencode({"category": category, "town": town})
    pages = ["", *(f"&page={number}" for number in range(1, more + 2))]
    return " |OR| ".join(f"{URL}/find?{fields}{page}" for page in pages)


def phone_instances(db: Database) -> list[Params]:
    return [{"place": place["name"]} for place in places(db)[:60]]


def phone_solve(db: Database, params: Params) -> Solution:
    return Solution((*find_place(plain(params["place"])), answer("phone number", place_of(db, params["place"])["phone"])))


def phone_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(place_of(db, params["place"])["phone"])


def renamed_instances(db: Database) -> list[Params]:
    return [{"former": place["former"]} for place in places(db, "former <> ''")]


def renamed_place(db: Database, params: Params) -> Row:
    return one(db, "SELECT * FROM map_place WHERE former = ?", params["former"])


def renamed_solve(db: Database, params: Params) -> Solution:
    place = renamed_place(db, params)
    before = one(db, "SELECT count(*) AS number FROM map_place WHERE former <> '' AND former < ?", params["former"])["number"]
    turns = before // PAGE_SIZE
    name, facts = fact("name", place["name"], "the new name", seen_after=2 + turns)
    moves = (click("Renamed places"), *(click("Next page"),) * turns)
    look = Stage(f"Find '{params['former']}' in the list of renamed places.", "No place has this name now, but places are renamed.", moves)
    first = search_places(plain(params["former"]))
    return Solution((first, look, back_to_map(), *find_place(name), answer("phone number", place["phone"])), facts)


def renamed_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return report(renamed_place(db, params)["phone"])


def long_lists(db: Database) -> list[Params]:
    towns = [row["name"] for row in rows(db, "SELECT name FROM map_town ORDER BY name")]
    return [{"category": category, "town": town} for category in LARGE for town in towns]


def count_instances(db: Database) -> list[Params]:
    return [params | {"limit": LIMITS[i % len(LIMITS)]} for i, params in enumerate(long_lists(db))]


def count_rated(db: Database, params: Params) -> int:
    return sum(place["rating"] >= params["limit"] for place in listed(db, params["category"], params["town"]))


def count_solve(db: Database, params: Params) -> Solution:
    more = last_page(listed(db, params["category"], params["town"]))
    end = conclude("how many places have such a rating", str(count_rated(db, params)))
    return Solution((*list_places(params["category"], params["town"]), turn_pages(more, "places"), end))


def count_evaluate(db: Database, params: Params) -> dict[str, Any]:
    more = last_page(listed(db, params["category"], params["town"]))
    return report(str(count_rated(db, params)), url=list_urls(params["category"], params["town"], more))


def same_hours_instances(db: Database) -> list[Params]:
    found = places(db)
    pairs = zip(found[0:180:2], found[1:180:2])
    return [{"place": a["name"], "other": b["name"]} for a, b in pairs if a["hours"] != b["hours"]]


def same_hours_solve(db: Database, params: Params) -> Solution:
    hours, facts = fact("hours", place_of(db, params["other"])["hours"], "the opening hours of the other place", seen_after=2)
    moves = choose("Problem", "Opening hours"), type_("What is right", hours.text), press("Send report")
    step = f"Set the problem to Opening hours and what is right to {hours.shown} and send the report."
    form = submit(step, "The form asks for the problem and for what is right.", *moves)
    problem = go("Report a problem", "The page of the place leads to the form for problems.")
    there = find_place(plain(params["other"]))
    return Solution((*there, back_to_map(), *find_place(plain(params["place"])), problem, pass_notice(), form, stop()), facts)


def same_hours_evaluate(db: Database, params: Params) -> dict[str, Any]:
    place, hours = place_of(db, params["place"]), place_of(db, params["other"])["hours"]
    row = {"place": place["slug"], "problem": "Opening hours", "value": hours, "created": TODAY}
    return change("map_report", "added", row, url=f"{place_url(place)}/reports", shows=[f"Opening hours: {hours}"])


def absent_instances(db: Database) -> list[Params]:
    """A place of the category that is in another town, so that only its town tells that there is none."""
    towns = [row["name"] for row in rows(db, "SELECT name FROM map_town ORDER BY name")]
    pairs = [(category, town, towns[i - 3]) for category in ("Hotel", "Library", "Museum", "Pharmacy") for i, town in enumerate(towns)]
    return [{"place": listed(db, category, far)[-1]["name"], "category": category, "town": town} for category, town, far in pairs]


def absent_solve(db: Database, params: Params) -> Solution:
    look = search_places(plain(params["place"]))
    end = answer_if_there(f"opening hours of '{params['place']}' in '{params['town']}'")
    return Solution((look, *list_places(params["category"], params["town"]), end))


def absent_evaluate(db: Database, params: Params) -> dict[str, Any]:
    searched = f"{URL}/search?{urlencode({'q': params['place']})}"
    place = place_url(place_of(db, params["place"]))  # an agent may also open the namesake and read its town
    return report_missing(f"{searched} |OR| {place} |OR| {list_urls(params['category'], params['town'])}")


def review_instances(db: Database) -> list[Params]:
    return [{"place": p["name"], "stars": str(i % 5 + 1), "text": TEXTS[i % len(TEXTS)]} for i, p in enumerate(places(db)[60:120])]


def review_solve(db: Database, params: Params) -> Solution:
    moves = choose("Stars", params["stars"]), type_("Your review", params["text"]), press("Post review")
    step = f"Set the stars to '{params['stars']}' and the review to '{params['text']}' and post it."
    form = submit(step, "The page of the reviews has a form for a new one.", *moves)
    there = go("Reviews", "The page of the place leads to its reviews.")
    return Solution((*find_place(plain(params["place"])), there, form, stop()))


def review_evaluate(db: Database, params: Params) -> dict[str, Any]:
    place = place_of(db, params["place"])
    row = {"place": place["slug"], "author": ME, "stars": int(params["stars"]), "created": TODAY, "body": params["text"]}
    return change("map_review", "added", row, url=f"{place_url(place)}/reviews", shows=[f"{params['text']} ({ME}"])


MAP = ("map",)
PHONE = (
    "What is the phone number of '{place}'?",
    "I want to call '{place}'. Give me its phone number from the map.",
    "Look up on the map which phone number '{place}' has.",
)
RENAMED = (
    "What is the phone number of the place that was called '{former}' before?",
    "A place had the name '{former}' until it got a new one. Tell me its phone number.",
    "I only know the old name '{former}'. Which phone number has this place today?",
)
COUNT = (
    "How many places of the category {category} in '{town}' have a rating of '{limit}' or more?",
    "Count the places in '{town}' of the category {category} that are rated '{limit}' or better.",
    "Of all places of '{town}' in the category {category}, how many are rated at least '{limit}'?",
)
SAME_HOURS = (
    "'{place}' has the same opening hours as '{other}' now. Report the right opening hours on the map.",
    "The map is wrong about '{place}': it is open when '{other}' is. Send a report with the correct opening hours.",
    "Report that the opening hours of '{place}' should be those that the map shows for '{other}'.",
)
ABSENT = (
    "What are the opening hours of '{place}' (category {category}) in '{town}'?",
    "Tell me when '{place}' in '{town}' is open. It is in the category {category}.",
    "I am in '{town}' and look for '{place}', category {category}. What are its opening hours?",
)
REVIEW = (
    "Review '{place}' with '{stars}' stars and the text '{text}'.",
    "Give '{place}' a review on the map: '{text}', stars: '{stars}'.",
    "Write '{text}' as a review of '{place}' and give it '{stars}' stars.",
)
ANY_PLACE, LIST = ("place",), ("category", "town")
TEMPLATES = (
    Template("map.phone", MAP, PHONE, ANY_PLACE, phone_instances, phone_solve, phone_evaluate, "find"),
    Template("map.renamed", MAP, RENAMED, ("former",), renamed_instances, renamed_solve, renamed_evaluate, "find", weight=3),
    Template("map.count", MAP, COUNT, LIST, count_instances, count_solve, count_evaluate, "aggregate", weight=3),
    Template("map.same_hours", MAP, SAME_HOURS, ANY_PLACE, same_hours_instances, same_hours_solve, same_hours_evaluate, "change", weight=3),
    Template("map.absent", MAP, ABSENT, LIST, absent_instances, absent_solve, absent_evaluate, "infeasible", weight=2),
    Template("map.review", MAP, REVIEW, ANY_PLACE, review_instances, review_solve, review_evaluate, "change"),
)
