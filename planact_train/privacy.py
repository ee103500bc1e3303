"""What others may read of a recipe, a record or a command tells nothing of this machine: none of its folders, no server of one's own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SERVER = "http://localhost:8000/v1"  # stands for a server of one's own: where vLLM serves unless told otherwise
# Addresses that are nobody's secret: those of any machine itself, and the one that the shipped recipes name.
_TOLD = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\]|api\.openai\.com)([:/]|$)")
_ADDRESS = re.compile(r"(^(?=\S+$)|base_url\W{1,4})(https?://[^\s,'\"{}]+)")  # a text of its own, or in a command
# A path from the root or from a home folder, anywhere in a text. What is like one and is none: the rest of an address or of a relative
# path, a closing tag. Folders may have blanks in their names; commas, colons, quotes and brackets end a path.
_WHOLE = re.compile(r"/|~[\w.-]*/")
_BEGIN = r"(?:(?<![\w./~)\]}<:-])/+|(?<=:)/(?!/)|(?<=file://)/|(?<![\w./~-])~[\w.-]*/+)"
_PATH = re.compile(_BEGIN + r"(?:[^\s/,;:'\"{}\[\]][^/\n,;:'\"{}\[\]]*/+)*[^\s/,;:'\"{}\[\]]+")


def without_machine(data: Any) -> Any:
    """A recipe or a record as others may read it."""
    return _with_texts(data, told_text)


def without_folders(data: Any) -> Any:
    """The same data, each text that is an absolute path by its last part. Other texts may be templates and tokens: they stay."""
    return _with_texts(data, lambda text: _shortened(text, None) if _WHOLE.match(text) else text)


def _with_texts(data: Any, told: Callable[[str], str]) -> Any:
    if isinstance(data, Mapping):
        return {key: _with_texts(value, told) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_texts(value, told) for value in data]
    return told(data) if isinstance(data, str) else data


def told_text(text: str, here: Path | None = None) -> str:
    """The text with each absolute path by its last part, or from `here` where it lies below that folder, and no server of one's own."""
    if _WHOLE.match(text):  # a path from end to end, whatever its folders are called
        return _shortened(text, here)
    text = _ADDRESS.sub(lambda found: found[1] + _server(found[2]), text)
    return _PATH.sub(lambda found: _shortened(found[0], here), text)


def _shortened(path: str, here: Path | None) -> str:
    return os.path.relpath(path, here) if here and Path(path).is_relative_to(here) else Path(path).name


def _server(address: str) -> str:
    return address if _TOLD.match(address) else SERVER
