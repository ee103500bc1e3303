"""The shop's admin panel: customers with their orders, reviews that wait for approval, coupons, and notes on orders.

Products, approved reviews and the orders of the user are the shop's own tables; two views show the orders of everybody.
"""

from __future__ import annotations

import random
import sqlite3

from planact_envs.miniweb.content.people import ME, MONTHS, Crowd
from planact_envs.miniweb.content.shop import KINDS, PRAISE, cents, money

SCHEMA = f"""
CREATE TABLE admin_customer (id INTEGER PRIMARY KEY, name TEXT UNIQUE, email TEXT UNIQUE, city TEXT, since TEXT);
CREATE TABLE admin_order (id INTEGER PRIMARY KEY, number TEXT UNIQUE, customer TEXT, created TEXT, status TEXT, total TEXT, tracking TEXT);
CREATE TABLE admin_order_item (id INTEGER PRIMARY KEY, number TEXT, product TEXT, quantity INTEGER);
CREATE TABLE admin_note (id INTEGER PRIMARY KEY, number TEXT, body TEXT);
CREATE TABLE admin_review (id INTEGER PRIMARY KEY, sku TEXT, author TEXT, rating INTEGER, body TEXT);
CREATE TABLE admin_coupon (id INTEGER PRIMARY KEY, code TEXT UNIQUE, percent INTEGER, category TEXT, state TEXT);
CREATE VIEW every_order AS SELECT number, customer, created, status, total, tracking FROM admin_order
    UNION ALL SELECT number, '{ME}', created, status, total, tracking FROM shop_order;
CREATE VIEW every_item AS SELECT number, product, quantity FROM admin_order_item
    UNION ALL SELECT number, product, quantity FROM shop_order_item;
"""

STATUSES = ("Pending", "Processing", "On hold", "Shipped", "Delivered", "Cancelled")
REPORT_MONTHS = tuple(f"{month} {year}" for year, months in ((2024, MONTHS), (2025, MONTHS[:4])) for month in months)
COUPON_WORDS = ("SPRING", "SUMMER", "AUTUMN", "WINTER", "WEEKEND", "WELCOME", "THANKS", "BIRTHDAY")
PERCENTS = (5, 10, 15, 20, 25, 30)
CUSTOMERS, REVIEWS, COUPONS = 41, 40, 24


def fill(db: sqlite3.Connection, rng: random.Random, crowd: Crowd) -> None:
    """Fill the admin panel's own tables. The shop's have to be filled before."""
    names = crowd.names[:CUSTOMERS]
    fill_customers(db, rng, names, crowd.towns)
    products = dict(db.execute("SELECT name, price FROM shop_product WHERE category <> 'Spare Parts' ORDER BY id").fetchall())
    fill_orders(db, rng, names, products)
    fill_reviews(db, rng, names)
    codes = rng.sample([f"{word}{number}" for word in COUPON_WORDS for number in range(11, 100)], COUPONS)
    for code in sorted(codes):
        state = "disabled" if rng.random() < 0.2 else "active"
        row = (code, rng.choice(PERCENTS), rng.choice(tuple(KINDS)), state)
        db.execute("INSERT INTO admin_coupon (code, percent, category, state) VALUES (?, ?, ?, ?)", row)


def fill_customers(db: sqlite3.Connection, rng: random.Random, names: tuple[str, ...], towns: tuple[str, ...]) -> None:
    """One mailbox for each customer; the first town is the user's."""
    me = db.execute("SELECT name, email, city FROM shop_account").fetchone()
    mailboxes = rng.sample(range(100, 1000), len(names))
    rows = [
        (name, f"{name.split()[0].lower()}{box}@{towns[i + 1].lower()}.miniweb", towns[i + 1])
        for i, (name, box) in enumerate(zip(names, mailboxes))
    ]
    for row in (me, *rows):
        since = f"{rng.choice(MONTHS)} {rng.randint(2018, 2023)}"
        db.execute("INSERT INTO admin_customer (name, email, city, since) VALUES (?, ?, ?, ?)", (*row, since))


def fill_orders(db: sqlite3.Connection, rng: random.Random, names: tuple[str, ...], prices: dict[str, str]) -> None:
    """Three to five orders for each customer, oldest first. Only a customer's last order can be waiting."""
    buyers = [name for name in names for _ in range(rng.randint(3, 5))]
    rng.shuffle(buyers)
    last = {name: i for i, name in enumerate(buyers)}
    number, trackings = 3000, rng.sample(range(10000, 100000), len(buyers))
    for i, name in enumerate(buyers):
        number += rng.randint(2, 9)
        bought = {product: rng.randint(1, 4) for product in rng.sample(list(prices), rng.choice((1, 1, 2, 3)))}
        status = rng.choice(("Pending", "Pending", "Pending", "Processing", "On hold")) if last[name] == i else closed_status(rng)
        tracking = f"TRK-{trackings[i]}" if status in ("Shipped", "Delivered") else "None yet"
        created = f"{rng.randint(1, 28)} {REPORT_MONTHS[i * len(REPORT_MONTHS) // len(buyers)]}"
        total = money(sum(cents(prices[product]) * count for product, count in bought.items()))
        row = (str(number), name, created, status, total, tracking)
        db.execute("INSERT INTO admin_order (number, customer, created, status, total, tracking) VALUES (?, ?, ?, ?, ?, ?)", row)
        for item in bought.items():
            db.execute("INSERT INTO admin_order_item (number, product, quantity) VALUES (?, ?, ?)", (str(number), *item))


def closed_status(rng: random.Random) -> str:
    return rng.choice(("Delivered", "Delivered", "Delivered", "Shipped", "Cancelled"))


def fill_reviews(db: sqlite3.Connection, rng: random.Random, names: tuple[str, ...]) -> None:
    """Waiting reviews: no two of one customer and no two of one product."""
    skus = [sku for (sku,) in db.execute("SELECT sku FROM shop_product ORDER BY id")]
    for author, sku in zip(rng.sample(names, REVIEWS), rng.sample(skus, REVIEWS)):
        row = (sku, author, rng.randint(1, 5), rng.choice(PRAISE))
        db.execute("INSERT INTO admin_review (sku, author, rating, body) VALUES (?, ?, ?, ?)", row)
