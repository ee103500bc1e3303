"""What runs a training: which strategy over how many processes. It is held against what the recipe asks for, twice.

accelerate goes on in silence where it cannot do what it was asked: FSDP on a CPU becomes DDP, MULTI_CPU becomes one process, processes
without a GPU become trainings of their own that write the same folder. At 70B that is found out when memory runs out, or never.
`check_launch` asks accelerate before a weight is read, `verify` looks at the sharded model before the first step.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, InitProcessGroupKwargs, is_deepspeed_available
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from transformers import TrainerCallback
from transformers.utils import is_triton_available

from planact.launcher import launcher
from planact.recipe import RecipeError, Training
from planact_train.settings import MUON
from planact_train.trainer import AnswerTrainer

SHARDED = ("fsdp2", "zero3")
STRATEGY = {"fsdp2": "fsdp2", "fsdp2_qlora": "fsdp2", "fsdp2_multinode": "fsdp2", "deepspeed_zero3": "zero3"}  # of a launch; others: ddp


@dataclass(frozen=True)
class Running:
    """What runs here, as accelerate and torch report it."""

    strategy: str  # single, ddp, fsdp2, zero1, zero2, zero3
    processes: int  # that know of each other
    started: int  # that the launcher started
    asked: str  # fsdp2 or deepspeed where the launcher asked for it, otherwise empty
    device: str  # name of this process's device: "cpu", "NVIDIA H100 80GB HBM3"
    visible: int  # GPUs that this process sees
    precision: str  # of the arithmetic where the recipe sets neither bf16 nor fp16: no, bf16, fp16


def check_launch(training: Training, settings: Mapping[str, Any]) -> Running:
    """Held before the model loads. `settings`: the recipe's `sft` for the role.

    Raises RecipeError with what was found, what the recipe expects and the command to type.
    """
    if training.launch == "deepspeed_zero3" and not is_deepspeed_available():
        raise RecipeError("training.launch=deepspeed_zero3 needs DeepSpeed: pip install deepspeed, or use fsdp2")
    if _asked() == "fsdp1":  # said here, because accelerate's plugin for version 1 fails where there is no GPU
        raise RecipeError(f"accelerate was asked for FSDP 1, by a config without `fsdp_version: 2`; type: {_command(training)}")
    running = read_running(settings)
    if wrong := unfit(settings, running):
        raise RecipeError(wrong)
    if wrong := mismatch(training, running):
        raise RecipeError(f"{wrong}; type: {_command(training)}")
    return running


def unfit(settings: Mapping[str, Any], running: Running) -> str | None:
    """What of the recipe's `sft` does not go with what runs, or would be overruled by it; None: nothing."""
    if running.started != running.processes:
        return (
            f"{running.started} processes were started and each believes that it is alone, so that all would write the same model folder: "
            "torch sees no GPU here. Where there are GPUs, mend that; to train on the CPU, set sft.use_cpu=true"
        )
    if settings.get("bf16", True) is False and not settings.get("fp16") and running.precision != "no":
        return (
            f"sft.bf16 is false and accelerate was started with mixed_precision {running.precision}, which would win: "
            'start it with mixed_precision "no", as the files of accelerate_configs do, or set sft.bf16=true'
        )
    if running.strategy == "fsdp2" and settings.get("load_in_4bit") and settings.get("bnb_4bit_quant_storage") != "bfloat16":
        return "FSDP2 cuts floating types only and would keep 4-bit weights whole on every GPU; set sft.bnb_4bit_quant_storage=bfloat16"
    if settings.get("use_liger_kernel") and running.device == "cpu":
        return "Liger's kernels run on GPUs only; set sft.use_liger_kernel=false"
    return None


def mismatch(training: Training, running: Running) -> str | None:
    """How what runs differs from what the recipe's `training` asks for; None: it does not."""
    expected = STRATEGY.get(training.launch, "ddp")
    if running.processes != training.processes:
        reason = " (on a CPU `accelerate launch` starts one process, also for distributed_type MULTI_CPU)" if running.processes == 1 else ""
        return f"training.processes is {training.processes} and {running.processes} is running{reason}"
    if expected in SHARDED and running.strategy != expected:
        return f"training.launch={training.launch} shards with {expected} and {running.strategy} is running{_why_not(running)}"
    if expected not in SHARDED and running.strategy not in ("single", "ddp"):
        return f"training.launch={training.launch} shards nothing and {running.strategy} is running"
    if running.strategy == "single" and running.visible > 1:
        return f"one process sees {running.visible} GPUs, and TRL would spread the model over them; CUDA_VISIBLE_DEVICES=0 shows it one"
    return None


def _why_not(running: Running) -> str:
    if running.asked:
        return f": accelerate was asked for {running.asked}, shards on GPUs only, and this process runs on {running.device}"
    return ": the accelerate config that started it does not ask for sharding"


def read_running(settings: Mapping[str, Any]) -> Running:
    """Ask accelerate, in the way in which the trainer asks it again later."""
    group = {"backend": settings["ddp_backend"]} if settings.get("ddp_backend") else {}
    timeout = timedelta(seconds=settings.get("ddp_timeout", 1800))  # 1800: transformers' default
    AcceleratorState._reset_state(reset_partial_state=True)  # what an earlier training in this process left; TrainingArguments does so too
    accelerator = Accelerator(cpu=bool(settings.get("use_cpu")), kwargs_handlers=[InitProcessGroupKwargs(timeout=timeout, **group)])
    cuda = accelerator.device.type == "cuda"
    return Running(
        strategy=strategy_of(accelerator),
        processes=accelerator.num_processes,
        started=int(os.environ.get("WORLD_SIZE", "1")),
        asked=_asked(),
        device=torch.cuda.get_device_name(accelerator.device) if cuda else accelerator.device.type,
        visible=torch.cuda.device_count() if cuda else 0,
        precision=os.environ.get("ACCELERATE_MIXED_PRECISION", "no"),
    )


def strategy_of(accelerator: Accelerator) -> str:
    kind = accelerator.distributed_type
    if kind == DistributedType.FSDP:
        return f"fsdp{accelerator.state.fsdp_plugin.fsdp_version}"
    if kind == DistributedType.DEEPSPEED:
        return f"zero{accelerator.state.deepspeed_plugin.zero_stage}"
    return "single" if kind == DistributedType.NO else "ddp"


def _asked() -> str:
    """The launcher tells its processes through the environment."""
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true":
        return f"fsdp{os.environ.get('FSDP_VERSION', '1')}"
    return "deepspeed" if os.environ.get("ACCELERATE_USE_DEEPSPEED", "false").lower() == "true" else ""


def _command(training: Training) -> str:
    """With this process's own options where it was started by the script."""
    options = shlex.join(sys.argv[1:]) if Path(sys.argv[0]).name == "sft.py" else "--config RECIPE --role ROLE"
    return f"{launcher(training)} {options}"


class LaunchCheck(TrainerCallback):
    """Looks at the model when the trainer has wrapped it, before the first step."""

    def __init__(self, trainer: AnswerTrainer, running: Running):
        self.trainer, self.running = trainer, running

    def on_train_begin(self, args, state, control, **kwargs):
        verify(self.trainer, self.running)


def verify(trainer: AnswerTrainer, running: Running) -> None:
    """Raises RecipeError when the trainer's model is not sharded, or not copied, as `running` says."""
    strategy, model = strategy_of(trainer.accelerator), trainer.model_wrapped
    if strategy != running.strategy:
        raise RecipeError(f"the trainer was made for {strategy} and {running.strategy} was running before it was made")
    if strategy == "ddp" and running.processes > 1 and not isinstance(model, DistributedDataParallel):
        raise RecipeError(f"{running.processes} processes train and the model is a {type(model).__name__}, no DDP: no gradients are shared")
    whole = [name for name, parameter in model.named_parameters() if not _is_shard(parameter)] if strategy in SHARDED else []
    if whole:
        count = len(list(model.parameters()))
        raise RecipeError(f"{len(whole)} of {count} parameters are whole in every process under {strategy}, {whole[0]} for one")


def _is_shard(parameter: torch.nn.Parameter) -> bool:
    """FSDP2's are DTensors, cut along a dimension; ZeRO-3 marks its own."""
    cut = isinstance(parameter, DTensor) and any(placement.is_shard() for placement in parameter.placements)
    return cut or hasattr(parameter, "ds_id")


def announce(trainer: AnswerTrainer, running: Running) -> dict[str, Any]:
    """Print what trains, and have the model looked at before the first step. Returns what was printed, for the record."""
    facts = in_force(trainer, running)
    if trainer.is_world_process_zero():
        print(header(facts), flush=True)
    trainer.add_callback(LaunchCheck(trainer, running))
    return facts


def in_force(trainer: AnswerTrainer, running: Running) -> dict[str, Any]:
    """What trains, for the record: read from the trainer, not from the recipe."""
    args, model = trainer.args, trainer.model
    return {
        "strategy": running.strategy,
        "processes": running.processes,
        "device": running.device,
        "weights": "4-bit" if getattr(model, "is_loaded_in_4bit", False) else str(model.dtype).removeprefix("torch."),
        "precision": args.mixed_precision,
        "attention": model.config.get_text_config()._attn_implementation,
        "loss": _loss(trainer),
        "rows": _rows(trainer),
        "optimizer": MUON if trainer.muon else str(args.optim.value),
        "batch": [args.per_device_train_batch_size, args.gradient_accumulation_steps, running.processes],
    }


def header(facts: Mapping[str, Any]) -> str:
    """What `in_force` found, in one line."""
    at_once, accumulated, processes = facts["batch"]
    precision = "" if facts["precision"] == "no" else f" computed in {facts['precision']}"
    return (
        f"{facts['strategy']} x {facts['processes']} on {facts['device']}, {facts['weights']} weights{precision}, attention "
        f"{facts['attention']}, {facts['loss']}, {facts['rows']}, {facts['optimizer']}, "
        f"batch {at_once * accumulated * processes} = {at_once} x {accumulated} steps x {processes} processes"
    )


def _loss(trainer: AnswerTrainer) -> str:
    args = trainer.args
    layers = ", Liger layers" if args.use_liger_kernel else ""
    if trainer.own_head and not trainer.padding_free:
        return f"head on answer tokens{layers}"
    if args.label_smoothing_factor:
        return f"full logits for label smoothing{layers}"
    where = "answer tokens" if args.device.type in ("cuda", "xpu") and is_triton_available() else "all tokens"
    return f"TRL's chunked head on {where}{', DFT' if args.loss_type == 'dft' else ''}{layers}"


def _rows(trainer: AnswerTrainer) -> str:
    if trainer.args.packing:
        return f"rows packed ({trainer.args.packing_strategy})"
    return "rows padding-free" if trainer.padding_free else "rows padded"
