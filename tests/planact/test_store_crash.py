"""The run store when its process is killed, forks, or is not alone."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from planact.store import RunLocked, RunStore, StoreError, read_run

RECIPE = {"name": "row1", "agent": {"replan": "never", "max_turns": 30}, "sites": ["shop", "map"]}

WRITER = """
import sys
from pathlib import Path
from planact.store import RunStore
with RunStore.open(Path(sys.argv[1]), {"run": 1}) as store:
    for i in range(store.count(), 10**9):
        store.put(f"item {i}", {"i": i, "page": "x" * (i * 7919 % 20_000)})
        print(i, flush=True)  # the caller knows that this item is committed
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "row1" / "run.sqlite"


def start(code, *args):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


def test_kill_at_any_instant_loses_and_tears_nothing(path):
    """Eight kills, each of a process that resumes the one before."""
    rng = random.Random(1)
    committed = -1
    for _ in range(8):
        child = start(WRITER, path)
        first = child.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.15))
        child.send_signal(signal.SIGKILL)
        lines = [line for line in (first + child.stdout.read()).splitlines(keepends=True) if line.endswith("\n")]
        child.communicate()
        assert int(lines[0]) >= committed + 1
        committed = int(lines[-1])
        with read_run(path) as run:  # without the lock, before any repair by a writer
            stored = [value["i"] for _, value in run.items()]
        assert stored == list(range(len(stored)))
        assert committed < len(stored) <= committed + 2  # the kill may come between the commit and the print
    with RunStore.open(path, {"run": 1}) as store:
        for key, value in store.items():
            i = value["i"]
            assert key == f"item {i}" and value["page"] == "x" * (i * 7919 % 20_000)
    assert committed >= 7


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.03])
def test_kill_during_the_creation_leaves_a_store_that_opens(path, delay):
    ready = "import planact.store, sys\nprint(flush=True)\nsys.stdin.readline()\n"
    child = subprocess.Popen([sys.executable, "-c", ready + WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    child.stdin.write("\n")
    child.stdin.flush()
    time.sleep(delay)
    child.kill()
    child.communicate()
    with RunStore.open(path, {"run": 1}) as store:
        assert store.fingerprint == {"run": 1}


@pytest.mark.parametrize("made", ["no file", "empty file", "empty database", "no fingerprint"])
def test_every_half_made_store_is_completed(path, made):
    path.parent.mkdir(parents=True)
    if made == "empty file":
        path.touch()
    if made == "empty database":
        db = sqlite3.connect(path)
        db.execute("PRAGMA journal_mode = WAL")
        db.close()
    if made == "no fingerprint":
        RunStore.open(path, RECIPE).close()
        db = sqlite3.connect(path)
        db.execute("DELETE FROM meta")
        db.commit()
        db.close()
    with RunStore.open(path, RECIPE) as store:
        assert store.is_new and store.fingerprint == RECIPE


def test_second_process_is_refused_and_names_the_first(path):
    child = start(WRITER, path)
    child.stdout.readline()
    try:
        with pytest.raises(RunLocked, match=f"pid {child.pid} on "):
            RunStore.open(path, {"run": 1})
        with read_run(path) as run:
            assert run.count() >= 1 and run.fingerprint == {"run": 1}
    finally:
        child.kill()
        child.communicate()
    with RunStore.open(path, {"run": 1}), pytest.raises(RunLocked, match=f"pid {os.getpid()} on "):
        RunStore.open(path, {"run": 1})
    RunStore.open(path, {"run": 1}).close()


def test_a_link_to_the_file_is_the_same_lock(path, tmp_path):
    with RunStore.open(path, RECIPE):
        link = tmp_path / "link.sqlite"
        link.symlink_to(path)
        with pytest.raises(RunLocked):
            RunStore.open(link, RECIPE)


def in_fork(function):
    """Run `function` in a forked child; its exit code is 0 when it returned True."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if function() else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_forked_child_reads_by_itself_and_harms_nothing(path):
    with RunStore.open(path, RECIPE) as store:
        store.put("a", {"x": 1})

        def child():
            for use in (lambda: store.put("c", {}), lambda: store.get("a"), lambda: list(store.items())):
                with pytest.raises(StoreError, match="forked process .* use read_run"):
                    use()
            store.close()
            with read_run(path) as run:
                return run.get("a") == {"x": 1}

        assert in_fork(child) == 0
        with pytest.raises(RunLocked):  # the child's exit has not dropped the lock
            RunStore.open(path, RECIPE)
        store.put("b", {"x": 2})
    with RunStore.open(path, RECIPE) as store:
        assert store.keys() == {"a", "b"}


FORK = """
    import os, time
    ready, forked = os.pipe()
    if os.fork() == 0:
        os.write(forked, b"x")
        time.sleep(2)
        os._exit(0)
    os.read(ready, 1)
"""


def test_killed_parent_leaves_no_lock_with_its_forked_child(path):
    with start(WRITER.replace("\n    for i", FORK + "    for i"), path) as parent:
        parent.stdout.readline()
        parent.kill()
        parent.wait()
        RunStore.open(path, {"run": 1}).close()  # the child sleeps on
