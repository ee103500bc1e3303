"""What a forward and backward pass keeps in memory beside parameters and their gradients, counted without running it.

The real layers run on fake tensors, which have a shape and a storage and no contents, and a counter follows every storage from its
making to its end. So the count holds for any architecture, adapter and dtype, with and without gradient checkpointing. The head and
the loss are left out: TRL scores the vocabulary in tiles, which planact_train.memory counts.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from planact_train.shapes import build

LAYERS = (4, 6)  # layers that are run; the bytes of any other number lie on the line through both, as layers repeat singly or in pairs
FLASH = "planned"  # the attention below among transformers' own; a name with "flash" in it would make transformers look for the kernels


@dataclass(frozen=True)
class Activations:
    """Bytes of one device."""

    kept: int  # between forward and backward
    peak: int  # the most at any moment, `kept` included


@dataclass(frozen=True)
class Batch:
    """What one device is given at once."""

    rows: int
    length: int  # tokens of a row, padding included
    padded: bool  # rows side by side with a mask; False: documents packed end to end


def activations(config: PreTrainedConfig, settings: Mapping[str, Any], batch: Batch, dtype: torch.dtype, autocast: bool) -> Activations:
    """Bytes that the recipe's model keeps for `batch` when its weights are `dtype`, under bf16 autocast or not."""
    layers = config.get_text_config().num_hidden_layers
    if layers <= max(LAYERS):
        return _run(config, settings, batch, dtype, autocast)
    few, more = (_run(_shortened(config, count), settings, batch, dtype, autocast) for count in LAYERS)
    return Activations(*(_line(getattr(few, part), getattr(more, part), layers) for part in ("kept", "peak")))


def _line(few: int, more: int, layers: int) -> int:
    return few + (more - few) * (layers - LAYERS[0]) // (LAYERS[1] - LAYERS[0])


def _shortened(config: PreTrainedConfig, layers: int) -> PreTrainedConfig:
    config = copy.deepcopy(config)
    text = config.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    return config


def _run(config: PreTrainedConfig, settings: Mapping[str, Any], batch: Batch, dtype: torch.dtype, autocast: bool) -> Activations:
    with torch.device("meta"):
        model = build(config, settings, dtype)
    with FakeTensorMode():
        _fake(model)
        return measure(model, settings, batch, autocast)


def _fake(model: PreTrainedModel) -> None:
    """Puts fake tensors of a CPU, which autocast knows, in the place of those of the meta device, which it does not."""
    made = {}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            for name, tensor in tensors.items():
                if tensor is not None and tensor not in made:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                    trained = isinstance(tensor, torch.nn.Parameter)
                    made[tensor] = torch.nn.Parameter(empty, tensor.requires_grad) if trained else empty
                tensors[name] = made.get(tensor)


def measure(model: PreTrainedModel, settings: Mapping[str, Any], batch: Batch, autocast: bool) -> Activations:
    """The bytes of one pass of `model`, which may be a real one too. Leaves it without gradients."""
    attention = _attention(settings)
    model.get_base_model().set_attn_implementation(attention) if settings.get("use_peft") else model.set_attn_implementation(attention)
    model.train()
    if settings.get("gradient_checkpointing", True):  # TRL's default
        model.gradient_checkpointing_enable({"use_reentrant": False})
        if settings.get("use_peft"):
            model.enable_input_require_grads()  # as TRL does
    hooks = [p.register_post_accumulate_grad_hook(_drop) for p in model.parameters() if p.requires_grad]
    inputs = _inputs(batch, attention, next(model.parameters()).dtype)
    backbone = model.get_base_model().base_model if settings.get("use_peft") else model.base_model
    with LiveBytes(model) as live:
        with torch.autocast("cpu", torch.bfloat16) if autocast else nullcontext():
            hidden = backbone(**inputs, use_cache=False).last_hidden_state
        kept = live.now
        hidden.sum().backward()
    for hook in hooks:
        hook.remove()
    return Activations(kept, live.most)


def _drop(parameter: torch.nn.Parameter) -> None:
    parameter.grad = None  # gradients are counted with the parameters


def _attention(settings: Mapping[str, Any]) -> str:
    """The attention that is run here for the recipe's: flash kernels, which need a GPU, by what they keep."""
    wanted = settings.get("attn_implementation") or "sdpa"  # transformers' choice where none is named
    return wanted if wanted in ("sdpa", "eager") else FLASH


def _inputs(batch: Batch, attention: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    rows, length = (batch.rows, batch.length) if batch.padded else (1, batch.rows * batch.length)
    mask = None
    if attention != FLASH:  # the others take a dense one, one row of it for each token
        mask = torch.zeros(rows, 1, length, length, dtype=torch.bool if attention == "sdpa" else dtype)
    places = torch.arange(length).expand(rows, length)
    return {"input_ids": torch.zeros(rows, length, dtype=torch.long), "position_ids": places, "attention_mask": mask}


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, until they are freed; a model's own are left out."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.known = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
        self.now = self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self._count(leaf.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self.known:
            self.known.add(key)
            self.now += size
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


class _Flash(torch.autograd.Function):
    """What a flash kernel makes and keeps: the output and one number per query; going back, a sum of query gradients in fp32.

    FlashAttention-2 (Dao 2023, arXiv 2307.08691), sections 3.1 and 3.2.
    """

    @staticmethod
    def forward(ctx, query_BHTD, key_BGTD, value_BGTD):
        out_BHTD = torch.empty_like(query_BHTD)
        ctx.save_for_backward(query_BHTD, key_BGTD, value_BGTD, out_BHTD, query_BHTD.new_empty(query_BHTD.shape[:-1], dtype=torch.float32))
        return out_BHTD

    @staticmethod
    def backward(ctx, grad_BHTD):
        query_BHTD, key_BGTD, value_BGTD, _, _ = ctx.saved_tensors
        sums_BHTD = torch.empty_like(query_BHTD, dtype=torch.float32)
        return sums_BHTD.to(query_BHTD.dtype), torch.empty_like(key_BGTD), torch.empty_like(value_BGTD)


def _flash(module, query, key, value, attention_mask, **kwargs):
    return _Flash.apply(query, key, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(FLASH, _flash)
