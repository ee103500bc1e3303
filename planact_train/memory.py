"""Memory of one device while a recipe trains: which tensors there are, how large, and sharded over how many processes.

Counts of parameters come from planact_train.shapes, what a pass keeps from planact_train.activations. What is added here is how TRL,
accelerate, torch and bitsandbytes hold them; each function says where that is to be read. All numbers are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from planact.recipe import Training
from planact_train.activations import Activations, Batch
from planact_train.devices import CPU, GIB
from planact_train.settings import MUON
from planact_train.shapes import Shape

HALF, FULL = 2, 4  # bytes of a number in bf16 and in fp32
TILE = (4096, 32768)  # tokens x vocabulary scored at once by TRL's fused head (trl/kernels/chunked_logprob.py, trl/trainer/utils.py)
NF4_BLOCK, NESTED_BLOCK = 64, 256  # numbers that share a scale (bitsandbytes); QLoRA, Dettmers 2023, arXiv 2305.14314, section 3
EIGHT_BIT = ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit")  # one byte for each state, a fp32 scale for 256 of them
ALWAYS_FULL = ("paged_adamw", "paged_adamw_32bit")  # fp32 states whatever the weights are
NO_STATE = ("sgd",)
CONTEXT = {True: 3 * GIB // 4, False: 3 * GIB // 2}  # of libraries on a CPU; of CUDA, cuBLAS and NCCL on a GPU; ours
FRAGMENTS = 0.05  # of all tensors, lost between the allocator's blocks; ours


def memory(shape: Shape, training: Training, settings: Mapping[str, Any], batch: Batch, passing: Activations, steps: int) -> dict[str, int]:
    """Bytes of one device by what they are for, at the worst moment of a step of `steps` accumulated passes."""
    layer = passing.peak - passing.kept + _gathered(shape, training, settings)
    parts = {
        "weights": _weights(shape, training, settings),
        "gradients": _gradients(shape, training, settings, steps),
        "optimizer": _optimizer(shape, training, settings),
        "activations": passing.kept,
        "one layer or head": max(layer, _head(shape, training, settings, batch)),  # the head is done before the first layer goes back
    }
    return parts | {"overhead": CONTEXT[training.device == CPU] + int(FRAGMENTS * sum(parts.values()))}


def is_sharded(training: Training) -> bool:
    return training.launch.startswith("fsdp2") or training.launch == "deepspeed_zero3"


def is_mixed(settings: Mapping[str, Any]) -> bool:
    """Whether products are made in half precision: TRL's `bf16` is true where the recipe is silent."""
    return bool(settings.get("fp16") or settings.get("bf16", True))


def weight_size(settings: Mapping[str, Any]) -> int:
    """Bytes of a weight as it is loaded; TRL loads fp32 where the recipe names no `dtype`."""
    return FULL if settings.get("dtype", "float32") == "float32" else HALF


def compute_dtype(training: Training, settings: Mapping[str, Any]) -> torch.dtype:
    """Dtype of the weights that a layer computes with: FSDP2 and DeepSpeed gather halves of what they keep in full."""
    halves = weight_size(settings) == HALF or (is_sharded(training) and is_mixed(settings))
    return torch.bfloat16 if halves else torch.float32


def trained_size(training: Training, settings: Mapping[str, Any]) -> int:
    """Bytes of a trained weight.

    Adapters are fp32, but for DeepSpeed: peft makes them so, and planact_train.trainer where TRL casts them, on a base in 4 bits. FSDP2
    under mixed precision: accelerate keeps fp32 (accelerate/utils/fsdp_utils.py, fsdp2_prepare_model).
    """
    if training.launch == "deepspeed_zero3":
        return HALF if is_mixed(settings) else weight_size(settings)
    if settings.get("use_peft") or (is_sharded(training) and is_mixed(settings)):
        return FULL
    return weight_size(settings)


def packed(sizes: Iterable[int]) -> int:
    """Bytes of matrices in 4 bits: two numbers in a byte."""
    return sum(-(-size // 2) for size in sizes)


def scales(sizes: Iterable[int], nested: bool) -> int:
    """Bytes of what unpacks them (bitsandbytes' QuantState): for each a scale of every block, and the table of the 16 values.

    A scale is fp32, or with double quantization a byte and an fp32 scale for each block of scales, beside an offset and a table of 256.
    """
    total = 0
    for size in sizes:
        blocks = -(-size // NF4_BLOCK)
        total += 16 * FULL
        total += blocks + FULL * -(-blocks // NESTED_BLOCK) + FULL * (256 + 1) if nested else FULL * blocks
    return total


def _weights(shape: Shape, training: Training, settings: Mapping[str, Any]) -> int:
    """All weights, or a process's share.

    FSDP2 cuts parameters: 4-bit ones where `bnb_4bit_quant_storage` is a float type, and never their scales, which are none.
    """
    parts = training.processes if is_sharded(training) else 1
    in_4_bit = shape.linear if settings.get("load_in_4bit") else ()
    loaded = (shape.frozen - sum(in_4_bit)) * weight_size(settings)
    whole = training.launch.startswith("fsdp2") and not settings.get("bnb_4bit_quant_storage")
    share = (shape.trainable * trained_size(training, settings) + loaded) // parts + packed(in_4_bit) // (1 if whole else parts)
    return share + scales(in_4_bit, bool(settings.get("use_bnb_nested_quant")))


def _gradients(shape: Shape, training: Training, settings: Mapping[str, Any], steps: int) -> int:
    """One for each trained weight, in its dtype; more where processes meet.

    FSDP2 does not reduce before the last accumulated pass unless `sync_each_batch` is set (accelerate's no_sync), so that each process
    holds all gradients, in half. DDP copies them into buckets. DeepSpeed sums in fp32 (its estimate of 18 bytes for each parameter).
    """
    size = trained_size(training, settings)
    if training.launch == "deepspeed_zero3":
        return shape.trainable * FULL // training.processes
    if training.launch.startswith("fsdp2"):
        unsharded = HALF * shape.trainable if steps > 1 and not _reduces_each(settings) else 0
        return shape.trainable * size // training.processes + unsharded
    return shape.trainable * size * (2 if training.processes > 1 else 1)


def _reduces_each(settings: Mapping[str, Any]) -> bool:
    config = settings.get("accelerator_config") or {}
    return bool(isinstance(config, Mapping) and (config.get("gradient_accumulation_kwargs") or {}).get("sync_each_batch"))


def _optimizer(shape: Shape, training: Training, settings: Mapping[str, Any]) -> int:
    """AdamW's two states in the dtype of the weights (torch.optim), or what the optimizer named keeps instead; others count as AdamW."""
    optimizer, size = settings.get("optim", "adamw_torch_fused"), trained_size(training, settings)
    parts = training.processes if is_sharded(training) else 1
    if training.launch == "deepspeed_zero3":
        return 3 * FULL * shape.trainable // parts  # fp32 weights and both states
    if optimizer in NO_STATE:
        return 0
    if optimizer == MUON:
        return size * (2 * shape.trainable - shape.matrices) // parts
    if optimizer in EIGHT_BIT:
        return 2 * (shape.trainable + FULL * shape.trainable // NESTED_BLOCK) // parts
    return 2 * shape.trainable * (FULL if optimizer in ALWAYS_FULL else size) // parts


def _gathered(shape: Shape, training: Training, settings: Mapping[str, Any]) -> int:
    """Whole layers on a device that keeps shares: the one at work and the next, and gradients of it and of the one being reduced, twice.

    torch.distributed.fsdp.fully_shard gathers one layer ahead; a reduction needs a contiguous copy. 4-bit matrices are unpacked one by one.
    """
    unpacked = HALF * max(shape.linear) if settings.get("load_in_4bit") else 0
    if not is_sharded(training) or training.processes == 1:
        return unpacked
    frozen = shape.layer - shape.layer_trainable
    if settings.get("load_in_4bit"):
        weights = frozen * packed(shape.linear) // sum(shape.linear)
    else:
        weights = frozen * (HALF if is_mixed(settings) else weight_size(settings))
    return unpacked + 2 * (weights + HALF * shape.layer_trainable) + 3 * HALF * shape.layer_trainable


def _head(shape: Shape, training: Training, settings: Mapping[str, Any], batch: Batch) -> int:
    """The vocabulary's scores and their gradients, were every token one of an answer.

    One CPU process scores all at once (planact_train.trainer): the scores, their log-softmax in fp32 and two gradients of that.
    Elsewhere TRL's fused head holds one tile, fp32 gradients of hidden states and head, and their casts.
    """
    tokens, size = batch.rows * batch.length, HALF if is_mixed(settings) else weight_size(settings)
    if training.device == CPU and training.processes == 1:
        return tokens * shape.vocabulary * (size + 3 * FULL)
    held = tokens * shape.hidden * (2 * size + FULL) + min(tokens, TILE[0]) * min(shape.vocabulary, TILE[1]) * size
    gathered = shape.head * size if is_sharded(training) and training.processes > 1 else 0
    trained = 0 if settings.get("use_peft") else shape.head * (FULL + weight_size(settings))
    return held + gathered + trained
