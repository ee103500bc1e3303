"""The task files of WebArena-Lite and WebArena, read from their PyPI packages, which are never imported, or from a path.

Tasks keep the files' `__SHOPPING__`-like placeholders, so a task is the same row wherever its sites are hosted;
`planact_envs.webarena.sites` puts the addresses in.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, Mapping

from planact.recipe import RecipeError
from planact.types import Task

INSTALLED = {  # suite -> (distribution, file in it), the first that is installed is read; both files of "webarena" are the same bytes
    "webarena-lite": (("browsergym-webarenalite", "browsergym/webarenalite/test_webarena_lite.raw.json"),),
    "webarena": (("webarena-verified", "webarena_verified/assets/dataset/test.raw.json"), ("libwebarena", "webarena/test.raw.json")),
}
SPLITS = {"webarena-lite": ("validation", "test"), "webarena": ("test",)}
PATHS = {"webarena-lite": "PLANACT_WEBARENA_LITE_TASKS", "webarena": "PLANACT_WEBARENA_TASKS"}  # environment variables
REQUIRED = {"task_id": int, "sites": list, "intent": str, "start_url": str, "intent_template_id": int, "eval": dict}
EVALUATION = {"eval_types": list, "reference_answers": dict | None, "reference_url": str | None, "program_html": list}
PAGE_CHECK = {"url": str, "locator": str, "required_contents": dict}
_LOGIN = re.compile(r"([\w.]+)_state\.json$")


def task_file(suite: str) -> Path:
    """The file that holds a suite's tasks. Raises RecipeError with what to type."""
    variable = PATHS[suite]
    if path := os.environ.get(variable):
        if not Path(path).is_file():
            raise RecipeError(f"{variable} names {path}, which is no file; set it to the task file of {suite}, or unset it")
        return Path(path)
    for distribution, name in INSTALLED[suite]:
        if path := installed_file(distribution, name):
            return path
    raise RecipeError(f"the tasks of {suite} are not installed; type `make webarena`, or set {variable} to the path of the task file")


def installed_file(distribution: str, name: str) -> Path | None:
    """A file of an installed distribution, without importing anything of it."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(file.locate()) for file in files if str(file) == name), None)


def version(suite: str) -> str:
    """Changes with any byte of the task file, and with how it is read."""
    try:
        return "1-" + hashlib.sha256(task_file(suite).read_bytes()).hexdigest()[:8]
    except RecipeError:  # so that recipes can be looked at without it; `load_tasks` raises
        return "absent"


def load_tasks(suite: str, split: str) -> tuple[Task, ...]:
    """The tasks of a suite: all of its file are its test split. Raises RecipeError for another split and for a file that cannot be read.

    WebArena-Lite's validation split is ours: WebArena's tasks of the templates that WebArena-Lite has no task of, 115 of 25 templates.
    """
    if (suite, split) == ("webarena-lite", "validation"):
        templates = {task.template for task in load_tasks(suite, "test")}
        others = (task for task in load_tasks("webarena", "test") if task.template not in templates)
        return tuple(replace(task, id=f"{suite}.{number_of(task)}", suite=suite, split=split) for task in others)
    if split != "test":
        raise RecipeError(f"{suite} has no split {split!r}; it has {' and '.join(SPLITS[suite])}")
    path = task_file(suite)
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"the task file {path} cannot be read: {error}") from error
    if not isinstance(rows, list):
        raise RecipeError(f"the task file {path} holds no list of tasks")
    tasks = tuple(task_of(suite, row, f"{path}, entry {index}") for index, row in enumerate(rows))
    if len({task.id for task in tasks}) < len(tasks):
        raise RecipeError(f"the task file {path} holds a task twice")
    return tasks


def task_of(suite: str, row: Any, where: str) -> Task:
    """A task of one entry. Its number is WebArena's, in WebArena-Lite too (`old_task_id`), as BrowserGym counts them.

    `eval` is the entry's own, and beside it "login", the sites to be signed in to, and "geolocation".
    """
    _check(row, REQUIRED, where)
    evaluation = {"reference_answers": {}, "reference_url": "", "program_html": []} | row["eval"]
    _check(evaluation, EVALUATION, f"{where}, eval")
    for check in evaluation["program_html"]:
        _check(check, PAGE_CHECK, f"{where}, program_html")
    for contents in [evaluation["reference_answers"] or {}, *(check["required_contents"] for check in evaluation["program_html"])]:
        for kind, value in contents.items():
            if not all(isinstance(text, str) for text in (value if isinstance(value, list) else [value])):
                raise RecipeError(f"{where}: `{kind}` is neither a text nor a list of texts")
    login = _LOGIN.search(row.get("storage_state") or "")
    extra = {"login": login[1].split(".") if login else [], "geolocation": row.get("geolocation")}
    return Task(
        id=f"{suite}.{row.get('old_task_id', row['task_id'])}",
        suite=suite,
        split="test",
        sites=tuple(row["sites"]),
        intent=row["intent"],
        start_url=row["start_url"],
        template=str(row["intent_template_id"]),
        params={name: str(value) for name, value in (row.get("instantiation_dict") or {}).items()},
        eval=evaluation | extra,
    )


def _check(data: Any, wanted: Mapping[str, Any], where: str) -> None:
    for key, kind in wanted.items():
        if not isinstance(data, Mapping) or not isinstance(data.get(key), kind):
            raise RecipeError(f"{where}: `{key}` is missing or is no {getattr(kind, '__name__', kind)}")


def number_of(task: Task) -> int:
    """WebArena's number of a task."""
    return int(task.id.rpartition(".")[2])
