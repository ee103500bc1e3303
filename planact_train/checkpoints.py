"""Checkpoints that are whole or not there: how one gets its name, which one a training goes on from, which old ones go.

A checkpoint is written in `saving/` and renamed to `checkpoint-<step>` once all of it is on disk, so neither a kill nor a full disk leaves
half of one under that name. Its `planact.json` says which training wrote it and how long each file is: that tells a copy that was cut
short, and one of another training. The folder must be one that every process sees.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from planact.database import StoreError
from planact.layout import write_json
from planact.recipe import RecipeError

MARK = "planact.json"
SAVING = "saving"  # beside the checkpoints: the one that is being written
Result = TypeVar("Result")


@dataclass(frozen=True)
class Origin:
    """The training that a checkpoint is of."""

    model: str  # name of the model folder: the role, and the hash of all that changes the model
    parameters: str  # hash of the names and shapes of what is trained
    strategy: str  # what reads the files: another way to shard the weights cannot


def last_checkpoint(folder: Path, origin: Origin) -> str | None:
    """The newest checkpoint of `origin` in `folder` that is whole; the same answer in every process.

    Any newer one is named with what is wrong, and renamed, not deleted. Deleted is only what this training itself left in `saving/`.
    Raises RecipeError when the newest whole one was sharded in another way.
    """
    return on_main(lambda: _last(folder, origin))


def on_main(function: Callable[[], Result]) -> Result:
    """What `function` returns in the main process, in every process; and so with an error that a user can correct."""
    outcome: list[Any] = [None, None]
    if PartialState().is_main_process:
        try:
            outcome[0] = function()
        except (RecipeError, StoreError) as error:
            outcome[1] = error
    broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def _last(folder: Path, origin: Origin) -> str | None:
    shutil.rmtree(folder / SAVING, ignore_errors=True)
    for path in reversed(checkpoints(folder)):
        problem = fault(path, origin)
        if problem is None:
            _check_strategy(path, origin)
            print(f"resuming from {path}")
            return str(path)
        print(f"{path} is skipped: {problem}. It is kept as {_set_aside(path).name}")
    return None


def checkpoints(folder: Path) -> list[Path]:
    """The folders named `checkpoint-<step>`, the oldest step first."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir() and re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=_step)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-"))


def fault(path: Path, origin: Origin) -> str | None:
    """Why a training of `origin` cannot go on from the checkpoint `path`; None when it can."""
    try:
        mark = read_mark(path)
        step, model, parameters, files = mark["step"], mark["model"], mark["parameters"], dict(mark["files"])
    except FileNotFoundError:
        return f"it has no {MARK}, so planact did not save it"
    except (OSError, ValueError, TypeError, KeyError) as error:
        return f"its {MARK} cannot be read ({type(error).__name__})"
    if model != origin.model:
        return f"it is a checkpoint of {model}, not of {origin.model}"
    if parameters != origin.parameters:
        return "the parameters that it trains have other names or shapes, so the base model has changed"
    if step != _step(path):
        return f"it was saved at step {step}"
    for name, length in files.items():
        file = path / name
        if not file.is_file():
            return f"its {name} is missing"
        if (found := file.stat().st_size) != length:
            return f"its {name} has {found:,} bytes of {length:,}"
    return None


def read_mark(path: Path) -> dict[str, Any]:
    """What `publish` wrote about the checkpoint `path`."""
    return json.loads((path / MARK).read_text())


def _check_strategy(path: Path, origin: Origin) -> None:
    saved = read_mark(path)["strategy"]
    if saved != origin.strategy:
        raise RecipeError(
            f"{path} was saved under {saved}, and this training runs under {origin.strategy}, which cannot read it; "
            f"launch it as before, or begin again: mv {path} {path.parent}/other-{path.name}"
        )


def _set_aside(path: Path) -> Path:
    names = (path.with_name(f"unusable-{path.name}{suffix}") for suffix in ("", *(f"-{n}" for n in range(2, 1000))))
    return path.rename(next(name for name in names if not name.exists()))


def publish(saved: Path, origin: Origin, more: dict[str, Any]) -> Path:
    """Rename `<folder>/saving/checkpoint-<step>` to `<folder>/checkpoint-<step>`, once it is marked and on disk. Returns the new path.

    For one process, after every process has written its part. `more` is kept in the mark.
    """
    files = sorted(file for file in saved.rglob("*") if file.is_file())
    sizes = {str(file.relative_to(saved)): file.stat().st_size for file in files}
    write_json(saved / MARK, {"step": _step(saved), **dataclasses.asdict(origin), **more, "files": sizes})
    final = saved.parents[1] / saved.name
    for path in (*files, saved / MARK, *(path for path in saved.rglob("*") if path.is_dir()), saved):
        _to_disk(path)
    saved.rename(final)
    _to_disk(final.parent)
    return final


def _to_disk(path: Path) -> None:
    """A rename may reach the disk before what was written; after a power cut the files would be empty."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rotate(folder: Path, limit: int | None, best: str | None) -> None:
    """Delete the oldest checkpoints above `limit` (None or 0: keep all), but neither the newest nor the `best`."""
    found = checkpoints(folder)
    kept = {*found[-1:], *(path for path in found if best and path.name == Path(best).name)}
    spare = [path for path in found if path not in kept]
    for path in spare[: max(0, len(found) - max(limit, len(kept)))] if limit else []:
        shutil.rmtree(path.rename(folder / SAVING / path.name))  # renamed first, so that a kill leaves no half of it under its name
