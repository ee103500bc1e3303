"""What a training was made from, in `run.json` of its model folder and in every tracker: enough to find and repeat it, and no secret.

A training that is resumed keeps its name, so that trackers go on with the same run; each start is listed with its commit and versions.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from accelerate import PartialState

import planact
from planact.layout import RUN, model_settings, read_manifest, write_json
from planact.prompts import prompts_hash
from planact.recipe import Recipe
from planact.secrets import secret_values, secrets_in
from planact.types import content_hash, to_dict
from planact_train.origin import origin_of
from planact_train.privacy import told_text

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets")
GIT_SECONDS = 10.0  # a checkout on a slow network disk is no reason to wait longer


def begin_run(recipe: Recipe, role: str, rows_folder: Path, folder: Path) -> dict[str, Any]:
    """The facts of a training that starts now, written to its model folder by the main process, with the recipe.

    Those of an earlier start of it are kept, and this one is added to its `starts`.
    """
    path = folder / RUN
    facts = json.loads(path.read_text()) if path.exists() else run_facts(recipe, role, rows_folder, folder.name)
    facts |= {"starts": [*facts.get("starts", []), start_facts(Path(planact.__file__).parents[1], sys.argv)]}
    if PartialState().is_main_process:
        write_json(path, facts)
        (folder / "recipe.yaml").write_text(recipe.to_yaml())
    return facts


def run_facts(recipe: Recipe, role: str, rows_folder: Path, model: str) -> dict[str, Any]:
    """What a model is trained from. `model` is the name of its folder; with the time it names the run, in UTC."""
    settings, manifest = model_settings(recipe, role, rows_folder), read_manifest(rows_folder)
    origin = origin_of(recipe.base_model, recipe.sft_for(role).get("model_revision"))
    return {
        "run": f"{recipe.name.replace('/', '-')}-{model}-{datetime.now(UTC):%Y%m%d-%H%M%S}",
        "recipe": recipe.name,
        "role": role,
        "config": content_hash(to_dict(recipe)),
        "base_model": to_dict(origin),
        "data": {
            "suite": f"{recipe.data.suite} {manifest.get('settings', {}).get('suite_version', '')}".strip(),
            "folder": rows_folder.name,
            "teachers": manifest.get("settings", {}).get("models", {}),
            "imports": sorted(recipe.data.imports),
            "rows": {kind: _used(manifest["rows"][kind], hashes) for kind, hashes in settings["rows"].items()},
        },
        "prompts": prompts_hash(recipe.agent.prompts, recipe.agent.grammar, recipe.agent.cot),
        "seed": recipe.seed,
    }


def _used(entry: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Source -> its rows and their hash, of the sources that are trained on."""
    counts = entry.get("by source", {})
    return {source: {"rows": counts.get(source), "hash": digest} for source, digest in hashes.items()}


def start_facts(checkout: Path, command: list[str]) -> dict[str, Any]:
    """When, by which code and with which libraries a training starts. `commit` is None outside a git checkout."""
    commit = _git(checkout, "rev-parse", "HEAD") if (checkout / ".git").exists() else None
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "dirty": bool(_git(checkout, "status", "--porcelain", "--untracked-files=no")) if commit else None,  # None: not known
        "versions": {"planact": planact.__version__, "python": platform.python_version()} | _versions(),
        "command": _shown(command),
    }


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=GIT_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    installed = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {name: version.split("+")[0] for name, version in installed.items()}


def _shown(command: list[str]) -> str:
    """The command as it was typed, without folders and servers of this machine. One that holds a secret is not told."""
    text = shlex.join(told_text(word, Path.cwd()) for word in command)
    return "not recorded: it holds a secret" if any(secrets_in(text, secret_values(os.environ))) else text


def flat(facts: Mapping[str, Any], prefix: str = "planact") -> Iterator[tuple[str, Any]]:
    """The facts as pairs of a path and a value, such as `planact/data/rows/plan/seed/hash`; of the starts only the last."""
    for key, value in facts.items():
        if key == "starts":
            yield from flat(value[-1], prefix)
        elif isinstance(value, Mapping):
            yield from flat(value, f"{prefix}/{key}")
        elif value is not None:
            yield f"{prefix}/{key}", ", ".join(map(str, value)) if isinstance(value, list) else value
