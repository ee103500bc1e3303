"""A recipe's `sft` keys are TRL's own names, and reach TRL's objects as they are."""

import dataclasses

import pytest
from trl import ModelConfig, SFTConfig

from planact.recipe import RecipeError, Training
from planact.sft_keys import sft_keys
from planact_train.settings import MODEL_KEYS, measuring, model_config, sft_config

CPU = {"use_cpu": True, "bf16": False}


def fields(kind):
    return {field.name for field in dataclasses.fields(kind) if field.init}


def test_every_key_that_a_recipe_may_hold_belongs_to_exactly_one_of_the_two():
    assert sft_keys() == fields(SFTConfig) | fields(ModelConfig)
    assert not fields(SFTConfig) & MODEL_KEYS


def test_keys_reach_trl_verbatim(tmp_path):
    settings = CPU | {"learning_rate": 3e-4, "max_length": 777, "lr_scheduler_type": "cosine", "warmup_steps": 0.1}
    settings |= {"use_peft": True, "lora_r": 6, "lora_target_modules": ["q_proj", "v_proj"], "dtype": "bfloat16"}
    config, model = sft_config(settings, tmp_path, seed=5), model_config(settings, "some/model")
    assert (config.learning_rate, config.max_length, config.lr_scheduler_type, config.warmup_steps) == (3e-4, 777, "cosine", 0.1)
    assert (model.use_peft, model.lora_r, model.lora_target_modules, model.dtype) == (True, 6, ["q_proj", "v_proj"], "bfloat16")
    assert model.model_name_or_path == "some/model"
    assert config.output_dir == str(tmp_path)


def test_what_a_recipe_does_not_say_is_trls_default(tmp_path):
    ours, theirs = sft_config(CPU, tmp_path, seed=42), SFTConfig(**CPU, output_dir=str(tmp_path), data_seed=42)
    assert ours.to_dict() == theirs.to_dict()


def test_the_recipes_seed_counts_unless_sft_has_its_own(tmp_path):
    config = sft_config(CPU, tmp_path, seed=5)
    assert (config.seed, config.data_seed) == (5, 5)
    config = sft_config(CPU | {"seed": 7}, tmp_path, seed=5)
    assert (config.seed, config.data_seed) == (7, 5)


def test_the_place_of_the_results_is_not_the_recipes_to_say(tmp_path):
    # A model is found again by its key, so `output_dir` of a recipe must not move it.
    assert sft_config(CPU | {"output_dir": "/elsewhere"}, tmp_path, seed=0).output_dir == str(tmp_path)


def test_a_key_or_value_that_trl_does_not_take_is_an_error(tmp_path):
    with pytest.raises(RecipeError, match="settings of `sft`: .*'learning_rat'"):
        sft_config(CPU | {"learning_rat": 1e-3}, tmp_path, seed=0)
    with pytest.raises(RecipeError, match="settings of `sft`: .*sometimes"):
        sft_config(CPU | {"save_strategy": "sometimes"}, tmp_path, seed=0)
    with pytest.raises(RecipeError, match="settings of `sft`: .*4.?bit"):
        model_config({"load_in_4bit": True, "load_in_8bit": True}, "some/model")


def test_held_out_rows_are_measured_ten_times_in_a_training_unless_sft_says_how_often():
    watched = Training(held_out=5, answer_every=10)
    assert measuring(watched, {}) == {"eval_strategy": "steps", "eval_steps": 0.1, "per_device_eval_batch_size": 8}
    assert measuring(watched, {"eval_strategy": "epoch", "per_device_train_batch_size": 2}) == {
        "eval_steps": 0.1,
        "per_device_eval_batch_size": 2,
    }
    assert measuring(Training(), {"eval_strategy": False, "eval_steps": 3}) == {}


@pytest.mark.parametrize(
    "training, sft", [(Training(answer_every=3), {}), (Training(), {"eval_strategy": "steps"})], ids=["answers", "loss"]
)
def test_measuring_without_held_out_rows_is_refused(training, sft):
    with pytest.raises(RecipeError, match="has no rows to (answer|measure on); set training.held_out"):
        measuring(training, sft)
