"""The code host's groups: people who share tickets, labels, milestones and merge requests."""

from __future__ import annotations

import random
import sqlite3

from planact_envs.miniweb.content.code import LABELS
from planact_envs.miniweb.content.people import Crowd, date

SCHEMA = """
CREATE TABLE code_group (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, title TEXT UNIQUE, about TEXT);
CREATE TABLE code_person (id INTEGER PRIMARY KEY, team TEXT, name TEXT);
CREATE TABLE code_milestone (id INTEGER PRIMARY KEY, team TEXT, title TEXT, due TEXT);
CREATE TABLE code_ticket (id INTEGER PRIMARY KEY, team TEXT, title TEXT, label TEXT, assignee TEXT, milestone TEXT, status TEXT,
    closer TEXT);
CREATE TABLE code_merge (id INTEGER PRIMARY KEY, team TEXT, title TEXT, author TEXT, ticket INTEGER, status TEXT);
CREATE TABLE code_remark (id INTEGER PRIMARY KEY, merge INTEGER, author TEXT, created TEXT, body TEXT);
"""

GROUPS = (
    "Billing", "Search", "Printing", "Payments", "Storage", "Reports", "Mobile", "Security", "Install", "Charts", "Import", "Export",
    "Accounts", "Backup", "Calendar", "Translation", "Network", "Devices", "Support", "Training",
)  # fmt: skip
ABOUTS = ("Owned by the whole team", "Meets on Mondays", "New people are welcome", "Works on two products", "Small but busy")
VERBS = ("Check", "Rewrite", "Remove", "Measure", "Translate", "Move", "Split", "Rename", "Cache", "Colour", "Sort", "Log", "Round")
NOUNS = (
    "start page", "order form", "price table", "menu bar", "help text", "login page", "test data", "error page", "name field",
    "date picker", "address book", "status line", "font size", "upload button", "weekly mail", "export file", "key list", "map view",
    "user guide", "report header", "cover sheet", "page footer", "sample set", "table of contents", "time limit", "nightly run",
    "release notes", "colour scheme", "image folder", "search index", "setup script", "task board", "phone layout", "keyboard help",
    "account page", "number format", "backup job", "welcome tour", "price history", "sign up form",
)  # fmt: skip
FIXES = ("Patch", "Rework", "Draft", "Cleanup", "Follow up", "Quick fix", "Second try")
SEASONS = ("Spring", "Summer", "Autumn", "Winter", "Harvest", "Midsummer")
DAYS = ("3 June 2025", "18 June 2025", "7 July 2025", "29 July 2025", "12 August 2025", "30 August 2025")
PEOPLE, OPEN, CLOSERS, MILESTONES, MERGES = 5, 11, (4, 3, 2, 1), 3, 6  # of each group; CLOSERS: tickets closed by each of four people
SHARES = (5, 3, 2, 1)  # open tickets with each label of a group: no two labels are on as many


def slug_of(title: str) -> str:
    return title.lower()


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the groups' tables."""
    size = OPEN + sum(CLOSERS)
    titles = rng.sample([f"{verb} the {noun}" for verb in VERBS for noun in NOUNS], len(GROUPS) * size)
    fixes = rng.sample([f"{fix} {number}" for fix in FIXES for number in range(100, 400)], len(GROUPS) * MERGES)
    for group in GROUPS:
        slug = slug_of(group)
        db.execute("INSERT INTO code_group (slug, title, about) VALUES (?, ?, ?)", (slug, group, rng.choice(ABOUTS)))
        team = rng.sample(crowd.names, PEOPLE)
        for name in team:
            db.execute("INSERT INTO code_person (team, name) VALUES (?, ?)", (slug, name))
        seasons = rng.sample(SEASONS, MILESTONES)
        for season, due in zip(seasons, rng.sample(DAYS, MILESTONES)):
            db.execute("INSERT INTO code_milestone (team, title, due) VALUES (?, ?, ?)", (slug, season, due))
        tickets = fill_open(db, rng, slug, team, seasons, [titles.pop() for _ in range(OPEN)])
        fill_closed(db, rng, slug, team, [titles.pop() for _ in range(sum(CLOSERS))])
        fill_merges(db, rng, slug, team, rng.sample(tickets, MERGES), [fixes.pop() for _ in range(MERGES)])


def fill_open(db: sqlite3.Connection, rng: random.Random, slug: str, team: list[str], seasons: list[str], titles: list[str]) -> list[int]:
    """The open tickets' ids. A ticket has a label; some have an assignee and a milestone."""
    labels = [label for label, count in zip(rng.sample(LABELS, len(LABELS)), SHARES) for _ in range(count)]
    rng.shuffle(labels)
    found = []
    for title, label in zip(titles, labels):
        row = (slug, title, label, rng.choice(("", *team)), rng.choice(("", *seasons)))
        sql = "INSERT INTO code_ticket (team, title, label, assignee, milestone, status, closer) VALUES (?, ?, ?, ?, ?, 'open', '')"
        found.append(db.execute(sql, row).lastrowid)
    return found


def fill_closed(db: sqlite3.Connection, rng: random.Random, slug: str, team: list[str], titles: list[str]) -> None:
    """The closed tickets. One person closed more than any other."""
    closers = [person for person, count in zip(rng.sample(team, len(CLOSERS)), CLOSERS) for _ in range(count)]
    rng.shuffle(closers)
    for title, closer in zip(titles, closers):
        row = (slug, title, rng.choice(LABELS), closer, closer)
        sql = "INSERT INTO code_ticket (team, title, label, assignee, milestone, status, closer) VALUES (?, ?, ?, ?, '', 'closed', ?)"
        db.execute(sql, row)


def fill_merges(db: sqlite3.Connection, rng: random.Random, slug: str, team: list[str], tickets: list[int], titles: list[str]) -> None:
    """Open merge requests, each for another ticket."""
    for ticket, title in zip(tickets, titles):
        row = (slug, title, rng.choice(team), ticket)
        key = db.execute("INSERT INTO code_merge (team, title, author, ticket, status) VALUES (?, ?, ?, ?, 'open')", row).lastrowid
        if rng.random() < 0.4:
            remark = (key, rng.choice(team), date(rng, 2025), "Looks good so far")
            db.execute("INSERT INTO code_remark (merge, author, created, body) VALUES (?, ?, ?, ?)", remark)
