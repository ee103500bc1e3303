"""An evaluation that is killed, stopped, started twice or out of disk: nothing that was stored is lost, run again or scored again."""

import csv
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from planact.recipe import load_recipe
from planact.store import ConfigChanged, StoreError, read_run
from planact_eval.runner import evaluate
from tests.openai_server import serving, stats

EVALUATE = Path(__file__).parents[2] / "scripts/evaluate.py"
IN_FLIGHT = 4
TURNS = 10  # of one episode at most, with a call each
TASKS, KILLS = 30, 3


@pytest.fixture(scope="module")
def url():
    """The scripted teacher with mistakes, so that some tasks fail; 20 ms an answer, so that there is a moment to be killed in."""
    with serving("--teacher", "miniweb-short", "--error-rate", "0.2", "--latency", "0.02") as address:
        yield address


@pytest.fixture(scope="module")
def file(url, tmp_path_factory):
    """A function of the number of tasks that gives a recipe file."""

    def write(tasks):
        path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
        endpoint = f"{{base_url: {url}, model: teacher, usd_per_m_prompt: 1, usd_per_m_completion: 2}}"
        path.write_text(f"""
            {{name: crash, seed: 0, base_model: none, endpoints: {{executor: {endpoint}}},
             agent: {{planner: none, executor: base, prompts: compact, observation: short, max_turns: {TURNS}}},
             eval: {{suite: miniweb-short, split: train, limit: {tasks}, serving: endpoint, episodes_in_flight: {IN_FLIGHT}}}}}""")
        return path

    return write


def command(file, folder, *more):
    return [sys.executable, str(EVALUATE), "--config", str(file), "--run", str(folder), *more]


def run(file, folder, *more, **options):
    return subprocess.run(command(file, folder, *more), capture_output=True, text=True, timeout=300, check=False, **options)


@contextmanager
def started(file, folder):
    """The command in a process of its own, which is gone at the end."""
    with subprocess.Popen(command(file, folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def stored(folder, kind="trajectory"):
    """What is on disk by key; nothing before there is a store."""
    try:
        with read_run(folder / "run.sqlite") as store:
            return dict(store.items(kind))
    except StoreError:
        return {}


def wait_for(process, folder, count):
    deadline = time.monotonic() + 120
    while len(stored(folder)) < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def table(folder):
    """What is made of a run, without what a clock measured."""
    results = json.loads((folder / "results.json").read_text())
    results["summary"] = {key: value for key, value in results["summary"].items() if "seconds" not in key}
    numbers = [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader((folder / "table.csv").open())]
    return (folder / "table.md").read_text(), numbers, results


def successes(folder):
    return json.loads((folder / "results.json").read_text())["summary"]["success"]


@pytest.fixture(scope="module")
def whole(file, url, tmp_path_factory):
    """Recipe file and folder of a run that nothing interrupts, and the calls that it made."""
    recipe, folder, before = file(TASKS), tmp_path_factory.mktemp("whole") / "run", stats(url).get("paid", 0)
    done = run(recipe, folder)
    assert done.returncode == 0, done.stderr
    return recipe, folder, stats(url)["paid"] - before


@pytest.mark.parametrize("tasks, kills", [(TASKS, KILLS), pytest.param(200, 20, marks=pytest.mark.slow)])
def test_kills_at_random_instants_lose_nothing_repeat_nothing_and_change_nothing(file, whole, url, tmp_path, tasks, kills):
    recipe, straight, calls = whole
    if tasks != TASKS:
        recipe, straight, before = file(tasks), tmp_path / "straight", stats(url)["paid"]
        assert run(recipe, straight).returncode == 0
        calls = stats(url)["paid"] - before
    dice, folder, kept, before = random.Random(7), tmp_path / "killed", {}, stats(url)["paid"]
    for count in sorted(dice.sample(range(1, tasks - IN_FLIGHT), kills)):
        with started(recipe, folder) as process:
            wait_for(process, folder, count)
            time.sleep(dice.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        after = stored(folder)
        assert kept.items() <= after.items()  # values hold wall times: an episode run or scored again would differ
        kept = after
    assert run(recipe, folder).returncode == 0
    after = stored(folder)
    assert kept.items() <= after.items() and after.keys() == stored(straight).keys() and len(after) == tasks
    assert stored(folder, "replaced trajectory") == {}
    assert table(folder) == table(straight)
    repeated = stats(url)["paid"] - before - calls
    print(f"{kills} kills over {tasks} tasks: {repeated} of {calls} calls repeated")
    assert 0 <= repeated <= kills * IN_FLIGHT * TURNS  # only those of the episodes in flight


@pytest.mark.parametrize("how, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_told_by_its_exit_code_and_keeps_what_is_done(whole, tmp_path, how, code):
    recipe, straight, _ = whole
    with started(recipe, tmp_path / "run") as process:
        wait_for(process, tmp_path / "run", 5)
        process.send_signal(how)
        at = time.monotonic()
        assert process.wait(timeout=60) == code
        print(f"{how.name}: stopped after {time.monotonic() - at:.2f} s")
        assert time.monotonic() - at < 15  # 5 s on a quiet machine
        said = process.stderr.read()
    assert "interrupted; what is done is kept, and the same command goes on from here" in said and "Traceback" not in said
    kept = stored(tmp_path / "run")
    assert 5 <= len(kept) < TASKS
    assert stored(tmp_path / "run", "spending")["total"]["calls"] > sum(len(t["turns"]) for t in kept.values())  # what the others cost
    _, summary, _ = evaluate(load_recipe(recipe), tmp_path, folder=tmp_path / "run")
    assert kept.items() <= stored(tmp_path / "run").items()
    assert summary.success == successes(straight)


def test_a_second_process_is_refused_and_the_first_one_does_not_notice(whole, tmp_path):
    recipe, straight, _ = whole
    with started(recipe, tmp_path / "run") as first:
        wait_for(first, tmp_path / "run", 3)
        first.send_signal(signal.SIGSTOP)
        before = stored(tmp_path / "run")
        second = run(recipe, tmp_path / "run")
        assert stored(tmp_path / "run") == before and not (tmp_path / "run/results.json").exists()
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=120) == 0, first.stderr.read()
    assert second.returncode == 2 and "Traceback" not in second.stderr
    assert f"run.sqlite is in use by pid {first.pid} on " in second.stderr and "wait until it ends, or stop it" in second.stderr
    assert table(tmp_path / "run") == table(straight)


def test_a_folder_with_another_run_is_refused_with_the_difference(whole, tmp_path):
    recipe, folder, _ = whole
    before = stored(folder), table(folder), (folder / "recipe.yaml").read_text()
    with pytest.raises(ConfigChanged, match=r"made with other settings.*\n  seed: 0 -> 1\n  agent\.max_turns: 10 -> 9\n"):
        evaluate(load_recipe(recipe, ["agent.max_turns=9", "seed=1"]), tmp_path, folder=folder)
    assert (stored(folder), table(folder), (folder / "recipe.yaml").read_text()) == before


def test_more_repeats_are_the_same_run(whole, url, tmp_path):
    recipe, straight, _ = whole
    folder = shutil.copytree(straight, tmp_path / "run")
    kept = stored(folder)
    _, summary, _ = evaluate(load_recipe(recipe, ["eval.repeats=2"]), tmp_path, folder=folder)
    assert summary.planned == 2 * TASKS and len(stored(folder)) == 2 * TASKS and kept.items() <= stored(folder).items()


@contextmanager
def small_files(folder):
    """Files of more than 256 KiB cannot be written, as if the disk were full."""
    yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18))}, lambda: None


@contextmanager
def small_disk(folder):
    """A file system of half a megabyte."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield {}, lambda: subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("full", [small_files, pytest.param(small_disk, marks=pytest.mark.slow)])
def test_a_full_disk_ends_the_run_clearly_and_it_goes_on_when_there_is_room(whole, tmp_path, full):
    recipe, straight, _ = whole
    folder = tmp_path / "run"
    with full(folder) as (limits, make_room):
        done = run(recipe, folder, **limits)
        kept = stored(folder)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert (
            "run.sqlite: " in done.stderr
            and "What was stored before is safe; put this right and give the same command again" in done.stderr
        )
        assert 0 < len(kept) < TASKS
        make_room()
        _, summary, _ = evaluate(load_recipe(recipe), tmp_path, folder=folder)
        assert kept.items() <= stored(folder).items() and summary.success == successes(straight)
