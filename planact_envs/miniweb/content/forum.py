"""The forum: eight forums, posts with comments, members, and what the user has voted for and subscribed to."""

from __future__ import annotations

import random
import sqlite3

from planact_envs.miniweb.content.people import Crowd, date

SCHEMA = """
CREATE TABLE forum_forum (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, title TEXT UNIQUE, about TEXT);
CREATE TABLE forum_member (id INTEGER PRIMARY KEY, name TEXT UNIQUE, city TEXT, joined TEXT, karma INTEGER);
CREATE TABLE forum_post (id INTEGER PRIMARY KEY, forum TEXT, title TEXT, author TEXT, points INTEGER, created TEXT, body TEXT,
    recommends TEXT);
CREATE TABLE forum_comment (id INTEGER PRIMARY KEY, post INTEGER, author TEXT, created TEXT, body TEXT);
CREATE TABLE forum_vote (id INTEGER PRIMARY KEY, post INTEGER);
CREATE TABLE forum_subscription (id INTEGER PRIMARY KEY, forum TEXT);
"""

FORUMS = {  # title -> (about, what its posts are about)
    "Gardening": (
        "Beds, pots and balconies",
        "compost heap,rose bush,garden shed,hedge,vegetable patch,greenhouse,lawn,rain barrel,cherry tree,herb pot,flower bed,pond",
    ),
    "Cycling": (
        "Bikes and the roads for them",
        "folding bike,bike lock,saddle,chain,helmet,pannier,hub gear,touring bike,bike stand,bell,front light,tyre",
    ),
    "Baking": (
        "Bread, cakes and the oven",
        (
            "rye loaf,sourdough,baking stone,layer cake,pie crust,bread knife,"
            "cheesecake,mixer,proofing basket,lemon tart,pizza oven,rolling pin"
        ),
    ),
    "Photography": (
        "Cameras and pictures",
        "tripod,film camera,portrait lens,darkroom,flash,camera strap,photo album,macro lens,light meter,scanner,photo printer,lens filter",
    ),
    "Board Games": (
        "Rules, reviews and game nights",
        (
            "dice tower,card sleeve,chess clock,puzzle game,party game,game shelf,"
            "travel game,strategy game,score pad,game table,card game,word game"
        ),
    ),
    "Astronomy": (
        "Stars, planets and telescopes",
        (
            "telescope,star chart,finder scope,meteor shower,moon map,sky camera,"
            "dew heater,planet viewer,mount,red torch,comet hunt,sun filter"
        ),
    ),
    "Woodwork": (
        "Saws, planes and joints",
        "hand plane,workbench,band saw,chisel,dovetail joint,wood stove,sanding block,lathe,drill press,tool chest,clamp rack,varnish",
    ),
    "Hiking": (
        "Trails and what to carry",
        (
            "rain jacket,hiking boot,camp stove,trail map,sleeping bag,head torch,"
            "walking pole,water bottle,mountain hut,day hike,rucksack,tent"
        ),
    ),
}
TITLES = (
    "Best way to clean a {}", "My first {}", "Looking for a cheap {}", "Is a second {} worth it", "Tips for a better {}",
    "Trouble with my old {}", "Where to buy a {}", "A {} for beginners", "How long does a {} last", "Please rate my {}",
    "Which {} would you take", "Finally got a new {}",
)  # fmt: skip
BODIES = (
    "I have tried for two weeks and could use some advice.", "It works, but I feel there must be a better way.",
    "Money is short this month, so please keep that in mind.", "I would like to hear what others think before I decide.",
    "My neighbour says one thing and the books say another.", "Pictures will follow as soon as the weather is better.",
)  # fmt: skip
COMMENTS = (
    "Thank you for asking this", "I had the same problem last year", "Take your time and start small", "That sounds about right",
    "Please tell us how it went", "I would wait for the spring sale", "Works for me every time", "Not sure I agree",
)  # fmt: skip
RECOMMENDING = 6  # of each forum's newest posts; they stand on the first page of its list
QUIET = 8  # the newest members have never posted


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the forum's tables."""
    for title, (about, _) in FORUMS.items():
        db.execute("INSERT INTO forum_forum (slug, title, about) VALUES (?, ?, ?)", (title.lower().replace(" ", "-"), title, about))
    karma = rng.sample(range(20, 5000), len(crowd.names))
    for name, town, points in zip(crowd.names, crowd.towns, karma):
        member = (name, town, f"{date(rng, rng.randint(2018, 2024))}", points)
        db.execute("INSERT INTO forum_member (name, city, joined, karma) VALUES (?, ?, ?, ?)", member)
    fill_posts(db, rng, crowd.names[:-QUIET])
    db.execute("INSERT INTO forum_subscription (forum) VALUES (?)", ("hiking",))


def fill_posts(db: sqlite3.Connection, rng: random.Random, writers: tuple[str, ...]) -> None:
    size = sum(len(things.split(",")) for _, things in FORUMS.values())
    authors = rng.sample(list(writers) * 2, size)
    points = rng.sample(range(2, 990), size)
    for title, (_, things) in FORUMS.items():
        others = [other for other in FORUMS if other != title]
        subjects = rng.sample(things.split(","), len(things.split(",")))
        recommends = [""] * (len(subjects) - RECOMMENDING) + rng.sample(others, RECOMMENDING)
        for pattern, thing, other in zip(rng.sample(TITLES, len(subjects)), subjects, recommends):
            body = rng.choice(BODIES) + (f" For anything else I recommend the forum {other}." if other else "")
            author, created = authors.pop(), date(rng, 2024)
            row = (title.lower().replace(" ", "-"), pattern.format(thing), author, points.pop(), created, body, other)
            key = db.execute(
                "INSERT INTO forum_post (forum, title, author, points, created, body, recommends) VALUES (?, ?, ?, ?, ?, ?, ?)", row
            ).lastrowid
            for writer in rng.sample([name for name in writers if name != author], rng.randint(0, 3)):
                comment = (key, writer, date(rng, 2025), rng.choice(COMMENTS))
                db.execute("INSERT INTO forum_comment (post, author, created, body) VALUES (?, ?, ?, ?)", comment)
