"""The trackers that a recipe's `sft.report_to` names: transformers' own callbacks, told where to write and what the run was made from.

All runs of one `--runs` folder share a place, `runs/tracking/<tracker>/`, so that one dashboard compares them. What a tracker's own
environment variables say wins. A training that is resumed goes on with its run.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Trainer
from transformers.integrations import MLflowCallback, TensorBoardCallback, TrackioCallback, WandbCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, get_available_reporting_integrations

from planact.recipe import RecipeError
from planact_train.tracking import flat

PROJECT = "planact"  # where `sft.project` names none


class Wandb(WandbCallback):
    def __init__(self, facts: Mapping[str, Any], place: Path):
        super().__init__()
        self.facts, self.place = facts, place

    def setup(self, args, state, model, **kwargs):
        if state.is_world_process_zero and self._wandb.run is None:
            self.place.mkdir(parents=True, exist_ok=True)
            self._wandb.init(
                project=os.environ.get("WANDB_PROJECT", args.project),
                name=args.run_name,
                id=os.environ.get("WANDB_RUN_ID", self.facts["run"]),
                resume="allow",
                dir=os.environ.get("WANDB_DIR", self.place),
                config=dict(flat(self.facts)),
            )
        super().setup(args, state, model, **kwargs)

    def on_train_end(self, args, state, control, **kwargs):
        super().on_train_end(args, state, control, **kwargs)
        if state.is_world_process_zero and self._wandb.run is not None:
            self._wandb.finish()  # or the next training of this process would be logged as a part of this one


class Trackio(TrackioCallback):
    def __init__(self, facts: Mapping[str, Any], place: Path):
        os.environ.setdefault("TRACKIO_DIR", str(place.resolve()))  # read when trackio is imported, which super() does
        super().__init__()
        self.facts = facts

    def setup(self, args, state, model, **kwargs):
        super().setup(args, state, model, **kwargs)
        if state.is_world_process_zero:
            self._trackio.config.update(dict(flat(self.facts)), allow_val_change=True)


class Mlflow(MLflowCallback):
    def __init__(self, facts: Mapping[str, Any], place: Path):
        super().__init__()
        self.facts, self.place = facts, place

    def setup(self, args, state, model):
        if state.is_world_process_zero and self._ml_flow.active_run() is None and "MLFLOW_RUN_ID" not in os.environ:
            if not self._ml_flow.is_tracking_uri_set():
                os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # mlflow-skinny has no database
                self._ml_flow.set_tracking_uri(self.place.resolve().as_uri())
            self._ml_flow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", args.project))
            wanted = f"tags.`planact/run` = '{self.facts['run']}'"
            earlier = self._ml_flow.search_runs(filter_string=wanted, output_format="list", max_results=1)
            self._ml_flow.start_run(run_id=earlier[0].info.run_id if earlier else None, run_name=args.run_name)
            self._ml_flow.set_tags(dict(flat(self.facts)))
        super().setup(args, state, model)

    def on_train_end(self, args, state, control, **kwargs):
        super().on_train_end(args, state, control, **kwargs)
        if state.is_world_process_zero:
            self._ml_flow.end_run()


class TensorBoard(TensorBoardCallback):
    def __init__(self, facts: Mapping[str, Any], place: Path):
        super().__init__()
        self.facts = facts
        self.logging_dir = self.logging_dir or str(place / facts["run"])

    def on_train_begin(self, args, state, control, **kwargs):
        if state.is_world_process_zero:  # what was logged after the checkpoint that a training goes on from is hidden
            self.tb_writer = self._SummaryWriter(log_dir=self.logging_dir, purge_step=state.global_step + 1)
            self.tb_writer.add_text("planact", json.dumps(dict(flat(self.facts)), indent=2))
        super().on_train_begin(args, state, control, **kwargs)


OURS = {"trackio": Trackio, "wandb": Wandb, "mlflow": Mlflow, "tensorboard": TensorBoard}


def tracker_names(settings: Mapping[str, Any]) -> list[str]:
    """What `sft.report_to` names, `all` spelt out."""
    named = settings.get("report_to") or "none"
    names = [named] if isinstance(named, str) else list(named)
    return get_available_reporting_integrations() if names == ["all"] else [name for name in names if name != "none"]


def check_trackers(settings: Mapping[str, Any]) -> None:
    """Raises RecipeError on a tracker that is not known or not installed."""
    for name in tracker_names(settings):
        if name not in INTEGRATION_TO_CALLBACK:
            known = ", ".join([*OURS, *sorted(INTEGRATION_TO_CALLBACK.keys() - OURS.keys())])
            raise RecipeError(f"sft.report_to names {name!r}, which is no tracker; choose from {known}, or none")
        if name in OURS and importlib.util.find_spec(name) is None:
            raise RecipeError(f"sft.report_to names {name}, which is not installed: pip install 'planact[tracking]', or sft.report_to=none")


def other_trackers(settings: Mapping[str, Any]) -> list[str] | str:
    """What is left to TRL's own `report_to`: the trackers that are not ours."""
    return [name for name in tracker_names(settings) if name not in OURS] or "none"


def track(trainer: Trainer, settings: Mapping[str, Any], facts: Mapping[str, Any], runs: Path) -> None:
    """Have our trackers among `sft.report_to` follow the training."""
    trainer.args.run_name = settings.get("run_name") or facts["run"]
    trainer.args.project = settings.get("project", PROJECT)
    for name in tracker_names(settings):
        if name in OURS:
            trainer.add_callback(OURS[name](facts, runs / "tracking" / name))
