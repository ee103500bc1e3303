"""Success against training step."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from planact.layout import NotBuilt
from planact.recipe import RecipeError
from planact.store import StoreError, read_run
from planact_eval.checkpoints import evaluate_checkpoints, role_of, step_of

REPO = Path(__file__).parents[2]


@pytest.fixture
def checkpoints(base, tmp_path):
    """Two checkpoints of an untrained executor."""
    folders = [tmp_path / f"models/executor-0123456789/checkpoint-{step}" for step in (100, 20)]
    for folder in folders:
        shutil.copytree(base, folder)
    (folders[0] / "trainer_state.json").write_text("{}")  # another model by its content
    return folders


def test_every_checkpoint_has_a_row_and_a_point_in_the_order_of_training(small, checkpoints, tmp_path):
    recipe = small("react", "eval.limit=2")
    said = evaluate_checkpoints(recipe, checkpoints, tmp_path)
    assert said.index("executor step 20") < said.index("executor step 100")
    folder = tmp_path / "checkpoints/tiny-react-executor-0123456789"
    assert "training step of executor-0123456789" in (folder / "plots/steps.svg").read_text() and (folder / "table.csv").exists()
    results = [json.loads(path.read_text()) for path in sorted((tmp_path / "eval").glob("*/results.json"))]
    assert len(results) == 2 and all(result["summary"]["planned"] == 2 for result in results)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "eval").rglob("run.sqlite")}
    assert evaluate_checkpoints(recipe, checkpoints, tmp_path) == said  # nothing is run again
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "eval").rglob("run.sqlite")} == before


def test_what_is_no_checkpoint_of_one_training_is_refused(checkpoints, tmp_path):
    with pytest.raises(RecipeError, match="is no checkpoint"):
        step_of(checkpoints[0].parent)
    (empty := tmp_path / "checkpoint-7").mkdir()
    with pytest.raises(NotBuilt, match="no model in"):
        step_of(empty)
    with pytest.raises(RecipeError, match="add --role planner or --role executor"):
        role_of(tmp_path)


def test_checkpoints_of_two_trainings_are_refused_whatever_the_role(small, base, checkpoints, tmp_path):
    other = tmp_path / "models/executor-9876543210/checkpoint-20"
    shutil.copytree(base, other)
    for role in (None, "executor"):
        with pytest.raises(RecipeError, match="of 2 trainings"):
            evaluate_checkpoints(small("react"), [*checkpoints, other], tmp_path, role)


def test_checkpoints_that_would_not_be_played_are_refused(small, checkpoints, tmp_path):
    with pytest.raises(RecipeError, match="has no planner .* for these checkpoints to play"):
        evaluate_checkpoints(small("react"), checkpoints, tmp_path, "planner")
    endpoint = ["eval.serving=endpoint", "endpoints.executor.base_url=http://127.0.0.1:9/v1", "endpoints.executor.model=m"]
    with pytest.raises(RecipeError, match="the endpoint's model would be evaluated, whatever the checkpoint"):
        evaluate_checkpoints(small("react", *endpoint), checkpoints, tmp_path)


@pytest.mark.slow
def test_a_stop_ends_the_evaluation_of_checkpoints_and_not_only_the_next_one(changes, checkpoints, tmp_path):
    command = [sys.executable, "scripts/evaluate.py", "--config", "recipes/tiny/react.yaml", "--runs", str(tmp_path)]
    settings = [f"--set={change}" for change in (*changes, "agent.executor=base", "eval.limit=100", "eval.episodes_in_flight=2")]
    with subprocess.Popen(
        [*command, *settings, "--checkpoint", *map(str, checkpoints)], cwd=REPO, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (before := played(tmp_path)):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        process.terminate()
        at = time.monotonic()
        assert process.wait(timeout=60) == 143
        assert time.monotonic() - at < 15
    assert before <= played(tmp_path) < 100


def played(runs):
    """Stored episodes of all evaluations."""
    count = 0
    for path in runs.glob("eval/*/run.sqlite"):
        try:
            with read_run(path) as store:
                count += store.count("trajectory")
        except StoreError:  # it is just being made
            pass
    return count
