"""The card of a model: what the Hub reads in it, what people read in it, and that the code it shows runs."""

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from planact.layout import FINISHED, base_model_identity, write_json
from planact_train import curve
from planact_train.model_card import CARD, DRAWING, Names, card, write_card
from planact_train.results import gather_results, read_results
from planact_train.sft import train

NAMES = Names("me/tiny-planner", base="me/tiny-base", rows="me/rows", benchmark="me/miniweb")


@pytest.fixture(scope="module")
def trained(built, small, tmp_path_factory):
    """A runs folder, and the planner's adapter, of six steps with two checkpoints, in it. Not to be written to."""
    runs = shutil.copytree(built, tmp_path_factory.mktemp("card") / "runs")
    lora = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_target_modules=all-linear", "sft.save_total_limit=2"]
    return runs, train(small("finetuning", *lora), "planner", runs)


@pytest.fixture
def model(trained, tmp_path):
    """A copy of that model's folder."""
    return shutil.copytree(trained[1], tmp_path / "model")


@pytest.fixture
def evaluated(trained, model, tmp_path):
    """The model with an evaluation of its own beside it, of which 3 of 12 tasks were solved, and one of another model."""
    settings = {"suite": "miniweb-short", "suite_version": "1.0.0", "split": "test", "scorer": "miniweb", "limit": 12, "seed": 0}
    settings |= {"agent": {"planner": "trained"}, "prompts": "abc", "judge": "http://10.0.0.1:8000/v1 judge"}
    # Wilson for 3 of 12: centre (0.25 + 3.8415/24) / (1 + 3.8415/12) = 0.3106, half 0.2219, so 8.9 to 53.2 %
    summary = {"planned": 12, "success": 3, "failure": 8, "error": 1, "unscored": 0, "rate": 0.25, "low": 0.08894, "high": 0.5323}
    for name, identity in (("tiny-finetuning-0123456789", base_model_identity(str(model))), ("other-9876543210", "another")):
        found = {"recipe": "tiny/finetuning", "settings": settings | {"models": {"planner": identity, "executor": "x"}}, "summary": summary}
        write_json(tmp_path / "runs/eval" / name / "results.json", found)
    gather_results(model, "planner", tmp_path / "runs")
    return model


def front_matter(folder):
    return ModelCard.load(folder / CARD, ignore_metadata_errors=False).data


def test_a_finished_model_and_its_checkpoints_have_our_card(trained):
    _, folder = trained
    for place, title in ((folder, "# Planner of tiny/finetuning\n"), (folder / "checkpoint-3", "# Planner of tiny/finetuning, step 3\n")):
        text = (place / CARD).read_text()
        assert title in text and "None" not in text.split("```yaml")[0] and "SFTTrainer" not in text
        assert str(folder.parents[2]) not in text and "/tmp" not in text


def test_the_base_is_never_a_path(trained, base):
    _, folder = trained
    front = front_matter(folder).to_dict()
    assert "base_model" not in front and front["license"] == "unknown"
    text = (folder / CARD).read_text()
    assert f"`random`, a local Lfm2ForCausalLM that is not on the Hub (content hash `{base_model_identity(str(base))}`)" in text
    assert "base_model: random\n" in text and str(base) not in text


def test_the_front_matter_is_what_the_hub_reads(model):
    write_card(model, NAMES)
    front = front_matter(model).to_dict()
    assert front["base_model"] == "me/tiny-base" and front["base_model_relation"] == "adapter" and front["datasets"] == ["me/rows"]
    assert front["library_name"] == "peft" and {"trl", "sft", "lora", "planner", "plan-and-act"} <= set(front["tags"])
    assert (front["license"], front["license_link"]) == ("other", "https://huggingface.co/me/tiny-base")
    assert "model-index" not in front and not (model / ".eval_results").exists()


def test_a_full_model_is_a_finetune_and_a_4_bit_one_says_so(model):
    (model / "adapter_config.json").rename(model / "x")
    front = yaml.safe_load(card(model, NAMES).split("---")[1])
    assert (front["library_name"], front["base_model_relation"]) == ("transformers", "finetune") and "lora" not in front["tags"]
    (model / "x").rename(model / "adapter_config.json")
    recipe = yaml.safe_load((model / "recipe.yaml").read_text())
    recipe["sft"]["load_in_4bit"] = True
    (model / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert "qlora" in yaml.safe_load(card(model, NAMES).split("---")[1])["tags"]


def test_the_card_says_what_was_trained_on_and_how(model):
    run, finished, text = json.loads((model / "run.json").read_text()), json.loads((model / FINISHED).read_text()), card(model, NAMES)
    [(source, entry)] = run["data"]["rows"]["plan"].items()
    assert f"| `plan` | {source} | {entry['rows']} | `{entry['hash']}` |" in text
    assert f"{finished['tokens']['tokens']:,} tokens" in text and "- device: cpu" in text and run["starts"][0]["commit"] in text
    assert "| `learning_rate` | 0.003 | 2e-5 |" in text and "| `lora_r` | 4 | not stated |" in text
    assert "report_to" not in text.split("## Settings")[1].split("##")[0]
    assert "--lora-modules planner=me/tiny-planner" in text and "--max-lora-rank 4" in text


def test_evaluations_of_this_model_are_told_in_all_three_forms(evaluated):
    write_card(evaluated, NAMES)
    assert list(read_results(evaluated)) == ["tiny-finetuning-0123456789"]
    [result] = front_matter(evaluated).eval_results
    assert (result.dataset_type, result.dataset_split, result.metric_type, result.metric_value) == (
        "me/miniweb",
        "test",
        "success_rate",
        25.0,
    )
    [entry] = parse_eval_result_entries(yaml.safe_load((evaluated / ".eval_results/tiny-finetuning-0123456789.yaml").read_text()))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("me/miniweb", "miniweb-short_test", 25.0)
    assert "3 of 12 tasks" in entry.notes and "8.89 to 53.23" in entry.notes and "1 broke" in entry.notes
    assert "| miniweb-short 1.0.0 | test | 12 | 25.0% | 8.89 to 53.23 |" in (evaluated / CARD).read_text()
    assert "10.0.0.1" not in "".join(path.read_text() for path in evaluated.rglob("results/*.json"))


def test_writing_it_again_gives_the_same_bytes_and_no_other_model(evaluated):
    base_model_identity.cache_clear()
    before = base_model_identity(str(evaluated))
    write_card(evaluated, NAMES)
    first = {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()}
    write_card(evaluated, NAMES)
    assert {path: path.read_bytes() for path in evaluated.rglob("*") if path.is_file()} == first
    base_model_identity.cache_clear()
    assert base_model_identity(str(evaluated)) == before


@pytest.mark.slow
def test_the_code_of_the_card_runs(model, base):
    adapter = json.loads((model / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(base)
    code = re.search(r"```python\n(.*?)```", card(model, Names(str(model))), re.S)[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr


def test_the_drawing_is_a_picture_of_the_curve(model):
    root = ElementTree.fromstring((model / DRAWING).read_text())
    [line] = root.iter("{http://www.w3.org/2000/svg}polyline")
    assert len(line.get("points").split()) == 6
    # loss 4 at step 1 is the top left corner of the axes, loss 0 at step 3 the bottom right
    drawn = curve.drawing([{"step": 1, "loss": 4.0}, {"step": 3, "loss": 0.0}])
    assert 'points="40.0,40.0 600.0,200.0"' in drawn and "http" not in drawn.replace("http://www.w3.org/2000/svg", "")
    assert curve.drawing([{"step": 1, "loss": 4.0}]) == ""


def test_the_table_of_a_long_curve_keeps_its_ends():
    long = [{"step": step, "loss": 1 / step} for step in range(1, 101)] + [{"step": 100, "plan_valid": 0.5}]
    lines = curve.table(long)
    assert lines[0] == "| step | loss | valid plans |" and len(lines) == 2 + curve.ROWS
    assert lines[2] == "| 1 | 1 |  |" and lines[-1] == "| 100 | 0.01 | 0.5 |"
    assert curve.table([]) == []


@pytest.mark.parametrize(
    "training, command",
    [
        ({"launch": "ddp", "processes": 1}, "accelerate launch --config_file accelerate_configs/ddp.yaml --num_processes 1 scripts/sft.py"),
        ({"launch": "fsdp2_multinode", "processes": 32}, "sbatch --nodes 4 slurm/sft.slurm"),
        ({"launch": "cpu", "processes": 2}, "torchrun --nproc_per_node 2 scripts/sft.py"),
    ],
)
def test_the_command_that_trains_it_again_is_that_of_its_launch(model, training, command):
    recipe = yaml.safe_load((model / "recipe.yaml").read_text())
    recipe["training"] |= training
    (model / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert f"\n`{command} --config recipe.yaml --role planner`, where recipe.yaml is\n" in card(model, NAMES)


def test_the_recipe_of_the_card_names_no_server_of_ones_own(model):
    recipe = yaml.safe_load((model / "recipe.yaml").read_text())
    recipe["endpoints"] = {"teacher": {"base_url": "http://10.0.0.7:8001/v1", "model": "m"}}
    recipe["data"]["imports"] = {"webrl": "/home/alice/x.json"}
    (model / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    text = card(model, NAMES)
    assert "10.0.0.7" not in text and "base_url: http://localhost:8000/v1" in text and "alice" not in text and "webrl: x.json" in text
