"""The name of a base model that other people can follow: its Hub id, or what is known of a folder; never a path of this machine."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

import planact
from planact.layout import BASE, FINISHED, base_model_identity

CONFIGS = ("config.json", "adapter_config.json")

# A file of the Hub's cache: .../models--owner--name/snapshots/<commit>
_CACHED = re.compile(r"models--([\w.-]+?)--([\w.-]+)/snapshots/([0-9a-f]{40})/?$")


@dataclass(frozen=True)
class Origin:
    """What a model was fine-tuned from."""

    name: str  # Hub id, or the last part of a folder's path
    hub_id: str | None = None  # None: it is not known to be on the Hub
    revision: str | None = None
    content: str | None = None  # hash of a folder's files
    made: str = ""  # how a model that is not on the Hub came to be


def origin_of(base_model: str, revision: str | None = None) -> Origin:
    """The origin that `base_model` of a recipe stands for. Raises NotBuilt when it is a folder without a model."""
    identity = base_model_identity(base_model)
    if identity == base_model:
        return Origin(base_model, base_model, revision)
    folder = Path(base_model).resolve()
    if cached := _CACHED.search(folder.as_posix()):
        name = f"{cached[1]}/{cached[2]}"
        return Origin(name, name, cached[3])
    return Origin(folder.name, content=identity, made=_story(folder))


def _story(folder: Path) -> str:
    """How the model in `folder` came to be, from the files beside it."""
    if (folder / FINISHED).exists() and (folder / "recipe.yaml").exists():
        recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
        role = json.loads((folder / FINISHED).read_text()).get("settings", {}).get("role", "model")
        return f"the {role} of the recipe {recipe.get('name')}, fine-tuned with planact"
    if folder.is_relative_to(Path(planact.__file__).parents[1] / "models"):
        return f"made from nothing by {BASE} of planact"
    config = json.loads(next(path for name in CONFIGS if (path := folder / name).exists()).read_text())
    architecture = next(iter(config.get("architectures") or []), None) or config.get("peft_type", "unknown")
    return f"a local {architecture} that is not on the Hub"
