"""The records of a JSON or JSON-lines file that somebody else wrote, one after the other; broken ones are named, not fatal."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, TextIO

CHUNK = 2**20  # characters read at once
MAX_RECORD = 2**26  # characters of one record of an array; what is longer is taken for damage
SHOWN = 2000  # characters of a broken record that are kept

_BETWEEN = re.compile(r"[\s,]*")
_START = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*"')  # of a record, up to its first key
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escaped half of a character, which stands alone if the other half is missing
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what undecodable bytes become under "surrogateescape"


@dataclass(frozen=True)
class Record:
    number: int  # in the file, from 1
    line: int  # where it starts, from 1
    value: dict[str, Any] | None  # None: it cannot be read
    problem: str = ""  # why not, in a few words
    text: str = ""  # the beginning of one that cannot be read


Found = tuple[int, dict[str, Any] | None, str, str]  # a Record without its number


def read_records(path: Path) -> Iterator[Record]:
    """Objects of a JSON array, or of a file with one on each line. The file is never in memory as a whole. Raises OSError."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        is_array = file.read(CHUNK).lstrip().startswith("[")
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        found = _array(file) if is_array else _lines(file)
        for number, (line, value, problem, text) in enumerate(found, 1):
            yield Record(number, line, value, problem, text)


def _lines(file: TextIO) -> Iterator[Found]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                yield _record(number, json.loads(line), line)
            except (ValueError, RecursionError):
                yield _broken(number, "not JSON", line)


def _array(file: TextIO) -> Iterator[Found]:
    """Records are decoded from a buffer that grows while one is unfinished. After a damaged one, reading goes on where the next
    begins as the first one did: same indentation, same first key."""
    decode = json.JSONDecoder().raw_decode
    buffer, start = file.read(CHUNK), ""
    at = buffer.index("[") + 1
    line = 1 + buffer.count("\n", 0, at)
    while True:
        if not start and (first := _START.match(buffer, at)):
            start = first[0]
        end = _BETWEEN.match(buffer, at).end()
        line += buffer.count("\n", at, end)
        at = end
        if buffer[at : at + 1] == "]":
            return
        try:
            value, end = decode(buffer, at)
            yield _record(line, value, buffer[at:end])
        except (ValueError, RecursionError):
            more = file.read(max(CHUNK, len(buffer) - at)) if len(buffer) - at < MAX_RECORD else ""
            if more:
                buffer, at = buffer[at:] + more, 0
                continue
            if at == len(buffer):
                return
            end = buffer.find(start, at + 1) if start else -1
            end = len(buffer) if end < 0 else end
            yield _broken(line, "not JSON", buffer[at:end])
        line += buffer.count("\n", at, end)
        at = end


def _record(line: int, value: Any, text: str) -> Found:
    if _NOT_UTF8.search(text):
        return _broken(line, "not UTF-8", text)
    if _HALF.search(text) and not _can_be_written(value):
        return _broken(line, "half a character", text)
    if not isinstance(value, dict):
        return _broken(line, "not an object", text)
    return line, value, "", ""


def _can_be_written(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _broken(line: int, problem: str, text: str) -> Found:
    return line, None, "not UTF-8" if _NOT_UTF8.search(text) else problem, _NOT_UTF8.sub("\ufffd", text[:SHOWN]).strip()
