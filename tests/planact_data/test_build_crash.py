"""A build that is killed or interrupted at any stage: the same command finishes it, and the result is the same to the byte."""

import shutil
import signal
import subprocess
import sys
import time

import pytest

from planact.layout import data_folder
from planact.recipe import load_recipe
from planact.store import StoreError, read_run
from planact_data.build import build
from planact_envs.suites import load_suite

BUILD = """
import sys
from pathlib import Path
from planact.recipe import load_recipe
from planact_data.build import build
print(flush=True)  # the heavy imports are done when this line arrives
build(load_recipe(sys.argv[1]), Path(sys.argv[2]))
"""
STAGES = [("trajectory", 4), ("plan", 3), ("replan", 3)]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A recipe file: 30 tasks, and mistakes, so that repairs are interrupted too."""
    file = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    file.write_text("""
        {name: test, seed: 1, base_model: none, agent: {prompts: compact, observation: short, plan_history: 1},
         data: {tasks: 30, teacher_error_rate: 0.2, planner: [plan, replan], executor: [act, act_dynamic]}}""")
    return file


@pytest.fixture(scope="module")
def whole(file, tmp_path_factory):
    """The folder of a build that nothing interrupts."""
    return build(load_recipe(file), tmp_path_factory.mktemp("whole"))


def rows_and_card(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def items(store_path):
    """{(kind, key): value} of what is on disk; none before there is a store."""
    try:
        with read_run(store_path) as store:
            return {(kind, key): value for kind in ("trajectory", "plan", "replan") for key, value in store.items(kind)}
    except StoreError:
        return {}


def count(store_path, kind):
    try:
        with read_run(store_path) as store:
            return store.count(kind)
    except StoreError:
        return 0


def stop_at(file, runs, store_path, kind, number, how):
    """Start the build, and send the signal `how` once `number` items of `kind` are stored. Returns the exit code."""
    child = subprocess.Popen([sys.executable, "-c", BUILD, str(file), str(runs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.readline()
    deadline = time.monotonic() + 60
    while count(store_path, kind) < number and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(how)
    child.communicate()
    return child.returncode


def test_kills_at_every_stage_repeat_nothing_and_change_nothing(file, whole, tmp_path):
    recipe, runs = load_recipe(file), tmp_path / "killed"
    folder = data_folder(recipe, load_suite("miniweb-short").version, runs)
    stored = {}
    for kind, number in STAGES:
        assert stop_at(file, runs, folder.parent / "run.sqlite", kind, number, signal.SIGKILL) == -signal.SIGKILL
        after = items(folder.parent / "run.sqlite")
        assert stored.items() <= after.items()  # values hold wall times: an item made again would differ
        assert not (folder / "manifest.json").exists()
        stored = after
    assert build(recipe, runs) == folder
    assert stored.items() <= items(folder.parent / "run.sqlite").items()
    assert rows_and_card(folder) == rows_and_card(whole)


def test_ctrl_c_is_a_kill_with_manners(file, whole, tmp_path):
    recipe, runs = load_recipe(file), tmp_path / "interrupted"
    folder = data_folder(recipe, load_suite("miniweb-short").version, runs)
    assert stop_at(file, runs, folder.parent / "run.sqlite", "trajectory", 5, signal.SIGINT) == -signal.SIGINT  # Python's own ending
    stored = items(folder.parent / "run.sqlite")
    assert 5 <= len(stored) < 30  # it stops at once, not after the stage
    assert build(recipe, runs) == folder
    assert stored.items() <= items(folder.parent / "run.sqlite").items()
    assert rows_and_card(folder) == rows_and_card(whole)


def test_half_written_rows_are_replaced(file, whole, tmp_path):
    """A kill between the files: some rows are written, one is half written, and there is no manifest."""
    recipe, runs = load_recipe(file), tmp_path / "half"
    folder = data_folder(recipe, load_suite("miniweb-short").version, runs)
    shutil.copytree(whole.parent, folder.parent)
    (folder / "manifest.json").unlink()
    (folder / "README.md").write_text("half a ca")
    (folder / "act.parquet").rename(folder / "act.part")
    (folder / "act.part").write_bytes((folder / "act.part").read_bytes()[:100])
    stored = items(folder.parent / "run.sqlite")
    assert build(recipe, runs) == folder
    assert rows_and_card(folder) == rows_and_card(whole) and items(folder.parent / "run.sqlite") == stored
