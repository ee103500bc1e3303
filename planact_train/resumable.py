"""TRL's SFTTrainer, made to survive: checkpoints are whole or not there, a resumed training ends as if it had never stopped, and a loss
that is no number stops it before it is saved."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import DistributedType
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_pt_utils import nested_gather
from trl import SFTTrainer

from planact.types import content_hash
from planact_train.checkpoints import SAVING, Origin, publish, read_mark, rotate
from planact_train.faults import StopOnSignal, not_finite, reported, tasks_of

STOPPED = 143  # exit code: 128 + SIGTERM


class ResumableTrainer(SFTTrainer):
    """`origin` is what planact_train.checkpoints knows this training's checkpoints by. Raises TrainingError where training cannot go on."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.args.logging_nan_inf_filter = False  # it would log the mean of earlier losses in place of one that is no number
        self.origin = origin_of(self)
        self.stop = StopOnSignal()
        self.add_callback(self.stop)
        self._is_saving = False
        self._saved_step: int | None = None
        self._batches: list[dict[str, Any]] = []  # of the step under way

    def train(self, *args, **kwargs):
        with self.stop.listening():
            result = super().train(*args, **kwargs)
        if self.stop.asked and self.state.global_step < self.state.max_steps:
            if self.is_world_process_zero():
                print(f"stopped by SIGTERM after step {self.state.global_step}, which is saved; the same command goes on from there")
            raise SystemExit(STOPPED)
        return result

    def _run_epoch(self, **given):
        """Goes on where the checkpoint was made: within a logging interval too, and with no step more when it is of the last one."""
        if given["resume_from_checkpoint"] and given["epoch"] == given["epochs_trained"]:
            self._restore_unlogged(Path(given["resume_from_checkpoint"]))
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(**given)

    def get_batch_samples(self, *args, **kwargs):
        self._batches, items = super().get_batch_samples(*args, **kwargs)
        return self._batches, items

    def training_step(self, model, inputs, num_items_in_batch=None):
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._require_finite("loss", loss)
        return loss

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        if self.accelerator.scaler is None:  # fp16's scaler skips such a step by itself and lowers its scale
            self._require_finite("gradient norm", norm)
        return norm

    def _require_finite(self, what: str, value: torch.Tensor | float) -> None:
        if not torch.isfinite(torch.as_tensor(value)).all():
            raise not_finite(self, what, float(value), tasks_of(self._batches, self.train_dataset))

    def _get_output_dir(self, trial):
        folder = super()._get_output_dir(trial)
        return str(Path(folder) / SAVING) if self._is_saving else folder

    def _save_checkpoint(self, model, trial):
        """transformers' checkpoint, which gets its name when all of it is there; older ones go after that."""
        if self._saved_step == self.state.global_step:  # at an epoch's end, transformers may save a step twice
            return
        folder = Path(self.args.output_dir)
        saved = folder / SAVING / f"checkpoint-{self.state.global_step}"
        self._is_saving = True
        try:
            with reported(folder):
                super()._save_checkpoint(model, trial)
                unlogged = self._unlogged()
                self.accelerator.wait_for_everyone()
                self._rename_best(saved, folder / saved.name)
                if self.args.should_save:
                    publish(saved, self.origin, {"processes": self.args.world_size, "unlogged": unlogged})
                    rotate(folder, self.args.save_total_limit, self.state.best_model_checkpoint)
        finally:
            self._is_saving = False
            if self.args.should_save:
                shutil.rmtree(saved.parent, ignore_errors=True)
        self.accelerator.wait_for_everyone()  # callbacks look for it under its name
        self._saved_step = self.state.global_step

    def _rename_best(self, saved: Path, final: Path) -> None:
        """transformers has noted the best checkpoint by the name under which it was written."""
        if self.state.best_model_checkpoint == str(saved):
            self.state.best_model_checkpoint = str(final)
            if self.args.should_save:
                self.state.save_to_json(str(saved / TRAINER_STATE_NAME))

    def _unlogged(self) -> dict[str, Any]:
        """What the next log entry is made of: the loss of steps since the last one, TRL's metrics, and its count of tokens."""
        loss = nested_gather(self._tr_loss, self.args.parallel_mode).mean().item()
        metrics = {key: values for key, values in self._metrics["train"].items() if values}
        return {"loss": loss, "since": self._globalstep_last_logged, "metrics": metrics, "tokens": self._total_train_tokens}

    def _restore_unlogged(self, checkpoint: Path) -> None:
        unlogged = read_mark(checkpoint)["unlogged"]
        self._tr_loss += unlogged["loss"]
        self._globalstep_last_logged = unlogged["since"]
        self._metrics["train"].update(unlogged["metrics"])
        self._total_train_tokens = unlogged["tokens"]


def origin_of(trainer: SFTTrainer) -> Origin:
    """Of a trainer whose model is not sharded yet: wrappers change the names of parameters."""
    shapes = {name: list(p.shape) for name, p in trainer.model.named_parameters() if p.requires_grad}
    strategy, plugin = "plain", getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if trainer.accelerator.distributed_type == DistributedType.DEEPSPEED:
        strategy = "deepspeed"
    elif trainer.is_fsdp_enabled:
        strategy = f"fsdp{plugin.fsdp_version} {plugin.state_dict_type.name}"
    return Origin(Path(trainer.args.output_dir).name, content_hash(shapes, 16), strategy)
