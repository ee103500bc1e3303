"""What a task template is, and the evaluation rows that templates share."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any, Callable

from planact_envs.miniweb.database import Row
from planact_envs.miniweb.solution import Solution

Params = dict[str, str]
Database = sqlite3.Connection
KINDS = ("find", "navigate", "change", "compare", "aggregate", "infeasible")  # as WebArena's tasks


@dataclass(frozen=True)
class Template:
    """A family of tasks that differ in `params` only. All functions read the untouched world and change nothing."""

    name: str  # "shop.price"
    sites: tuple[str, ...]
    phrasings: tuple[str, str, str]  # intents with {param} fields
    main: tuple[str, ...]  # the params that name the thing the task is about; splits share none of these things
    instances: Callable[[Database], list[Params]]
    solve: Callable[[Database, Params], Solution]
    evaluate: Callable[[Database, Params], dict[str, Any]]
    kind: str  # one of KINDS
    unseen: bool = False  # absent from training and validation: all its tasks are test tasks of the full benchmark
    weight: int = 1  # its share of its group's tasks relative to the group's other templates
    short: bool = False  # also part of miniweb-short

    @property
    def group(self) -> str:
        """The row of the benchmark's table that it belongs to: its site, or "two-site"."""
        return self.sites[0] if len(self.sites) == 1 else "two-site"


def report(answer: str, url: str = "") -> dict[str, Any]:
    """Evaluation of a question: the exact answer, on the page `url` when answers of two tasks may be equal, nothing changed."""
    evaluation: dict[str, Any] = {"eval_types": ["string_match"], "reference_answers": {"exact_match": answer}, "database": {}}
    if url:
        evaluation |= {"eval_types": ["string_match", "url_match"], "reference_url": url}
    return evaluation


def report_missing(url: str) -> dict[str, Any]:
    """Evaluation of a request that cannot be met: the answer N/A, given on the page `url` that shows so; nothing changed."""
    return report("N/A", url)


def end_on(url: str) -> dict[str, Any]:
    """Evaluation of a task that asks for a page: the episode ends on `url`, nothing changed."""
    return {"eval_types": ["url_match"], "reference_url": url, "database": {}}


def change(table: str, kind: str, row: Row, *, url: str, shows: list[str]) -> dict[str, Any]:
    """Evaluation of a task that changes one row: `kind` is "added", "removed" or "changed"; the page at `url` shows it."""
    return changes({table: {kind: [row]}}, url=url, shows=shows)


def changes(database: dict[str, dict[str, list[Row]]], *, url: str, shows: list[str]) -> dict[str, Any]:
    """Evaluation of a task whose end state differs from the start by exactly `database`."""
    complete = {name: {"added": [], "removed": [], "changed": []} | change for name, change in database.items()}
    check = {"url": url, "required_contents": {"must_include": shows}}
    return {"eval_types": ["program_html"], "program_html": [check], "database": complete}
