"""Where results lie under the runs folder, and the keys that make the same work be found again.

    runs/data/<key>/run.sqlite  everything that a teacher was paid for (trajectories, answers), shared by recipes that differ in sizes only
    runs/data/<key>/<key>/      <kind>.parquet, manifest.json, README.md
    runs/models/<role>-<key>/   checkpoint-*/, and the finished model
    runs/eval/<recipe>-<key>/   run.sqlite (one trajectory per task), results.json, recipe.yaml
    runs/<table>/         an ablation table: table.md, table.csv, table.tex, plots/, report.html

A key is the hash of everything that changes what lies there.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from planact.prompts import prompts_hash
from planact.recipe import TRAINED_ROLES, Recipe, RecipeError
from planact.teaching import teaching_hash
from planact.types import content_hash, to_dict

STORE = "run.sqlite"
MANIFEST = "manifest.json"
FINISHED = "finished.json"  # written last: a model folder without it is not finished
RUN = "run.json"  # of a model folder: who trained it from what, and when
CURVE = "curve.json"  # of a model folder: what was logged at which step
MERGED = "merged"  # folder inside an adapter's: the adapter merged into its base
RECORDS = (FINISHED, RUN, CURVE)
# Begin `sft` keys that change no weight: who is told of a training, and how many processes tokenize its rows while others wait how long.
TELLING = ("report_to", "run_name", "project", "trackio_", "push_to_hub", "hub_", "dataset_num_proc", "ddp_timeout")
TEACHING_ROLES = ("teacher", "actor", "reasoner", "judge", "orm")
BASE = "recipes/tiny/base.yaml"  # the recipe that makes a base model


class NotBuilt(RuntimeError):
    """Something that an earlier stage makes is missing. `script` and `options` are the command that makes it.

    The command is for the recipe at hand, unless `config` names another one.
    """

    def __init__(self, what: str, script: str, options: str = "", config: str = ""):
        super().__init__(what)
        self.script, self.options, self.config = script, options, config


class TrainingError(RuntimeError):
    """A training cannot go on. What it saved is whole, and the message says what to change."""


def store_settings(recipe: Recipe, suite_version: str) -> dict[str, Any]:
    """Everything that changes what a teacher answers; how much is asked for is no part of it."""
    data, agent = recipe.data, recipe.agent
    models = {role: recipe.endpoints[role].model for role in TEACHING_ROLES if role in recipe.endpoints}
    return {
        "suite": data.suite,
        "suite_version": suite_version,
        "seed": recipe.seed,
        "models": {"teacher": "scripted"} if data.teacher == "scripted" else models,
        "teacher_error_rate": data.teacher_error_rate,
        "observation": agent.observation,
        "grammar": agent.grammar,
        "prompts": prompts_hash(agent.prompts, agent.grammar),  # of an agent without reasoning: that teacher is asked the same
    }


def data_settings(recipe: Recipe, suite_version: str) -> dict[str, Any]:
    """Everything that changes the rows, and nothing else; which kinds are wanted is not part of it."""
    data, agent = to_dict(recipe.data), recipe.agent
    later = ("planner", "executor", "planner_sources", "executor_sources", "teacher", "max_usd")  # what is trained on, who and how
    sizes = {key: value for key, value in data.items() if key not in later}
    sizes["imports"] = {format_: file_identity(path) for format_, path in recipe.data.imports.items()}
    prompts = prompts_hash(agent.prompts, agent.grammar, cot=True)  # rows with and without reasoning are files of one folder
    shown = {"plan_history": agent.plan_history, "max_page_tokens": agent.max_page_tokens, "teaching": teaching_hash(), "prompts": prompts}
    return store_settings(recipe, suite_version) | sizes | shown


def data_store(recipe: Recipe, suite_version: str, runs: Path) -> Path:
    return runs / "data" / content_hash(store_settings(recipe, suite_version), 10) / STORE


def data_folder(recipe: Recipe, suite_version: str, runs: Path) -> Path:
    return data_store(recipe, suite_version, runs).parent / content_hash(data_settings(recipe, suite_version), 10)


def row_kinds(recipe: Recipe, role: str) -> tuple[str, ...]:
    """The row files of "planner" or "executor"; of a role that reasons, those whose answers begin with reasoning."""
    return tuple(f"{kind}_cot" if recipe.agent.reasons(role) else kind for kind in getattr(recipe.data, role))


def row_sources(recipe: Recipe, role: str) -> tuple[str, ...]:
    """The sources of the rows that "planner" or "executor" is trained on; empty: all."""
    return getattr(recipe.data, f"{role}_sources")


def wanted_kinds(recipe: Recipe) -> tuple[str, ...]:
    """What the recipe trains on; and, where that is CoT rows, the same rows without reasoning, which cost nothing more."""
    plain = (*recipe.data.planner, *recipe.data.executor)
    return tuple(dict.fromkeys((*plain, *(kind for role in TRAINED_ROLES for kind in row_kinds(recipe, role)))))


def missing_kinds(recipe: Recipe, folder: Path) -> list[str]:
    built = read_manifest(folder)["rows"] if (folder / MANIFEST).exists() else {}
    return [kind for kind in wanted_kinds(recipe) if kind not in built or not (folder / f"{kind}.parquet").exists()]


def model_settings(recipe: Recipe, role: str, folder: Path) -> dict[str, Any]:
    """Everything that changes a trained model. Raises NotBuilt when the rows in `folder` or the base have not been built."""
    kinds = row_kinds(recipe, role)
    rows = read_manifest(folder)["rows"] if (folder / MANIFEST).exists() else {}
    missing = [kind for kind in kinds if kind not in rows]
    if missing:
        raise NotBuilt(f"the {', '.join(missing)} rows of {recipe.name} are not built", "scripts/build_data.py")
    sft = {key: value for key, value in recipe.sft_for(role).items() if not key.startswith(TELLING)}
    if Path(template := sft.get("chat_template_path") or "").is_file():
        sft["chat_template_path"] = file_identity(template)
    return {
        "role": role,
        "rows": {kind: _hashes(rows[kind], row_sources(recipe, role)) for kind in kinds},
        "base_model": base_model_identity(recipe.base_model),
        "sft": sft,
        "batch": recipe.training.batch or _rows_at_once(recipe),
        "held_out": recipe.training.held_out,
        "seed": recipe.seed,
    }


def _rows_at_once(recipe: Recipe) -> str | None:
    """Without `training.batch`, more processes make larger batches, and so another model."""
    return f"{recipe.training.processes} processes" if recipe.training.processes > 1 else None


def _hashes(entry: dict[str, Any], sources: tuple[str, ...]) -> dict[str, str]:
    """Source -> hash of its rows; by source, so that rows of others do not make it another model."""
    return {source: digest for source, digest in entry["hashes"].items() if not sources or source in sources}


def model_folder(recipe: Recipe, role: str, folder: Path, runs: Path) -> Path:
    return runs / "models" / f"{role}-{content_hash(model_settings(recipe, role, folder), 10)}"


def finished_model(recipe: Recipe, role: str, suite_version: str, runs: Path) -> Path | None:
    """The folder of a trained model, None when it is not finished. Raises NotBuilt when its rows are not built."""
    folder = model_folder(recipe, role, data_folder(recipe, suite_version, runs), runs)
    return folder if (folder / FINISHED).exists() else None


def read_manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / MANIFEST).read_text())


def file_identity(path: str) -> str:
    """A file by its content; "absent" when it is not there, so that a recipe can be looked at without it. Raises RecipeError."""
    return _digest(path) if Path(path).exists() else "absent"


@cache
def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise RecipeError(f"data.imports names {path}, which cannot be read: {error.strerror}") from error


@cache
def base_model_identity(base_model: str) -> str:
    """A Hub id as it is; a local folder by the content of its files, so that another base is another model.

    How a model came to be (its run, its curve) is no part of what it is: the same weights trained again are the same model.

    Raises NotBuilt when there is no model in the folder.
    """
    folder = Path(base_model)
    if not any((folder / name).exists() for name in ("config.json", "adapter_config.json")):
        if _is_path(base_model):
            raise NotBuilt(f"there is no model in {base_model}", "scripts/pretrain.py", f"--set base_model={base_model}", BASE)
        return base_model
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json", ".jinja") and p.name not in RECORDS):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _is_path(base_model: str) -> bool:
    """Hub ids are "name" or "owner/name"; `models/` and `runs/` are this repository's folders."""
    return base_model.startswith((".", "/", "~", "models/", "runs/")) or base_model.count("/") > 1


def write_json(path: Path, data: Any) -> None:
    """Replace `path` in one step, so that it is never half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    part.replace(path)
