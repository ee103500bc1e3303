"""The tokenizer of a training run, with the chat template that its rows are trained and served with."""

from __future__ import annotations

from typing import Any, Mapping

from transformers import AutoTokenizer, PreTrainedTokenizerBase


def load_tokenizer(base_model: str, settings: Mapping[str, Any]) -> PreTrainedTokenizerBase:
    """The tokenizer of the base model, with the template of `sft.chat_template_path` where the recipe names one."""
    return AutoTokenizer.from_pretrained(base_model, revision=settings.get("model_revision"))
