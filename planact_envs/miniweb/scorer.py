"""Judging an episode: WebArena's evaluation form, plus the exact difference that the episode made to the database.

An evaluation names its checks in "eval_types": "string_match" (the answer), "url_match" (the page the episode ended
on), "program_html" (what a page shows at the end). "database" is always checked, so a side effect is a failure.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from typing import Any, Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from planact.types import Outcome
from planact_envs.evidence import Evidence, kept
from planact_envs.miniweb.database import Difference, Row, connect, difference, frozen
from planact_envs.page import Node, read_html

SCORER = "miniweb"
EVAL_TYPES = ("string_match", "url_match", "program_html")
Fetch = Callable[[str], Awaitable[str]]


async def score(
    task_eval: Mapping[str, Any], *, answer: str, url: str, start: sqlite3.Connection | bytes, end: sqlite3.Connection, fetch: Fetch
) -> Outcome:
    """Judge an episode. The reason says everything that did not match.

    `start` and `end` are the world before and after; for the rest see `verdict`.
    """
    return await verdict(task_eval, answer=answer, url=url, changes=changes(start, end), fetch=fetch)


async def verdict(task_eval: Mapping[str, Any], *, answer: str, url: str, changes: Difference | None, fetch: Fetch) -> Outcome:
    """Judge an episode by what it left behind. The reason says everything that did not match.

    `answer` is what the agent reported, `url` the page it ended on, `changes` what it did to the database (None where there is no
    evaluation), and `fetch(url)` gives the HTML (or the plain text) of a page at the end. An answer to a task that asks for none is
    ignored, and without an evaluation nothing can be said. Raises ValueError for an evaluation type that does not exist.
    """
    if not task_eval:
        return Outcome(None, SCORER, "the task has no evaluation")
    unknown = [kind for kind in task_eval["eval_types"] if kind not in EVAL_TYPES]
    if unknown:
        raise ValueError(f"unknown evaluation type {', '.join(unknown)}; known are {', '.join(EVAL_TYPES)}")
    faults: list[str] = []
    if "string_match" in task_eval["eval_types"]:
        faults += answer_faults(task_eval["reference_answers"], answer)
    if "url_match" in task_eval["eval_types"]:
        faults += url_faults(task_eval["reference_url"], url)
    if "program_html" in task_eval["eval_types"]:
        faults += await page_faults(task_eval["program_html"], url, fetch)
    faults += database_faults(task_eval["database"], changes)
    return Outcome(success=not faults, scorer=SCORER, reason="; ".join(faults))


def clean(answer: str) -> str:
    """Lower case, single spaces, without surrounding quotes and final period."""
    text = " ".join(answer.lower().split()).removesuffix(".").strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip().removesuffix(".").strip()
    return text


def contains(text: str, wanted: str) -> bool:
    """`wanted` stands in `text` as whole tokens: "12" is in "12 pieces" and in "is 12.", not in "120", "12.50" or "1.12"."""
    pattern = r"(?<![\w$])(?<!\d[.,:])" + re.escape(clean(wanted)) + r"(?!\w)(?![.,:]\d)"
    return re.search(pattern, " ".join(text.lower().split())) is not None


def answer_faults(reference: Mapping[str, Any], answer: str) -> list[str]:
    unknown = set(reference) - {"exact_match", "must_include"}
    if unknown:
        raise ValueError(f"unknown reference answer {', '.join(sorted(unknown))}; known are exact_match, must_include")
    faults = []
    if "exact_match" in reference and clean(answer) != clean(reference["exact_match"]):
        faults.append(f"answer: expected {reference['exact_match']!r}, got {answer!r}")
    missing = [wanted for wanted in reference.get("must_include", ()) if not contains(answer, wanted)]
    return faults + [f"answer: expected it to include {wanted!r}, got {answer!r}" for wanted in missing]


def url_faults(reference: str, url: str) -> list[str]:
    """`reference` may give several pages, separated by " |OR| "."""
    if any(same_page(one, url) for one in reference.split(" |OR| ")):
        return []
    return [f"url: expected {reference!r}, got {url!r}"]


def same_page(one: str, other: str) -> bool:
    return page_key(one) == page_key(other)


def page_key(url: str) -> tuple[str, str, str]:
    """Host, path and query; the `done` field only names the notice that a page shows once."""
    parts = urlsplit(url)
    query = urlencode(sorted(pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] != "done"))
    return parts.netloc.lower(), parts.path.rstrip("/"), query


async def evidence(task_eval: Mapping[str, Any], *, url: str, changes: Difference | None, fetch: Fetch) -> dict[str, Any]:
    """What `verdict` needs when the world is gone, to be stored: the pages that it reads, the last one, and what changed."""
    addresses = dict.fromkeys([url, *(page_address(check, url) for check in task_eval.get("program_html", ()))])
    pages = {address: await fetch(address) for address in addresses}
    return kept(Evidence(url, pages, database=changes), {})


def page_address(check: Mapping[str, Any], last: str) -> str:
    """The page that a check reads: the address "last" stands for the one that the episode ended on."""
    return last if check["url"] == "last" else check["url"]


async def page_faults(checks: list[Mapping[str, Any]], last: str, fetch: Fetch) -> list[str]:
    """What the pages do not show."""
    faults = []
    for check in checks:
        address = page_address(check, last)
        text = visible_text(await fetch(address))
        missing = [wanted for wanted in check["required_contents"]["must_include"] if not contains(text, wanted)]
        faults += [f"page {address}: {wanted!r} is not shown" for wanted in missing]
    return faults


def visible_text(html: str) -> str:
    """What a page shows, in order: text, names of elements and what fields hold; no options that are not chosen."""
    found: list[str] = []

    def walk(node: Node) -> None:
        found.extend(part for part in (node.name, node.value) if part)
        for child in node.children if node.role != "combobox" else ():
            walk(child)

    walk(read_html(html).root)
    return " ".join(found)


def changes(start: sqlite3.Connection | bytes, end: sqlite3.Connection) -> Difference:
    """What an episode did to the world."""
    if isinstance(start, bytes) and not end.in_transaction and end.serialize() == start:  # a fiftieth of the time that its tables take
        return {}
    before = connect(start) if isinstance(start, bytes) else start
    try:
        return difference(before, end)
    finally:
        if before is not start:
            before.close()


def database_faults(expected: Difference, actual: Difference) -> list[str]:
    return [
        fault
        for table in sorted({*expected, *actual})
        for kind in ("added", "removed", "changed")
        for fault in row_faults(f"{table} {kind}", expected.get(table, {}).get(kind, []), actual.get(table, {}).get(kind, []))
    ]


def row_faults(where: str, expected: list[Row], actual: list[Row]) -> list[str]:
    wanted, got = Counter(map(frozen, expected)), Counter(map(frozen, actual))
    missing = [f"database: {where}: expected {row}" for row in expected if wanted[frozen(row)] > got[frozen(row)]]
    extra = [f"database: {where}: unexpected {row}" for row in actual if got[frozen(row)] > wanted[frozen(row)]]
    return missing + extra
