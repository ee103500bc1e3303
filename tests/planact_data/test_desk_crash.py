"""A build over an endpoint that is killed at random instants: no row is lost or doubled, and no reply is paid for twice.

The teacher is a server process that counts what it would bill. It answers as miniweb's scripted teacher does, mistakes included, so
that roll-outs, plans, repairs and replans are all interrupted.
"""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
from datasets import load_dataset

from planact import spending
from planact.layout import data_folder, data_store
from planact.recipe import load_recipe
from planact.store import StoreDamaged, StoreError, read_run
from planact_data.batch import BatchLLM
from planact_data.build import build
from planact_envs.suites import load_suite
from tests.openai_server import serving, stats

IN_FLIGHT = 4
KINDS = ("plan", "replan", "act")
BUILD = """
import sys
from pathlib import Path
import datasets
from planact.recipe import load_recipe
from planact import spending
from planact_data.batch import BatchLLM
from planact_data.build import build
print(flush=True)  # the heavy imports are done when this line arrives
build(load_recipe(sys.argv[1]), Path(sys.argv[2]))
"""


SLOW_AND_WRONG = ("--teacher", "miniweb-short", "--error-rate", "0.2", "--latency", "0.01")  # 10 ms an answer


def paid(url):
    return stats(url).get("paid", 0)


def recipe_file(folder, url):
    file = folder / "recipe.yaml"
    file.write_text(f"""
        {{name: test, seed: 1, base_model: none, agent: {{prompts: compact, observation: short, plan_history: 1}},
         endpoints: {{teacher: {{base_url: "{url}", model: m, max_in_flight: {IN_FLIGHT}}}}},
         data: {{suite: miniweb-short, tasks: 6, teacher: endpoint, planner: [plan, replan], executor: [act]}}}}""")
    return file


class Whole:
    """A build that nothing interrupts: its folder, its server, and the calls that it paid."""

    def __init__(self, folder, url):
        self.url, self.file, self.runs = url, recipe_file(folder, url), folder / "runs"
        self.recipe = load_recipe(self.file)
        self.folder = build(self.recipe, self.runs)
        self.paid = paid(url)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with serving(*SLOW_AND_WRONG) as url:
        yield Whole(tmp_path_factory.mktemp("whole"), url)


def rows(folder):
    return {f"{kind}.parquet": (folder / f"{kind}.parquet").read_bytes() for kind in KINDS}


def places(recipe, runs):
    """The folder of the rows and the store, whether they exist or not."""
    version = load_suite("miniweb-short").version
    return data_folder(recipe, version, runs), data_store(recipe, version, runs)


def stored(store):
    """{(kind, key): value} of what was paid for; nothing when the kill came before the first item."""
    try:
        run = read_run(store)
    except StoreError:
        return {}
    with run:
        return {(kind, key): value for kind in run.kinds() if kind != spending.KIND for key, value in run.items(kind)}


def run_for(file, runs, seconds):
    """Start the build and kill it after so many seconds of work. Returns whether it ended by itself before."""
    child = subprocess.Popen([sys.executable, "-c", BUILD, str(file), str(runs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child.stdout.readline()
    try:
        _, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
        child.communicate()
        return False
    assert child.returncode == 0, err
    return True


def kill_until_done(whole, runs, kills, seed):
    """Kill the build `kills` times, then let it end. Checks what must hold on the way."""
    recipe, dice, killed = whole.recipe, random.Random(seed), 0
    folder, store = places(recipe, runs)
    before, kept = paid(whole.url), {}
    while killed < kills:
        if run_for(whole.file, runs, dice.uniform(0.05, 1.5)):
            break
        killed += 1
        now = stored(store)
        assert kept.items() <= now.items(), "an item was lost or changed"
        kept = now
    assert run_for(whole.file, runs, 120)
    assert rows(folder) == rows(whole.folder)
    ids = [row_id for kind in KINDS for row_id in load_dataset(str(folder), kind, cache_dir=str(runs / "cache"))["train"]["id"]]
    assert len(ids) == len(set(ids))
    assert killed and paid(whole.url) - before <= whole.paid + killed * IN_FLIGHT
    assert kept.items() <= stored(store).items()


def test_kills_at_random_instants_lose_nothing_and_pay_for_nothing_twice(whole, tmp_path):
    kill_until_done(whole, tmp_path / "runs", kills=2, seed=1)


@pytest.mark.slow
def test_kills_at_twenty_random_instants(whole, tmp_path):
    """Each of five builds is killed four times."""
    for number in range(5):
        kill_until_done(whole, tmp_path / f"runs{number}", kills=4, seed=100 + number)


def test_a_lost_store_costs_nothing_again(whole, tmp_path):
    """Every reply is in the cache beside the store, roll-outs and repairs included."""
    runs = shutil.copytree(whole.runs, tmp_path / "runs")
    folder, store = places(whole.recipe, runs)
    shutil.rmtree(folder)
    store.unlink()
    before = paid(whole.url)
    assert build(whole.recipe, runs) == folder
    assert paid(whole.url) == before and rows(folder) == rows(whole.folder)


def test_a_warm_run_asks_nothing_and_writes_the_same_bytes(whole, tmp_path):
    runs = shutil.copytree(whole.runs, tmp_path / "runs")
    folder, store = places(whole.recipe, runs)
    shutil.rmtree(folder)
    (store.parent / "replies.sqlite").unlink()
    before = paid(whole.url), stored(store)
    assert build(whole.recipe, runs) == folder
    assert (paid(whole.url), stored(store)) == before and rows(folder) == rows(whole.folder)


def test_a_build_by_batches_has_the_same_rows(whole, tmp_path, monkeypatch):
    """Each stage is a batch, each repair and each later replan joins the next; episodes are played over the endpoint."""
    for name, seconds in (("quiet", 0.1), ("poll", 0.05)):
        monkeypatch.setitem(BatchLLM.__init__.__kwdefaults__, name, seconds)
    endpoint = whole.recipe.endpoints["teacher"]
    recipe = replace(whole.recipe, data=replace(whole.recipe.data, teacher="batch"), endpoints={"teacher": endpoint, "actor": endpoint})
    folder, store = places(recipe, tmp_path)
    before = stats(whole.url)
    assert build(recipe, tmp_path) == folder and rows(folder) == rows(whole.folder)
    after = stats(whole.url)
    assert after["paid"] - before["paid"] == whole.paid
    assert 2 <= after["batches"] - before.get("batches", 0) <= 20 < len(stored(store))
    assert not list((store.parent / "batches").rglob("*.json"))


@pytest.mark.parametrize("name", ["run.sqlite", "replies.sqlite"])
def test_a_torn_file_is_kept_and_named_with_the_command_that_sets_it_aside(whole, tmp_path, name):
    runs = shutil.copytree(whole.runs, tmp_path / "runs")
    folder, store = places(whole.recipe, runs)
    shutil.rmtree(folder)
    file = store.parent / name
    with sqlite3.connect(file) as db:  # all of it in one file
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    torn = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(torn)
    with pytest.raises(StoreDamaged, match="To set it aside and begin a new one type: mv ") as caught:
        build(whole.recipe, runs)
    assert str(file) in str(caught.value) and file.read_bytes() == torn
    before = paid(whole.url)
    subprocess.run(str(caught.value).split("type: ")[1], shell=True, check=True)
    assert build(whole.recipe, runs) == folder and rows(folder) == rows(whole.folder)
    assert paid(whole.url) == before  # the other file has every answer


def test_a_torn_record_is_named(whole, tmp_path):
    """Half a line where a record was: the store says which one, and nothing is asked anew in silence."""
    runs = shutil.copytree(whole.runs, tmp_path / "runs")
    folder, store = places(whole.recipe, runs)
    shutil.rmtree(folder)
    with sqlite3.connect(store) as db:
        key = db.execute("SELECT key FROM items WHERE kind = 'plan' ORDER BY id DESC LIMIT 1").fetchone()[0]
        db.execute("UPDATE items SET value = substr(value, 1, 40) WHERE kind = 'plan' AND key = ?", (key,))
    db.close()
    before = paid(whole.url)
    with pytest.raises(StoreDamaged, match=f"the value of plan '{key}' is not JSON"):
        build(whole.recipe, runs)
    assert paid(whole.url) == before
