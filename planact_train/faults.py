"""What can go wrong while a model trains, said and survived: a loss that is no number, a full disk, a second start, a stop from outside."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather
from datasets import Dataset
from peft import PeftModel
from safetensors import SafetensorError
from transformers import Trainer, TrainerCallback

from planact.database import RunLocked, StoreError, drop_lock, take_lock
from planact.layout import TrainingError
from planact_train.checkpoints import checkpoints, on_main

# Of errors without a class of their own for a write that failed: torch.save's, C++'s and Rust's (tokenizers, safetensors).
UNWRITTEN = ("inline_container", "PytorchStreamWriter", "iostream error", "os error", "No space left on device")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps another start of the same command from training in `folder`. Raises RunLocked, in every process, when one does.

    On a file system without locks it only says that it cannot.
    """

    def take() -> int | None:
        try:
            return take_lock(folder)
        except RunLocked:
            raise
        except StoreError as error:
            print(f"warning: nothing keeps a second process from training the same model: {error}", file=sys.stderr)
            return None

    lock = on_main(take)
    try:
        yield
    finally:
        if lock is not None and PartialState().is_main_process:
            drop_lock(lock)


def check_space(trainer: Trainer) -> None:
    """Raises TrainingError when the disk clearly cannot hold what the training will keep.

    A lower bound: weights and optimizer states alone, of the checkpoints that `save_total_limit` keeps (one, without it) and of the one
    more that is written before an old one goes.
    """
    args, folder = trainer.args, Path(trainer.args.output_dir)
    weights, states = _bytes_of(trainer)
    kept = 0 if args.save_strategy == "no" else max(0, (args.save_total_limit or 1) + 1 - len(checkpoints(folder)))
    needed = kept * (weights + states) + weights
    if needed > (free := _free(folder)):
        raise TrainingError(
            f"{folder} needs {_size(needed)} ({kept} checkpoints of {_size(weights + states)} and the model of {_size(weights)}) and "
            f"{_size(free)} are free; make room, lower sft.save_total_limit, or name another disk with --runs"
        )


def _bytes_of(trainer: Trainer) -> tuple[int, int]:
    """Bytes of the weights that are saved (of an adapter: its own) and of the optimizer's states, before anything is sharded."""
    trained = [p for p in trainer.model.parameters() if p.requires_grad]
    saved = trained if isinstance(trainer.model, PeftModel) else list(trainer.model.parameters())
    name = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    moments = 0 if "adam" not in name or getattr(trainer, "muon", False) else 2  # a lower bound where others keep fewer or factored ones
    width = 1 if "8bit" in name else None  # bytes; else that of the parameter
    return sum(p.numel() * p.element_size() for p in saved), sum(moments * p.numel() * (width or p.element_size()) for p in trained)


def _free(folder: Path) -> int:
    """Bytes free on the disk of `folder`, which need not exist yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turns a write in `folder` that failed (disk full, quota, rights) into TrainingError. What was saved before is not touched."""
    try:
        yield
    except Exception as error:
        refused = isinstance(error, OSError) and error.errno is not None  # without a number it is transformers' "no such model"
        if not refused and not isinstance(error, SafetensorError) and not any(text in str(error) for text in UNWRITTEN):
            raise
        raise TrainingError(
            f"{folder} could not be written ({type(error).__name__}: {str(error).splitlines()[0]}); {_size(_free(folder))} are free there. "
            f"{_kept(folder)} Put this right and give the same command again"
        ) from error


def _size(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _kept(folder: Path) -> str:
    found = checkpoints(folder)
    return f"The last checkpoint is {found[-1]}." if found else "There is no checkpoint yet."


def not_finite(trainer: Trainer, what: str, value: float, tasks: Sequence[str]) -> TrainingError:
    """The error of a step whose loss or gradient is no number."""
    args = trainer.args
    rows = f" The step's rows are of the tasks {', '.join(tasks)}." if tasks else ""
    fp16 = "bf16 instead of fp16, " if args.fp16 else ""
    return TrainingError(
        f"the {what} of step {trainer.state.global_step + 1} is {value}; the step is not taken and nothing of it is saved. "
        f"{_kept(Path(args.output_dir))}{rows} The same command meets the same step again: try {fp16}a sft.learning_rate below "
        f"{args.learning_rate}, a sft.max_grad_norm below {args.max_grad_norm}, or look at the rows of that step"
    )


def tasks_of(batches: Sequence[dict[str, Any]], dataset: Dataset) -> list[str]:
    """The tasks whose rows are in `batches`; none where rows were packed, which leaves no task ids."""
    if "task_id" not in dataset.column_names:
        return []
    found = {
        tuple(ids[mask.bool()].tolist())
        for batch in batches
        if "attention_mask" in batch
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"])
    }
    return sorted({task for ids, task in zip(dataset["input_ids"], dataset["task_id"]) if tuple(ids) in found})


class StopOnSignal(TrainerCallback):
    """SIGTERM, which batch systems send before a time limit or a preemption, ends training after the step under way, with a checkpoint.

    More of them change nothing: torchrun passes its own on to processes that Slurm has sent one already. Ctrl-C still ends at once.
    """

    def __init__(self) -> None:
        self.asked = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Python takes signals in the main thread only; elsewhere SIGTERM does what it did before."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True

    def on_step_end(self, args, state, control, **kwargs):
        if PartialState().num_processes > 1:  # the signal reaches them at different moments; all must stop after the same step
            self.asked = bool(gather(torch.tensor([self.asked], device=PartialState().device)).any())
        if self.asked:
            control.should_save = control.should_training_stop = True
