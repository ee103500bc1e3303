"""The miniweb world: one SQLite database with the content of every site, generated from one seed."""

from __future__ import annotations

import functools
import random
import sqlite3

from planact_envs.miniweb.content import admin, code, code_groups, forum, forum_communities, people, shop, shop_outlet
from planact_envs.miniweb.content import map as map_site

MINIWEB_VERSION = "1.0.0"  # goes with every result: numbers from two versions are not comparable
WORLD_SEED = 7
SITES = (shop, forum, code, forum_communities, shop_outlet, admin, code_groups, map_site)


@functools.cache
def build_world(seed: int = WORLD_SEED) -> bytes:
    """The whole world as a serialized SQLite database. The same seed gives the same bytes."""
    db = sqlite3.connect(":memory:")
    try:
        # 1 KiB pages keep the copy that each episode makes small.
        db.execute("PRAGMA page_size = 1024")
        crowd = people.crowd(random.Random(f"{seed}:people"))
        for site in SITES:
            db.executescript(site.SCHEMA)
            # One generator per site: a change to one site leaves the others as they were.
            site.fill(db, random.Random(f"{seed}:{site.__name__.rsplit('.', 1)[-1]}"), crowd)
        db.commit()
        return db.serialize()
    finally:
        db.close()
