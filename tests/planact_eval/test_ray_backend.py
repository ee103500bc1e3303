"""A worker alone, without Ray; then evaluations on a local Ray: the same results, dying workers, money, keys and Ctrl-C."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from planact.llm import BudgetExceeded, EndpointUnusable
from planact.recipe import RecipeError
from planact.store import StoreError, read_run
from planact.types import StopReason, Trajectory, from_dict, to_dict
from planact_envs.suites import load_suite
from planact_eval.planned import eval_settings, models_of, planned_episodes
from planact_eval.ray_backend import Worker, shared_out
from planact_eval.runner import evaluate
from tests.openai_server import serving
from tests.planact_eval.deadly_suite import FOLDER

REPO = Path(__file__).parents[2]
NO_RAY = "NO RAY, SO NO TEST OF IT: pip install 'planact[ray]' (`make test-slow` does)"
PRICES = ("endpoints.executor.usd_per_m_prompt=1", "endpoints.executor.usd_per_m_completion=1")


@pytest.fixture(scope="module")
def url():
    with serving("--teacher", "miniweb-short") as address:
        yield address


@pytest.fixture
def behind(small, url):
    """A function that makes the recipe of a scripted teacher behind an endpoint, twelve tasks."""
    endpoint = [f"endpoints.executor.base_url={url}", "endpoints.executor.model=teacher"]
    return lambda *more: small("react", "eval.serving=endpoint", "eval.limit=12", *endpoint, *more)


def timeless(trajectories):
    """Without what a clock measured."""

    def still(turn):
        return replace(turn, planner=replace(turn.planner, seconds=0.0), executor=replace(turn.executor, seconds=0.0))

    return [replace(t, seconds=0.0, turns=tuple(map(still, t.turns))) for t in trajectories]


def settings_of(recipe):
    suite = load_suite(recipe.eval.suite)
    return eval_settings(recipe, suite, models_of(recipe, Path()))


@pytest.mark.parametrize("serving", ["local", "vllm"])
def test_models_that_other_machines_cannot_reach_are_refused(small, serving):
    with pytest.raises(RecipeError, match=r"eval.backend: 'ray' needs models that every machine reaches; start them with scripts/serve.py"):
        small("react", "eval.backend=ray", f"eval.serving={serving}")


def test_screenshots_that_would_stay_elsewhere_are_refused(behind):
    with pytest.raises(RecipeError, match="set eval.screenshots to false"):
        behind("eval.backend=ray", "eval.screenshots=true")


def test_the_backend_is_no_setting_of_the_results(behind):
    assert settings_of(behind("eval.backend=ray")) == settings_of(behind())


def test_workers_share_the_calls_in_flight(behind):
    recipe = behind("endpoints.executor.max_in_flight=16")
    # 16 over 3 workers are 5 each, 15 in all; 16 over 40 are one each, because none would play nothing.
    shares = [shared_out(recipe, workers).endpoints["executor"].max_in_flight for workers in (1, 3, 40)]
    assert shares == [16, 5, 1] and settings_of(shared_out(recipe, 3)) == settings_of(recipe)


async def test_a_worker_takes_text_and_gives_json(behind):
    recipe = behind()
    worker = Worker(recipe.to_yaml(), models_of(recipe, Path()), settings_of(recipe))
    await worker.open()
    episode = planned_episodes(recipe, load_suite("miniweb-short"))[0]
    found = await worker.play(json.loads(json.dumps(to_dict(episode.task))), 2)
    await worker.close()
    assert json.loads(json.dumps(found)) == found
    trajectory = from_dict(Trajectory, found["trajectory"])
    assert (trajectory.task_id, trajectory.seed, trajectory.outcome.success) == (episode.task.id, recipe.seed + 2, True)


async def test_a_machine_with_another_benchmark_is_refused(behind):
    recipe = behind()
    others = settings_of(recipe) | {"suite_version": "0.9"}
    with pytest.raises(RecipeError, match=r'another planact; install the same one on all: suite_version: "0.9" -> "1.0.0"'):
        await Worker(recipe.to_yaml(), models_of(recipe, Path()), others).open()


@pytest.fixture(scope="module")
def deadly(tmp_path_factory):
    """The folder that says which tasks kill their worker; read by workers, so it is named before Ray is started."""
    folder = tmp_path_factory.mktemp("deadly")
    os.environ[FOLDER] = str(folder)
    yield folder
    del os.environ[FOLDER]


@pytest.fixture(scope="module")
def local_ray(deadly):
    """A Ray of this machine with two CPUs."""
    ray = pytest.importorskip("ray", reason=NO_RAY)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.slow
def test_an_evaluation_is_the_same_here_and_on_ray(local_ray, behind, tmp_path):
    here, there = (evaluate(behind(f"eval.backend={name}"), tmp_path / name) for name in ("asyncio", "ray"))
    assert timeless(here[2]) == timeless(there[2]) and here[1].success == there[1].success == 12
    assert here[0].name == there[0].name
    with read_run(here[0] / "run.sqlite") as one, read_run(there[0] / "run.sqlite") as two:
        assert dict(one.items("evidence")) == dict(two.items("evidence")) != {}


@pytest.mark.slow
def test_a_dead_worker_loses_only_what_it_was_playing_and_that_is_played_again(local_ray, behind, deadly, tmp_path, capfd):
    recipe = behind("eval.backend=ray", "eval.suite=tests.planact_eval.deadly_suite:suite")
    names = [episode.task.id.replace("/", "-") for episode in planned_episodes(recipe, load_suite("miniweb-short"))]
    (deadly / f"once-{names[2]}").touch()
    (deadly / f"always-{names[7]}").touch()
    _, summary, trajectories = evaluate(recipe, tmp_path)
    (deadly / f"always-{names[7]}").unlink()
    assert (summary.planned, summary.success, summary.error) == (12, 11, 1)
    assert not list(deadly.iterdir()) and "is lost, try 1 of 3" in capfd.readouterr().err
    lost = trajectories[7]
    assert lost.stop_reason == StopReason.ENV_ERROR and lost.outcome.success is None
    assert lost.error.startswith("the worker died 3 times, the last time alone with this episode")
    _, summary, again = evaluate(recipe, tmp_path, retry_errors=True)
    assert summary.success == 12 and again[:7] + again[8:] == trajectories[:7] + trajectories[8:]


@pytest.mark.slow
def test_a_spent_budget_stops_new_episodes_and_more_money_goes_on(local_ray, behind, tmp_path):
    recipe = behind("eval.backend=ray", "eval.episodes_in_flight=2", *PRICES)
    with pytest.raises(BudgetExceeded, match="max_usd=0.001"):
        evaluate(replace(recipe, eval=replace(recipe.eval, max_usd=0.001)), tmp_path)
    folder = next((tmp_path / "eval").iterdir())
    with read_run(folder / "run.sqlite") as store:
        before = dict(store.items("trajectory"))
    costs = [from_dict(Trajectory, each).executor_usage.usd for each in before.values()]
    # What is over the limit was in flight when it was reached: two episodes at most, one of which reached it.
    assert 0 < len(before) < 12 and sum(costs[:-2]) < 0.001 <= sum(costs)
    _, summary, _ = evaluate(replace(recipe, eval=replace(recipe.eval, max_usd=1.0)), tmp_path)
    with read_run(folder / "run.sqlite") as store:
        after = dict(store.items("trajectory"))
    assert summary.success == 12 and {key: after[key] for key in before} == before


def test_a_budget_without_prices_is_refused_before_ray_is_started(behind, tmp_path):
    started = time.monotonic()
    with pytest.raises(RecipeError, match="endpoints.executor: max_usd=1 needs the prices"):
        evaluate(behind("eval.backend=ray", "eval.max_usd=1"), tmp_path)
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_a_key_that_the_workers_do_not_have_stops_the_run_and_names_its_variable(local_ray, behind, tmp_path):
    with pytest.raises(EndpointUnusable, match="PLANACT_TEST_NO_SUCH_KEY"):
        evaluate(behind("eval.backend=ray", "endpoints.executor.api_key_env=PLANACT_TEST_NO_SUCH_KEY"), tmp_path)


@pytest.mark.slow
def test_ctrl_c_and_sigterm_leave_nothing_behind_and_the_same_command_goes_on(changes, tmp_path):
    pytest.importorskip("ray", reason=NO_RAY)
    key = "sk-planact-test-0123456789abcdef"
    # Ray's own files go where they can be searched; pytest's folders have names too long for its sockets.
    with serving("--teacher", "miniweb-short", "--latency", "0.5") as url, tempfile.TemporaryDirectory(prefix="ray") as logs:
        more = ["eval.backend=ray", "eval.serving=endpoint", "eval.limit=12", "eval.episodes_in_flight=2"]
        more += [f"endpoints.executor.{pair}" for pair in (f"base_url={url}", "model=teacher", "api_key_env=PLANACT_TEST_KEY")]
        command = [sys.executable, "scripts/evaluate.py", "--config", "recipes/tiny/react.yaml", "--runs", str(tmp_path)]
        command += [f"--set={change}" for change in (*changes, *more)]
        environment = os.environ | {"PLANACT_TEST_KEY": key, "RAY_TMPDIR": logs}
        before = {}
        for send, code in ((lambda process: os.killpg(process.pid, signal.SIGINT), 130), (subprocess.Popen.terminate, 143)):
            process = subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
            while len(found := stored(tmp_path)) == len(before):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
            send(process)  # to the whole group, as a terminal does; to the process, as a batch system does
            error = process.communicate(timeout=120)[1]
            assert process.returncode == code, error
            assert "the same command goes on from here" in error and "Traceback" not in error
            assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if of_session(path, process.pid)]
            assert {name: found[name] for name in before} == before
            before = stored(tmp_path)
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, env=environment, timeout=300, check=True)
        files = [path for folder in (tmp_path, Path(logs)) for path in folder.rglob("*") if path.is_file()]
        assert any("worker" in path.name for path in files) and [path for path in files if key.encode() in path.read_bytes()] == []
    assert "100.0" in done.stdout
    after = stored(tmp_path)
    assert len(before) < len(after) == 12 and {name: after[name] for name in before} == before


def stored(runs):
    """The trajectories by task; none while there is no run."""
    with contextlib.suppress(StoreError, StopIteration), read_run(next(runs.glob("eval/*/run.sqlite"))) as store:
        return dict(store.items("trajectory"))
    return {}


def of_session(cmdline, leader):
    """Whether the process is of the session that the leader has begun, where Ray's processes are too."""
    with contextlib.suppress(OSError):
        return int((cmdline.parent / "stat").read_text().rpartition(")")[2].split()[3]) == leader
    return False
