"""The shop's outlet: single pieces, half of them sold out, with a basket and orders of their own."""

from __future__ import annotations

import random
import sqlite3

from planact_envs.miniweb.content.people import Crowd
from planact_envs.miniweb.content.shop import money

SCHEMA = """
CREATE TABLE shop_outlet_item (id INTEGER PRIMARY KEY, code TEXT UNIQUE, name TEXT UNIQUE, price TEXT, stock INTEGER, replacement TEXT);
CREATE TABLE shop_outlet_basket (id INTEGER PRIMARY KEY, code TEXT);
CREATE TABLE shop_outlet_order (id INTEGER PRIMARY KEY, code TEXT, delivery TEXT, created TEXT);
"""

COLOURS = ("Green", "Blue", "Grey", "Yellow", "White", "Purple", "Brown", "Orange")
THINGS = ("Armchair", "Bookcase", "Carpet", "Curtain", "Mirror", "Pillow", "Blanket", "Vase", "Cushion", "Dresser", "Footrest", "Screen")
DELIVERIES = ("Parcel", "Courier", "Pick-up point", "Store")
IN_STOCK = 24  # and as many sold out, each replaced by another of these


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the outlet's items."""
    names = rng.sample([f"{colour} {thing}" for colour in COLOURS for thing in THINGS], 2 * IN_STOCK)
    codes = [f"OU-{number}" for number in rng.sample(range(100, 1000), len(names))]
    prices = rng.sample(range(500, 9500, 5), len(names))
    items = list(zip(codes, names, map(money, prices)))
    there, gone = items[:IN_STOCK], items[IN_STOCK:]
    rows = [(*item, rng.randint(1, 3), "") for item in there]
    rows += [(*item, 0, other[1]) for item, other in zip(gone, rng.sample(there, IN_STOCK))]
    for row in sorted(rows):
        db.execute("INSERT INTO shop_outlet_item (code, name, price, stock, replacement) VALUES (?, ?, ?, ?, ?)", row)
