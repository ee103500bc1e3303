"""WebVoyager's questions, read from the user's copy of its file (data/WebVoyager_data.jsonl of github.com/MinorJerry/WebVoyager).

| environment variable | |
|---|---|
| `WEBVOYAGER_TASKS` | path of the file: one {"web_name", "id", "ques", "web"} a line |
| `WEBVOYAGER_DATE` | day of the run, e.g. 2026-11-21, for questions that book something (planact_envs.webvoyager.dates) |
| `WEBVOYAGER_SITES` | sites to ask about, e.g. "ArXiv, BBC News"; all when it is not set |

All three are in the suite's version, so a run is resumed with the values that it was started with. `reference_answer.json`
beside the file is optional; its answers are reported with the verdicts and never shown to a model.
"""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path
from typing import Any, Mapping
from urllib.parse import urlsplit

from planact.recipe import RecipeError
from planact.types import Task, content_hash
from planact_envs.webvoyager.dates import move_dates

SUITE = "webvoyager"
FIELDS = ("web_name", "id", "ques", "web")
REFERENCES = "reference_answer.json"
_ID = re.compile(r"[A-Za-z0-9][\w .-]*--\d+")  # also the name of a folder of screenshots


def load_tasks(split: str, environ: Mapping[str, str] = os.environ) -> tuple[Task, ...]:
    """All questions about the wanted sites; there is a "test" split only. Raises RecipeError with what to type."""
    if split != "test":
        raise RecipeError(f"webvoyager has no split {split!r}; set eval.split to test, the only one that WebVoyager has")
    if not environ.get("WEBVOYAGER_TASKS"):
        raise RecipeError("webvoyager reads a file of yours; type: export WEBVOYAGER_TASKS=<path of WebVoyager_data.jsonl>")
    path, run_day = Path(environ["WEBVOYAGER_TASKS"]), _run_day(environ.get("WEBVOYAGER_DATE", ""))
    rows = read_rows(path)
    wanted = _wanted_sites(environ.get("WEBVOYAGER_SITES", ""), {row["web_name"] for row in rows})
    references = read_references(path.parent / REFERENCES)
    return tuple(_task(row, run_day, references) for row in rows if row["web_name"] in wanted)


def version(environ: Mapping[str, str] = os.environ) -> str:
    """The day of the run and a hash of the questions as they are asked. Raises RecipeError."""
    hashes = [task.hash for task in load_tasks("test", environ)]
    return "-".join(filter(None, [environ.get("WEBVOYAGER_DATE"), content_hash(hashes, 8)]))


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a question file. Raises RecipeError, which names the line."""
    rows: dict[str, dict[str, str]] = {}
    for number, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            found = {name: row[name] for name in FIELDS}
        except (ValueError, RecursionError, TypeError, KeyError) as error:
            raise RecipeError(f"{path}:{number}: expected a JSON object with {', '.join(FIELDS)}; {error!r}") from error
        if problem := _problem(found, rows):
            raise RecipeError(f"{path}:{number}: {problem}")
        rows[found["id"]] = found
    if not rows:
        raise RecipeError(f"{path} holds no questions; set WEBVOYAGER_TASKS to WebVoyager_data.jsonl")
    return list(rows.values())


def read_references(path: Path) -> dict[str, dict[str, str]]:
    """Task id → {"type": "golden" or "possible", "answer"}; empty when there is no file. Raises RecipeError."""
    if not path.exists():
        return {}
    try:
        sites = json.loads(_read(path))
        return {
            f"{site}--{answer['id']}": {"type": str(answer["type"]), "answer": str(answer["ans"])}
            for site, entry in sites.items()
            for answer in entry["answers"]
        }
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise RecipeError(f"{path} is not WebVoyager's file of reference answers ({error!r}); mend it or move it away") from error


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read ({error}); set WEBVOYAGER_TASKS to WebVoyager_data.jsonl") from error


def _problem(row: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """What is wrong with a row, in words; empty when nothing is."""
    wrong = next((name for name, value in row.items() if not (isinstance(value, str) and value.strip())), None)
    if wrong:
        return f"{wrong} is {row[wrong]!r}, expected a text"
    if not _ID.fullmatch(row["id"]):
        return f"the id {row['id']!r} is not written like 'ArXiv--3'"
    if row["id"] in before:
        return f"the id {row['id']!r} is used twice"
    if not re.match(r"https?://[\w.-]+", row["web"]) or "@" in urlsplit(row["web"]).netloc:
        return f"web is {row['web']!r}, expected an address such as https://arxiv.org/"
    return ""


def _run_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise RecipeError(f"WEBVOYAGER_DATE is {text!r}, expected a day such as 2026-11-21") from error


def _wanted_sites(text: str, known: set[str]) -> set[str]:
    wanted = {name.strip() for name in text.split(",") if name.strip()}
    if unknown := sorted(wanted - known):
        raise RecipeError(f"WEBVOYAGER_SITES names {', '.join(unknown)}; the file's sites are {', '.join(sorted(known))}")
    return wanted or known


def _task(row: Mapping[str, str], run_day: date | None, references: Mapping[str, Mapping[str, str]]) -> Task:
    try:
        asked = move_dates(row["ques"], row["web_name"], run_day)
    except ValueError as error:
        raise RecipeError(f"{row['id']}: the dates in {row['ques']!r} cannot be moved: {error}") from error
    return Task(
        id=row["id"],
        suite=SUITE,
        split="test",
        sites=(row["web_name"],),
        intent=asked,
        start_url=row["web"],
        template=row["web_name"],  # so that eval.limit takes questions of all sites
        params={} if asked == row["ques"] else {"question": row["ques"], "run_day": run_day.isoformat()},
        eval={"reference": references[row["id"]]} if row["id"] in references else {},
    )
