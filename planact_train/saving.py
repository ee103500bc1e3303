"""A finished model as files that any library loads: safetensors, configuration, tokenizer and chat template.

Whatever sharded the training, the weights are gathered here. transformers' own `save_model` writes nothing at all when FSDP
keeps its state dictionaries sharded, and gathers a whole frozen base to save the small adapter on it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Mapping

import torch
from accelerate import DistributedType
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from torch.distributed.tensor import DTensor
from transformers import AutoConfig, PreTrainedModel
from trl import SFTTrainer

Shapes = dict[str, tuple[int, ...]]
ADAPTER = "adapter_model.safetensors"


def save_model(trainer: SFTTrainer, folder: Path) -> None:
    """Save the full model, or the adapter, of a finished training. Every process calls it; the main one writes.

    Raises RuntimeError when the files lack a parameter of the model.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    weights = gathered(trainer)
    if trainer.is_world_process_zero():
        if isinstance(model, PeftModel):
            write_adapter(model, weights, folder)
        else:
            write_full(model, weights, folder, published_dtype(model.name_or_path, (trainer.args.model_init_kwargs or {}).get("revision")))
        trainer.processing_class.save_pretrained(folder)
    trainer.accelerator.wait_for_everyone()


def gathered(trainer: SFTTrainer) -> dict[str, torch.Tensor]:
    """Whole weights on the CPU of the main process: all of a full model, those of an adapter that are trained. Every process calls it.

    Under DeepSpeed ZeRO-3 it is DeepSpeed that gathers, and accelerate needs `zero3_save_16bit_model: true` for a full model.
    """
    model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
    if isinstance(model, PeftModel):
        if trainer.accelerator.distributed_type == DistributedType.DEEPSPEED:  # as transformers.Trainer.save_model asks it
            return trainer.model_wrapped._zero3_consolidated_16bit_state_dict(exclude_frozen_parameters=True)
        return {name: _whole(p, trainer.is_world_process_zero()) for name, p in model.named_parameters() if p.requires_grad}
    return trainer.accelerator.get_state_dict(trainer.model_wrapped)


def write_adapter(model: PeftModel, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write the trained weights and how the base generates; the base itself stays where it is."""
    model.save_pretrained(folder, state_dict=weights)
    model.generation_config.save_pretrained(folder)
    check_saved(folder, {name: tuple(w.shape) for name, w in get_peft_model_state_dict(model, state_dict=weights).items()})


def write_full(model: PreTrainedModel, weights: dict[str, torch.Tensor], folder: Path, dtype: torch.dtype) -> None:
    """Write a full model in `dtype`: FSDP2 trains a float32 copy of a bfloat16 base, which would double the size of the files.

    Takes what it needs of `weights`, which is not to be used afterwards.
    """
    shapes = {name: tuple(getattr(p, "ds_shape", p.shape)) for name, p in model.named_parameters()}  # ds_shape: whole, under ZeRO-3
    for tied in model.all_tied_weights_keys:  # a head that is the embedding is stored once
        weights.pop(tied, None)
    for name, weight in weights.items():  # one by one: at 70B there is no room for all of them twice
        weights[name] = weight.to(dtype) if weight.is_floating_point() else weight
    model.save_pretrained(folder, state_dict=weights)
    config = copy.deepcopy(model.config)
    config.dtype, config.use_cache = dtype, True  # training turns the cache off; whoever serves the model wants it
    config.save_pretrained(folder)
    check_saved(folder, shapes)


def published_dtype(base_model: str, revision: str | None) -> torch.dtype:
    """The dtype that the base's own files are in; float32 where they do not say, as in transformers."""
    return AutoConfig.from_pretrained(base_model, revision=revision).dtype or torch.float32


def check_saved(folder: Path, wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Raises RuntimeError when the safetensors in `folder` lack a parameter, or have one in another shape.

    Some architectures store parameters under other names and in other pieces than they have in memory (experts, for one):
    names may differ as long as nothing is lost, which is when the number of weights is the same.
    """
    stored = stored_shapes(folder)
    missing = [name for name, shape in wanted.items() if stored.get(name) != shape]
    counts = [sum(torch.Size(shape).numel() for shape in shapes.values()) for shapes in (wanted, stored)]
    if missing and counts[0] != counts[1]:
        named = ", ".join(f"{name} {list(wanted[name])} (saved: {list(stored.get(name, ())) or 'not at all'})" for name in missing[:5])
        raise RuntimeError(
            f"{folder} holds {counts[1]:,} of the model's {counts[0]:,} weights; missing are {len(missing)} parameters: {named}. "
            "The last checkpoint is kept; start the same command again to save once more"
        )


def stored_shapes(folder: Path) -> Shapes:
    """Name -> shape of every tensor in a model's or an adapter's safetensors. Raises RuntimeError on a file that is cut off."""
    paths = [folder / ADAPTER] if (folder / ADAPTER).exists() else sorted(folder.glob("model*.safetensors"))
    shapes: Shapes = {}
    for path in paths:
        try:
            with safe_open(path, framework="pt") as file:
                shapes |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118, not a dict
        except SafetensorError as error:
            raise RuntimeError(f"{path} was not written to its end: {error}") from error
    return shapes


def _whole(parameter: torch.nn.Parameter, keep: bool) -> torch.Tensor:
    weight = parameter.detach()
    whole = weight.full_tensor() if isinstance(weight, DTensor) else weight  # every process takes part in gathering
    return whole.cpu() if keep else torch.empty(0)
