"""The leak gate: nothing that was written for training may be a held-out request, or state the answer of one.

The paper's own failure classes were illustrated with test requests: eleven verbatim, six shortened. Here whatever a
teacher writes or a file brings passes the gate, and each request is reported with the test request most like it.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from dataclasses import astuple, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

from planact.types import Plan, Task
from planact_data.distinct import SHINGLE, jaccard

SAME_WORDS = 0.9  # Jaccard similarity of content words from which two requests are one; ours
RATHER = 0.5  # of the threshold for shingles: the similarity of content words from which shingles are compared at all; ours
SHORTENED = 0.5  # share of a held-out request's content words that are enough when a request has no word of its own; ours
EXTENDED = 2  # times the content words of a held-out request that a request may have which says more of the same things; ours
SAME_NAMES = 0.75  # share of a held-out request's names from which another one is about the same things; ours
TELLING = 3  # letters or digits that an answer needs to give anything away; ours
BINS = 10  # of the histogram of similarities

_STOCK_ANSWERS = frozenset(("yes", "no", "true", "false", "none", "n a", "done", "not found"))
_WORDS = re.compile(r"\w+")
_FORM = frozenset(  # words that say how something is asked, not what is asked for
    _WORDS.findall(
        """
        a an and are as at be been by can could did do does find for from had has have help how i in is it its know look me my of on or our
        out please show so tell that the their them then there these they this those to up us want was we were what when where which who
        whose will with would you your
        """
    )
)
_QUOTED = re.compile(r"(?<!\w)'([^']+)'(?!\w)|\"([^\"]+)\"")
_NAME_WORDS = re.compile(r"(?<=[^.?!] )[^\W\d_a-z]\w*|\w*\d\w*")  # a capital inside a sentence, or a digit


@dataclass(frozen=True)
class Nearest:
    """A request that the gate was asked about and the test request that shares most content words with it."""

    intent: str
    test_intent: str  # "" when none shares a word
    similarity: float  # Jaccard, 0 to 1
    refused: str  # why, "" when it may be used


class Gate:
    """Refuses what would carry `held_out` (validation and test) tasks into training data.

    A request is refused when it
    - repeats a held-out request: content words with a Jaccard similarity of 0.9 or more, or 5-character shingles with
      `near_duplicate` or more and the same names. The same words about another product are another request;
    - shortens one: it has no content word that the held-out request lacks, and at least half of those that it has;
    - extends one: it has all content words of the held-out request, at most as many more, and names nothing else;
    - states the answer of one, in its own words or in its plan, while it is about the same things: it has three quarters of
      the held-out request's names (quoted texts, capitals, numbers; of its content words when it names nothing). Answers
      that are in the held-out request anyway, stock answers ("yes", "N/A") and those of less than three letters or digits tell nothing.

    It takes 0.2 ms a request with a thousand held-out ones. Ask about what the teacher's answers
    came to, not in a `Question.check`, or the report depends on what was asked anew.
    """

    def __init__(self, held_out: Sequence[Task], near_duplicate: float):
        self.near_duplicate = near_duplicate
        self._tasks = tuple(held_out)
        intents = [task.intent for task in self._tasks]
        self._words = _Overlap(map(_subject, intents))
        self._shingles = list(map(_shingles, intents))
        self._names = _Overlap(names(intent) or content_words(intent) for intent in intents)
        self._answers = [[_plain(answer) for answer in telling_answers(task)] for task in self._tasks]
        self._asked: dict[str, Nearest] = {}

    def refusal(self, intent: str, plan: Plan | None = None) -> str:
        """Why this request, with its plan, may not be used for training; "" when it may."""
        words = _subject(intent)
        shared = self._words.shared(words)
        reason = self._copied(intent, words, shared) or self._answered(intent, plan)
        earlier = self._asked.get(intent)
        if earlier is None or reason > earlier.refused:
            self._asked[intent] = self._nearest(intent, words, shared, reason)
        return reason

    def repeats(self, intent: str) -> bool:
        """Whether a held-out request is the same one. For a benchmark's own training tasks, of which one may be a part of another."""
        words = _subject(intent)
        return bool(self._same(intent, words, self._words.shared(words)))

    @property
    def nearest(self) -> list[Nearest]:
        """One for each request that was asked about, most similar first."""
        return sorted(self._asked.values(), key=lambda one: (-one.similarity, one.intent))

    def summary(self) -> dict[str, Any]:
        """Counts for the card: requests asked about, refusals by reason, requests by similarity to the nearest test request."""
        asked = self.nearest
        bins = Counter(min(int(one.similarity * BINS), BINS - 1) for one in asked)
        return {
            "requests": len(asked),
            "refused": dict(sorted(Counter(one.refused for one in asked if one.refused).items())),
            "similarity": {f"{n / BINS:.1f} to {(n + 1) / BINS:.1f}": bins[n] for n in sorted(bins)},
        }

    def write_report(self, path: Path) -> None:
        """Write `nearest` as CSV."""
        with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Nearest))
            writer.writerows((*row[:2], f"{row[2]:.3f}", row[3]) for row in map(astuple, self.nearest))

    def _copied(self, intent: str, words: frozenset[str], shared: Mapping[int, int]) -> str:
        shortens = {i for i, n in shared.items() if n == len(words) and n >= SHORTENED * self._words.sizes[i]}
        longer = (i for i, n in shared.items() if n == self._words.sizes[i] and len(words) <= EXTENDED * n)
        extends = {i for i in longer if names(intent) <= _subject(self._tasks[i].intent)}
        same = self._same(intent, words, shared)
        return self._say("repeats", same) or self._say("shortens", shortens) or self._say("extends", extends)

    def _same(self, intent: str, words: frozenset[str], shared: Mapping[int, int]) -> set[int]:
        shingles, mine = _shingles(intent), names(intent)
        rather = self._words.alike(shared, len(words), RATHER * self.near_duplicate)
        near = {i for i in rather if jaccard(shingles, self._shingles[i]) >= self.near_duplicate}
        return {i for i in near if names(self._tasks[i].intent) == mine} | self._words.alike(shared, len(words), SAME_WORDS)

    def _answered(self, intent: str, plan: Plan | None) -> str:
        steps = plan.steps if plan else ()
        text = _plain("\n".join([intent, *(f"{step.reasoning}\n{step.step}" for step in steps)]))
        shared = self._names.shared(frozenset(map(_stem, text.split())))
        about = (i for i, n in shared.items() if n >= SAME_NAMES * self._names.sizes[i])
        return self._say("states the answer of", {i for i in about if any(f" {answer} " in f" {text} " for answer in self._answers[i])})

    def _say(self, does: str, tasks: set[int]) -> str:
        if not tasks:
            return ""
        return f"{does} a {'test' if any(self._tasks[i].split == 'test' for i in tasks) else 'validation'} request"

    def _nearest(self, intent: str, words: frozenset[str], shared: Mapping[int, int], reason: str) -> Nearest:
        tests = [i for i in shared if self._tasks[i].split == "test"]
        if not tests:
            return Nearest(intent, "", 0.0, reason)
        best = max(tests, key=lambda i: (self._words.jaccard(i, shared[i], len(words)), -i))
        return Nearest(intent, self._tasks[best].intent, self._words.jaccard(best, shared[best], len(words)), reason)


class _Overlap:
    """How many elements a set shares with each of many sets: an inverted index."""

    def __init__(self, sets: Iterable[frozenset[str]]):
        self.sizes: list[int] = []
        self._holders: dict[str, list[int]] = {}
        for index, one in enumerate(sets):
            self.sizes.append(len(one))
            for element in one:
                self._holders.setdefault(element, []).append(index)

    def shared(self, mine: frozenset[str]) -> Counter[int]:
        """Index of a set -> elements that it has in common with `mine`; those with none are left out."""
        return Counter(chain.from_iterable(self._holders.get(element, ()) for element in mine))

    def alike(self, shared: Mapping[int, int], size: int, threshold: float) -> set[int]:
        """Of the sets that share elements with one of `size`, those with a Jaccard similarity of `threshold` or more."""
        return {i for i, n in shared.items() if self.jaccard(i, n, size) >= threshold}

    def jaccard(self, index: int, shared: int, size: int) -> float:
        return shared / (self.sizes[index] + size - shared)


def content_words(text: str) -> frozenset[str]:
    """What a request is about: its words up to case, plural and the words of asking."""
    words = _plain(text).split()
    return frozenset(_stem(word) for word in words if word.isdigit() or (word not in _FORM and len(word) > 1))


def _subject(intent: str) -> frozenset[str]:
    """Content words; a request without any stands for itself."""
    return content_words(intent) or frozenset([_plain(intent) or intent])


def telling_answers(task: Task) -> list[str]:
    """The answers and required page contents in `task.eval` that give something away (see `Gate`)."""
    asked = f" {_plain(task.intent)} "
    found = dict.fromkeys(_answers(task.eval))
    return [text for text in found if _tells(_plain(text)) and f" {_plain(text)} " not in asked]


def _tells(answer: str) -> bool:
    return sum(map(str.isalnum, answer)) >= TELLING and answer not in _STOCK_ANSWERS


def _answers(evaluation: Mapping[str, Any]) -> Iterator[str]:
    checks = [evaluation.get("reference_answers"), *(check.get("required_contents") for check in evaluation.get("program_html") or ())]
    for check in checks:
        for kind in ("exact_match", "must_include", "fuzzy_match"):
            value = check.get(kind) if isinstance(check, Mapping) else None
            for text in [value] if isinstance(value, str) else value or ():
                yield from str(text).split(" |OR| ")


def names(intent: str) -> frozenset[str]:
    """The words of a request that name things: those in quotes, with a capital inside a sentence, or with a digit."""
    quoted = " ".join(a or b for a, b in _QUOTED.findall(intent))
    return content_words(f"{quoted} {' '.join(_NAME_WORDS.findall(_QUOTED.sub(' ', intent)))}")


def _stem(word: str) -> str:
    return word.removesuffix("s") if len(word) > TELLING else word


def _plain(text: str) -> str:
    """The words of a text, in order, between single spaces."""
    return " ".join(_WORDS.findall(unicodedata.normalize("NFKC", text).casefold()))


def _shingles(text: str) -> frozenset[str]:
    text = _plain(text)
    return frozenset(text[i : i + SHINGLE] for i in range(max(1, len(text) - SHINGLE + 1)))
