"""Fine-tuning end to end on a few rows: what is written, what a kill leaves, and what another try makes of it."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from planact.layout import NotBuilt, data_folder, model_folder
from planact.recipe import load_recipe
from planact_envs.suites import load_suite
from planact_eval.serving import LocalLLM
from planact_train.rows import load_rows
from planact_train.settings import sft_config
from planact_train.sft import train
from planact_train.trainer import AnswerTrainer

REPO = Path(__file__).parents[2]


def folder_of(recipe, role, runs):
    return model_folder(recipe, role, data_folder(recipe, load_suite("miniweb-short").version, runs), runs)


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def trained(built, small, tmp_path_factory):
    """A runs folder with the finished planner of the small dynamic-replanning recipe."""
    runs = shutil.copytree(built, tmp_path_factory.mktemp("trained") / "runs")
    return runs, train(small("dynamic-replanning"), "planner", runs)


def test_what_a_finished_model_holds(trained, small):
    runs, folder = trained
    recipe = small("dynamic-replanning")
    names = {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "recipe.yaml", "curve.json", "finished.json"}
    assert names <= {path.name for path in folder.iterdir()}
    assert folder == folder_of(recipe, "planner", runs)
    assert load_recipe(folder / "recipe.yaml") == recipe
    curve = json.loads((folder / "curve.json").read_text())
    assert [entry["step"] for entry in curve] == [1, 2, 3, 4, 5, 6] and curve[-1]["loss"] < curve[0]["loss"]
    finished = json.loads((folder / "finished.json").read_text())
    assert finished["steps"] == 6 and finished["rows"] == len(load_rows(folder_rows(recipe, runs), ("plan", "replan"), 0))
    assert finished["train_loss"] == curve[-1]["loss"]
    assert finished["settings"]["role"] == "planner" and list(finished["settings"]["rows"]) == ["plan", "replan"]


def folder_rows(recipe, runs):
    return data_folder(recipe, load_suite("miniweb-short").version, runs)


def test_the_finished_model_differs_from_its_base_and_answers(trained, base):
    _, folder = trained
    before, after = load_file(base / "model.safetensors"), load_file(folder / "model.safetensors")
    assert before.keys() == after.keys() and any(not torch.equal(before[name], after[name]) for name in before)
    reply = asyncio.run(LocalLLM(folder).complete([{"role": "user", "content": "Hello"}], max_tokens=3))
    assert reply.usage.prompt_tokens > 0


def test_a_finished_model_is_not_touched_again(trained, small):
    runs, folder = trained
    before = state(folder)
    assert train(small("dynamic-replanning"), "planner", runs) == folder
    assert state(folder) == before


def test_recipes_that_train_alike_share_a_model_and_others_do_not(trained, small):
    runs, folder = trained
    assert folder_of(small("dynamic-replanning", "agent.replan=never", "eval.limit=3", "name=other"), "planner", runs) == folder
    for change in ("sft.learning_rate=1e-4", "data.planner=[plan]", "sft.planner={max_steps: 7}"):
        assert folder_of(small("dynamic-replanning", change), "planner", runs) != folder
    with pytest.raises(NotBuilt):  # another seed means other rows, which are not there yet
        folder_of(small("dynamic-replanning", "seed=1"), "planner", runs)


def test_only_the_answer_is_learned(built, small, base, tmp_path):
    # Trainable tokens of a row are its completion's tokens and the end token; nothing of the prompt, nothing cut off.
    recipe = small("dynamic-replanning")
    rows = load_rows(folder_rows(recipe, built), ("plan", "replan"), recipe.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    trainer = AnswerTrainer(
        model=str(base), args=sft_config(recipe.sft_for("planner"), tmp_path, 0), train_dataset=rows, processing_class=tokenizer
    )
    made = trainer.train_dataset
    assert len(made) == len(rows) > 50
    for row, tokens in zip(rows, made):
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
        answer = [*tokenizer(row["completion"][0]["content"], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert tokens["input_ids"] == prompt + answer
        assert tokens["labels"] == [-100] * len(prompt) + answer


def test_rows_of_several_kinds_come_shuffled_and_the_same_for_a_seed(built, small):
    recipe = small("dynamic-replanning")
    folder = folder_rows(recipe, built)
    plain = load_rows(folder, ("plan",), 0).to_list() + load_rows(folder, ("replan",), 0).to_list()
    one, same, other = (load_rows(folder, ("plan", "replan"), seed).to_list() for seed in (0, 0, 1))
    assert one == same != other
    assert sorted(map(str, one)) == sorted(map(str, other)) == sorted(map(str, plain))
    assert one[0].keys() == {"prompt", "completion", "kind", "task_id"}


def test_missing_rows_say_what_builds_them(small, tmp_path):
    with pytest.raises(NotBuilt, match="plan, replan rows") as caught:
        train(small("dynamic-replanning"), "planner", tmp_path)
    assert (caught.value.script, caught.value.options, caught.value.config) == ("scripts/build_data.py", "", "")
    assert not list(tmp_path.iterdir())


def test_a_missing_base_says_what_makes_it(small, runs):
    for name in ("models/none", str(runs / "none"), "./none"):
        with pytest.raises(NotBuilt, match=f"no model in {name}") as caught:
            train(small("dynamic-replanning", f"base_model={name}"), "planner", runs)
        assert caught.value.script == "scripts/pretrain.py"
        assert (caught.value.config, caught.value.options) == ("recipes/tiny/base.yaml", f"--set base_model={name}")
    assert not (runs / "models").exists()


def test_an_adapter_is_trained_saved_and_served(runs, small, base):
    lora = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_target_modules=[q_proj, v_proj]", "sft.max_steps=2"]
    recipe = small("finetuning", *lora)
    before = (base / "model.safetensors").read_bytes()
    folder = train(recipe, "planner", runs)
    assert (folder / "adapter_model.safetensors").exists() and not (folder / "model.safetensors").exists()
    assert (folder / "chat_template.jinja").exists()
    llm = LocalLLM(folder)
    adapter = {name for name, _ in llm.model.named_parameters() if "lora_" in name}
    assert adapter and all("q_proj" in name or "v_proj" in name for name in adapter)
    reply = asyncio.run(llm.complete([{"role": "user", "content": "Hello"}], max_tokens=3))
    assert reply.usage.completion_tokens <= 3
    assert (base / "model.safetensors").read_bytes() == before
