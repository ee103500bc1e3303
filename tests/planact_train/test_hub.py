"""Models on their way to the Hub, against the stand-in of tests/hub.py: what is sent, what never is, and what loads back."""

import json
import re
import shutil

import pytest
import yaml

from planact.recipe import RecipeError
from planact_train.pushing import check_hub
from planact_train.sft import train
from tests.hub import serving

LORA = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_target_modules=all-linear", "sft.save_total_limit=2"]
NAME = "me/planner"
KEY = "sk-" + "a1B2c3D4" * 4  # put together here, so that no scanner of repositories finds a key in this file


@pytest.fixture
def hub(tmp_path):
    with serving(tmp_path / "hf") as hub:
        yield hub


@pytest.fixture(scope="module")
def trained(built, small, tmp_path_factory):
    """A recipe file, a runs folder, and the planner's adapter in it, with checkpoints of the steps 3 and 6."""
    place = tmp_path_factory.mktemp("hub")
    runs = shutil.copytree(built, place / "runs")
    recipe = small("finetuning", *LORA, "endpoints.judge={base_url: 'http://gpu7.lan:8000/v1', model: m}")
    (place / "recipe.yaml").write_text(recipe.to_yaml())
    return place / "recipe.yaml", runs, train(recipe, "planner", runs)


@pytest.fixture
def push(hub, trained):
    config, runs, _ = trained
    return lambda *options: hub.run("scripts/push.py", "--config", config, "--runs", runs, "--repo", NAME, "--role", "planner", *options)


def test_a_model_and_its_checkpoints_are_pushed_once(hub, push, trained, base):
    done = push("--checkpoints", "--base", "me/base", "--rows", "me/rows")
    assert done.returncode == 0, done.stderr
    made = hub.state["repositories"][NAME]
    assert (made["kind"], made["private"], len(made["commits"])) == ("model", True, 1)
    assert {branch: len(at["commits"]) for branch, at in made["branches"].items()} == {"step-000003": 1, "step-000006": 1}
    weights = {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "README.md"}
    assert weights | {"run.json", "recipe.yaml", "curve.svg"} <= set(made["files"])
    for files in (made["files"], *(at["files"] for at in made["branches"].values())):
        assert weights <= set(files) and not [name for name in files if re.search(r"\.(pt|pth|bin)$|trainer_state|planact\.json", name)]
    step = hub.text(NAME, "README.md", "step-000003")
    assert "# Planner of tiny/finetuning, step 3\n" in step and "base_model: me/base\n" in step and "- me/rows\n" in step
    told = [hub.text(NAME, name, branch) for branch in ("main", "step-000003") for name in ("README.md", "adapter_config.json")]
    told += [hub.text(NAME, name) for name in ("recipe.yaml", "run.json", "finished.json", "tokenizer_config.json")]
    assert not [text for text in told if str(base) in text or str(trained[1]) in text or "gpu7" in text]
    assert json.loads(told[1])["base_model_name_or_path"] == yaml.safe_load(told[4])["base_model"] == "me/base"
    assert json.loads((trained[2] / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)  # here it still loads

    again = push("--checkpoints", "--base", "me/base", "--rows", "me/rows")
    assert again.returncode == 0 and again.stdout.count("holds these files already; nothing to push") == 3
    assert hub.state["repositories"][NAME] == made


@pytest.mark.slow
def test_what_was_pushed_loads_back_by_its_name_and_branch(hub, push, base):
    assert push("--checkpoints").returncode == 0
    code = f"""
from transformers import AutoModelForCausalLM, AutoTokenizer
from peft import PeftModel
base = AutoModelForCausalLM.from_pretrained({str(base)!r})
AutoTokenizer.from_pretrained({NAME!r}, revision="step-000003").apply_chat_template([{{"role": "user", "content": "Hello"}}])
for revision in ("main", "step-000003"):
    model = PeftModel.from_pretrained(base, {NAME!r}, revision=revision)
    print(sum(float(w.abs().sum()) for name, w in model.named_parameters() if "lora_B" in name) > 0)
"""
    loaded = hub.run("-c", code)
    assert loaded.returncode == 0 and loaded.stdout.split() == ["True", "True"], loaded.stderr


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(hub, push, trained):
    done = push("--dry-run", "--checkpoints")
    assert done.returncode == 0, done.stderr
    assert f"would push {trained[2]} to {NAME}; it would be made private" in done.stdout and "branch step-000003" in done.stdout
    assert "card:\n---\nlanguage:\n- en\n" in done.stdout and "optimizer" not in done.stdout
    assert hub.state == {"repositories": {}, "writes": []}


def test_a_secret_in_any_file_is_refused_before_anything_is_sent(hub, push, trained):
    _, _, folder = trained
    config = folder / "checkpoint-3/tokenizer_config.json"
    before = config.read_text()
    try:
        config.write_text(json.dumps(json.loads(before) | {"key": KEY}, indent=2))
        done = push("--checkpoints")
    finally:
        config.write_text(before)
    assert done.returncode == 2 and "tokenizer_config.json, line " in done.stderr and "API key that begins with 'sk-a'" in done.stderr
    assert KEY not in done.stdout + done.stderr and "Traceback" not in done.stderr and hub.state == {"repositories": {}, "writes": []}


def test_a_server_that_fails_is_told_and_the_same_command_goes_on(hub, push):
    hub.fail("/commit/step-000006")
    done = push("--checkpoints")
    assert done.returncode == 2 and f"error: {NAME} is as it was" in done.stderr and "Traceback" not in done.stderr
    hub.fail("")
    done = push("--checkpoints")
    assert done.returncode == 0 and done.stdout.count("nothing to push") == 2
    assert all(at["commits"] for at in hub.state["repositories"][NAME]["branches"].values())


def test_weights_that_the_storage_refuses_are_told_and_the_same_command_goes_on(hub, push):
    hub.fail("/_large", 403)
    done = push()
    assert done.returncode == 2 and f"error: {NAME} is as it was: Error while uploading 'adapter_model.safetensors'" in done.stderr
    assert "hf auth login" in done.stderr and "Traceback" not in done.stderr and not hub.state["repositories"][NAME]["commits"]
    hub.fail("")
    assert push().returncode == 0 and len(hub.state["repositories"][NAME]["commits"]) == 1


def test_options_for_models_need_a_role_and_a_model_that_is_there(hub, trained):
    config, runs, _ = trained
    done = hub.run("scripts/push.py", "--config", config, "--runs", runs, "--repo", NAME, "--checkpoints")
    assert done.returncode == 2 and "say which with --role planner or --role executor" in done.stderr
    done = hub.run("scripts/push.py", "--config", config, "--runs", runs, "--repo", NAME, "--role", "executor")
    assert done.returncode == 2 and "the executor of tiny/finetuning is not trained\nmake it with: accelerate launch" in done.stderr


def train_in_a_process(hub, small, runs, place, *changes):
    (place / "recipe.yaml").write_text(small("finetuning", *LORA, "sft.push_to_hub=true", *changes).to_yaml())
    return hub.run("scripts/sft.py", "--config", place / "recipe.yaml", "--runs", runs, "--role", "planner")


@pytest.mark.slow
def test_a_training_pushes_its_checkpoints_and_its_end(hub, small, runs, tmp_path):
    done = train_in_a_process(hub, small, runs, tmp_path, f"sft.planner={{hub_model_id: {NAME}}}")
    assert done.returncode == 0, done.stderr
    made = hub.state["repositories"][NAME]
    assert made["private"] and set(made["branches"]) == {"step-000003", "step-000006"} and len(made["commits"]) == 1
    assert "curve.svg" in made["files"] and "adapter_model.safetensors" in made["branches"]["step-000003"]["files"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "path, status, strategy, warnings",
    [("/api/repos/create", 500, "end", 1), ("/_large", 403, "every_save", 3)],  # two checkpoints and the end
    ids=["server", "weights"],
)
def test_a_hub_that_fails_does_not_stop_a_training(hub, small, runs, tmp_path, path, status, strategy, warnings):
    hub.fail(path, status)
    done = train_in_a_process(hub, small, runs, tmp_path, f"sft.planner={{hub_model_id: {NAME}}}", f"sft.hub_strategy={strategy}")
    assert done.returncode == 0 and done.stderr.count("warning: me/planner is as it was") == warnings and "Traceback" not in done.stderr
    assert "later: python scripts/push.py" in done.stderr and list(runs.glob("models/planner-*/finished.json"))


def test_a_push_that_could_not_be_right_is_refused_before_the_training(small):
    def check(*changes):
        check_hub(small("finetuning", "sft.push_to_hub=true", *changes), "planner")

    with pytest.raises(RecipeError, match="sft.planner.hub_model_id: owner/name; found none"):
        check()
    with pytest.raises(RecipeError, match="planner and executor would both go to me/x"):
        check("sft.hub_model_id=me/x")
    with pytest.raises(RecipeError, match="a recipe holds no secrets; log in with `hf auth login`, or set HF_TOKEN"):
        check(f"sft.hub_token={KEY}")
    check("sft.planner={hub_model_id: me/x}", "sft.executor={hub_model_id: me/y}")
