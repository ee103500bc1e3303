"""Endpoints that refuse, hang, trickle, vanish or talk nonsense, each through a whole evaluation: every planned task is counted once,
the run ends in bounded time, and with the endpoint back `--retry-errors` completes it."""

import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from planact.failures import explain
from planact.llm import EndpointUnusable
from planact.recipe import load_recipe
from planact.store import StoreError, read_run
from planact.types import StopReason
from planact_eval.runner import evaluate
from tests import faulty_server
from tests.faulty_server import FAULTS, fault
from tests.openai_server import serving, stats

TEACHER = ("--teacher", "miniweb-short")
SAID = {  # what the error of an episode names, by fault
    "429": "HTTP 429: slow down",
    "429 wait": "HTTP 429: slow down",
    "500": "HTTP 500: CUDA out of memory",
    "502": "HTTP 502: <html>Bad Gateway",
    "hang": "no complete answer within timeout=",
    "trickle": "no complete answer within timeout=",
    "drop": "no connection, or a broken one",
    "garbage": "no connection, or a broken one",
    "cut": "no connection, or a broken one",
    "html": "no chat completion: <html>",
    "deep": "no chat completion: \\[\\[",
    "no choices": "no chat completion: {",
    "no text": "no chat completion: {",
    "null": "no chat completion: null",
    "huge": "no chat completion: {",
}


@pytest.fixture(scope="module")
def url():
    with serving(*TEACHER, program=faulty_server.__file__) as address:
        yield address


def recipe_for(url, file, tasks, timeout, *changes):
    """As many calls at once as episodes: the client begins with a quarter of the most."""
    file.write_text(f"""
        {{name: faults, seed: 0, base_model: none,
         agent: {{planner: none, executor: base, prompts: compact, observation: short, max_turns: 10}},
         endpoints: {{executor: {{base_url: {url}, model: teacher, timeout: {timeout}, max_in_flight: {4 * tasks}}}}},
         eval: {{suite: miniweb-short, limit: {tasks}, serving: endpoint, episodes_in_flight: {tasks}}}}}""")
    return load_recipe(file, changes)


def check_broken_then_healed(url, tmp_path, faults, tasks, timeout=3):
    """Every episode breaks; then the endpoint recovers and all are completed."""
    recipe = recipe_for(url, tmp_path / "recipe.yaml", tasks, timeout)
    fault(url, *faults)
    try:
        started = time.monotonic()
        folder, summary, trajectories = evaluate(recipe, tmp_path)
        elapsed = time.monotonic() - started
    finally:
        fault(url)
    assert (summary.planned, summary.error, summary.success + summary.failure + summary.unscored) == (tasks, tasks, 0)
    assert elapsed < 2 * timeout + 60, "a call outlived its deadline"
    assert {t.stop_reason for t in trajectories} == {StopReason.MODEL_ERROR} and all(t.outcome.success is None for t in trajectories)
    # 1.1 of the deadline on a quiet machine; the rest is for one that does other things.
    assert all(t.seconds < timeout * 1.1 + 30 for t in trajectories)
    healed = recipe_for(url, tmp_path / "recipe.yaml", tasks, 60)
    again, summary, after = evaluate(healed, tmp_path, retry_errors=True)
    assert again == folder and (summary.planned, summary.success, summary.error) == (tasks, tasks, 0)
    assert [t.task_id for t in after] == [t.task_id for t in trajectories]
    with read_run(folder / "run.sqlite") as store:
        assert store.count("trajectory") == tasks == store.count("replaced trajectory")
    return trajectories, elapsed


def test_every_kind_of_fault_at_once_costs_no_task_its_place(url, tmp_path):
    trajectories, elapsed = check_broken_then_healed(url, tmp_path, FAULTS, len(FAULTS))
    print(f"{len(FAULTS)} faults: {elapsed:.1f} s")
    assert len(FAULTS) == len(SAID)
    for name, said in SAID.items():
        assert any(re.search(said, t.error) for t in trajectories), name
    assert {explain(t).kind for t in trajectories} == {"model"}
    assert max(len(t.error) for t in trajectories) < 1000  # 8 MB of junk are quoted, not kept


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_everywhere_is_named_by_every_episode(url, tmp_path, name):
    trajectories, elapsed = check_broken_then_healed(url, tmp_path, [name], 6)
    print(f"{name}: {elapsed:.1f} s")
    assert all(re.search(SAID[name], t.error) for t in trajectories)


def test_faults_that_pass_cost_time_and_no_episode(tmp_path):
    with serving(*TEACHER, "--fault-rate", "0.1", "--seed", "3") as url:
        _, summary, trajectories = evaluate(recipe_for(url, tmp_path / "recipe.yaml", 12, 60), tmp_path)
        told = stats(url)
    turns = sum(len(t.turns) for t in trajectories)
    assert (summary.planned, summary.success, summary.error) == (12, 12, 0)
    assert told["faults"] > 0 and told["paid"] == turns and told["requests"] == turns + told["faults"]  # one more for each fault
    print(f"{told['requests']} requests for {turns} answers")


@pytest.fixture
def port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.parametrize("away, timeout", [(2, 60), pytest.param(60, 150, marks=pytest.mark.slow)])
def test_an_endpoint_that_goes_away_and_comes_back(tmp_path, port, away, timeout):
    url, tasks = f"http://127.0.0.1:{port}/v1", 20 if away < 60 else 100
    recipe = recipe_for(url, tmp_path / "recipe.yaml", tasks, timeout, "eval.episodes_in_flight=4")
    command = [sys.executable, faulty_server.__file__, *TEACHER, "--port", str(port), "--latency", "0.05"]
    servers = []

    def serve():
        servers.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        servers[-1].stdout.readline()

    def outage():
        """Once five episodes are stored."""
        while stored(tmp_path) < 5:
            time.sleep(0.01)
        servers[0].kill()
        time.sleep(away)
        serve()

    serve()
    thread = threading.Thread(target=outage)
    thread.start()
    try:
        started = time.monotonic()
        _, summary, trajectories = evaluate(recipe, tmp_path)
        print(f"{away} s away: {summary.error} of {tasks} broke, {time.monotonic() - started:.0f} s")
        thread.join()
        _, healed, after = evaluate(recipe, tmp_path, retry_errors=True)
    finally:
        for server in servers:
            server.kill()
            server.wait()
            server.stdout.close()
    assert (summary.planned, summary.success, summary.error) == (tasks, tasks, 0)  # calls wait for a server that was there before
    assert (healed.success, after) == (tasks, trajectories)


def test_an_endpoint_that_is_gone_stops_the_run_and_with_it_back_the_rest_is_played(tmp_path, port):
    url, tasks, in_flight = f"http://127.0.0.1:{port}/v1", 24, ["eval.episodes_in_flight=2", "endpoints.executor.max_in_flight=2"]
    with pytest.raises(EndpointUnusable, match="has failed 10 calls in a row, so no more are sent; check the server and give the same"):
        evaluate(recipe_for(url, tmp_path / "recipe.yaml", tasks, 0.5, *in_flight), tmp_path)
    broken = stored(tmp_path)
    assert 0 < broken <= 10  # the call that finds the server dead leaves its episode to be played
    with serving(*TEACHER, "--port", str(port)):
        back = recipe_for(url, tmp_path / "recipe.yaml", tasks, 60, *in_flight)
        _, summary, _ = evaluate(back, tmp_path)
        assert (summary.planned, summary.success, summary.error) == (tasks, tasks - broken, broken)
        _, summary, _ = evaluate(back, tmp_path, retry_errors=True)
    assert summary.success == tasks


def stored(runs):
    for path in runs.glob("eval/*/run.sqlite"):
        try:
            with read_run(path) as store:
                return store.count("trajectory")
        except StoreError:
            pass
    return 0
