"""WebArena-Lite's own scorer, as VisualAgentBench publishes it.

A reference of one word must be a word of the answer; a longer one may stand anywhere. An address is compared as text.
"""

from __future__ import annotations

import re

from nltk.tokenize import NLTKWordTokenizer

from planact.types import Outcome, Task
from planact_envs.scoring import rules
from planact_envs.scoring.ending import Ending, Unscorable

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")
_tokens = NLTKWordTokenizer().tokenize


def unquoted(text: str) -> str:
    """Without one pair of quotes around it."""
    for quote in "'\"":
        if text.startswith(quote) and text.endswith(quote):
            return text[1:-1]
    return text


def clean(text: str) -> str:
    return unquoted(text).lower()


def words(text: str) -> list[str]:
    """NLTK's words. Every full stop before a space ends a sentence: NLTK's trained splitter, which knows abbreviations, is data
    that no package brings."""
    return [word for sentence in _SENTENCE_END.split(text) for word in _tokens(sentence)]


def includes(wanted: str, text: str, alone: bool) -> bool:
    return wanted in words(text) if len(words(wanted)) == 1 else wanted in text


def same_page(references: str, url: str, note: str | None) -> bool:
    """Equal, or for "GOLD in PRED" one inside the other."""
    known = [_tidy(reference) for reference in references.split(rules.OR)]
    if note not in (None, "EXACT", "GOLD in PRED"):
        raise Unscorable(f"url_note {note!r}")
    return any(reference in _tidy(url) if note == "GOLD in PRED" else reference == _tidy(url) for reference in known)


def _tidy(url: str) -> str:
    return url.replace("localhost", "127.0.0.1").removesuffix("/")


RULES = rules.Rules("vab", clean, includes, same_page, answer_choices=True, one_question=True)


async def score(task: Task, ending: Ending) -> Outcome:
    return await rules.score(RULES, task, ending)
