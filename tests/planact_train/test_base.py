"""Making a base model from nothing, in miniature: two steps on 16 conversations."""

import asyncio
from pathlib import Path

import pytest

from planact.layout import base_model_identity
from planact.recipe import load_recipe
from planact_eval.serving import LocalLLM
from planact_train.base import pretrain

RECIPE = Path(__file__).parents[2] / "recipes/tiny/base.yaml"
SMALL = [
    "pretrain.vocab_size=500",
    "pretrain.hidden_size=32",
    "pretrain.layers=2",
    "pretrain.conversations=16",
    "pretrain.walks=1",
    "sft.bf16=false",
    "sft.max_steps=2",
    "sft.per_device_train_batch_size=8",
    "sft.logging_steps=1",
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrained") / "model"
    return folder, pretrain(load_recipe(RECIPE, SMALL), folder)


def test_the_base_is_a_folder_that_a_recipe_can_name(made):
    folder, _ = made
    files = {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert {path.name for path in folder.iterdir()} == files  # nothing that a later look-up by content would trip over
    llm = LocalLLM(folder)
    assert (llm.model.config.hidden_size, llm.model.config.num_hidden_layers, len(llm.tokenizer)) == (32, 2, 500)
    reply = asyncio.run(llm.complete([{"role": "system", "content": "act"}, {"role": "user", "content": "Open 'Cart'."}], max_tokens=4))
    assert 0 <= reply.usage.completion_tokens <= 4


def test_the_share_of_exact_answers_is_measured_on_conversations_held_out(made):
    assert made[1] == 0.0  # after two steps a model of noise gets no answer of the 128 conversations right


def test_the_same_recipe_makes_the_same_base(made, tmp_path):
    pretrain(load_recipe(RECIPE, SMALL), tmp_path / "again")
    assert base_model_identity(str(tmp_path / "again")) == base_model_identity(str(made[0]))
