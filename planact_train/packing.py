"""Which settings of packing and padding-free batches keep rows from seeing each other.

Attention starts anew where `position_ids` do, with every attention kernel. Layers that carry a state along the sequence
(short convolutions, linear attention, state spaces) do not: without a kernel for it they run on into the next row.
"""

from __future__ import annotations

from typing import Any, Mapping

from transformers import AutoConfig, PretrainedConfig

from planact.recipe import RecipeError

LEAKING = {"conv", "hybrid", "hybrid_sliding", "linear_attention"}  # of transformers' names for kinds of layers


def check_packing(base_model: str, settings: Mapping[str, Any]) -> None:
    """Raises RecipeError when rows that share a sequence would see each other, or would be cut anywhere."""
    packing, padding_free, limit = settings.get("packing", False), settings.get("padding_free", False), settings.get("max_length", 1024)
    if packing and limit is None:
        raise RecipeError("sft.packing fills sequences of sft.max_length tokens, which is null; set it, e.g. to 8192")
    if packing and settings.get("packing_strategy") == "wrapped":
        raise RecipeError("sft.packing_strategy=wrapped cuts rows anywhere and lets them see each other; set it to bfd")
    if padding_free and not packing and limit is not None:
        raise RecipeError(
            f"sft.padding_free without sft.packing does not hold to sft.max_length={limit}; "
            "set sft.packing to true, or sft.max_length to null"
        )
    if packing or padding_free:
        config = AutoConfig.from_pretrained(base_model, revision=settings.get("model_revision"))
        if layers := leaking_layers(config):
            raise RecipeError(
                f"{base_model} has {layers} layers, which carry the end of one packed row into the next; "
                "set sft.packing and sft.padding_free to false for this base"
            )


def leaking_layers(config: PretrainedConfig) -> str:
    """The kinds of layers that let rows of one sequence see each other, in transformers' names; empty when there are none."""
    return " and ".join(sorted(LEAKING.intersection(getattr(config.get_text_config(), "layer_types", None) or ())))
