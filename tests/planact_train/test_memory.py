"""Weights, gradients and optimizer states against those of real trainers; sharding, 4-bit packing and accumulation by hand."""

import pytest
import torch
from transformers import TrainerCallback

from planact.layout import data_folder
from planact.recipe import Training
from planact_envs.suites import load_suite
from planact_train.activations import Activations, Batch
from planact_train.estimate import memory_of
from planact_train.memory import memory, packed, scales
from planact_train.sft import make_trainer
from planact_train.shapes import Shape

GIB = 2**30


def bytes_of(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class Gradients(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        self.bytes = bytes_of(p.grad for p in model.parameters() if p.grad is not None)


def weights(model):
    total = bytes_of(model.parameters())
    for parameter in model.parameters():
        if (scales := getattr(parameter, "quant_state", None)) is not None:
            total += bytes_of([scales.absmax, scales.code])
            total += bytes_of([scales.offset, scales.state2.absmax, scales.state2.code]) if scales.nested else 0
    return total


@pytest.mark.parametrize(
    "name, more",
    [
        ("finetuning", ["sft.optim=adamw_torch_fused"]),
        ("finetuning", ["sft.optim=adamw_torch", "sft.dtype=bfloat16"]),
        ("finetuning", ["sft.optim=muon"]),
        ("lora", ["sft.dtype=bfloat16", "sft.optim=adamw_torch"]),
        ("qlora", ["sft.optim=adamw_torch"]),
    ],
    ids=["full", "bf16", "muon", "lora", "qlora"],
)
def test_weights_gradients_and_optimizer_are_those_of_a_real_trainer(name, more, small, runs, tmp_path):
    recipe = small(name, *more, "sft.max_steps=1", "data.planner=[plan]")
    folder = data_folder(recipe, load_suite(recipe.data.suite).version, runs)
    trainer = make_trainer(recipe, "planner", folder, tmp_path / "model")
    trainer.add_callback(gradients := Gradients())
    trainer.train()
    states = trainer.optimizer.optimizer
    kept = [part.state for part in getattr(states, "parts", [states])]
    numbers = [value for state in kept for of_one in state.values() for name, value in of_one.items() if name != "step"]
    plan = memory_of(recipe.base_model, recipe.training, recipe.sft_for("planner"))
    assert plan["weights"] == weights(trainer.model)
    assert (plan["gradients"], plan["optimizer"]) == (gradients.bytes, bytes_of(numbers))


def test_8_bit_states_are_a_byte_each_and_their_scales():
    bnb = pytest.importorskip("bitsandbytes")
    weight = torch.nn.Parameter(torch.randn(256, 512))
    optimizer = bnb.optim.AdamW8bit([weight])
    weight.grad = torch.randn_like(weight)
    optimizer.step()
    real = bytes_of(optimizer.state[weight][name] for name in ("state1", "state2", "absmax1", "absmax2"))
    assert plan(Training(), {"optim": "adamw_8bit"}, trainable=256 * 512, frozen=0)["optimizer"] == real


def test_4_bit_matrices_by_hand():
    # 2^20 numbers: 2^19 bytes, 2^14 blocks of 64 with a scale, a table of 16. Nested: a byte for each scale, 64 blocks, 257 numbers.
    assert packed([2**20]) == 2**19
    assert scales([2**20], nested=False) == 4 * 2**14 + 64
    assert scales([2**20], nested=True) == 2**14 + 4 * 64 + 4 * 257 + 64
    assert scales([2**20, 2**20], nested=True) == 2 * scales([2**20], nested=True)


def plan(training, settings, trainable=8 * GIB, frozen=0, steps=1, linear=(), batch=None):
    layer = (trainable + frozen) // 8
    shape = Shape(
        base=trainable + frozen,
        frozen=frozen,
        trainable=trainable,
        linear=linear,
        matrices=0,
        embedding=0,
        head=1000 * 64,
        layer=layer,
        layer_trainable=trainable // 8,
        tied=False,
        vocabulary=1000,
        hidden=64,
        attention=64,
    )
    return memory(shape, training, settings, batch or Batch(1, 128, False), Activations(kept=GIB, peak=3 * GIB), steps)


EIGHT = Training(launch="fsdp2", processes=8, device="h100-80gb")


def test_fsdp2_keeps_fp32_shards_and_adamw_of_them():
    # accelerate makes trained weights fp32 under mixed precision: 4 + 4 + 8 bytes for each of an eighth of 8 Gi weights.
    for dtype in ("bfloat16", "float32"):
        parts = plan(EIGHT, {"dtype": dtype})
        assert (parts["weights"], parts["gradients"], parts["optimizer"]) == (4 * GIB, 4 * GIB, 8 * GIB)
    # Without mixed precision they stay as they were loaded.
    parts = plan(EIGHT, {"dtype": "bfloat16", "bf16": False})
    assert (parts["weights"], parts["gradients"], parts["optimizer"]) == (2 * GIB, 2 * GIB, 4 * GIB)


def test_fsdp2_gathers_two_layers_and_reduces_one():
    # A layer of 1 Gi weights in halves: two gathered, and its gradients three times; a pass's own 2 GiB beside.
    assert plan(EIGHT, {})["one layer or head"] == (2 + 2 * 2 + 3 * 2) * GIB
    assert plan(Training(), {})["one layer or head"] == 2 * GIB


def test_fsdp2_holds_all_gradients_while_it_accumulates_unless_it_reduces_each_time():
    each = {"accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}}}
    assert plan(EIGHT, {}, steps=4)["gradients"] == (4 + 2 * 8) * GIB
    assert plan(EIGHT, each, steps=4)["gradients"] == 4 * GIB


def test_an_adapter_on_a_4_bit_base_is_sharded_only_in_a_float_storage():
    qlora = {"load_in_4bit": True, "use_peft": True, "dtype": "bfloat16", "use_bnb_nested_quant": True}
    sizes = (GIB,) * 8
    # Scales, in every process: of each matrix 2^24 bytes, 2^16 numbers in fp32 for blocks of them, 257 and 16 more.
    kept = 8 * (2**24 + 4 * 2**16 + 4 * 257 + 64)
    whole, shards = (
        plan(EIGHT, qlora | more, trainable=GIB, frozen=9 * GIB, linear=sizes) for more in ({}, {"bnb_4bit_quant_storage": "bfloat16"})
    )
    # The adapter in fp32, what is not packed in halves, both in eight parts.
    assert whole["weights"] == (4 * GIB + 2 * GIB) // 8 + 4 * GIB + kept
    assert shards["weights"] == (4 * GIB + 2 * GIB) // 8 + 4 * GIB // 8 + kept
    # Two layers gathered without their scales: 9/8 Gi frozen numbers in half a byte, an adapter of 1/8 Gi in halves, its gradients thrice;
    # beside them one matrix unpacked.
    assert shards["one layer or head"] == 2 * GIB + 2 * GIB + 2 * (9 * GIB // 16 + GIB // 4) + 3 * GIB // 4
    assert shards["optimizer"] == 2 * 4 * GIB // 8


def test_ddp_copies_gradients_into_buckets_and_zero_counts_18_bytes():
    assert plan(Training(launch="ddp", processes=2, device="h100-80gb"), {})["gradients"] == 2 * 4 * 8 * GIB
    parts = plan(Training(launch="deepspeed_zero3", processes=8, device="h100-80gb"), {"dtype": "bfloat16"})
    assert parts["weights"] + parts["gradients"] + parts["optimizer"] == 18 * GIB


def test_the_head_counts_when_it_takes_more_than_a_layer():
    # On one CPU: 2^18 tokens x 1,000 scores x (2 bytes in half, 4 of log-softmax, two gradients of 4).
    assert plan(Training(), {}, batch=Batch(2, 2**17, True))["one layer or head"] == 2**18 * 1000 * 14
    # TRL's head: hidden states, their gradients in fp32 and half, a tile of 4,096 x 1,000, gradients of the head in fp32 and as it is.
    big = Batch(2, 2**23, True)
    gpu = plan(Training(device="h100-80gb", launch="ddp"), {}, batch=big)["one layer or head"]
    assert gpu == 2**24 * 64 * (2 + 4 + 2) + 4096 * 1000 * 2 + 64_000 * 8
    frozen = plan(Training(device="h100-80gb", launch="ddp"), {"use_peft": True}, batch=big)["one layer or head"]
    assert frozen == gpu - 64_000 * 8
