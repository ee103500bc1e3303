"""The shop: products in six categories, reviews, past orders, and the user's account, cart and wish list."""

from __future__ import annotations

import random
import sqlite3

from planact_envs.miniweb.content.people import ME, Crowd, date

SCHEMA = """
CREATE TABLE shop_category (id INTEGER PRIMARY KEY, slug TEXT, title TEXT);
CREATE TABLE shop_product (id INTEGER PRIMARY KEY, sku TEXT UNIQUE, name TEXT UNIQUE, category TEXT, brand TEXT, price TEXT,
    stock INTEGER, rating TEXT, part TEXT, description TEXT, featured INTEGER DEFAULT 0);
CREATE TABLE shop_review (id INTEGER PRIMARY KEY, sku TEXT, author TEXT, rating INTEGER, body TEXT);
CREATE TABLE shop_order (id INTEGER PRIMARY KEY, number TEXT UNIQUE, created TEXT, status TEXT, total TEXT, tracking TEXT);
CREATE TABLE shop_order_item (id INTEGER PRIMARY KEY, number TEXT, product TEXT, quantity INTEGER);
CREATE TABLE shop_cart (id INTEGER PRIMARY KEY, sku TEXT, quantity INTEGER);
CREATE TABLE shop_wish (id INTEGER PRIMARY KEY, sku TEXT);
CREATE TABLE shop_account (id INTEGER PRIMARY KEY, name TEXT, email TEXT, phone TEXT, city TEXT);
"""

KINDS = {  # category -> what it sells
    "Lighting": ("Desk Lamp", "Floor Lamp", "Wall Light", "Night Light", "Lantern", "Candle Holder"),
    "Kitchen": ("Tea Kettle", "Bread Box", "Mixing Bowl", "Pepper Mill", "Serving Tray", "Fruit Basket"),
    "Garden": ("Plant Pot", "Bird Feeder", "Garden Bench", "Hand Rake", "Watering Can", "Seed Box"),
    "Office": ("Desk Tray", "Pen Holder", "Book Stand", "Wall Clock", "Paper Tray", "Letter Rack"),
    "Travel": ("Day Bag", "Trunk", "Camp Stool", "Lunch Box", "Travel Mug", "Picnic Basket"),
}
PREFIX = {"Lighting": "LT", "Kitchen": "KT", "Garden": "GD", "Office": "OF", "Travel": "TV", "Spare Parts": "SP"}
MATERIALS = ("Oak", "Brass", "Linen", "Steel", "Copper", "Glass", "Bamboo", "Marble", "Wicker", "Slate", "Amber", "Cedar")
PART_KINDS = ("Gasket", "Hinge", "Socket", "Filter", "Hook", "Wheel", "Handle", "Spring", "Clamp", "Latch")
PART_MATERIALS = ("Rubber", "Nylon", "Iron", "Ceramic", "Felt", "Zinc")
BRANDS = ("Norvale", "Tesmer", "Quillon", "Harbrook", "Aldenby", "Brightmoor")
USES = ("small rooms", "a busy day", "long evenings", "weekend guests", "quiet mornings", "everyday use")
CARE = ("Wipe clean with a dry cloth.", "Keep away from water.", "Comes ready to use.", "Made to last for years.")
PRAISE = (
    "Looks better than in the pictures", "Does what it should", "Smaller than I thought", "My sister wants one too",
    "Arrived quickly and well packed", "Solid work for the money", "The colour is a bit darker", "Would buy it again",
)  # fmt: skip
PER_CATEGORY, PARTS, ORDERS, WISHES, FEATURED = 12, 36, 36, 3, 4


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the shop's tables."""
    for title in (*KINDS, "Spare Parts"):
        db.execute("INSERT INTO shop_category (slug, title) VALUES (?, ?)", (title.lower().replace(" ", "-"), title))
    products = main_products(rng)
    parts = part_products(rng)
    numbers = iter(rng.sample(range(100, 1000), len(products) + len(parts)))
    prices = iter(rng.sample(range(500, 9500, 5), len(products) + len(parts)))
    skus = {name: f"{PREFIX[category]}-{next(numbers)}" for name, category in products + parts}
    with_part = dict(zip(rng.sample([name for name, _ in products], len(parts)), (name for name, _ in parts)))
    for name, category in products + parts:
        part = skus[with_part[name]] if name in with_part else ""
        row = (skus[name], name, category, rng.choice(BRANDS), money(next(prices)), rng.randint(6, 90))
        db.execute(
            "INSERT INTO shop_product (sku, name, category, brand, price, stock, rating, part, description) VALUES (?,?,?,?,?,?,?,?,?)",
            (*row, f"{rng.randint(30, 50) / 10}", part, description(rng, name)),
        )
        for author in rng.sample(crowd.names, rng.randint(0, 2)):
            db.execute(
                "INSERT INTO shop_review (sku, author, rating, body) VALUES (?, ?, ?, ?)",
                (skus[name], author, rng.randint(2, 5), rng.choice(PRAISE)),
            )
    ordered = fill_orders(db, rng, [name for name, _ in products])
    # What the home page shows is in no order, so that an order's product has to be searched for.
    for name in rng.sample([name for name, _ in products if name not in ordered], FEATURED):
        db.execute("UPDATE shop_product SET featured = 1 WHERE name = ?", (name,))
    fill_account(db, rng, crowd, [skus[name] for name, _ in products])


def money(cents: int) -> str:
    return f"${cents // 100}.{cents % 100:02d}"


def cents(price: str) -> int:
    return int(price.replace("$", "").replace(".", ""))


def main_products(rng: random.Random) -> list[tuple[str, str]]:
    """(name, category): each kind in two materials."""
    found = []
    for category, kinds in KINDS.items():
        materials = rng.sample(MATERIALS, PER_CATEGORY)
        names = [f"{material} {kinds[i % len(kinds)]}" for i, material in enumerate(materials)]
        found += [(name, category) for name in names]
    return found


def part_products(rng: random.Random) -> list[tuple[str, str]]:
    names = [f"{material} {kind}" for material in PART_MATERIALS for kind in PART_KINDS]
    return [(name, "Spare Parts") for name in rng.sample(names, PARTS)]


def description(rng: random.Random, name: str) -> str:
    return f"A {name.lower()} for {rng.choice(USES)}. {rng.choice(CARE)}".replace("A oak", "An oak").replace("A amber", "An amber")


def fill_orders(db: sqlite3.Connection, rng: random.Random, names: list[str]) -> set[str]:
    """Past orders, oldest first. Each holds a product that no other order holds; every ninth holds a second product.

    Returns the products ordered.
    """
    firsts = rng.sample(names, ORDERS)
    seconds = rng.sample([name for name in names if name not in firsts], ORDERS // 9)
    number, trackings = 1000, rng.sample(range(10000, 100000), ORDERS)
    for i, first in enumerate(firsts):
        number += rng.randint(3, 19)
        bought = [first, seconds[i // 9]] if i % 9 == 8 else [first]
        status = "On its way" if i > ORDERS - 4 else "Delivered"
        db.execute(
            "INSERT INTO shop_order (number, created, status, total, tracking) VALUES (?, ?, ?, ?, ?)",
            (str(number), date(rng, 2023 + i * 3 // ORDERS), status, money(rng.randint(900, 19900)), f"TRK-{trackings[i]}"),
        )
        for name in bought:
            db.execute("INSERT INTO shop_order_item (number, product, quantity) VALUES (?, ?, ?)", (str(number), name, rng.randint(1, 3)))
    return {*firsts, *seconds}


def fill_account(db: sqlite3.Connection, rng: random.Random, crowd: Crowd, skus: list[str]) -> None:
    account = (ME, "robin@fernhill.miniweb", "555-0100", crowd.towns[0])
    db.execute("INSERT INTO shop_account (name, email, phone, city) VALUES (?, ?, ?, ?)", account)
    for sku in rng.sample(skus, WISHES):
        db.execute("INSERT INTO shop_wish (sku) VALUES (?)", (sku,))
