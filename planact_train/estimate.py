"""What a training would take, in lines for people: parameters, rows, steps, hours, memory, and whether the device has that much."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import operator
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from planact.layout import data_folder, row_kinds
from planact.recipe import TRAINED_ROLES, Recipe, Training
from planact_envs.suites import Suite, load_suite
from planact_train.activations import Activations, Batch, activations
from planact_train.chat import load_tokenizer
from planact_train.devices import CPU, GIB, Device, device_of
from planact_train.memory import compute_dtype, is_mixed, is_sharded, memory
from planact_train.settings import BATCH, MODEL_KEYS, accumulation
from planact_train.shapes import Shape, UnknownShape, local_file, read_config, shape_of
from planact_train.workload import Rows, Steps, accumulated, rows_of, steps_of

# Share of the device's peak that is reached, recomputed layers counted as work. Ours, between what others publish: torchtitan trains
# Llama-3.1-8B on H100 at 33 to 39 % without counting them, answer.ai's fsdp_qlora a 70B base at 34 % (docs/DECISIONS.md).
REACHED = {"full": 0.40, "LoRA": 0.35, "QLoRA": 0.33}
MOST = 128  # processes that are tried as a next move


def describe_training(recipe: Recipe, runs: Path) -> list[str]:
    """The lines of every trained role. Loads no weights, asks no network. Raises RecipeError on a device or batch that cannot be."""
    roles = [role for role in TRAINED_ROLES if recipe.sft is not None and recipe.data is not None and row_kinds(recipe, role)]
    if not roles:
        return ["training  not part of this recipe"]
    device = device_of(recipe.training)
    suite = load_suite(recipe.data.suite)
    tokenizer = _tokenizer(recipe)
    lines = [line for role in roles for line in _role(recipe, role, suite, runs, device, tokenizer)]
    return [f"training  {recipe.training.launch} x {recipe.training.processes} on {device.name} ({device.source})", *lines]


def _role(recipe: Recipe, role: str, suite: Suite, runs: Path, device: Device, tokenizer: PreTrainedTokenizerBase | None) -> Iterator[str]:
    training, settings = recipe.training, recipe.sft_for(role)
    accumulation(training, settings)
    try:
        shape = _shape(recipe.base_model, _model_settings(settings))
    except UnknownShape as error:
        yield f"{role:9} {error}"
        return
    rows = rows_of(recipe, role, suite, data_folder(recipe, suite.version, runs), tokenizer)
    steps = steps_of(rows, training, settings)
    share = f"{shape.trainable:,} trained ({shape.trainable / shape.base:.2%}, {method(settings)})"
    yield f"{role:9} {recipe.base_model}: {shape.base:,} parameters, {share}"
    yield f"          rows      {rows.count:,} of {rows.tokens:,.0f} tokens on average; {rows.source}"
    per_device = settings.get("per_device_train_batch_size", BATCH)
    made = f"{per_device} x {steps.accumulated} passes x {training.processes} processes"
    kind = "packed sequences" if settings.get("packing") else "rows"
    yield f"          steps     {steps.steps:,} of {steps.batch} {kind} ({made}), {steps.tokens:,} tokens"
    yield f"          compute   {_compute(shape, training, settings, rows, steps, device)}"
    yield from _memory(recipe, settings, device)


def method(settings: Mapping[str, Any]) -> str:
    return ("QLoRA" if settings.get("load_in_4bit") else "LoRA") if settings.get("use_peft") else "full"


def flops(shape: Shape, settings: Mapping[str, Any], context: float) -> tuple[float, float]:
    """FLOPs of one token of a document of `context` tokens: those that training needs, and with recomputed layers.

    A product with N weights takes 2 N forward, 2 N back to its input and 2 N to its weights, which frozen ones do not need (Kaplan 2020,
    arXiv 2001.08361, section 2.1). Attention takes 4 x heads x head size for each earlier token, of which there are context / 2 on
    average, and twice that going back. With gradient checkpointing every layer goes forward twice.
    """
    base = shape.base - (0 if shape.tied else shape.embedding)
    adapter = shape.trainable if settings.get("use_peft") else 0
    attention = 2 * shape.attention * context
    forward = 2 * (base + adapter) + attention
    backward = 2 * base + (4 * adapter if adapter else 2 * base) + 2 * attention
    again = forward - 2 * shape.head if settings.get("gradient_checkpointing", True) else 0
    return forward + backward, forward + backward + again


def _compute(shape: Shape, training: Training, settings: Mapping[str, Any], rows: Rows, steps: Steps, device: Device) -> str:
    needed, done = flops(shape, settings, min(rows.tokens, settings.get("max_length", 1024) or rows.tokens))
    if device.peak is None:
        return f"{steps.tokens * done:.2e} FLOP; the hours of a CPU cannot be told beforehand: --set sft.max_steps=20 shows a step's"
    reached = REACHED[method(settings)]
    hours = steps.tokens * done / (training.processes * device.peak * reached) / 3600
    mfu = reached * needed / done
    speed = f"{mfu:.0%} MFU (ours: {reached:.0%} of the peak is at work, recomputed layers included)"
    return f"{steps.tokens * done:.2e} FLOP: about {_hours(hours)} on {training.processes} x {device.name} at {speed}"


def _hours(hours: float) -> str:
    return f"{hours * 60:.0f} minutes" if hours < 1 else f"{hours:.1f} hours" if hours < 100 else f"{hours:,.0f} hours"


def _memory(recipe: Recipe, settings: Mapping[str, Any], device: Device) -> Iterator[str]:
    parts = memory_of(recipe.base_model, recipe.training, settings)
    total = sum(parts.values())
    for n, (name, size) in enumerate(parts.items()):
        yield f"          {'' if n else 'memory':9} {name:17} {size / GIB:9.3f} GiB"
    verdict = f"{total / GIB:.1f} of {device.memory / GIB:.1f} GiB of each {device.name}"
    if total <= device.memory:
        yield f"          fits      {verdict}"
    else:
        move = next_move(recipe.base_model, recipe.training, settings, device.memory)
        yield f"!!!       DOES NOT FIT: needs {verdict}; next move: {move}"


def memory_of(base_model: str, training: Training, settings: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of one device by what they are for, with rows of `max_length` tokens. Raises UnknownShape."""
    model, length = _model_settings(settings), settings.get("max_length", 1024)  # TRL's default
    length = length or read_config(base_model, settings.get("model_revision")).get_text_config().max_position_embeddings
    padded = not (settings.get("packing") or settings.get("padding_free"))
    batch = Batch(settings.get("per_device_train_batch_size", BATCH), length, padded)
    passing = _passing(base_model, model, batch, compute_dtype(training, settings), is_mixed(settings))
    return memory(_shape(base_model, model), training, settings, batch, passing, accumulated(training, settings))


def next_move(base_model: str, training: Training, settings: Mapping[str, Any], limit: int) -> str:
    """The first change that makes the training fit `limit` bytes, as `--set` options; those that change least come first.

    Where none does alone, they are taken together one after the other, on as many processes as before.
    """
    alone = list(_changes(training, settings))
    together = itertools.accumulate((changes for changes in alone if "training.processes" not in changes), operator.or_)
    for changes in (*alone, *together):
        training_keys = {key.removeprefix("training."): value for key, value in changes.items() if key.startswith("training.")}
        sft_keys = {key.removeprefix("sft."): value for key, value in changes.items() if key.startswith("sft.")}
        parts = memory_of(base_model, dataclasses.replace(training, **training_keys), {**settings, **sft_keys})
        if sum(parts.values()) <= limit:
            return " ".join(f"--set {shlex.quote(f'{key}={_yaml(value)}')}" for key, value in changes.items())
    return "a smaller base model; accumulation, batch, processes, LoRA, QLoRA and half of max_length are not enough"


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _changes(training: Training, settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Changes to try one by one."""
    if not settings.get("gradient_checkpointing", True):
        yield {"sft.gradient_checkpointing": True}
    if training.launch.startswith("fsdp2") and accumulated(training, settings) > 1:
        yield {"sft.accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}}}
    if settings.get("per_device_train_batch_size", BATCH) > 1:
        yield {"sft.per_device_train_batch_size": 1}
    if training.device != CPU:
        sharded = {} if is_sharded(training) else {"training.launch": "fsdp2_qlora" if settings.get("load_in_4bit") else "fsdp2"}
        processes = training.processes * 2
        while processes <= MOST:
            if training.batch is None or training.batch % (settings.get("per_device_train_batch_size", BATCH) * processes) == 0:
                yield {"training.processes": processes} | sharded
            processes *= 2
    adapter = {"sft.use_peft": True, "sft.dtype": "bfloat16"}
    if not settings.get("use_peft"):
        yield adapter
    if not settings.get("load_in_4bit"):
        yield adapter | {"sft.load_in_4bit": True, "sft.use_bnb_nested_quant": True, "sft.bnb_4bit_quant_storage": "bfloat16"}
    if settings.get("max_length", 1024):
        yield {"sft.max_length": settings.get("max_length", 1024) // 2}


def _model_settings(settings: Mapping[str, Any]) -> str:
    """What of `sft` the model's tensors depend on, as text."""
    return json.dumps({key: settings[key] for key in sorted(settings) if key in MODEL_KEYS or key == "gradient_checkpointing"})


@functools.cache
def _shape(base_model: str, model_settings: str) -> Shape:
    settings = json.loads(model_settings)
    return shape_of(read_config(base_model, settings.get("model_revision")), settings)


@functools.cache
def _passing(base_model: str, model_settings: str, batch: Batch, dtype: torch.dtype, autocast: bool) -> Activations:
    settings = json.loads(model_settings)
    return activations(read_config(base_model, settings.get("model_revision")), settings, batch, dtype, autocast)


def _tokenizer(recipe: Recipe) -> PreTrainedTokenizerBase | None:
    """The base's, where its files are on this machine."""
    here = local_file(recipe.base_model, "tokenizer_config.json", recipe.sft.get("model_revision"))
    return load_tokenizer(recipe.base_model, recipe.sft) if here else None
