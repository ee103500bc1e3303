"""The map: towns of a region, places in them with coordinates, reviews, and the places that the user has saved."""

from __future__ import annotations

import random
import sqlite3

from planact_envs.miniweb.content.people import Crowd, date

SCHEMA = """
CREATE TABLE map_town (id INTEGER PRIMARY KEY, name TEXT UNIQUE, works TEXT);
CREATE TABLE map_place (id INTEGER PRIMARY KEY, slug TEXT, name TEXT, category TEXT, town TEXT, district TEXT, address TEXT,
    hours TEXT, phone TEXT, rating TEXT, former TEXT, x INTEGER, y INTEGER);
CREATE TABLE map_review (id INTEGER PRIMARY KEY, place TEXT, author TEXT, stars INTEGER, created TEXT, body TEXT);
CREATE TABLE map_saved (id INTEGER PRIMARY KEY, place TEXT, note TEXT);
CREATE TABLE map_report (id INTEGER PRIMARY KEY, place TEXT, problem TEXT, value TEXT, created TEXT);
"""

FIRSTS = (
    "Copper", "Silver", "Hidden", "Painted", "Crooked", "Merry", "Velvet", "Marble", "Windy", "Sunny", "Rusty", "Gentle", "Wooden",
    "Crystal", "Northern", "Southern", "Humble", "Royal", "Quiet", "Brave",
)  # fmt: skip
SECONDS = (
    "Kettle", "Lantern", "Sparrow", "Anvil", "Compass", "Thistle", "Barrel", "Mirror", "Bridge", "Orchard", "Feather", "Pebble",
    "Violin", "Harvest", "Otter", "Candle", "Willow", "Saddle", "Spindle", "Fountain",
)  # fmt: skip
FORMER_FIRSTS = ("Golden", "Frosty", "Purple", "Sleepy", "Dusty", "Happy", "Scarlet", "Grand")
FORMER_SECONDS = ("Anchor", "Walnut", "Cuckoo", "Lobster", "Windmill", "Chimney", "Dragon", "Carousel")
# category -> what names end in, and how many a town has. Lists of the large ones go on over several pages.
CATEGORIES = {
    "Bakery": ("Bakery", 9), "Cafe": ("Cafe", 9), "Restaurant": ("Kitchen", 9), "Hotel": ("Inn", 3), "Library": ("Library", 2),
    "Museum": ("Museum", 2), "Park": ("Gardens", 1), "Pharmacy": ("Apothecary", 2), "Station": ("Station", 1),
}  # fmt: skip
DISTRICTS = ("Old Town", "Riverside", "Upper Town", "New Quarter")
STREETS = (
    "Mill Street", "Church Lane", "Market Road", "Castle Street", "Garden Walk", "Bridge Street", "Harbour Road", "School Lane",
    "Station Road", "Chapel Hill",
)  # fmt: skip
WORKS = ("The bridge is closed until June.", "The main road is being paved.", "A new tram line is being built.", "The tunnel is closed.")
REVIEWS = ("Friendly people", "A bit loud", "Worth the way", "Clean and quiet", "Too crowded at noon", "We will come again")
TOWNS, RENAMED, SAVED = 10, 32, 12
BLOCK = 40  # a town covers BLOCK x BLOCK points of a grid of 100 m
APART = 130  # points between neighbouring towns


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the map's tables."""
    towns = sorted(rng.sample(crowd.towns, TOWNS))
    works = dict(zip(rng.sample(towns, len(WORKS)), WORKS))
    total = sum(count for _, count in CATEGORIES.values()) * TOWNS
    names = rng.sample([f"{first} {second}" for first in FIRSTS for second in SECONDS], total)
    phones = rng.sample(range(10000, 99999), total)
    formers = rng.sample([f"{first} {second}" for first in FORMER_FIRSTS for second in FORMER_SECONDS], RENAMED)
    renamed = dict(zip(rng.sample(range(total), RENAMED), formers))
    for i, town in enumerate(towns):
        db.execute("INSERT INTO map_town (name, works) VALUES (?, ?)", (town, works.get(town, "")))
        corner = i % 4 * APART, i // 4 * APART
        fill_town(db, rng, town, corner, names, phones, renamed)
    slugs = [slug for (slug,) in db.execute("SELECT slug FROM map_place ORDER BY id").fetchall()]
    for slug in slugs:
        for person in rng.sample(crowd.names, rng.randint(0, 1)):
            review = (slug, person, rng.randint(1, 5), date(rng, 2025), rng.choice(REVIEWS))
            db.execute("INSERT INTO map_review (place, author, stars, created, body) VALUES (?, ?, ?, ?, ?)", review)
    for slug in rng.sample(slugs, SAVED):
        db.execute("INSERT INTO map_saved (place, note) VALUES (?, '')", (slug,))


def fill_town(
    db: sqlite3.Connection, rng: random.Random, town: str, corner: tuple[int, int], names: list[str], phones: list[int],
    renamed: dict[int, str],
) -> None:  # fmt: skip
    """The places of one town, all at different points; takes their names and phone numbers off the lists' ends."""
    points = rng.sample(range(BLOCK * BLOCK), sum(count for _, count in CATEGORIES.values()))
    for category, (ending, count) in CATEGORIES.items():
        for tenths in rng.sample(range(25, 50), count):  # no two places of one list have the same rating
            name, point = f"{names.pop()} {ending}", points.pop()
            address = f"{rng.randint(1, 80)} {rng.choice(STREETS)}"
            hours = f"{rng.randint(6, 11)}.{rng.choice(('00', '30'))}-{rng.randint(16, 22)}.{rng.choice(('00', '30'))}"
            place = (slug_of(name), name, category, town, rng.choice(DISTRICTS), address, hours, f"0{phones.pop()}", rating(tenths))
            x, y = corner[0] + point % BLOCK, corner[1] + point // BLOCK
            db.execute(
                "INSERT INTO map_place (slug, name, category, town, district, address, hours, phone, rating, former, x, y)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*place, renamed.get(len(names), ""), x, y),
            )


def slug_of(name: str) -> str:
    return name.lower().replace(" ", "-")


def rating(tenths: int) -> str:
    return f"{tenths // 10}.{tenths % 10}"
