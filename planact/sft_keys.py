"""The keys that `sft` may hold: the fields of the installed TRL's `SFTConfig` and `ModelConfig`.

Read from the source text with `ast`, because importing TRL takes seconds and a typo should be refused in well under one.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

_CLASSES = (  # package, file, class; the first three are SFTConfig and its bases
    ("trl", "trainer/sft_config.py", "SFTConfig"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/model_config.py", "ModelConfig"),
)


@functools.cache
def sft_keys() -> frozenset[str]:
    """Field names, or an empty set when TRL is missing or laid out otherwise: then the trainer is left to check them."""
    names: set[str] = set()
    for package, file, class_name in _CLASSES:
        found = _fields(package, file, class_name)
        if not found:
            return frozenset()
        names |= found
    return frozenset(names)


def _fields(package: str, file: str, class_name: str) -> set[str]:
    spec = importlib.util.find_spec(package)  # a top-level name: finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        return set()
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.is_file():
        return set()
    module = ast.parse(path.read_text(encoding="utf-8"))
    bodies = [node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == class_name]
    return {line.target.id for body in bodies for line in body if isinstance(line, ast.AnnAssign) and _is_option(line)}


def _is_option(line: ast.AnnAssign) -> bool:
    """A dataclass field that the constructor takes."""
    kind, value = ast.unparse(line.annotation), ast.unparse(line.value) if line.value else ""
    return isinstance(line.target, ast.Name) and "ClassVar" not in kind and "init=False" not in value
