"""What teacher models are asked for, and how their answers are read: one module per question, each with prompt, renderer and parser."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from planact.types import content_hash


class AnswerError(ValueError):
    """An answer breaks the format or a rule: the message goes back to the teacher, rejections are counted by `reason`, a few words."""

    def __init__(self, message: str, reason: str = ""):
        super().__init__(message)
        self.reason = reason or message


@cache
def teaching_hash() -> str:
    """Identity of everything in this package; goes with every row made with it."""
    sources = sorted((file.name, file.read_text(encoding="utf-8")) for file in files(__package__).iterdir() if file.name.endswith(".py"))
    return content_hash(sources)
