"""What the run store keeps, and what damage and changed settings do to it."""

import json
import os
import sqlite3
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.store import ConfigChanged, RunStore, StoreDamaged, StoreError, differences, read_run

RECIPE = {"name": "row1", "agent": {"replan": "never", "max_turns": 30}, "sites": ["shop", "map"]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs" / "row1" / "run.sqlite"


def test_put_get_and_reopen(path):
    with RunStore.open(path, RECIPE) as store:
        assert store.is_new and store.fingerprint == RECIPE and store.count() == 0
        store.put("b", {"x": 1})
        store.put("a", {"x": None, "text": "a\x00b\ud800 é \u2028"})
        store.put("b", {"y": 2}, kind="plan")
    with RunStore.open(path, RECIPE) as store:
        assert not store.is_new
        assert store.get("b") == {"x": 1} and store.get("b", "plan") == {"y": 2} and store.get("zzz") is None
        assert store.keys("item") == {"a", "b"} and store.count("item") == 2 and store.count("none") == 0
        assert list(store.items("item")) == [("b", {"x": 1}), ("a", {"x": None, "text": "a\x00b\ud800 é \u2028"})]


def test_put_is_idempotent_and_guards_against_another_value(path):
    with RunStore.open(path, RECIPE) as store:
        store.put("a", {"x": 1, "y": (1, 2)})
        store.put("b", {})
        store.put("a", {"y": [1, 2], "x": 1})
        with pytest.raises(StoreError, match="another value for item 'a'.*replace=True"):
            store.put("a", {"x": 2})
        assert store.get("a") == {"x": 1, "y": [1, 2]}
        store.put("a", {"x": 2}, replace=True)
        assert list(store.items()) == [("a", {"x": 2}), ("b", {})]  # in its old place


def test_kinds_are_those_that_hold_an_item(path):
    with RunStore.open(path, RECIPE) as store:
        assert store.kinds() == []
        for kind in ("plan", "act", "plan"):
            store.put(f"{kind}/{store.count(kind)}", {}, kind=kind)
        assert store.kinds() == ["act", "plan"]


@pytest.mark.parametrize("key, value", [("k", {"x": float("nan")}), ("k", {"x": object()}), ("k", [1]), (5, {"x": 1})])
def test_what_is_not_json_is_refused(path, key, value):
    with RunStore.open(path, RECIPE) as store:
        with pytest.raises(StoreError, match="expected|is not JSON data"):
            store.put(key, value)
        assert store.count() == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.dictionaries(st.text(), json_values), max_size=5))
def test_any_json_comes_back(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("store")
    with RunStore.open(folder / "run.sqlite", {}) as store:
        for i, value in enumerate(values):
            store.put(str(i), value)
        assert [value for _, value in store.items()] == values
        assert store.export_jsonl("item", folder / "out.jsonl") == len(values)
    assert [json.loads(line) for line in (folder / "out.jsonl").read_bytes().splitlines()] == values


def test_put_during_an_iteration_ends(path):
    with RunStore.open(path, RECIPE) as store:
        store.put("0", {})
        for key, value in store.items():
            store.put(f"{key}+", value)
        assert store.keys() == {"0", "0+"}


def test_changed_settings_are_refused_with_the_difference(path):
    RunStore.open(path, RECIPE).close()
    before = path.read_bytes()
    changed = {"name": "row1", "agent": {"replan": "every_turn", "max_turns": 30, "cot": True}, "sites": ["shop"]}
    with pytest.raises(ConfigChanged) as caught:
        RunStore.open(path, changed)
    message = str(caught.value)
    assert 'agent.replan: "never" -> "every_turn"' in message
    assert "agent.cot: (absent) -> true" in message and 'sites.1: "map" -> (absent)' in message
    assert "name:" not in message and "max_turns" not in message
    assert "another name" in message and f"mv {path.parent} {path.parent}.old" in message
    assert path.read_bytes() == before
    RunStore.open(path, RECIPE).close()  # the refusal gave the lock back


def test_differences_show_what_is_empty():
    assert differences({"a": [], "b": {}}, {"a": [1], "b": {}}) == ["a: [] -> (absent)", "a.0: (absent) -> 1"]
    assert differences({"a": 1}, {"a": 1}) == []


def test_finished_store_is_untouched_by_another_open(path):
    with RunStore.open(path, RECIPE) as store:
        store.put("a", {"x": 1})
    before = path.stat().st_mtime_ns, path.read_bytes()
    with RunStore.open(path, RECIPE) as store:
        store.put("a", {"x": 1})
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["run.sqlite", "run.sqlite.lock"]


def fill(path, items=200):
    with RunStore.open(path, RECIPE) as store:
        for i in range(items):
            store.put(str(i), {"page": str(i) * 500})


def tear(path):
    fill(path)
    os.truncate(path, path.stat().st_size // 2)


def scribble(path):
    fill(path)
    with open(path, "r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)


def text(path):
    path.parent.mkdir(parents=True)
    path.write_text("task,score\n" * 500)


def other_database(path):
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()


@pytest.mark.parametrize("damage", [tear, scribble, text, other_database])
def test_damaged_and_foreign_files_are_kept_and_the_command_works(path, damage):
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreDamaged) as caught:
        RunStore.open(path, RECIPE)
    assert str(path) in str(caught.value) and path.read_bytes() == before
    command = str(caught.value).split("type: ")[1]
    subprocess.run(command, shell=True, check=True)
    with RunStore.open(path, RECIPE) as store:
        assert store.is_new
    assert path.with_name("run.sqlite.damaged1").read_bytes() == before


@pytest.mark.parametrize("value", ["'{\"x\": 1'", "CAST(x'7b22ff227d' AS TEXT)"])
def test_damaged_value_is_named_when_it_is_read(path, value):
    fill(path, 3)
    db = sqlite3.connect(path)
    db.execute(f"UPDATE items SET value = {value} WHERE key = '1'")
    db.commit()
    db.close()
    with RunStore.open(path, RECIPE) as store:
        assert store.get("0") and store.keys() == {"0", "1", "2"}
        for read in (lambda: store.get("1"), lambda: list(store.items())):
            with pytest.raises(StoreDamaged, match="mv "):
                read()


def test_other_format_version_is_refused(path):
    fill(path, 1)
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    for opened in (lambda: RunStore.open(path, RECIPE), lambda: read_run(path)):
        with pytest.raises(StoreError, match="format 99"):
            opened()


def test_full_disk_keeps_what_was_committed(path):
    with RunStore.open(path, RECIPE) as store:
        store.put("a", {"x": 1})
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match="full.*safe"):
            store.put("b", {"x": "y" * 100_000})
        assert store.keys() == {"a"}
        store._db.execute("PRAGMA max_page_count = 100000")
        store.put("b", {"x": "y" * 100_000})
    with read_run(path) as run:
        assert run.keys() == {"a", "b"}


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot make the folder"):
        RunStore.open(tmp_path / "file" / "run.sqlite", RECIPE)
    with pytest.raises(StoreError):
        RunStore.open(tmp_path, RECIPE)  # a folder is no file


def test_export_replaces_the_file_in_one_step(path, monkeypatch):
    out = path.parent / "out" / "rows.jsonl"
    with RunStore.open(path, RECIPE) as store:
        store.put("b", {"n": 1, "text": "line\nbreak"}, kind="row")
        store.put("a", {"n": 2}, kind="row")
        assert store.export_jsonl("row", out) == 2
        old = out.read_bytes()
        assert [json.loads(line)["n"] for line in old.splitlines()] == [1, 2]
        store.put("c", {"n": 3}, kind="row")
        monkeypatch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(StoreError, match="No space left"):
            store.export_jsonl("row", out)
        assert out.read_bytes() == old and [p.name for p in out.parent.iterdir()] == ["rows.jsonl"]


def test_read_run_only_reads(path):
    with pytest.raises(StoreError, match="no run store at"):
        read_run(path)
    fill(path, 2)
    with read_run(path) as run:
        assert run.get("1") == {"page": "1" * 500} and not run.is_new
        with pytest.raises(StoreError, match="read_run, which only reads"):
            run.put("x", {})
    path.write_bytes(b"")
    with pytest.raises(StoreError, match="is empty"):
        read_run(path)


def test_read_run_in_a_folder_without_write_rights(path, monkeypatch):
    fill(path, 2)
    path.with_name("run.sqlite.lock").unlink()
    monkeypatch.setattr(os, "access", lambda *args: False)
    with read_run(path) as run:
        assert run.count() == 2
        assert [p.name for p in path.parent.iterdir()] == ["run.sqlite"]


def test_puts_that_go_together_are_all_there_or_none(path):
    with RunStore.open(path, RECIPE) as store:
        with store.together():
            store.put("a", {"x": 1})
            store.put("b", {"x": 2})
        with store.together():
            store.put("c", {"x": 3})
            with pytest.raises(StoreError, match="another value for item 'a'"):
                store.put("a", {"x": 4})
        with pytest.raises(KeyError), store.together():
            raise KeyError(store.put("e", {"x": 6}))
        store.put("d", {"x": 5})
    with read_run(path) as run:
        assert dict(run.items()) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}, "d": {"x": 5}}
