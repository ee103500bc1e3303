"""How many parameters a base model has and how many of them a recipe trains, without its weights.

The model is built on torch's meta device, where tensors have a shape and no memory, so every count is that of the real one.
`bases/` holds the shapes of the recipes' models: values of the config.json that their owners publish.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, StrictDataclassError
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from planact_train.muon import is_inner_matrix
from planact_train.settings import model_config

BASES = Path(__file__).parent / "bases"


class UnknownShape(ValueError):
    """Nothing here says what the base model looks like."""


@dataclass(frozen=True)
class Shape:
    """Numbers of parameters."""

    base: int
    frozen: int
    trainable: int
    linear: tuple[int, ...]  # frozen, of each matrix that 4-bit loading packs: every linear layer but the head
    matrices: int  # trainable, that planact_train.muon orthogonalises
    embedding: int  # of the table that looks tokens up
    head: int  # of the matrix that scores the vocabulary; the same one as `embedding` when they are tied
    layer: int  # of the largest layer that is sharded as one, adapters included
    layer_trainable: int  # in that layer
    tied: bool
    vocabulary: int
    hidden: int
    attention: int  # heads x head size, summed over the layers that attend


def read_config(base_model: str, revision: str | None = None) -> PreTrainedConfig:
    """The config of a local folder, of a model in the Hub's local cache, or of one in `bases/`. Raises UnknownShape."""
    path = _config_file(base_model, revision)
    if path is None:
        known = ", ".join(sorted(file.stem for file in BASES.glob("*.json")))
        raise UnknownShape(
            f"shape unknown: nothing here describes {base_model}; download its config.json "
            f"(hf download {base_model} config.json), make the model first where it is a folder, or name one of {known}"
        )
    try:
        values = json.loads(path.read_text())
        return AutoConfig.for_model(values.pop("model_type"), **values)
    except (KeyError, TypeError, ValueError, StrictDataclassError) as error:
        raise UnknownShape(f"shape unknown: {path} is no config that this transformers knows: {error}") from error


def local_file(base_model: str, name: str, revision: str | None = None) -> Path | None:
    """A file of a model in a folder or in the Hub's local cache, None when it is in neither."""
    local = Path(base_model) / name
    if local.is_file():
        return local
    try:
        cached = try_to_load_from_cache(base_model, name, revision=revision)
    except HFValidationError:  # a path of a folder that is not there
        return None
    return Path(cached) if isinstance(cached, str) else None


def _config_file(base_model: str, revision: str | None) -> Path | None:
    shipped = BASES / f"{base_model.rsplit('/', 1)[-1]}.json"
    return local_file(base_model, "config.json", revision) or (shipped if shipped.is_file() else None)


def build(config: PreTrainedConfig, settings: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """The model that the recipe trains, adapter included, on the default device. Raises UnknownShape."""
    try:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False)
    except ValueError as error:
        raise UnknownShape(f"shape unknown: no causal language model of type {config.model_type}: {error}") from error
    if not settings.get("use_peft"):
        return model
    from peft import get_peft_model
    from trl import get_peft_config

    return get_peft_model(model, get_peft_config(model_config(settings, "unused")))


def shape_of(config: PreTrainedConfig, settings: Mapping[str, Any]) -> Shape:
    """Every count of the model that the recipe trains."""
    with torch.device("meta"):
        model = build(config, settings)
    named, base = list(model.named_parameters()), getattr(model, "get_base_model", lambda: model)()
    trainable = sum(p.numel() for _, p in named if p.requires_grad)
    total = sum(p.numel() for _, p in named)
    table, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    blocks = _blocks(base)
    largest = max(blocks, key=_size) if blocks else base
    text = config.get_text_config()
    return Shape(
        base=sum(p.numel() for name, p in named if ".lora_" not in name and ".modules_to_save." not in name),
        frozen=total - trainable,
        trainable=trainable,
        linear=_packed(base, head),
        matrices=sum(p.numel() for name, p in named if p.requires_grad and is_inner_matrix(name, p)),
        embedding=table.numel(),
        head=head.numel(),
        layer=_size(largest),
        layer_trainable=sum(p.numel() for p in largest.parameters() if p.requires_grad),
        tied=table is head,
        vocabulary=text.vocab_size,
        hidden=text.hidden_size,
        attention=sum(_attention(block, text) for block in blocks),
    )


def _blocks(model: PreTrainedModel) -> list[torch.nn.Module]:
    """The layers that FSDP shards one by one: those of the classes that the model does not let be split."""
    kinds = set(model._no_split_modules or ())
    return [module for module in model.modules() if type(module).__name__ in kinds]


def _size(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _packed(model: PreTrainedModel, head: torch.nn.Parameter) -> tuple[int, ...]:
    """Frozen matrices of linear layers, without those that an adapter adds."""
    found = [m.weight for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".lora_" not in name]
    return tuple(weight.numel() for weight in found if weight is not head and not weight.requires_grad)


def _attention(block: torch.nn.Module, config: PreTrainedConfig) -> int:
    """Heads x head size where the layer attends, 0 where it does not (LFM2's convolutions)."""
    attends = any("attn" in name or "attention" in name for name, _ in block.named_children())
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_attention_heads * size if attends else 0
