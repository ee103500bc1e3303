"""What a training takes, as scripts/plan.py tells it."""

import shlex
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from planact.layout import data_folder
from planact.recipe import RecipeError, Training, load_recipe
from planact_envs.suites import load_suite
from planact_train.chat import load_tokenizer
from planact_train.estimate import describe_training, flops, memory_of, next_move
from planact_train.shapes import read_config, shape_of
from planact_train.workload import Rows, rows_of, steps_of

RECIPES = Path(__file__).parents[2] / "recipes"
SEVENTY, EIGHT_B, SMALLEST = "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-0.6B"
GIB = 2**30
FLASH = {"attn_implementation": "flash_attention_2", "max_length": 8192, "per_device_train_batch_size": 1}
LORA = {"use_peft": True, "lora_r": 16, "lora_target_modules": ["all-linear"], "dtype": "bfloat16"}


def test_the_flops_of_a_token_by_hand():
    shape, once = shape_of(read_config(EIGHT_B), {}), {"gradient_checkpointing": False}
    products = 8_030_261_248 - 128_256 * 4096  # looking a token up is no product
    # Forward 2, backward 4 for each weight; 2,000 tokens: 1,000 earlier ones on average, 4 x 32 layers x 4,096 each, three times.
    needed, done = flops(shape, once, 2000)
    assert needed == done == 6 * products + 3 * 1000 * 4 * 32 * 4096
    # Every layer goes forward twice, the head does not.
    assert flops(shape, {}, 2000) == (needed, needed + 2 * (products - 128_256 * 4096) + 1000 * 4 * 32 * 4096)


def test_an_adapter_saves_the_products_with_frozen_weights():
    shape = shape_of(read_config(EIGHT_B), LORA)
    products, adapter = 8_030_261_248 - 128_256 * 4096, 41_943_040
    needed, _ = flops(shape, LORA | {"gradient_checkpointing": False}, 0)
    assert needed == 4 * products + 6 * adapter


@pytest.mark.parametrize(
    "settings, steps, batch, tokens",
    [
        ({"num_train_epochs": 1}, 32, 32, 1000 * 500),  # 1,000 rows, 2 x 4 x 4 in a step
        ({}, 96, 32, 3 * 1000 * 500),  # transformers' three epochs
        ({"max_steps": 5}, 5, 32, 5 * 32 * 500),
        ({"num_train_epochs": 1, "packing": True, "max_length": 2048}, 8, 32, 1000 * 500),  # 500,000 / (2,048 x 0.97) = 252 sequences
        ({"num_train_epochs": 1, "max_length": 100}, 32, 32, 1000 * 100),  # longer rows are cut
    ],
)
def test_steps_and_tokens_by_hand(settings, steps, batch, tokens):
    training = Training(processes=4, batch=32)
    found = steps_of(Rows(1000, 500.0, ""), training, {"per_device_train_batch_size": 2, "max_length": 1024} | settings)
    assert (found.steps, found.batch, found.accumulated) == (steps, batch, 4)
    assert found.tokens == pytest.approx(tokens, rel=0.02)


def test_built_rows_are_counted_with_the_bases_tokenizer(small, runs):
    recipe = small("dynamic-replanning", "data.planner=[plan]")
    suite = load_suite(recipe.data.suite)
    folder, tokenizer = data_folder(recipe, suite.version, runs), load_tokenizer(recipe.base_model, {})
    rows = rows_of(recipe, "planner", suite, folder, tokenizer)
    table = pq.read_table(folder / "plan.parquet").to_pylist()
    texts = [tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False) for row in table]
    lengths = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
    assert rows.count == len(table) and rows.tokens == pytest.approx(sum(lengths) / len(lengths))
    without = rows_of(recipe, "planner", suite, folder, None)
    assert without.count == len(table) and "no tokenizer is here" in without.source and without.tokens != rows.tokens
    assert rows_of(small("dynamic-replanning", "data.planner_sources=[targeted]"), "planner", suite, folder, None).count == 0


def test_a_device_that_is_too_small_is_not_missed(tmp_path):
    # Full fine-tuning of 70B: 16 bytes for each of 70.6 billion weights is 131 GiB on each of 8, before anything else.
    changes = ["training.launch=fsdp2", "training.processes=8", "sft.max_length=4096"]
    lines = describe_training(load_recipe(RECIPES / "llama-3.3-70b/finetuning-full.yaml", changes), tmp_path)
    text = "\n".join(lines)
    assert "70,553,706,496 parameters, 70,553,706,496 trained (100.00%, full)" in text and "estimated: the rows are not built" in text
    [verdict, _] = [line for line in lines if "DOES NOT FIT" in line]  # of the planner and of the executor
    assert verdict.startswith("!!!") and "of 80.0 GiB of each a100-80gb; next move: --set" in verdict


def test_the_large_recipes_fit_the_devices_that_they_name(tmp_path):
    for name in ("llama-3.3-70b/finetuning-qlora", "qwen3-8b/qlora"):
        lines = describe_training(load_recipe(RECIPES / f"{name}.yaml"), tmp_path)
        assert sum(line.startswith("          fits ") for line in lines) == 2 and "MFU" in "\n".join(lines), lines


def test_the_next_move_is_tried_before_it_is_named():
    eight = Training(launch="fsdp2", processes=8, device="h100-80gb")
    needed = sum(memory_of(SMALLEST, eight, FLASH).values())
    # Accumulating, every process holds all gradients; reducing them each time is the smallest change that makes it fit.
    eager = Training(launch="fsdp2", processes=8, device="h100-80gb", batch=32)
    move = next_move(SMALLEST, eager, FLASH, needed)
    _, change = shlex.split(move)
    recipe = load_recipe(RECIPES / "qwen3-8b/full.yaml", [change])  # what is named can be typed
    assert recipe.sft["accelerator_config"] == {"gradient_accumulation_kwargs": {"sync_each_batch": True}}
    assert next_move(SMALLEST, eight, FLASH | {"gradient_checkpointing": False}, needed) == "--set sft.gradient_checkpointing=true"
    assert next_move(SMALLEST, eight, FLASH | {"per_device_train_batch_size": 4}, needed) == "--set sft.per_device_train_batch_size=1"
    assert next_move(SMALLEST, eight, FLASH, needed - 1) == "--set training.processes=16"
    assert next_move(SMALLEST, eight, FLASH, 1).startswith("a smaller base model")


def test_a_70b_adapter_does_not_fit_one_gpu_and_a_4_bit_base_on_one_h200_does():
    one = Training(launch="ddp", processes=1, device="h200-141gb")
    assert sum(memory_of(SEVENTY, one, FLASH | LORA).values()) > 141 * GIB
    assert sum(memory_of(SEVENTY, one, FLASH | LORA | {"load_in_4bit": True, "use_bnb_nested_quant": True}).values()) < 70 * GIB


def test_what_cannot_be_planned_is_said(small, runs):
    unknown = small("finetuning", "base_model=someone/new-model")
    assert any("shape unknown: nothing here describes someone/new-model" in line for line in describe_training(unknown, runs))
    assert describe_training(small("finetuning", "data.planner=[]", "data.executor=[]"), runs) == ["training  not part of this recipe"]
    with pytest.raises(RecipeError, match="training.device: 'tpu' is not known"):
        describe_training(small("finetuning", "training.device=tpu"), runs)
    with pytest.raises(RecipeError, match="training.batch=7 must be a multiple"):
        describe_training(small("finetuning", "training.batch=7"), runs)
