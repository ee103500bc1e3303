"""Which checkpoint a training goes on from: the newest that was saved to its end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was saved to its end; unfinished ones are named and removed."""
    while folder.is_dir() and (path := get_last_checkpoint(str(folder))):
        if _is_whole(Path(path) / "trainer_state.json"):
            print(f"resuming from {path}")
            return path
        print(f"{path} was not saved to its end; removing it")
        shutil.rmtree(path)
    return None


def _is_whole(trainer_state: Path) -> bool:
    """The file that is written last, and in place, so that a kill can leave half of it."""
    try:
        json.loads(trainer_state.read_text())
    except (FileNotFoundError, ValueError):
        return False
    return True
