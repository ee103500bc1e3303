"""Reading a miniweb world: one SQLite database per episode, and the difference between two of them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from typing import Any, Iterable

Row = dict[str, Any]
Difference = dict[str, dict[str, list[Row]]]


def connect(world: bytes) -> sqlite3.Connection:
    """A private in-memory copy of a serialized world, usable from any thread. Changes touch nothing else."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    connection.deserialize(world)
    return connection


def rows(db: sqlite3.Connection, sql: str, *values: Any) -> list[Row]:
    """All rows of a query, each as column name -> value."""
    cursor = db.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor]


def one(db: sqlite3.Connection, sql: str, *values: Any) -> Row | None:
    """The first row of a query, or None."""
    found = rows(db, sql, *values)
    return found[0] if found else None


def difference(start: sqlite3.Connection, end: sqlite3.Connection) -> Difference:
    """What changed, table by table; tables without a change are left out.

    "added" and "removed" hold rows without their `id`: ids only count insertions, and a row deleted and put back is no
    change. "changed" holds {"id", "before", "after"} with the columns that differ.
    """
    tables = (table_difference(start, end, name) for name in table_names(start, end))
    return {name: change for name, change in tables if any(change.values())}


def table_names(*databases: sqlite3.Connection) -> list[str]:
    sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return sorted({row["name"] for db in databases for row in rows(db, sql)})


def table_difference(start: sqlite3.Connection, end: sqlite3.Connection, table: str) -> tuple[str, dict[str, list[Row]]]:
    # The name comes from sqlite_master, never from a page or a task.
    sql = f'SELECT * FROM "{table}" ORDER BY id'
    if start.execute(sql).fetchall() == end.execute(sql).fetchall():  # most tables; far cheaper than making rows
        return table, {}
    before, after = ({row["id"]: row for row in rows(db, sql)} for db in (start, end))
    removed = without_ids(row for key, row in before.items() if key not in after)
    added = without_ids(row for key, row in after.items() if key not in before)
    back = Counter(map(frozen, added)) & Counter(map(frozen, removed))
    changed = [changed_row(before[key], after[key]) for key in before if key in after and before[key] != after[key]]
    return table, {"added": without(added, back), "removed": without(removed, back), "changed": changed}


def changed_row(before: Row, after: Row) -> Row:
    names = [name for name in before if before[name] != after[name]]
    return {"id": before["id"], "before": {n: before[n] for n in names}, "after": {n: after[n] for n in names}}


def without_ids(found: Iterable[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "id"} for row in found]


def without(found: list[Row], skip: Counter) -> list[Row]:
    left, kept = Counter(skip), []
    for row in found:
        if left[frozen(row)]:
            left[frozen(row)] -= 1
        else:
            kept.append(row)
    return kept


def frozen(row: Row) -> tuple:
    """The row as a hashable key; nested rows of a "changed" entry included."""
    return tuple(sorted((name, frozen(value) if isinstance(value, dict) else value) for name, value in row.items()))
