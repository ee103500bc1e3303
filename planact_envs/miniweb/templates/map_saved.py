"""Task templates of the map about the places that the user saves."""

from __future__ import annotations

from typing import Any

from planact_envs.miniweb.database import Row, one, rows
from planact_envs.miniweb.sites.map import LIST_SIZE
from planact_envs.miniweb.sites.pages import PAGE_SIZE
from planact_envs.miniweb.solution import Solution, Stage
from planact_envs.miniweb.templates.base import Database, Params, Template, change, changes
from planact_envs.miniweb.templates.map import (
    back_to_map,
    find_place,
    last_page,
    list_places,
    listed,
    long_lists,
    place_of,
    place_url,
    places,
)
from planact_envs.miniweb.templates.stages import click, fact, go, open_listed, plain, press, stop, submit, turn_pages, type_


def best(db: Database, params: Params) -> Row:
    return max(listed(db, params["category"], params["town"]), key=lambda place: place["rating"])


def save() -> Stage:
    return submit("Save the place.", "The page of the place has a button for this.", press("Save place"))


def saved(place: Row) -> dict[str, Any]:
    return change("map_saved", "added", {"place": place["slug"], "note": ""}, url=place_url(place), shows=["You have saved"])


def save_best_instances(db: Database) -> list[Params]:
    return [params for params in long_lists(db) if unsaved(db, best(db, params))]


def unsaved(db: Database, place: Row) -> bool:
    return one(db, "SELECT 1 FROM map_saved WHERE place = ?", place["slug"]) is None


def save_best_solve(db: Database, params: Params) -> Solution:
    found, wanted = listed(db, params["category"], params["town"]), best(db, params)
    more, on_page = last_page(found), [place["name"] for place in found].index(wanted["name"]) // LIST_SIZE
    moves = (*(click("Previous page"),) * (more - on_page), click(wanted["name"]))
    pick = Stage("Open the place with the highest rating in the list.", "All pages of the list have been read.", moves)
    return Solution((*list_places(params["category"], params["town"]), turn_pages(more, "places"), pick, save(), stop()))


def save_best_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return saved(best(db, params))


def save_better_instances(db: Database) -> list[Params]:
    found = [place for place in places(db) if unsaved(db, place)]
    pairs = [(a, b) for a, b in zip(found[0:160:2], found[1:160:2]) if a["rating"] != b["rating"]]
    return [{"first": a["name"], "second": b["name"]} for a, b in pairs]


def better(db: Database, params: Params) -> Row:
    return max((place_of(db, params[name]) for name in ("first", "second")), key=lambda place: place["rating"])


def save_better_solve(db: Database, params: Params) -> Solution:
    names, wanted = (params["first"], params["second"]), better(db, params)["name"]
    read = *find_place(plain(names[0])), back_to_map(), *find_place(plain(names[1]))
    again = () if wanted == names[1] else (back_to_map(), *find_place(plain(wanted)))
    return Solution((*read, *again, save(), stop()))


def save_better_evaluate(db: Database, params: Params) -> dict[str, Any]:
    return saved(better(db, params))


def phone_note_instances(db: Database) -> list[Params]:
    found = [place for place in places(db) if unsaved(db, place)]
    return [{"place": a["name"], "other": b["name"]} for a, b in zip(found[160:220:2], found[161:220:2])]


def phone_note_solve(db: Database, params: Params) -> Solution:
    phone, facts = fact("phone", place_of(db, params["other"])["phone"], "the phone number of the other place", seen_after=2)
    moves = type_("Your note", phone.text), press("Save note")
    form = submit(f"Write {phone.shown} as the note and save it.", "A saved place has a note.", *moves)
    there, note = find_place(plain(params["other"])), go("Edit note", "The page of a saved place leads to its note.")
    return Solution((*there, back_to_map(), *find_place(plain(params["place"])), save(), note, form, stop()), facts)


def phone_note_evaluate(db: Database, params: Params) -> dict[str, Any]:
    place, phone = place_of(db, params["place"]), place_of(db, params["other"])["phone"]
    row = {"place": place["slug"], "note": phone}
    return change("map_saved", "added", row, url=place_url(place), shows=[f"Your note: {phone}"])


def saved_instances(db: Database) -> list[Params]:
    return [{"place": row["name"]} for row in saved_places(db)]


def saved_places(db: Database) -> list[Row]:
    """As the page Saved places lists them."""
    return rows(db, "SELECT p.name, s.place, s.note FROM map_saved s JOIN map_place p ON p.slug = s.place ORDER BY p.name")


def unsave_solve(db: Database, params: Params) -> Solution:
    on_page = [row["name"] for row in saved_places(db)].index(params["place"]) // PAGE_SIZE + 1
    remove = submit(
        "Remove the place from the saved places.", "The page of the place has a button for this.", press("Remove from saved places")
    )
    there = go("Saved places", "There is a page of all saved places.")
    return Solution((there, open_listed("place", plain(params["place"]), on_page), remove, stop()))


def unsave_evaluate(db: Database, params: Params) -> dict[str, Any]:
    place = place_of(db, params["place"])
    return changes({"map_saved": {"removed": [{"place": place["slug"], "note": ""}]}}, url=place_url(place), shows=["Save place"])


MAP = ("map",)
SAVE_BEST = (
    "Save the place of the category {category} in '{town}' that has the highest rating.",
    "Which place of the category {category} is rated best in '{town}'? Add it to my saved places.",
    "Put the best rated place of '{town}' in the category {category} on my list of saved places.",
)
SAVE_BETTER = (
    "Save the one of '{first}' and '{second}' that has the higher rating.",
    "Compare the ratings of '{first}' and '{second}' and add the better one to my saved places.",
    "Is '{first}' or '{second}' rated better? Save that place.",
)
PHONE_NOTE = (
    "Save '{place}' and write the phone number of '{other}' as my note on it.",
    "Add '{place}' to my saved places, with a note that is the phone number of '{other}'.",
    "Look up the phone number of '{other}', then save '{place}' with this number as its note.",
)
UNSAVE = (
    "Remove '{place}' from my saved places.",
    "I no longer need '{place}' among my saved places. Take it off.",
    "Take '{place}' off the list of places that I saved.",
)
ANY_PLACE = ("place",)
TEMPLATES = (
    Template(
        "map.save_best", MAP, SAVE_BEST, ("category", "town"), save_best_instances, save_best_solve, save_best_evaluate, "change", weight=3
    ),
    Template(
        "map.save_better", MAP, SAVE_BETTER, ("first", "second"), save_better_instances, save_better_solve, save_better_evaluate, "change",
        weight=3,
    ),
    Template(
        "map.phone_note", MAP, PHONE_NOTE, ANY_PLACE, phone_note_instances, phone_note_solve, phone_note_evaluate, "change", unseen=True,
        weight=3,
    ),
    Template("map.unsave", MAP, UNSAVE, ANY_PLACE, saved_instances, unsave_solve, unsave_evaluate, "change", unseen=True, weight=2),
)  # fmt: skip
