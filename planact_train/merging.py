"""An adapter merged into its base: one model that every server loads, vLLM and `planact_eval.serving` among them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from planact.recipe import RecipeError
from planact_train.saving import write_full



def is_adapter(folder: Path) -> bool:
    return (folder / "adapter_config.json").exists()


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


def _base(adapter: PeftConfig) -> torch.nn.Module:
    name, revision = adapter.base_model_name_or_path, adapter.revision
    config = AutoConfig.from_pretrained(name, revision=revision)
    if getattr(config, "quantization_config", None):
        raise RecipeError(
            f"the base {name} is itself stored quantized, and an adapter cannot be merged into it without loss; "
            "serve the adapter beside it, or train on the unquantized model with `sft.load_in_4bit: true`"
        )
    return AutoModelForCausalLM.from_pretrained(name, revision=revision, config=config, dtype="auto")
