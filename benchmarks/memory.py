"""The memory plan of a training against what it takes: peak bytes, and on a GPU tokens per second and MFU.

    python benchmarks/memory.py [--base meta-llama/Llama-3.1-8B-Instruct] [--length 8192] [--steps 6]

With a GPU, the base is made there at its real size with random weights and trained for a few steps, as adapters and in full, on one
packed sequence at a time. Without one, a small Llama goes through one pass on the CPU and the allocator's log is compared instead.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import torch
from datasets import Dataset
from torch.profiler import ProfilerActivity, profile
from transformers import AutoTokenizer, LlamaConfig, PreTrainedConfig, TrainerCallback

from planact.recipe import Training
from planact_train.activations import Batch, activations, measure
from planact_train.attention import attention
from planact_train.devices import DEVICES, GIB
from planact_train.estimate import flops, memory_of
from planact_train.settings import sft_config
from planact_train.shapes import build, read_config, shape_of
from planact_train.trainer import AnswerTrainer

TOKENIZER = "models/planact-tiny"  # of the right kind; what it would make of texts does not matter here
SHARED = {"bf16": True, "dtype": "bfloat16", "per_device_train_batch_size": 1, "report_to": "none", "save_strategy": "no"}
METHODS = {"LoRA": {"use_peft": True, "lora_r": 16, "lora_dropout": 0.0, "lora_target_modules": ["all-linear"]}, "full": {}}


class Clock(TrainerCallback):
    """Seconds of the steps after the first two, in which kernels are chosen."""

    def on_step_end(self, args, state, control, **kwargs):
        torch.cuda.synchronize()
        if state.global_step == 2:
            self.start = time.perf_counter()
        self.seconds = time.perf_counter() - getattr(self, "start", 0)


def on_gpu(base: str, settings: Mapping[str, Any], steps: int) -> dict[str, float]:
    """Planned and measured peak in GiB, without what lies outside torch's allocator; tokens per second and MFU."""
    config, length = read_config(base), settings["max_length"]
    with torch.device("cuda"):
        model = build(config, settings, torch.bfloat16)
    inner = model.get_base_model() if settings.get("use_peft") else model
    inner.set_attn_implementation(settings["attn_implementation"])
    ids = torch.randint(config.vocab_size, (steps, length)).tolist()
    rows = Dataset.from_dict({"input_ids": ids, "labels": ids})
    with tempfile.TemporaryDirectory() as folder:
        args = sft_config({**settings, "max_steps": steps, "padding_free": True, "max_length": None}, folder, seed=0)
        tokenizer = AutoTokenizer.from_pretrained(TOKENIZER)
        trainer = AnswerTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer, callbacks=[clock := Clock()])
        torch.cuda.reset_peak_memory_stats()
        trainer.train()
    plan = memory_of(base, Training(launch="ddp", device=_device()), {**settings, "packing": True})
    speed = (steps - 2) * length / clock.seconds
    needed, _ = flops(shape_of(config, settings), settings, length)
    return {
        "planned": (sum(plan.values()) - plan["overhead"]) / GIB,
        "measured": torch.cuda.max_memory_allocated() / GIB,
        "tokens_per_s": speed,
        "mfu": speed * needed / DEVICES[_device()].peak,
    }


def _device() -> str:
    """The GPU's name in planact_train.devices. Ends the program when it is another one."""
    found = torch.cuda.get_device_name().lower()
    names = [name for name in DEVICES if name.split("-")[0 if name[0] != "r" else 1] in found]
    if not names:
        raise SystemExit(f"no figures for a {found}; add it to planact_train/devices.py")
    memory = torch.cuda.get_device_properties(0).total_memory
    return min(names, key=lambda name: abs(DEVICES[name].memory - memory))


def on_cpu(config: PreTrainedConfig, settings: Mapping[str, Any]) -> tuple[float, float]:
    """Planned and measured peak of one pass in MiB."""
    batch, model = Batch(2, 256, True), build(config, settings)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as log:
        measure(model, settings, batch, autocast=False)
    held = most = 0
    for event in log.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return activations(config, settings, batch, torch.float32, autocast=False).peak / 2**20, most / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="meta-llama/Llama-3.1-8B-Instruct", help="default: %(default)s")
    parser.add_argument("--length", type=int, default=8192, help="tokens of a packed sequence (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="default: %(default)s")
    args = parser.parse_args()
    if torch.cuda.is_available():
        settings = SHARED | {"max_length": args.length, "attn_implementation": attention({"attn_implementation": "flash_attention_2"})}
        for name, method in METHODS.items():
            found = on_gpu(args.base, settings | method, args.steps)
            print(f"{args.base}, {name}, {args.length} tokens: " + ", ".join(f"{key} {value:,.2f}" for key, value in found.items()))
            torch.cuda.empty_cache()
        return
    print("no GPU here: one pass of a small Llama on the CPU, planned and measured peak of what it keeps")
    shape = LlamaConfig(hidden_size=256, intermediate_size=640, num_hidden_layers=4, num_attention_heads=8, vocab_size=512)
    for name, method in METHODS.items():
        for checkpointing in (False, True):
            planned, measured = on_cpu(shape, method | {"gradient_checkpointing": checkpointing})
            how = "with" if checkpointing else "without"
            print(f"{name:5} {how:7} gradient checkpointing: planned {planned:7.1f} MiB, measured {measured:7.1f} MiB")


if __name__ == "__main__":
    main()
