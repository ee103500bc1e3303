"""An adapter merged into its base: one model that every server loads, vLLM and `planact_eval.serving` among them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig, PreTrainedModel

from planact.recipe import Recipe, RecipeError
from planact_train.saving import write_full


def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").exists()


def check_merge(recipe: Recipe, role: str) -> None:
    """Raises RecipeError before anything is trained where `training.merge` asks for what cannot be done in the end."""
    settings = recipe.sft_for(role)
    if recipe.training.merge and settings.get("use_peft"):
        _config(recipe.base_model, settings.get("model_revision"))


@torch.inference_mode()
def merge_adapter(folder: Path, out: Path) -> Path:
    """Write the base with the adapter of `folder` merged in to `out`, in the base's own dtype, and return `out`.

    A base that was trained on in 4 bits is loaded again as it was published: merging into 4 bits would round the adapter away.
    It is held in memory once. A model that is already in `out` is left alone. Raises RecipeError when there is nothing to merge.
    """
    if not is_adapter(folder):
        raise RecipeError(f"{folder} holds no adapter, so there is nothing to merge; a full model is served as it is")
    if (out / "config.json").exists():
        return out
    if out.exists() and any(out.iterdir()):
        raise RecipeError(f"{out} is in use and holds no model; name another folder with --out")
    adapter = PeftConfig.from_pretrained(folder)
    model = PeftModel.from_pretrained(_base(adapter), folder).merge_and_unload(safe_merge=True)
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)  # of a merge that was killed
    write_full(model, model.state_dict(), part, model.dtype)
    AutoTokenizer.from_pretrained(folder).save_pretrained(part)
    if out.exists():
        out.rmdir()
    return part.rename(out)


def _base(adapter: PeftConfig) -> PreTrainedModel:
    name, revision = adapter.base_model_name_or_path, adapter.revision
    return AutoModelForCausalLM.from_pretrained(name, revision=revision, config=_config(name, revision), dtype="auto")


def _config(base_model: str, revision: str | None) -> PreTrainedConfig:
    config = AutoConfig.from_pretrained(base_model, revision=revision)
    if getattr(config, "quantization_config", None):
        raise RecipeError(
            f"the base {base_model} is itself stored quantized, and an adapter cannot be merged into it without loss; "
            "serve the adapter beside it, or train on the unquantized model with `sft.load_in_4bit: true`"
        )
    return config
