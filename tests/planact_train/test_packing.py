"""Rows that share a sequence do not see each other, or the training does not start."""

import pytest
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, MambaConfig

from planact.recipe import RecipeError
from planact_train.packing import check_packing, leaking_layers
from planact_train.settings import sft_config
from planact_train.trainer import AnswerTrainer

SIZES = (9, 5, 14, 3, 1, 12)
ROWS = [[5 + (3 * size + i) % 200 for i in range(size)] for size in SIZES]


def batch_of(base, tmp_path, **settings):
    """The model of a training and the one batch that its rows are packed into."""
    settings = {"use_cpu": True, "bf16": False, "report_to": "none", "gradient_checkpointing": False} | settings
    config = sft_config(settings, tmp_path, 0, per_device_train_batch_size=len(ROWS))
    rows = Dataset.from_list([{"input_ids": ids, "labels": ids} for ids in ROWS])
    trainer = AnswerTrainer(model=str(base), args=config, train_dataset=rows)
    (batch,) = trainer.get_train_dataloader()
    return AutoModelForCausalLM.from_pretrained(base).eval(), batch


@torch.no_grad()
def differences(model, batch):
    """The largest difference of logits between every packed row and the same row alone."""
    positions = batch["position_ids"][0].tolist()
    starts = [i for i, position in enumerate(positions) if position == 0]
    ends = [*starts[1:], len(positions)]
    assert sorted(end - start for start, end in zip(starts, ends)) == sorted(SIZES)  # positions begin anew with every row
    packed = model(**{key: value for key, value in batch.items() if key != "labels"}, use_cache=False).logits[0]
    found = []
    for start, end in zip(starts, ends):
        ids = batch["input_ids"][:, start:end]
        assert ids[0].tolist() in ROWS
        found.append((packed[start:end] - model(ids, use_cache=False).logits[0]).abs().max().item())
    return found


@pytest.mark.parametrize("settings", [{"packing": True, "max_length": 16}, {"padding_free": True, "max_length": None}], ids=str)
def test_packed_rows_do_not_see_each_other(published, tmp_path, settings):
    check_packing(str(published("llama3")), settings)
    model, batch = batch_of(published("llama3"), tmp_path, **settings)
    assert "attention_mask" not in batch and (batch["labels"][batch["position_ids"] == 0] == -100).all()
    for attention in ("sdpa", "eager"):
        model.set_attn_implementation(attention)
        assert max(differences(model, batch)) <= 1e-5


def test_the_tiny_base_would_let_them_and_is_refused(base, tmp_path):
    """Its short convolutions run on into the next row; the first row has none before it."""
    model, batch = batch_of(base, tmp_path, packing=True, max_length=16)
    first, *others = differences(model, batch)
    assert first <= 1e-5 < min(others) and max(others) > 1e-4
    for settings in ({"packing": True}, {"padding_free": True, "max_length": None}):
        with pytest.raises(RecipeError, match="has conv layers.*set sft.packing and sft.padding_free to false"):
            check_packing(str(base), settings)
    check_packing(str(base), {"max_length": 2048})


def test_layers_that_carry_a_state_are_known_by_their_name(base):
    assert leaking_layers(AutoConfig.from_pretrained(base)) == "conv"
    assert leaking_layers(LlamaConfig(hidden_size=8192, num_hidden_layers=80, num_attention_heads=64)) == ""
    assert leaking_layers(MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=50)) == "linear_attention"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"packing": True, "max_length": None}, "fills sequences of sft.max_length tokens, which is null; set it"),
        ({"packing": True, "packing_strategy": "wrapped", "max_length": 16}, "lets them see each other; set it to bfd"),
        ({"padding_free": True, "max_length": 16}, "does not hold to sft.max_length=16; set sft.packing to true, or"),
        ({"padding_free": True}, "does not hold to sft.max_length=1024"),  # TRL's default
    ],
)
def test_settings_that_cannot_work_say_what_to_set(settings, said):
    with pytest.raises(RecipeError, match=said):
        check_packing("no model is read", settings)
