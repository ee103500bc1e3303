"""The scorer of BrowserGym's WebArena-Lite, and of WebArena itself, from which it comes.

A reference may stand anywhere in the answer, but for a single character that is the only reference: that must be a word.
Of an address the host and path must contain the reference's, and each query parameter of the reference must be there.
Both score at the end of an episode here; BrowserGym's own environment scores after every step as well.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from urllib.parse import parse_qs, urlparse

from planact.types import Outcome, Task
from planact_envs.scoring import rules
from planact_envs.scoring.ending import Ending, Unscorable
from planact_envs.scoring.vab import unquoted, words


def clean(text: str) -> str:
    return unquoted(text.strip()).lower()


def includes(wanted: str, text: str, alone: bool) -> bool:
    return wanted in words(text) if alone and len(wanted) == 1 else wanted in text


def same_page(references: str, url: str, note: str | None) -> bool:
    """A parameter that several references have may have the value of any of them."""
    if note not in (None, "GOLD in PRED"):
        raise Unscorable(f"url_note {note!r}")
    place, query = _read(url)
    wanted: dict[str, set[str]] = defaultdict(set)
    places = []
    for reference in references.split(rules.OR):
        known, parameters = _read(reference)
        places.append(known)
        for name, values in parameters.items():
            wanted[name].update(values)
    return any(known in place for known in places) and all(values & set(query.get(name, ())) for name, values in wanted.items())


def _read(url: str) -> tuple[str, dict[str, list[str]]]:
    parts = urlparse(url.rstrip("/"))
    return parts.netloc + parts.path, parse_qs(parts.query)


RULES = rules.Rules("browsergym", clean, includes, same_page, answer_choices=False, one_question=False)
WEBARENA = replace(RULES, name="webarena", unescape=True)


async def score(task: Task, ending: Ending) -> Outcome:
    return await rules.score(RULES, task, ending)


async def score_webarena(task: Task, ending: Ending) -> Outcome:
    return await rules.score(WEBARENA, task, ending)
