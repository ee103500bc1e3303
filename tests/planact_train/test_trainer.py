"""AnswerTrainer is TRL's SFTTrainer with a cheaper way to the same loss, plus the share of answers that are exactly right."""

import math
import os

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from trl import SFTTrainer

from planact_train.settings import sft_config
from planact_train.trainer import AnswerTrainer, ProgressLine, exact_answers

CPU = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no", "max_length": 2048, "max_steps": 1}


@pytest.fixture(scope="module")
def rows(conversations):
    """Eight chats of different lengths; every second one has two answers."""
    apart = conversations[::40]
    assert len(apart) == 8 == len({len(row["prompt"][0]["content"]) + len(row["completion"][0]["content"]) for row in apart})
    second = {"role": "user", "content": "And now?"}
    return [row | {"completion": [*row["completion"], second, *row["completion"]]} if i % 2 else row for i, row in enumerate(apart)]


def trainer_of(kind, base, rows, folder, peft=None, callbacks=None, tokenizer=None, **settings):
    """`base`: a folder, or a model whose tokenizer lies in `tokenizer`."""
    config = sft_config(CPU | {"per_device_train_batch_size": len(rows)} | settings, folder, seed=0)
    return kind(
        model=base if tokenizer else AutoModelForCausalLM.from_pretrained(base),
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(tokenizer or base),
        peft_config=peft,
        callbacks=callbacks,
    )


def loss_and_gradients(trainer, compute_loss, items):
    [batch] = list(trainer.get_train_dataloader())
    trainer.model.train()
    trainer.model.zero_grad()
    loss = compute_loss(trainer.model, dict(batch), num_items_in_batch=items)
    loss.backward()
    return loss.item(), {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}


def assert_equal_to_trl(trainer):
    """Our loss and gradients against TRL's own code on the same model and batch: mean, and over an accumulated count."""
    for items in (None, torch.tensor(1000)):
        ours, our_gradients = loss_and_gradients(trainer, trainer.compute_loss, items)
        theirs, their_gradients = loss_and_gradients(trainer, super(AnswerTrainer, trainer).compute_loss, items)
        assert ours == pytest.approx(theirs, abs=1e-5) and ours > 0
        assert our_gradients.keys() == their_gradients.keys() and our_gradients
        for name, gradient in our_gradients.items():
            torch.testing.assert_close(gradient, their_gradients[name], atol=1e-5, rtol=1e-4, msg=name)


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def test_loss_and_gradients_are_trls(base, rows, tmp_path):
    assert_equal_to_trl(trainer_of(AnswerTrainer, base, rows[:4], tmp_path))


def test_loss_and_gradients_are_trls_when_every_answer_of_a_chat_is_learned(base, rows, tmp_path):
    assert_equal_to_trl(trainer_of(AnswerTrainer, base, rows[:4], tmp_path, assistant_only_loss=True))


def test_loss_and_gradients_are_trls_with_an_adapter(base, rows, tmp_path):
    lora = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.0)
    trainer = trainer_of(AnswerTrainer, base, rows[:4], tmp_path, lora)
    # A fresh adapter changes nothing (its B is zero): make it count.
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    assert_equal_to_trl(trainer)


@pytest.mark.parametrize("bf16, dtype", [(True, torch.bfloat16), (False, torch.float32)])
def test_the_arithmetic_is_in_the_precision_that_the_recipe_asks_for(base, rows, tmp_path, bf16, dtype):
    trainer, seen = trainer_of(AnswerTrainer, base, rows[:4], tmp_path, bf16=bf16), set()
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    [batch] = list(trainer.get_train_dataloader())
    trainer.compute_loss(trainer.model, batch)
    assert trainer.own_head and seen == {dtype}


@pytest.mark.parametrize("settings", [{"loss_type": "dft"}, {"packing": True}], ids=str)
def test_other_losses_are_left_to_trl(base, rows, tmp_path, settings):
    # dft weighs each token by its likelihood; packing puts several chats into one row, which must not see each other.
    assert_equal_to_trl(trainer_of(AnswerTrainer, base, rows[:4], tmp_path, **settings))


def test_accumulated_batches_take_the_step_of_the_whole_batch(base, rows, tmp_path):
    # 4 batches of 2 = 1 batch of 8, though the answers differ in length; SGD, because Adam blows up the noise of zero gradients.
    sgd = {"optim": "sgd", "learning_rate": 0.5, "warmup_steps": 0}
    whole = trainer_of(AnswerTrainer, base, rows, tmp_path, **sgd)
    parts = trainer_of(AnswerTrainer, base, rows, tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4, **sgd)
    theirs = trainer_of(SFTTrainer, base, rows, tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=4, **sgd)
    before = weights(whole)
    for trainer in (whole, parts, theirs):
        trainer.train()
        assert trainer.state.global_step == 1
    moved = max((weights(whole)[name] - before[name]).abs().max() for name in before)
    assert moved > 1e-3
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], weight, atol=1e-6, rtol=0, msg=name)
        torch.testing.assert_close(weights(theirs)[name], weight, atol=1e-6, rtol=0, msg=name)


def test_every_weight_of_an_adapter_on_a_4bit_base_learns(llama, rows, tmp_path):
    # Numbers of bfloat16 between 1/16 and 1/8, where half of A begins, are 2^-11 = 4.9e-4 apart: a step of 2e-5 is rounded away.
    storage = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": torch.bfloat16, "bnb_4bit_compute_dtype": torch.bfloat16}
    quantized = AutoModelForCausalLM.from_pretrained(
        llama, dtype=torch.bfloat16, quantization_config=BitsAndBytesConfig(load_in_4bit=True, **storage)
    )
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    steps = {"learning_rate": 2e-5, "max_steps": 3, "warmup_steps": 0, "optim": "adamw_torch", "bf16": True}
    trainer = trainer_of(AnswerTrainer, quantized, rows[:2], tmp_path, tokenizer=llama, peft=lora, **steps)
    before = {name: weight for name, weight in weights(trainer).items() if "lora_" in name}
    trainer.train()
    assert len(before) == 8 and {weight.dtype for weight in before.values()} == {torch.float32}
    for name, weight in weights(trainer).items():
        assert name not in before or (weight != before[name]).float().mean() > 0.99, name


def test_processes_that_tokenize_do_not_change_the_sequences(base, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ)  # datasets leaves a copy in its place (arrow_dataset.py, Dataset.map)
    one, several = (trainer_of(AnswerTrainer, base, rows, tmp_path, packing=True, dataset_num_proc=count) for count in (None, 2))
    assert 1 < len(one.train_dataset) < len(rows) and one.train_dataset[:] == several.train_dataset[:]


def test_exact_answers_by_hand():
    # Two answers in row 0 (positions 1-2 and 4-5), one in row 1 (positions 0-3).
    mask = torch.tensor([[0, 1, 1, 0, 1, 1], [1, 1, 1, 1, 0, 0]], dtype=torch.bool)
    right = mask.clone()
    assert exact_answers(right, mask) == 1.0
    right[0, 4] = False  # the second answer of row 0
    assert exact_answers(right, mask) == pytest.approx(2 / 3)
    right[0, 5] = False  # the same answer once more
    assert exact_answers(right, mask) == pytest.approx(2 / 3)
    right[1, 3] = right[0, 1] = False
    assert exact_answers(right, mask) == 0.0
    assert exact_answers(torch.ones(2, 6), mask) == 1.0  # what stands outside of answers does not count
    assert exact_answers(torch.zeros(2, 6), torch.zeros(2, 6, dtype=torch.bool)) == 0.0  # no answer at all


def test_two_answers_that_touch_the_row_ends_are_two():
    # Row 0 ends with an answer and row 1 begins with one.
    mask = torch.tensor([[0, 0, 1], [1, 0, 0]], dtype=torch.bool)
    right = torch.tensor([[0, 0, 1], [0, 0, 0]], dtype=torch.bool)
    assert exact_answers(right, mask) == 0.5


def test_the_loss_falls_and_answers_become_exact(memorised):
    log = [entry for entry in memorised.log if "loss" in entry]
    assert log[0]["loss"] > 3 and log[0]["exact"] < 0.5
    assert log[-1]["loss"] < 0.3 and log[-1]["exact"] == 1.0 and log[-1]["mean_token_accuracy"] == 1.0


def test_a_new_model_starts_at_the_loss_of_a_guess(base, rows, tmp_path):
    # All 600 tokens are about equally likely at first: -log(1/600) = 6.40.
    trainer = trainer_of(AnswerTrainer, base, rows[:4], tmp_path)
    [batch] = list(trainer.get_train_dataloader())
    assert trainer.compute_loss(trainer.model, batch).item() == pytest.approx(math.log(600), abs=0.2)


def test_one_progress_line_stands_in_for_the_libraries_bars(base, rows, tmp_path, capfd):
    trainer = trainer_of(AnswerTrainer, base, rows[:4], tmp_path, callbacks=[ProgressLine("train it")], max_steps=3, logging_steps=1)
    capfd.readouterr()  # what the preparation of the rows printed
    trainer.train()
    out, err = capfd.readouterr()
    assert "{'loss'" not in out
    lines = [line for line in err.splitlines() if line.startswith("train it: ")]
    assert lines[-1].startswith("train it: 3/3 steps loss ") and "token accuracy" in lines[-1]
