"""The code host: projects with members, releases and issues, and the projects that the user has starred."""

from __future__ import annotations

import random
import sqlite3

from planact_envs.miniweb.content.people import Crowd, date

SCHEMA = """
CREATE TABLE code_project (id INTEGER PRIMARY KEY, name TEXT UNIQUE, about TEXT, language TEXT, licence TEXT, stars INTEGER,
    depends TEXT);
CREATE TABLE code_member (id INTEGER PRIMARY KEY, project TEXT, person TEXT, role TEXT);
CREATE TABLE code_release (id INTEGER PRIMARY KEY, project TEXT, version TEXT, created TEXT);
CREATE TABLE code_issue (id INTEGER PRIMARY KEY, project TEXT, number INTEGER, title TEXT, author TEXT, assignee TEXT, label TEXT,
    status TEXT, created TEXT, body TEXT, duplicates TEXT);
CREATE TABLE code_comment (id INTEGER PRIMARY KEY, issue INTEGER, author TEXT, created TEXT, body TEXT);
CREATE TABLE code_star (id INTEGER PRIMARY KEY, project TEXT);
"""

FIRSTS = ("amber", "birch", "cobalt", "delta", "ember", "fern", "granite", "heron", "indigo", "juniper")
SECONDS = ("parser", "cache", "router", "viewer", "logger", "mailer", "planner", "queue")
ABOUTS = {
    "parser": "Reads tables and forms from text", "cache": "Keeps results close at hand", "router": "Sends requests to the right place",
    "viewer": "Shows large files quickly", "logger": "Writes tidy log files", "mailer": "Sends letters in batches",
    "planner": "Plans jobs around each other", "queue": "Holds work until someone has time",
}  # fmt: skip
LANGUAGES = ("Python", "Rust", "Go", "C", "Java")
LICENCES = ("MIT", "Apache 2.0", "BSD", "GPL 3")
LABELS = ("bug", "question", "feature", "docs")
ROLES = ("maintainer", "developer", "developer", "tester", "writer")
TITLES = (
    "Crash with {}", "Slow start with {}", "Add support for {}", "Document {}", "Wrong result for {}", "Memory grows with {}",
    "Test fails on {}", "Warning about {}", "Cannot turn off {}", "Typo in the text on {}", "Timeout while reading {}",
    "Please drop {}",
)  # fmt: skip
THINGS = (
    "empty files", "long names", "old settings", "dark mode", "two users", "large tables", "nested lists", "slow disks",
    "network drives", "time zones", "leap years", "zip archives", "default values", "error codes", "right to left text",
    "float columns", "batch jobs", "shared folders", "quiet mode", "hidden files",
)  # fmt: skip
BODIES = (
    "This happens every time on my machine.", "I can send a small example if needed.", "The last release did not have this.",
    "Low priority, but it would be nice.", "Found while writing the guide.",
)  # fmt: skip
COMMENTS = ("I see this too", "Can you share your settings", "A fix is on the way", "Works in the latest release")
FRONT = 8  # projects on the first page of the list; no project depends on one of these
PROJECTS, ISSUES = 44, 5


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the code host's tables."""
    names = rng.sample([f"{first}-{second}" for first in FIRSTS for second in SECONDS], PROJECTS)
    needed = dependencies(rng, names)
    stars = rng.sample(range(12, 9000), PROJECTS)
    titles = rng.sample([title.format(thing) for title in TITLES for thing in THINGS], PROJECTS * ISSUES)
    versions = rng.sample([f"{a}.{b}.{c}" for a in range(1, 5) for b in range(1, 10) for c in range(6)], PROJECTS)
    for name, count, version in zip(names, stars, versions):
        db.execute(
            "INSERT INTO code_project (name, about, language, licence, stars, depends) VALUES (?, ?, ?, ?, ?, ?)",
            (name, ABOUTS[name.split("-")[1]], rng.choice(LANGUAGES), rng.choice(LICENCES), count, needed.get(name, "")),
        )
        team = rng.sample(crowd.names, rng.randint(4, 5))
        for person, role in zip(team, ROLES):
            db.execute("INSERT INTO code_member (project, person, role) VALUES (?, ?, ?)", (name, person, role))
        fill_releases(db, rng, name, version)
        fill_issues(db, rng, name, team, [titles.pop() for _ in range(ISSUES)])
    for name in rng.sample(names, 3):
        db.execute("INSERT INTO code_star (project) VALUES (?)", (name,))


def dependencies(rng: random.Random, names: list[str]) -> dict[str, str]:
    """project -> the one it depends on. No project is needed by two, none by itself, none in a circle, and none of the front ones."""
    order = names[:FRONT] + rng.sample(names[FRONT:], len(names) - FRONT)
    # Each depends on the one FRONT places further on: FRONT chains side by side.
    return dict(zip(order, order[FRONT:]))


def fill_releases(db: sqlite3.Connection, rng: random.Random, project: str, latest: str) -> None:
    """Three releases; `latest` is no other project's latest."""
    major, minor, patch = (int(part) for part in latest.split("."))
    for i, version in enumerate((f"0.{minor}.{patch}", f"{major}.0.{minor + patch + 10}", latest)):
        db.execute("INSERT INTO code_release (project, version, created) VALUES (?, ?, ?)", (project, version, date(rng, 2023 + i)))


def fill_issues(db: sqlite3.Connection, rng: random.Random, project: str, team: list[str], titles: list[str]) -> None:
    """Open issues; one of them is a duplicate of another. The maintainer (first of the team) neither writes nor has one."""
    duplicate, original = rng.sample(range(len(titles)), 2)
    for i, title in enumerate(titles):
        author, assignee = rng.sample(team[1:], 2)
        body = f"This is a duplicate of the issue {titles[original]}." if i == duplicate else rng.choice(BODIES)
        row = (project, i + 1, title, author, "" if rng.random() < 0.2 else assignee, rng.choice(LABELS), "open", date(rng, 2025), body)
        key = db.execute(
            "INSERT INTO code_issue (project, number, title, author, assignee, label, status, created, body, duplicates)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, titles[original] if i == duplicate else ""),
        ).lastrowid
        for person in rng.sample(team[1:], rng.randint(0, 2)):
            comment = (key, person, date(rng, 2025), rng.choice(COMMENTS))
            db.execute("INSERT INTO code_comment (issue, author, created, body) VALUES (?, ?, ?, ?)", comment)
