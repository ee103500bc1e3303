"""The difference between two databases."""

import sqlite3

import pytest

from planact_envs.miniweb.database import connect, difference, one, rows


@pytest.fixture
def start():
    db = sqlite3.connect(":memory:")
    db.executescript("CREATE TABLE fruit (id INTEGER PRIMARY KEY, name TEXT, number INTEGER); CREATE TABLE empty (id INTEGER PRIMARY KEY)")
    db.executemany("INSERT INTO fruit (name, number) VALUES (?, ?)", [("apple", 1), ("pear", 2), ("pear", 2)])
    db.commit()
    return db


def test_nothing_changed(start):
    assert difference(start, connect(start.serialize())) == {}


def test_added_removed_and_changed_rows(start):
    end = connect(start.serialize())
    end.execute("INSERT INTO fruit (name, number) VALUES ('plum', 5)")
    end.execute("DELETE FROM fruit WHERE name = 'apple'")
    end.execute("UPDATE fruit SET number = 9 WHERE id = 2")
    assert difference(start, end) == {
        "fruit": {
            "added": [{"name": "plum", "number": 5}],
            "removed": [{"name": "apple", "number": 1}],
            "changed": [{"id": 2, "before": {"number": 2}, "after": {"number": 9}}],
        }
    }


def test_a_row_that_is_deleted_and_put_back_is_no_change(start):
    end = connect(start.serialize())
    end.execute("DELETE FROM fruit WHERE id = 2")
    end.execute("INSERT INTO fruit (id, name, number) VALUES (40, 'pear', 2)")
    assert difference(start, end) == {}


def test_copies_are_independent(start):
    world = start.serialize()
    one_copy, other = connect(world), connect(world)
    one_copy.execute("DELETE FROM fruit")
    assert rows(one_copy, "SELECT * FROM fruit") == []
    assert one(other, "SELECT count(*) AS number FROM fruit") == {"number": 3}
    assert one(other, "SELECT * FROM fruit WHERE name = ?", "fig") is None
