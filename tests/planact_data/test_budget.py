"""A data build against a server on this machine, stopped by its limit of dollars: what is kept, and what the second run pays."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from planact.layout import MANIFEST, data_folder, data_store
from planact.llm import BudgetExceeded
from planact.parallel import run_all
from planact.recipe import Endpoint
from planact.spending import spent
from planact.store import read_run
from planact_envs.suites import load_suite
from tests.openai_server import serving, stats

REPO = Path(__file__).parents[2]
IN_FLIGHT = 2


@pytest.fixture
def server():
    """The URL of a server on which the scripted teacher answers."""
    with serving("--teacher", "miniweb-short") as url:
        yield url


def paid(url):
    """Chat completions that the server has answered."""
    return stats(url).get("paid", 0)


@pytest.mark.slow
def test_a_build_stops_at_its_limit_and_a_higher_one_pays_only_the_rest(recipe, server, tmp_path):
    endpoint = Endpoint(server, "m", usd_per_m_prompt=1000.0, usd_per_m_completion=0.0, max_in_flight=IN_FLIGHT)  # 0.001 USD a token
    eight = replace(recipe(tasks=8, teacher="endpoint", executor=("act",)), endpoints={"teacher": endpoint})
    (tmp_path / "recipe.yaml").write_text(eight.to_yaml())
    version, runs = load_suite("miniweb-short").version, tmp_path / "runs"
    folder, store_path = data_folder(eight, version, runs), data_store(eight, version, runs)

    def build(*options):
        command = [sys.executable, "scripts/build_data.py", "--config", tmp_path / "recipe.yaml", "--runs", runs, *options]
        return subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=200, check=False)

    def stored():
        with read_run(store_path) as store:
            return {kind: dict(store.items(kind)) for kind in ("trajectory", "plan", "replan")}, spent(store)

    first = build("--max-usd", "2")
    assert first.returncode == 3 and "stopped: the run has spent 2." in first.stderr and "Traceback" not in first.stderr
    kept, cost = stored()
    assert 0 < len(kept["trajectory"]) < 8 and not (folder / MANIFEST).exists()
    calls = paid(server)
    assert cost.calls == calls  # all that was paid for is counted, also in episodes that the limit cut off
    assert 2 <= cost.usd < 2 + IN_FLIGHT * 0.5  # no call costs half a dollar

    again = build("--max-usd", "2")
    assert again.returncode == 3 and paid(server) == calls  # what the first run has spent counts

    rest = build("--set", "data.max_usd=1000")
    assert rest.returncode == 0, rest.stderr
    after, _ = stored()
    assert (folder / MANIFEST).exists() and len(after["trajectory"]) == len(after["plan"]) == 8
    assert {key: after["trajectory"][key] for key in kept["trajectory"]} == kept["trajectory"]
    finished = paid(server)
    needed = sum(len(one["turns"]) for one in after["trajectory"].values()) + sum(len(after[kind]) for kind in ("plan", "replan"))
    assert finished == needed  # an episode that was cut off is begun again, and its calls are answered from the cache

    done = build("--max-usd", "0")
    assert done.returncode == 0 and paid(server) == finished  # nothing is left to be paid for


async def test_when_the_budget_is_spent_nothing_new_begins_and_what_runs_is_finished():
    begun, finished = [], []

    async def work(number):
        begun.append(number)
        if number == 3:
            raise BudgetExceeded("spent")
        await asyncio.sleep(0.01 * (number + 1))
        finished.append(number)

    with pytest.raises(BudgetExceeded, match="spent"):
        await run_all(range(100), work, 5)
    assert begun == [0, 1, 2, 3] and sorted(finished) == [0, 1, 2]


def test_the_limit_changes_no_folder(recipe, tmp_path):
    limited = recipe(tasks=8, max_usd=3.0)
    assert data_folder(limited, "1", tmp_path) == data_folder(recipe(tasks=8), "1", tmp_path)


@pytest.mark.parametrize("limit, said", [("-1", "max_usd"), ("five", "max_usd")])
def test_a_limit_that_is_none_is_refused(limit, said):
    command = [sys.executable, "scripts/build_data.py", "--config", "recipes/tiny/react.yaml", f"--max-usd={limit}"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
