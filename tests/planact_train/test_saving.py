"""What a finished training leaves: files that are complete and loadable, an adapter, and the adapter merged into its base."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType
from peft import AutoPeftModelForCausalLM, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from planact.recipe import RecipeError, load_recipe
from planact_eval.serving import LocalLLM
from planact_train.merging import check_merge, merge_adapter
from planact_train.saving import check_saved, gathered, stored_shapes, write_adapter, write_full
from planact_train.sft import train

REPO = Path(__file__).parents[2]
LORA = ["sft.use_peft=true", "sft.lora_r=4", "sft.lora_target_modules=all-linear", "sft.max_steps=2", "sft.learning_rate=1e-2"]
KINDS = {"lora": LORA, "qlora": [*LORA, "sft.load_in_4bit=true", "sft.bnb_4bit_quant_storage=bfloat16"]}
QUESTION = [{"role": "user", "content": "Open the cart of the shop and then pay."}]
SERVED = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"}


@pytest.fixture(scope="module", params=KINDS)
def adapter(request, built, small, llama, tmp_path_factory):
    """The model folder of an adapter that was trained with `training.merge`."""
    runs = shutil.copytree(built, tmp_path_factory.mktemp(request.param) / "runs")
    return train(recipe_of(request.param, small, llama), "planner", runs)


def recipe_of(kind, small, llama):
    changes = ["sft.optim=adamw_torch", "sft.save_steps=1", "sft.save_total_limit=2", "training.merge=true"]
    return small("finetuning", *KINDS[kind], f"base_model={llama}", *changes)


def logits(model, tokenizer):
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        return model.eval()(ids).logits


def test_an_adapter_is_saved_whole_and_names_the_base_of_the_recipe(adapter, llama):
    assert {path.name for path in adapter.iterdir()} >= {"adapter_model.safetensors", "adapter_config.json", *SERVED}
    assert not (adapter / "model.safetensors").exists()
    assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == str(llama)
    # 2 layers, 7 linear layers in each, two matrices for each; the head and the embedding have none.
    assert len(stored_shapes(adapter)) == 2 * 7 * 2
    for name, weight in load_file(adapter / "adapter_model.safetensors").items():
        assert "layers" in name and (("lora_B" not in name) or weight.abs().max() > 0)  # B begins at zero, so all have learned


@pytest.mark.parametrize("adapter", KINDS, indirect=True)
def test_an_adapter_resumes_from_its_checkpoint(adapter, request, small, llama, tmp_path, capsys):
    runs = shutil.copytree(adapter.parents[1], tmp_path / "runs")
    again = runs / "models" / adapter.name
    for path in again.iterdir():  # as a kill after the first of two steps leaves it
        if path.name != "checkpoint-1":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert train(recipe_of(request.node.callspec.params["adapter"], small, llama), "planner", runs) == again
    assert "resuming from" in capsys.readouterr().out
    whole, resumed = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, again))
    assert whole.keys() == resumed.keys()
    for name, weight in whole.items():
        torch.testing.assert_close(resumed[name], weight, atol=1e-6, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def test_a_merged_model_is_the_adapter_on_its_unquantized_base(adapter, llama):
    merged = adapter / "merged"
    assert {path.name for path in merged.iterdir()} >= {"model.safetensors", "config.json", *SERVED}
    config = AutoConfig.from_pretrained(merged)
    assert not hasattr(config, "quantization_config") and config.dtype == torch.float32 and config.use_cache  # the base is in float32
    tokenizer = AutoTokenizer.from_pretrained(merged)
    one, other = AutoModelForCausalLM.from_pretrained(merged), AutoPeftModelForCausalLM.from_pretrained(adapter)
    torch.testing.assert_close(logits(one, tokenizer), logits(other, tokenizer), atol=1e-5, rtol=0)
    assert (logits(one, tokenizer) - logits(AutoModelForCausalLM.from_pretrained(llama), tokenizer)).abs().max() > 1e-2


def test_adapter_and_merged_model_answer_alike(adapter):
    replies = [asyncio.run(LocalLLM(folder).complete(QUESTION, max_tokens=12)) for folder in (adapter, adapter / "merged")]
    assert replies[0].text == replies[1].text and replies[0].usage.completion_tokens == replies[1].usage.completion_tokens > 0


def test_a_merge_is_not_made_twice_nor_into_a_folder_in_use(adapter, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in (adapter / "merged").iterdir()}
    assert merge_adapter(adapter, adapter / "merged") == adapter / "merged"
    assert {path: path.stat().st_mtime_ns for path in (adapter / "merged").iterdir()} == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RecipeError, match="is in use and holds no model"):
        merge_adapter(adapter, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("adapter", ["lora"], indirect=True)
def test_a_merge_that_is_asked_for_after_the_training_is_made(adapter, small, llama, tmp_path):
    runs = shutil.copytree(adapter.parents[1], tmp_path / "runs")
    shutil.rmtree(runs / "models" / adapter.name / "merged")
    before = {path.name: path.stat().st_mtime_ns for path in (runs / "models" / adapter.name).iterdir()}
    again = train(recipe_of("lora", small, llama), "planner", runs)
    assert stored_shapes(again / "merged") == stored_shapes(llama)
    assert {path.name: path.stat().st_mtime_ns for path in again.iterdir() if path.name != "merged"} == before  # nothing is trained


def test_a_full_model_has_nothing_to_merge(llama, tmp_path):
    with pytest.raises(RecipeError, match="holds no adapter, so there is nothing to merge"):
        merge_adapter(llama, tmp_path / "merged")


def test_the_script_merges_what_is_trained_and_says_what_trains_it(built, changes, llama, tmp_path):
    runs = shutil.copytree(built, tmp_path / "runs")
    changes = [*changes, *KINDS["lora"], f"base_model={llama}", "sft.optim=adamw_torch"]
    arguments = [
        "--config",
        "recipes/tiny/finetuning.yaml",
        "--role",
        "planner",
        "--runs",
        runs,
        *(f"--set={change}" for change in changes),
    ]
    command = [sys.executable, "scripts/merge.py", *map(str, arguments), "--out", str(tmp_path / "merged")]
    before = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert before.returncode == 2 and "error: the planner of tiny/finetuning is not trained" in before.stderr
    assert re.search(r"^make it with: accelerate launch .* scripts/sft.py .*--role planner", before.stderr, re.M)

    folder = train(load_recipe(REPO / "recipes/tiny/finetuning.yaml", changes), "planner", runs)
    assert not (folder / "merged").exists()
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == f"merged planner of tiny/finetuning: {tmp_path / 'merged'}\n"
    assert stored_shapes(tmp_path / "merged") == stored_shapes(llama)


def test_an_adapter_on_a_quantized_base_is_not_merged(adapter, llama, small, tmp_path):
    base, copy = shutil.copytree(llama, tmp_path / "base"), shutil.copytree(adapter, tmp_path / "adapter")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": {"load_in_4bit": True, "quant_method": "bitsandbytes"}}))
    named = json.loads((copy / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(base)}
    (copy / "adapter_config.json").write_text(json.dumps(named))
    with pytest.raises(RecipeError, match="is itself stored quantized"):
        merge_adapter(copy, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    with pytest.raises(RecipeError, match="is itself stored quantized"):  # said before days of training
        check_merge(small("finetuning", f"base_model={base}", "training.merge=true", *LORA), "planner")


def test_a_model_is_written_in_the_dtype_of_its_base_and_in_several_files(llama, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(llama)
    write_full(model, model.state_dict(), tmp_path, torch.bfloat16)
    assert {weight.dtype for weight in load_file(tmp_path / "model.safetensors").values()} == {torch.bfloat16}
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16
    model.save_pretrained(tmp_path / "many", max_shard_size="100KB")
    assert len(list((tmp_path / "many").glob("model-*.safetensors"))) > 2
    check_saved(tmp_path / "many", stored_shapes(tmp_path))


def test_a_head_that_is_the_embedding_is_stored_once(llama, tmp_path):
    config = AutoConfig.from_pretrained(llama)
    config.tie_word_embeddings = True
    model = AutoModelForCausalLM.from_config(config)
    apart = {name: weight.clone() for name, weight in model.state_dict().items()}  # as gathered from shards
    write_full(model, apart, tmp_path, torch.float32)
    assert "lm_head.weight" not in stored_shapes(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert again.lm_head.weight is again.model.embed_tokens.weight and torch.equal(again.lm_head.weight, model.lm_head.weight)


def test_a_model_trained_in_float32_is_saved_in_the_dtype_of_its_base(llama, runs, small, tmp_path):
    AutoModelForCausalLM.from_pretrained(llama, dtype=torch.bfloat16).save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(llama).save_pretrained(tmp_path / "base")
    settings = ["sft.dtype=float32", "sft.max_steps=1", "sft.optim=adamw_torch"]
    folder = train(small("finetuning", f"base_model={tmp_path / 'base'}", *settings), "planner", runs)
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    config = AutoConfig.from_pretrained(folder)
    assert config.dtype == torch.bfloat16 and config.use_cache


class Engine(torch.nn.Module):
    """In the place of DeepSpeed's, which is not installed here; the method's name and option are those that transformers calls it by."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def _zero3_consolidated_16bit_state_dict(self, exclude_frozen_parameters=False):
        return {name: p.detach() for name, p in self.module.named_parameters() if p.requires_grad or not exclude_frozen_parameters}


def test_deepspeed_gathers_no_base_to_save_an_adapter(llama, tmp_path):
    lora = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(llama), lora)
    accelerator = SimpleNamespace(distributed_type=DistributedType.DEEPSPEED, unwrap_model=lambda model, **_: model)
    weights = gathered(SimpleNamespace(accelerator=accelerator, model=model, model_wrapped=Engine(model)))
    assert len(weights) == 2 * 2 and all("lora_" in name for name in weights)  # two layers, A and B
    write_adapter(model, weights, tmp_path)
    assert len(stored_shapes(tmp_path)) == 4


def test_a_lost_parameter_is_named(llama, tmp_path):
    folder = shutil.copytree(llama, tmp_path / "model")
    whole = load_file(folder / "model.safetensors")
    wanted = {name: tuple(weight.shape) for name, weight in whole.items()}
    check_saved(folder, wanted)
    norm = whole.pop("model.norm.weight")
    save_file(whole, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RuntimeError, match=r"missing are 1 parameters: model.norm.weight \[64\] \(saved: not at all\)"):
        check_saved(folder, wanted)
    save_file(whole | {"model.norm.weight": norm[:32]}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RuntimeError, match=r"model.norm.weight \[64\] \(saved: \[32\]\)"):
        check_saved(folder, wanted)
    (folder / "model.safetensors").write_bytes((llama / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(RuntimeError, match="model.safetensors was not written to its end"):
        check_saved(folder, wanted)
