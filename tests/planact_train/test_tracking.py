"""What a training tells about itself: run.json, and the same facts with the loss in each tracker, none of which needs a network."""

import importlib.util
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import planact
from planact.layout import FINISHED, RUN, data_folder, read_manifest
from planact.recipe import RecipeError
from planact_envs.suites import load_suite
from planact_train.origin import Origin, origin_of
from planact_train.sft import train
from planact_train.trackers import check_trackers, other_trackers, tracker_names
from planact_train.tracking import flat, run_facts, start_facts

REPO = Path(__file__).parents[2]
KEEP = "sft.save_total_limit=2"


def needs(*trackers):
    missing = [name for name in trackers if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: pip install 'planact[tracking]'")


def run_of(folder):
    return json.loads((folder / RUN).read_text())


def train_and_resume(recipe, runs):
    """Train six steps; then forget the end and the last checkpoint, and train again from step three. Returns the model's folder."""
    folder = train(recipe, "planner", runs)
    (folder / FINISHED).unlink()
    shutil.rmtree(folder / "checkpoint-6")
    return train(recipe, "planner", runs)


@pytest.fixture(scope="module")
def tracked(built, small, tmp_path_factory):
    """A runs folder and the model folder of a resumed training that TensorBoard and trackio followed."""
    runs = shutil.copytree(built, tmp_path_factory.mktemp("tracked") / "runs")
    names = [name for name in ("tensorboard", "trackio") if importlib.util.find_spec(name)]
    return runs, train_and_resume(small("finetuning", f"sft.report_to={json.dumps(names)}", KEEP), runs)


def test_a_run_keeps_its_name_when_it_is_resumed_and_lists_its_starts(tracked, small):
    runs, folder = tracked
    run, recipe = run_of(folder), small("finetuning")
    assert run["run"].startswith(f"tiny-finetuning-{folder.name}-20") and len(run["starts"]) == 2
    rows = read_manifest(data_folder(recipe, load_suite("miniweb-short").version, runs))["rows"]["plan"]
    assert run["data"]["rows"] == {"plan": {"seed": {"rows": rows["rows"], "hash": rows["hashes"]["seed"]}}}
    assert (run["recipe"], run["role"], run["seed"], run["data"]["teachers"]) == ("tiny/finetuning", "planner", 0, {"teacher": "scripted"})
    for start in run["starts"]:
        assert {"torch", "transformers", "trl", "peft", "accelerate", "python", "planact"} <= start["versions"].keys()
        assert start["versions"]["planact"] == planact.__version__ and Path(sys.argv[0]).name in start["command"]


def test_no_path_of_this_machine_is_told(tracked):
    text = (tracked[1] / RUN).read_text()
    assert str(REPO) not in text and str(tracked[0]) not in text and "/tmp" not in text


@needs("tensorboard")
def test_tensorboard_has_the_facts_and_each_step_once(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    runs, folder = tracked
    run = run_of(folder)["run"]
    events = EventAccumulator(str(runs / "tracking/tensorboard" / run)).Reload()
    steps = {event.step: event.value for event in events.Scalars("train/loss")}
    curve = {entry["step"]: entry["loss"] for entry in json.loads((folder / "curve.json").read_text()) if "loss" in entry}
    assert steps == pytest.approx(curve) and len(events.Scalars("train/loss")) == 6
    told = events.Tensors("planact/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert json.loads(told)["planact/run"] == run


@needs("trackio")
def test_trackio_has_one_run_with_the_facts_and_the_loss(tracked):
    runs, folder = tracked
    run = run_of(folder)
    with sqlite3.connect(runs / "tracking/trackio/planact.db") as database:
        metrics = [json.loads(text) for name, text in database.execute("SELECT run_name, metrics FROM metrics") if name == run["run"]]
        configs = [json.loads(text) for name, text in database.execute("SELECT run_name, config FROM configs")]
    assert {entry["train/global_step"] for entry in metrics if "train/loss" in entry} == {1, 2, 3, 4, 5, 6}
    [config] = configs
    assert config["planact/config"] == run["config"] and config["planact/seed"] == 0 and config["learning_rate"] > 0


@pytest.mark.slow
@needs("wandb", "mlflow")
def test_wandb_and_mlflow_write_below_the_runs_folder_and_go_on_with_the_same_run(built, small, tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = shutil.copytree(built, tmp_path / "runs")
    before = set(Path.cwd().iterdir())
    folder = train_and_resume(small("finetuning", "sft.report_to=[wandb, mlflow]", KEEP), runs)
    run = run_of(folder)
    found = [path.name for path in (runs / "tracking/wandb/wandb").glob("offline-run-*")]
    assert len(found) == 2 and all(name.endswith(run["run"]) for name in found)  # one of each start, which the server joins by their id
    [entry] = mlflow.search_runs(experiment_names=["planact"], output_format="list")
    steps = {m.step for m in mlflow.MlflowClient().get_metric_history(entry.info.run_id, "loss")}
    assert steps == {1, 2, 3, 4, 5, 6} and entry.data.params["learning_rate"] == "0.003" and entry.info.status == "FINISHED"
    assert entry.data.tags["planact/run"] == run["run"] and entry.data.tags["planact/commit"] == run["starts"][-1]["commit"]
    assert set(Path.cwd().iterdir()) == before
    monkeypatch.setattr(mlflow.tracking.fluent, "_active_experiment_id", None)


def test_a_tracker_that_is_not_known_or_not_there_is_refused_before_the_model_loads(small, runs, monkeypatch):
    with pytest.raises(RecipeError, match="'wandbb', which is no tracker; choose from trackio, wandb, mlflow, tensorboard, .*, or none"):
        train(small("finetuning", "sft.report_to=wandbb"), "planner", runs)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "wandb" else find(name, *rest))
    with pytest.raises(RecipeError, match=r"wandb, which is not installed: pip install 'planact\[tracking\]', or sft.report_to=none"):
        train(small("finetuning", "sft.report_to=[wandb]"), "planner", runs)
    assert not list(runs.glob("models/*"))


def test_what_report_to_may_say():
    assert tracker_names({}) == tracker_names({"report_to": "none"}) == tracker_names({"report_to": []}) == []
    assert tracker_names({"report_to": "trackio"}) == ["trackio"]
    assert other_trackers({"report_to": ["trackio", "swanlab"]}) == ["swanlab"] and other_trackers({"report_to": "wandb"}) == "none"
    assert set(tracker_names({"report_to": "all"})) >= {n for n in ("wandb", "tensorboard") if importlib.util.find_spec(n)}
    check_trackers({"report_to": "none"})


def test_facts_are_told_flat_and_of_the_starts_the_last():
    facts = {"run": "r", "data": {"rows": {"plan": {"seed": {"rows": 3}}}, "imports": ["a", "b"]}, "none": None}
    told = dict(flat(facts | {"starts": [{"commit": "1"}, {"commit": "2", "dirty": False}]}))
    rows = {"planact/data/rows/plan/seed/rows": 3, "planact/data/imports": "a, b"}
    assert told == {"planact/run": "r", "planact/commit": "2", "planact/dirty": False} | rows


def test_the_commit_is_that_of_the_checkout_and_changes_make_it_dirty(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()

    assert start_facts(tmp_path, ["x"])["commit"] is None and start_facts(tmp_path, ["x"])["dirty"] is None
    git("init", "-q")
    (tmp_path / "a.py").write_text("1")
    git("add", "a.py")
    git("commit", "-q", "-m", "first")
    clean = start_facts(tmp_path, ["x"])
    assert clean["commit"] == git("rev-parse", "HEAD") and clean["dirty"] is False
    (tmp_path / "a.py").write_text("2")
    assert start_facts(tmp_path, ["x"])["dirty"] is True


def test_a_command_is_told_without_folders_and_never_with_a_secret(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path / "recipes/a.yaml")
    typed = ["/usr/bin/sft.py", "--config", here, "--set=base_model=/data/models/x", "--set", "seed=1"]
    assert start_facts(tmp_path, typed)["command"] == "sft.py --config recipes/a.yaml --set=base_model=x --set seed=1"
    typed = ["sft.py", "--set", "data.imports={webrl: /home/alice/x.json}", "--set", "endpoints.judge.base_url=http://gpu7:8000/v1"]
    told = "sft.py --set 'data.imports={webrl: x.json}' --set endpoints.judge.base_url=http://localhost:8000/v1"
    assert start_facts(tmp_path, typed)["command"] == told
    monkeypatch.setenv("SHOP_PASSWORD", "swordfish1")
    assert start_facts(tmp_path, ["sft.py", "--x", "swordfish1"])["command"] == "not recorded: it holds a secret"


def test_another_recipe_is_another_configuration(built, small):
    def config(*changes):
        recipe = small("finetuning", *changes)
        return run_facts(recipe, "planner", data_folder(recipe, load_suite("miniweb-short").version, built), "planner-x")["config"]

    assert config() == config() != config("sft.learning_rate=1")


def test_a_base_is_named_as_others_can_find_it(tmp_path):
    def model(*parts):
        folder = tmp_path.joinpath(*parts)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
        return folder

    assert origin_of("meta-llama/Llama-3.3-70B-Instruct", "abc") == Origin(*["meta-llama/Llama-3.3-70B-Instruct"] * 2, "abc")
    cached = model("hub", "models--Qwen--Qwen3-8B", "snapshots", "b" * 40)
    assert origin_of(str(cached)) == Origin("Qwen/Qwen3-8B", "Qwen/Qwen3-8B", "b" * 40)
    local = origin_of(str(model("scratch", "my-base")))
    assert (local.name, local.hub_id, local.made) == ("my-base", None, "a local LlamaForCausalLM that is not on the Hub")
    ours = origin_of("models/planact-tiny")
    assert (ours.name, ours.made) == ("planact-tiny", "made from nothing by recipes/tiny/base.yaml of planact")
    tuned = model("scratch", "tuned")
    (tuned / FINISHED).write_text('{"settings": {"role": "planner"}}')
    (tuned / "recipe.yaml").write_text("name: tiny/finetuning\n")
    assert origin_of(str(tuned)).made == "the planner of the recipe tiny/finetuning, fine-tuned with planact"
