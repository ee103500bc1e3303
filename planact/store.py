"""The run store: one SQLite file that holds every paid item of a run, so that a killed run resumes where it was.

    with RunStore.open(Path("runs/table1/run.sqlite"), fingerprint=recipe) as store:
        done = store.keys("trajectory")
        store.put(task.id, to_dict(trajectory), kind="trajectory")  # on disk when put returns

One process writes (an exclusive lock that the system drops when the process dies); any number read with `read_run`.
Calls block for one disk write (about a millisecond) and belong to the thread that opened the store.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from planact.database import (
    Format,
    RunLocked,
    StoreDamaged,
    StoreError,
    beside,
    drop_lock,
    is_blank,
    open_database,
    reported,
    take_lock,
)

__all__ = ["ConfigChanged", "RunLocked", "RunStore", "StoreDamaged", "StoreError", "differences", "read_run"]


class ConfigChanged(StoreError):
    """The store was made under another configuration."""


RUN_FORMAT = Format(
    name="run store",
    application_id=0x504C4152,  # "PLAR"
    version=1,
    tables=(
        "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        """CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        UNIQUE (kind, key))""",
        "CREATE INDEX IF NOT EXISTS items_in_order ON items (kind, id)",
    ),
)


class RunStore:
    """Items of several kinds under unique keys. Made by `RunStore.open` (writes) or `read_run` (reads only)."""

    def __init__(self, path: Path, db: sqlite3.Connection, lock: int | None = None):
        self.path = path
        self.is_new = False  # this `open` created it
        self.fingerprint: dict[str, Any] = {}  # the configuration that the run was started with
        self._db = db
        self._lock = lock  # descriptor of the lock file; None: read only
        self._pid = os.getpid()

    @classmethod
    def open(cls, path: Path, fingerprint: Mapping[str, Any]) -> RunStore:
        """Create the store at `path` or reopen it. `fingerprint` is JSON data: everything that changes the results.

        Raises RunLocked, ConfigChanged, StoreDamaged, or StoreError (disk, rights, or a value that is not JSON).
        """
        path = Path(path)
        wanted = json.loads(_to_json(fingerprint, "the fingerprint"))
        lock = take_lock(path.resolve())
        db = None
        try:
            db = open_database(path, RUN_FORMAT)
            store = cls(path, db, lock)
            if not store._load_fingerprint():
                store._start(wanted)
            elif changes := differences(store.fingerprint, wanted):
                raise _config_changed(path, changes)
            return store
        except BaseException:
            if db is not None:
                db.close()
            drop_lock(lock)
            raise

    def put(self, key: str, value: Mapping[str, Any], kind: str = "item", *, replace: bool = False) -> None:
        """Store `value` (JSON data) durably. The same value again changes nothing.

        Raises StoreError when the key has another value (unless `replace`), when `value` is not JSON, or the disk is full.
        """
        self._check_process()
        if self._lock is None:
            raise StoreError(f"{self.path} was opened with read_run, which only reads; use RunStore.open to write")
        if not isinstance(key, str) or not isinstance(value, Mapping):
            found = f"key {type(key).__name__}, value {type(value).__name__}"
            raise StoreError(f"cannot store {kind} {key!r}: {found}; expected a str and a mapping, such as to_dict(row)")
        text = _to_json(value, f"the value of {kind} {key!r}")
        with reported(self.path):
            sql = "INSERT INTO items (kind, key, value) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO NOTHING"
            if self._db.execute(sql, (kind, key, text)).rowcount == 1:
                return
            if self.get(key, kind) == json.loads(text):
                return
            if not replace:
                raise StoreError(f"{self.path} already holds another value for {kind} {key!r}; pass replace=True to overwrite it")
            self._db.execute("UPDATE items SET value = ? WHERE kind = ? AND key = ?", (text, kind, key))

    @contextmanager
    def together(self) -> Iterator[None]:
        """The puts inside are one transaction: all of them are on disk when it ends, or none after an error."""
        self._check_process()
        with reported(self.path):
            self._db.execute("BEGIN")
        try:
            yield
            with reported(self.path):
                self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def get(self, key: str, kind: str = "item") -> dict[str, Any] | None:
        """The stored value, or None. Raises StoreDamaged when it cannot be read."""
        self._check_process()
        with reported(self.path):
            row = self._db.execute("SELECT value FROM items WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else self._value(kind, key, row[0])

    def keys(self, kind: str = "item") -> set[str]:
        self._check_process()
        with reported(self.path):
            return {key for (key,) in self._db.execute("SELECT key FROM items WHERE kind = ?", (kind,))}

    def kinds(self) -> list[str]:
        self._check_process()
        with reported(self.path):
            return [kind for (kind,) in self._db.execute("SELECT DISTINCT kind FROM items ORDER BY kind")]

    def items(self, kind: str = "item") -> Iterator[tuple[str, dict[str, Any]]]:
        """(key, value) in the order of the first `put`; items put during the iteration are left out."""
        for key, text in self._rows(kind):
            yield key, self._value(kind, key, text)

    def count(self, kind: str = "item") -> int:
        self._check_process()
        with reported(self.path):
            return self._db.execute("SELECT count(*) FROM items WHERE kind = ?", (kind,)).fetchone()[0]

    def export_jsonl(self, kind: str, path: Path) -> int:
        """Write the values of `kind`, one JSON object per line and without their keys. Returns the number of lines.

        `path` is replaced in one step: at every moment it is the old file or the whole new one. Raises StoreError.
        """
        path = Path(path)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lines = self._write_lines(kind, part)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as err:
            raise StoreError(f"cannot write {path}: {err.strerror}; the store itself is unharmed") from err
        return lines

    def _write_lines(self, kind: str, path: Path) -> int:
        lines = 0
        with open(path, "w", encoding="utf-8") as file:
            for _, text in self._rows(kind):
                file.write(text + "\n")
                lines += 1
            file.flush()
            os.fsync(file.fileno())
        return lines

    def close(self) -> None:
        """Free the file and the lock. A forked child leaves both to its parent."""
        if os.getpid() != self._pid:
            return
        self._db.close()
        if self._lock is not None:
            drop_lock(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _rows(self, kind: str) -> Iterator[tuple[str, str]]:
        self._check_process()
        sql = "SELECT key, value FROM items WHERE kind = ? AND id <= (SELECT max(id) FROM items) ORDER BY id"
        with reported(self.path):
            yield from self._db.execute(sql, (kind,))

    def _value(self, kind: str, key: str, text: str) -> dict[str, Any]:
        try:
            return json.loads(text)
        except ValueError as err:
            raise StoreDamaged(self.path, f"the value of {kind} {key!r} is not JSON") from err

    def _load_fingerprint(self) -> bool:
        """Whether there is one: a kill during the creation can leave the tables without it."""
        with reported(self.path):
            row = self._db.execute("SELECT value FROM meta WHERE key = 'fingerprint'").fetchone()
        if row is not None:
            self.fingerprint = self._value("meta", "fingerprint", row[0])
        return row is not None

    def _start(self, fingerprint: dict[str, Any]) -> None:
        with reported(self.path):
            self._db.execute("INSERT INTO meta VALUES ('fingerprint', ?)", (json.dumps(fingerprint),))
        self.fingerprint, self.is_new = fingerprint, True

    def _check_process(self) -> None:
        # A SQLite connection that crosses a fork can corrupt the file.
        if os.getpid() != self._pid:
            raise StoreError(f"{self.path} was opened by process {self._pid}; in the forked process {os.getpid()} use read_run")


def read_run(path: Path) -> RunStore:
    """The run store at `path`, to read only, also while another process writes it. Raises StoreError, StoreDamaged."""
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"there is no run store at {path}; check the name, or start the run first")
    uri = path.absolute().as_uri() + "?mode=ro"
    if not os.access(path.parent, os.W_OK) and not beside(path, "-wal").exists():
        uri += "&immutable=1"  # SQLite wants to write a small file beside a database in WAL mode, even to read it
    with reported(path):
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30.0)
    try:
        if is_blank(path, db, RUN_FORMAT) or not (store := RunStore(path, db))._load_fingerprint():
            raise StoreError(f"{path} is empty: the run stopped before its first item; start it again")
        return store
    except BaseException:
        db.close()
        raise


def differences(old: Any, new: Any) -> list[str]:
    """One line `dotted.key: old -> new` for each leaf that differs between two pieces of JSON data."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    keys = [*before, *(k for k in after if k not in before)]
    return [f"{k}: {before.get(k, '(absent)')} -> {after.get(k, '(absent)')}" for k in keys if before.get(k) != after.get(k)]


def _leaves(data: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    pairs = list(data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ())
    if not pairs:
        yield prefix, json.dumps(data, ensure_ascii=False)
    for key, value in pairs:
        yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))


def _config_changed(path: Path, changes: list[str]) -> ConfigChanged:
    shown = "\n".join(f"  {line[:200]}" for line in changes[:20])
    more = f"\n  and {len(changes) - 20} more" if len(changes) > 20 else ""
    old = path.parent.absolute()
    return ConfigChanged(
        f"{path} was made with other settings (old -> new):\n{shown}{more}\n"
        f"Give this run another name, restore the old settings to resume it, or set the old results aside and begin again: "
        f"{shlex.join(['mv', str(old), f'{old}.old'])}"
    )


def _to_json(value: Any, what: str) -> str:
    # Escaped to ASCII, so that a lone surrogate or a NUL in model text can be stored and read back.
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as err:
        raise StoreError(f"{what} is not JSON data: {err}; use strings, finite numbers, booleans, None, lists and dicts") from err
