"""The forum's communities: small groups with a moderator, rules to accept, and threads by a few regular writers."""

from __future__ import annotations

import random
import sqlite3
from datetime import date, timedelta

from planact_envs.miniweb.content.people import MONTHS, Crowd
from planact_envs.miniweb.content.shop import money

# forum_joined gives no id twice: leaving one community and joining another must not look like one changed row.
SCHEMA = """
CREATE TABLE forum_community (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, title TEXT UNIQUE, about TEXT, rules TEXT, moderator TEXT,
    members INTEGER);
CREATE TABLE forum_thread (id INTEGER PRIMARY KEY, community TEXT, title TEXT, author TEXT, points INTEGER, created TEXT, body TEXT,
    fits TEXT, product TEXT, offer TEXT);
CREATE TABLE forum_reply (id INTEGER PRIMARY KEY, thread INTEGER, author TEXT, created TEXT, body TEXT);
CREATE TABLE forum_joined (id INTEGER PRIMARY KEY AUTOINCREMENT, community TEXT);
CREATE TABLE forum_accepted (id INTEGER PRIMARY KEY, community TEXT);
"""

COMMUNITIES = (
    "Harbour Walkers", "Quiet Readers", "Attic Finds", "Night Swimmers", "Slow Cooks", "Rail Fans", "Kite Makers", "Window Farmers",
    "Chess Evenings", "Lake Rowers", "Map Collectors", "Street Painters", "Bird Watchers", "Choir Friends", "Clock Menders",
    "Tea Tasters", "Dog Walkers", "Paper Folders", "Radio Builders", "Stamp Swappers", "Wool Spinners", "Honey Keepers",
    "Film Evenings", "Stone Carvers",
)  # fmt: skip
ABOUTS = ("Open to all", "Small and friendly", "For old hands and newcomers", "We meet once a month", "Questions are welcome")
RULES = (
    "Be kind to newcomers.", "One subject for each thread.", "No advertising.", "Write clear titles.", "Stay on the subject.",
    "Ask before you share pictures of people.",
)  # fmt: skip
OCCASIONS = (
    "Friday meeting", "summer trip", "open day", "winter market", "beginners course", "town fair", "spring cleaning", "shared shed",
    "photo wall", "guest evening", "library visit", "anniversary dinner", "key holder list", "members survey", "raffle", "work party",
    "newsletter", "tool swap", "quiz night", "harvest table",
)  # fmt: skip
TITLES = (
    "Notes from the {}", "Who comes to the {}", "Ideas for the {}", "Help wanted for the {}", "What went wrong with the {}",
    "Pictures of the {}", "New date for the {}", "Lost and found at the {}", "Costs of the {}", "A plan for the {}",
    "Looking back at the {}", "Please vote on the {}", "Food for the {}", "First thoughts on the {}", "Where to park for the {}",
    "Thank you for the {}",
)  # fmt: skip
BODIES = ("More at the next meeting.", "Please say what you think.", "All details are on the board.", "I may have missed something.")
REPLIES = ("Count me in", "I will bring a friend", "Not this time, sorry", "Who has the key", "Well done")
TURNS = (4, 2, 2, 1, 1, 1, 1)  # threads of each writer of a community; the first writes most there
JOINED = 4  # communities that the user belongs to
FIRST_DAY = date(2024, 6, 1)  # of the oldest thread; the last is from before `people.TODAY`


def slug_of(title: str) -> str:
    return title.lower().replace(" ", "-")


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the communities' tables. The shop's products must be there: threads recommend and sell them."""
    writers = rng.sample(crowd.names, len(COMMUNITIES))
    sizes = rng.sample(range(30, 900), len(COMMUNITIES))
    for title, moderator, size in zip(COMMUNITIES, rng.sample(writers, len(writers)), sizes):
        row = (slug_of(title), title, rng.choice(ABOUTS), " ".join(rng.sample(RULES, 2)), moderator, size)
        db.execute("INSERT INTO forum_community (slug, title, about, rules, moderator, members) VALUES (?, ?, ?, ?, ?, ?)", row)
    for title in rng.sample(COMMUNITIES, JOINED):
        db.execute("INSERT INTO forum_joined (community) VALUES (?)", (slug_of(title),))
    fill_threads(db, rng, writers)


def fill_threads(db: sqlite3.Connection, rng: random.Random, writers: list[str]) -> None:
    """The threads of all communities, oldest first."""
    size = sum(TURNS)
    plans = [turn for i, title in enumerate(COMMUNITIES) for turn in community_plan(rng, title, writers, i)]
    rng.shuffle(plans)
    points = {title: rng.sample(range(3, 400), size) for title in COMMUNITIES}
    titles = rng.sample([title.format(occasion) for title in TITLES for occasion in OCCASIONS], len(plans))
    products = iter(rng.sample(unwished(db), 2 * len(COMMUNITIES)))
    bodies = {title: all_bodies(rng, title, next(products), next(products), size) for title in COMMUNITIES}
    for i, ((community, author), title) in enumerate(zip(plans, titles)):
        body, *special = bodies[community].pop()
        row = (slug_of(community), title, author, points[community].pop(), shown(FIRST_DAY + timedelta(days=i)), body)
        key = db.execute(
            "INSERT INTO forum_thread (community, title, author, points, created, body, fits, product, offer)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, *special),
        ).lastrowid
        if rng.random() < 0.5:
            reply = (key, rng.choice(writers), row[4], rng.choice(REPLIES))
            db.execute("INSERT INTO forum_reply (thread, author, created, body) VALUES (?, ?, ?, ?)", reply)


def community_plan(rng: random.Random, title: str, writers: list[str], index: int) -> list[tuple[str, str]]:
    """(community, author) of each of its threads. Each writer writes most in one community only."""
    others = rng.sample([writer for writer in writers if writer != writers[index]], len(TURNS) - 1)
    return [(title, author) for author, turns in zip([writers[index], *others], TURNS) for _ in range(turns)]


def unwished(db: sqlite3.Connection) -> list[str]:
    """The shop's products that are not on the user's wish list."""
    sql = "SELECT name FROM shop_product WHERE sku NOT IN (SELECT sku FROM shop_wish) ORDER BY id"
    return [name for (name,) in db.execute(sql)]


def all_bodies(rng: random.Random, community: str, liked: str, sold: str, size: int) -> list[tuple[str, str, str, str]]:
    """(body, community where the thread fits, product, price offered) of a community's threads: a misplaced one, a
    recommendation, an offer, and ordinary ones with any body."""
    fits = rng.choice([title for title in COMMUNITIES if title != community])
    offer = money(rng.randint(110, 490))  # less than anything in the shop costs
    special = [
        (f"This may fit better in the community {fits}.", fits, "", ""),
        (f"For this I recommend the {liked} from the store.", "", liked, ""),
        (f"I sell my {sold} for {offer}.", "", sold, offer),
    ]
    return rng.sample([*special, *[(rng.choice(BODIES), "", "", "") for _ in range(size - len(special))]], size)


def shown(day: date) -> str:
    """The day as pages show it."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"
