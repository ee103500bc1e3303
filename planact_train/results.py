"""Evaluations of a model: found under the runs folder by the models that they name, kept beside the model, and told in the Hub's forms.

Two forms: `model-index` in the card's front matter, and `.eval_results/*.yaml`, which the leaderboard of a benchmark's dataset reads
(https://huggingface.co/docs/hub/eval-results). Success rates are percent in both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planact.layout import MERGED, base_model_identity, write_json

RESULTS = "results"  # folder inside a model's, a file for each evaluation
METRIC = "success_rate"
_KEPT = ("suite", "suite_version", "split", "scorer", "limit", "seed", "agent", "prompts")  # of an evaluation's settings; no addresses

Evaluation = Mapping[str, Any]  # recipe, settings, summary, date


def gather_results(folder: Path, role: str, runs: Path) -> None:
    """Copy what each finished evaluation under `runs` found about the model in `folder` to `folder`/results/."""
    merged = folder / MERGED
    models = {base_model_identity(str(place)) for place in (folder, merged) if place == folder or (place / "config.json").exists()}
    for path in sorted(runs.glob("eval/*/results.json")):
        found = json.loads(path.read_text())
        if found["settings"]["models"].get(role) in models:
            settings = {key: found["settings"].get(key) for key in _KEPT}
            date = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
            write_json(folder / RESULTS / f"{path.parent.name}.json", found | {"settings": settings, "date": date})


def read_results(folder: Path) -> dict[str, Evaluation]:
    """Name of an evaluation -> what `gather_results` kept of it."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob(f"{RESULTS}/*.json"))}


def percent(share: float) -> float:
    return round(100 * share, 2)


def note_of(one: Evaluation, role: str) -> str:
    """What a success rate means: whose, of how many tasks, how sure."""
    summary, settings = one["summary"], one["settings"]
    part = f", the first {settings['limit']} spread over all templates" if settings["limit"] else ""
    return (
        f"{role} of {one['recipe']}; {summary['success']} of {summary['planned']} tasks{part}; 95% Wilson interval "
        f"{percent(summary['low'])} to {percent(summary['high'])}; scorer {settings['scorer']}; {settings['suite']} "
        f"{settings['suite_version']}; {summary['error']} broke, {summary['unscored']} unscored, counted as not solved"
    )


def model_index(evaluations: Mapping[str, Evaluation], role: str, name: str, benchmark: str | None) -> list[dict[str, Any]]:
    """The card's `model-index`; empty without an evaluation."""
    results = []
    for one in evaluations.values():
        settings, summary = one["settings"], one["summary"]
        dataset = {"type": benchmark or settings["suite"], "name": f"{settings['suite']} {settings['suite_version']}"}
        metric = {"type": METRIC, "name": f"Success rate, % ({note_of(one, role)})", "value": percent(summary["rate"]), "verified": False}
        results.append(
            {
                "task": {"type": "text-generation", "name": "Web agent"},
                "dataset": dataset | {"split": settings["split"], "args": {"tasks": summary["planned"]}},
                "metrics": [metric],
            }
        )
    return [{"name": name, "results": results}] if results else []


def eval_results(evaluations: Mapping[str, Evaluation], role: str, benchmark: str) -> dict[str, list[dict[str, Any]]]:
    """File name below `.eval_results/` -> its entries. `benchmark` is the dataset on the Hub that has the leaderboard."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    files = {}
    for name, one in evaluations.items():
        rate, task = percent(one["summary"]["rate"]), f"{one['settings']['suite']}_{one['settings']['split']}"
        entry = EvalResultEntry(benchmark, task_id=task, value=rate, date=one["date"], notes=note_of(one, role))
        files[f"{name}.yaml"] = eval_result_entries_to_yaml([entry])
    return files
