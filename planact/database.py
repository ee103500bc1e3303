"""SQLite files of ours: opened with a check of what they are, locked by one writer, their errors in plain words.

The run store and the response cache stand on this module; use those.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shlex
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class StoreError(RuntimeError):
    """The store cannot do what was asked; the message says why and what to do. What was stored before is safe."""


class RunLocked(StoreError):
    """Another process writes this store."""


class StoreDamaged(StoreError):
    """The file is torn, or is something else. It is never deleted; the message says how to set it aside."""

    def __init__(self, path: Path, why: str):
        super().__init__(path, why)
        self.path = path
        self.why = why

    def __str__(self) -> str:
        # Made when it is shown: SQLite's side files come and go until the database is closed.
        aside = next(p for n in itertools.count(1) if not (p := beside(self.path, f".damaged{n}")).exists())
        found = [suffix for suffix in ("", "-wal", "-shm") if beside(self.path, suffix).exists()]
        moves = " && ".join(shlex.join(["mv", str(beside(self.path, suffix)), str(beside(aside, suffix))]) for suffix in found)
        return f"{self.path}: {self.why}. It is kept. To set it aside and begin a new one type: {moves}"


@dataclass(frozen=True)
class Format:
    """What a database file of ours holds. `application_id` and `version` are written in its header and checked."""

    name: str
    application_id: int
    version: int
    tables: tuple[str, ...]
    synchronous: str = "FULL"  # FULL: a committed row survives a power cut


def open_database(path: Path, wanted: Format) -> sqlite3.Connection:
    """A connection in autocommit mode to a database file of ours, made when absent or blank.

    Raises StoreDamaged for a torn or foreign file, which stays as it is, and StoreError for disk and rights.
    """
    _make_folder(path.parent)
    with reported(path):
        db = sqlite3.connect(path, isolation_level=None, timeout=30.0)
    try:
        blank = is_blank(path, db, wanted)
        with reported(path):
            db.execute("PRAGMA journal_mode = WAL").fetchone()  # a file system without WAL keeps the rollback journal: also safe
            db.execute(f"PRAGMA synchronous = {wanted.synchronous}")
            if blank:
                _create(db, wanted)
            problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreDamaged(path, f"its pages are damaged ({problem})")
        return db
    except BaseException:
        db.close()
        raise


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreDamaged (the file is bad) or StoreError (the rest)."""
    try:
        yield
    except sqlite3.Error as err:
        # SQLite's "not a database" and "malformed" arrive as DatabaseError itself; its subclasses are disk, rights and locks.
        if type(err) is sqlite3.DatabaseError or "UTF-8" in str(err):
            raise StoreDamaged(path, f"not readable as a database ({err})") from err
        raise StoreError(f"{path}: {err}. What was stored before is safe; put this right and give the same command again") from err


def is_blank(path: Path, db: sqlite3.Connection, wanted: Format) -> bool:
    """Whether the file holds nothing yet (also after a kill during its creation). Raises on a file that is not `wanted`."""
    with reported(path):
        db.execute("BEGIN")  # one moment for the three, as another process may be creating the file
        found = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        db.execute("COMMIT")
    if not (found or version or tables):
        return True
    if found != wanted.application_id:
        raise StoreDamaged(path, f"a database, but not a {wanted.name} of planact")
    if version != wanted.version:
        raise StoreError(
            f"{path} is a {wanted.name} of format {version}, this planact reads format {wanted.version}; "
            "use the planact version that wrote it, or another run name"
        )
    return False


def _create(db: sqlite3.Connection, wanted: Format) -> None:
    db.execute("BEGIN IMMEDIATE")
    for table in wanted.tables:
        db.execute(table)
    db.execute(f"PRAGMA application_id = {wanted.application_id}")
    db.execute(f"PRAGMA user_version = {wanted.version}")
    db.execute("COMMIT")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise StoreError(f"cannot make the folder {folder}: {err.strerror}; choose another place") from err


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


_held: set[int] = set()  # lock descriptors of this process


def take_lock(path: Path, *, wait: bool = False) -> int:
    """The descriptor of the exclusive lock on `<path>.lock`, which names this process. The system drops it on any death.

    Raises RunLocked when another process holds it (unless `wait`), StoreError when it cannot be made.
    """
    _make_folder(path.parent)
    lock = beside(path, ".lock")
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as err:
        raise StoreError(f"cannot open the lock file {lock}: {err.strerror}; check the rights of {path.parent}") from err
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 200, 0).decode(errors="replace").strip() or "an unknown process"
        os.close(fd)
        raise RunLocked(f"{path} is in use by {holder}; wait until it ends, or stop it, then give the same command again") from None
    except OSError as err:
        os.close(fd)
        raise StoreError(f"the file system of {path} cannot lock files ({err.strerror}); put it on a local disk") from err
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"pid {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
    _held.add(fd)
    return fd


def drop_lock(fd: int) -> None:
    _held.discard(fd)
    os.close(fd)


def _leave_locks_to_parent() -> None:
    # A forked child would keep the lock alive after its parent was killed.
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_leave_locks_to_parent)
