"""A model on its way to the Hugging Face Hub: the finished one as `main`, each checkpoint as a branch named by its step.

What is pushed is weights, tokenizer, card and records; no optimizer states, no random states, no path of this machine, nothing that looks
like a secret. The same files again make no commit. Nothing here needs torch.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from planact.hub import Files, check_secrets, publishable, push_files
from planact.layout import RUN
from planact_train.model_card import CARD, Names, write_card
from planact_train.privacy import without_folders, without_machine

PUSHED = (".safetensors", ".json", ".jinja", ".model", ".txt", ".md", ".yaml", ".svg")  # suffixes; optimizer states have others
RECORDS = ("recipe.yaml", "finished.json", "run.json")  # ours: sentences and commands, in which a path may stand anywhere
CONFIGS = ("config.json", "tokenizer_config.json", "adapter_config.json")  # the libraries': a text is a path, or to be left as it is
KEPT_HERE = ("trainer_state.json", "planact.json")  # of checkpoints: what a resumed training needs


def push_model(folder: Path, names: Names, *, checkpoints: bool = False, public: bool = False, dry_run: bool = False) -> list[str]:
    """Write the card of the finished model in `folder`, and bring the repository `names.repo` to it. Returns what was done, or would be.

    Raises PublishError; what was pushed before the error stays, and the same call goes on from there.
    """
    write_card(folder, names)
    sources = [None, *(loadable_steps(folder) if checkpoints else [])]
    with TemporaryDirectory(prefix="planact-push-") as place:
        staged = [_stage(folder, step, names, Path(place) / str(step or "main")) for step in sources]
        for files in staged:
            check_secrets(folder, files, {})
        lines = []
        for step, files in zip(sources, staged, strict=True):
            about = {"branch": _branch(step), "message": _message(folder, step)}
            push = push_files(files, names.repo, "model", public=public, dry_run=dry_run, **about)
            lines += push.lines(folder, files, done=not dry_run)
    return lines


def push_checkpoint(folder: Path, step: int, names: Names, *, public: bool = False) -> list[str]:
    """Push one checkpoint of the model in `folder` as a branch. Returns what was done. Raises PublishError."""
    with TemporaryDirectory(prefix="planact-push-") as place:
        files = _stage(folder, step, names, Path(place))
        check_secrets(folder, files, {})
        push = push_files(files, names.repo, "model", branch=_branch(step), public=public, message=_message(folder, step))
        return push.lines(folder / f"checkpoint-{step}", files, done=True)


def loadable_steps(folder: Path) -> list[int]:
    """The steps whose checkpoints hold weights that load: one that keeps its weights sharded is for resuming only."""
    found = {path: re.fullmatch(r"checkpoint-(\d+)", path.name) for path in folder.glob("checkpoint-*")}
    return sorted(int(match[1]) for path, match in found.items() if match and any(path.glob("*.safetensors")))


def _branch(step: int | None) -> str:
    return "" if step is None else f"step-{step:06d}"


def _message(folder: Path, step: int | None) -> str:
    run = json.loads((folder / RUN).read_text())["run"]
    return f"Model of {run}" if step is None else f"Step {step} of {run}"


def _stage(folder: Path, step: int | None, names: Names, place: Path) -> Files:
    """The files to push, by their names in the repository. Those that would tell paths of this machine are rewritten in `place`."""
    place.mkdir(parents=True, exist_ok=True)
    source = folder if step is None else folder / f"checkpoint-{step}"
    files = {name: path for name, path in publishable(source).items() if _is_pushed(name)}
    if step is None:
        files |= {path.relative_to(folder).as_posix(): path for path in sorted(folder.glob(".eval_results/*.yaml"))}
    else:
        write_card(folder, names, into=place, step=step)
        files[CARD] = place / CARD
    base = names.base or json.loads((folder / RUN).read_text())["base_model"]["hub_id"]
    for name in (*RECORDS, *CONFIGS):
        if name in files and (text := _told(name, files[name].read_text(), base)) is not None:
            (place / name).write_text(text)
            files[name] = place / name
    return files


def _is_pushed(name: str) -> bool:
    parts = Path(name).parts
    return name.endswith(PUSHED) and name not in KEPT_HERE and (len(parts) == 1 or parts[0] == "results")


def _told(name: str, text: str, base: str | None) -> str | None:
    """`text` without what only this machine has, and an adapter's base by its Hub id; None when that changes nothing."""
    read, write = (yaml.safe_load, _yaml) if name.endswith(".yaml") else (json.loads, _json)
    data = read(text)
    told = without_machine(data) if name in RECORDS else without_folders(data)
    if base and name == "adapter_config.json":
        told["base_model_name_or_path"] = base
    if base and name == "recipe.yaml":
        told["base_model"] = base
    return None if told == data else write(told)


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
