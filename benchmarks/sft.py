"""What a training step of ours costs beside TRL's SFTTrainer and beside a bare PyTorch loop.

    python benchmarks/sft.py [--rounds N] [--json]

    ours / trl             AnswerTrainer as scripts/sft.py runs it / SFTTrainer                          aim 1.03 or less
    ours / bare            the same / a loop of forward, backward, clipping and step                     aim 1.15 or less
    ours-trl-loss / trl    AnswerTrainer where it leaves the loss to TRL (GPUs, several processes)       aim 1.03 or less
    ours-trl-loss / bare   the same / the bare loop

One model from equal weights for each; the same rows in the same batches and order, AdamW, gradient clipping, bf16 autocast. The bare
loop, as AnswerTrainer on one CPU, puts the language-model head on answers alone; SFTTrainer on a CPU puts it on prompts too. All four
go on together, a step each in turn and in random order, so that what else the machine does meets all of them: a figure is the median
of the ratios of steps on the same batch, with the quartiles, by the clock; then the same by processor time, which other programs touch
less. With a GPU the Llama is larger, and the tiny LFM2 is left out.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import tempfile
import threading
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Callable, Iterable, NamedTuple

import torch
from datasets import Dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import SFTTrainer

from planact.layout import data_folder
from planact.recipe import Recipe, load_recipe
from planact_data.build import build
from planact_envs.suites import load_suite
from planact_train.rows import load_rows
from planact_train.settings import sft_config
from planact_train.tiny import new_model
from planact_train.trainer import AnswerTrainer, ProgressLine

REPO = Path(__file__).resolve().parents[1]
WARM = 3  # first steps, not counted: memory is taken and kernels are chosen
PAIRS = {("ours", "trl"): 1.03, ("ours", "bare"): 1.15, ("ours-trl-loss", "trl"): 1.03, ("ours-trl-loss", "bare"): None}  # with the aim
LONG_ENOUGH = 0.1  # seconds: a step that is worth measuring
GPU = torch.cuda.is_available()


class TrlLoss(AnswerTrainer):
    own_head = False


class Step(NamedTuple):
    clock: float  # seconds
    processor: float  # seconds of all threads together


class Turns:
    """One contestant in a thread of its own, which waits before every step until it is let go."""

    def __init__(self, work: Callable[[Callable[[], None]], None]):
        self.go, self.there = queue.SimpleQueue(), queue.SimpleQueue()
        self.error: BaseException | None = None
        threading.Thread(target=self._run, args=(work,), daemon=True).start()
        self.there.get()

    def step(self) -> Step:
        """From one stop to the next. Raises what the contestant raised."""
        clock, processor = time.perf_counter(), time.process_time()
        self.go.put(None)
        self.there.get()
        if self.error:
            raise self.error
        return Step(time.perf_counter() - clock, time.process_time() - processor)

    def _run(self, work: Callable[[Callable[[], None]], None]) -> None:
        try:
            work(self._stop)
        except BaseException as error:  # handed to the thread that measures, and raised there
            self.error = error
        self.there.put(None)

    def _stop(self) -> None:
        if GPU:
            torch.cuda.synchronize()
        self.there.put(None)
        self.go.get()


class Stop(TrainerCallback):
    def __init__(self, stop: Callable[[], None]):
        self.stop = stop

    def on_step_begin(self, args, state, control, **kwargs):
        self.stop()


def trained_by(kind: type[SFTTrainer], make: Callable[[], PreTrainedModel], rows: Dataset, tokenizer, settings: dict, folder: str):
    def work(stop: Callable[[], None]) -> None:
        callbacks = [ProgressLine("train")] if issubclass(kind, AnswerTrainer) else []
        args = sft_config(settings, Path(folder), seed=0, disable_tqdm=not callbacks)
        trainer = kind(make(), args, train_dataset=rows, processing_class=tokenizer, callbacks=[*callbacks, Stop(stop)])
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    return work


def bare(make: Callable[[], PreTrainedModel], rows: Dataset, tokenizer, settings: dict, folder: str):
    def work(stop: Callable[[], None]) -> None:
        args = sft_config(settings, Path(folder), seed=0)
        prepared = SFTTrainer(make(), args, train_dataset=rows, processing_class=tokenizer)  # tokens and batches as TRL makes them
        device, steps, model = args.device, args.max_steps, make().to(args.device).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate, fused=True)
        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
        loader = torch.utils.data.DataLoader(
            prepared.train_dataset.select_columns(["input_ids", "labels"]),
            args.per_device_train_batch_size,
            collate_fn=prepared.data_collator,
            pin_memory=GPU,
        )
        for batch in loader:
            stop()
            answer_loss(model, {key: value.to(device, non_blocking=True) for key, value in batch.items()}).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), args.max_grad_norm)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()

    return work


def answer_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Mean negative log-likelihood of the answers' tokens."""
    with torch.autocast(model.device.type, torch.bfloat16):
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        hidden_B_T_D = model.base_model(**inputs, use_cache=False).last_hidden_state
        labels_B_T = batch["labels"][:, 1:]
        logits_N_V = model.lm_head(hidden_B_T_D[:, :-1][labels_B_T != -100])  # N: tokens of answers
    return torch.nn.functional.cross_entropy(logits_N_V.float(), labels_B_T[labels_B_T != -100])


def compared(make: Callable[[], PreTrainedModel], rows: Dataset, tokenizer, batch: int, rounds: int) -> dict[str, Any]:
    """Medians of the contestants' steps in milliseconds, and quartiles of the ratios."""
    steps = WARM + rounds + 1  # the last one ends a training, and is not counted
    rows = rows.select([n % len(rows) for n in range(steps * batch)])
    settings = {
        "use_cpu": not GPU,
        "bf16": True,
        "gradient_checkpointing": False,
        "max_length": None,
        "max_steps": steps,
        "warmup_steps": 0,
    }
    settings |= {
        "per_device_train_batch_size": batch,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "learning_rate": 1e-4,
    }
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        works = {
            "bare": bare(make, rows, tokenizer, settings, folder),
            "trl": trained_by(SFTTrainer, make, rows, tokenizer, settings, folder),
            "ours": trained_by(AnswerTrainer, make, rows, tokenizer, settings, folder),
            "ours-trl-loss": trained_by(TrlLoss, make, rows, tokenizer, settings, folder),
        }
        runners = {name: Turns(work) for name, work in works.items()}
        done = [{name: runners[name].step() for name in dice.sample(list(runners), len(runners))} for _ in range(steps)]
    counted = done[WARM:-1]
    return {
        "parameters": make().num_parameters(),
        "milliseconds": {name: round(1000 * median(step[name].clock for step in counted), 1) for name in works},
        "clock": {f"{a} / {b}": spread(step[a].clock / step[b].clock for step in counted) for a, b in PAIRS},
        "processor": {f"{a} / {b}": spread(step[a].processor / step[b].processor for step in counted) for a, b in PAIRS},
    }


def spread(ratios: Iterable[float]) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [round(quartile, 3) for quartile in quantiles(ratios, n=4)]


def llama(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """Five million parameters, with a GPU a billion; random."""
    torch.manual_seed(0)
    hidden, layers, heads = (2048, 16, 16) if GPU else (192, 8, 4)
    shape = {"hidden_size": hidden, "intermediate_size": 4 * hidden, "num_hidden_layers": layers, "num_attention_heads": heads}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=4096, **shape))


def make_rows(recipe: Recipe) -> Dataset:
    """The plans and actions of some miniweb tasks."""
    with tempfile.TemporaryDirectory() as runs:
        build(recipe, Path(runs))
        folder = data_folder(recipe, load_suite(recipe.data.suite).version, Path(runs))
        return load_rows(folder, ("plan", "act"), recipe.seed).select_columns(["prompt", "completion"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="steps of each contestant that count (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    base = REPO / "models/planact-tiny"
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = make_rows(load_recipe(REPO / "recipes/tiny/finetuning.yaml", ["data.tasks=40"]))
    models = {} if GPU else {"LFM2": (lambda: new_model(tokenizer, 128, 4, seed=0), 4)}
    models["Llama"] = (lambda: llama(tokenizer), 8 if GPU else 2)
    results = {name: compared(make, rows, tokenizer, batch, args.rounds) | {"batch": batch} for name, (make, batch) in models.items()}
    if args.json:
        print(json.dumps(results | {"aims": {f"{a} / {b}": aim for (a, b), aim in PAIRS.items() if aim}}))
        return
    for name, found in results.items():
        times = ", ".join(f"{who} {ms:.0f}" for who, ms in found["milliseconds"].items())
        short = " TOO SHORT TO TELL" if min(found["milliseconds"].values()) < 1000 * LONG_ENOUGH else ""
        print(f"{name}, {found['parameters']:,} parameters, batches of {found['batch']}: milliseconds a step: {times}{short}")
        for (a, b), aim in PAIRS.items():
            form = "{1:.3f} [{0:.3f}, {2:.3f}]".format
            clock, processor = (form(*found[measure][f"{a} / {b}"]) for measure in ("clock", "processor"))
            print(f"  {f'{a} / {b}':22} {clock}, processor {processor}" + (f" (aim {aim:g})" if aim else ""))


if __name__ == "__main__":
    main()
