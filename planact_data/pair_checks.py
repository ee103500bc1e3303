"""What a pair of request and plan must pass that a teacher wrote and nobody has carried out: rules, and a teacher's verdict."""

from __future__ import annotations

import re
from typing import Callable, Sequence

from planact.llm import LLM
from planact.teaching.feasibility import feasibility_messages, parse_verdicts
from planact.types import Observation, Plan
from planact_data.desk import Desk, Question
from planact_data.pairs import Pair
from planact_data.values import plain, readable, shows, values_in

KIND = "pair verdict"

LENGTHS = range(10, 601)  # characters of a request; ours
TELLING = 3  # digits from which an unquoted number is a value rather than a way to say how many; ours
NAMED = 0.5  # share of the request's values that the steps must name at least: a condition or a label may go unnamed; ours

_DATE = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{4}|\d{4}[/.-]\d{1,2}[/.-]\d{1,2}")  # worked out ("last May"), not copied
_SCROLLING = re.compile(r"\bscroll", re.I)
_ELEMENT_ID = re.compile(r"\belement\s+(?:id\s+)?['\"\[]?\d|\[\d+\]|\bid\s*=", re.I)
_PLACEHOLDER = re.compile(r"\{\w[^{}\n]*\}|<[a-z][^<>\n]*>|\[[a-z][^\[\]\n]*\]|_{3,}|\bX{3,}\b", re.I)
_QUESTION = re.compile(r"\?['\")\s]*$")
_POLITE = re.compile(r"(?:^|[.?!]\s+)(?:can|could|would|will) you [^.?!]*\?['\")\s]*$", re.I)  # asks for an action
_ASKS = re.compile(r"\b(?:tell me|let me know|answer with)\b", re.I)
_VERBS = "report answer tell reply replies respond return provide inform give present summarise summarize"
_REPORTS = re.compile(rf"\b(?:{_VERBS.replace(' ', '|')}|(?:state|name|list) the)\b", re.I)
_PAGE_WORD = re.compile(r"[^\W\d_]{4,}")  # shorter ones stand on any page
_MARKUP = frozenset(
    _PAGE_WORD.findall("page link button textbox combobox checkbox heading list listitem statictext text html title input label")
)


def broken_rule(intent: str, plan: Plan, page: Observation) -> str:
    """The first rule that a pair breaks, a few words for counting; "" when it keeps all of them."""
    return next((reason for reason, breaks in _RULES.items() if breaks(intent, plan, page)), "")


async def verdicts(pairs: Sequence[Pair], key: str, teacher: LLM, desk: Desk) -> list[str]:
    """Why the teacher says that a pair cannot be used, "" where it can, for each of `pairs`: ten or so of one site.

    They are asked about together: the page is most of a question, and pairs of one site share a few. `key` names the question.
    """
    question = Question(key, feasibility_messages(pairs), lambda text: parse_verdicts(text, len(pairs)))
    answer = await desk.ask(KIND, teacher, question)
    if answer.rejected:
        return [f"no verdict ({answer.rejected})"] * len(pairs)
    return ["" if verdict.usable else "not feasible" for verdict in answer.value]


def _odd_length(intent: str, plan: Plan, page: Observation) -> bool:
    return len(intent) not in LENGTHS


def _placeholder(intent: str, plan: Plan, page: Observation) -> bool:
    return _PLACEHOLDER.search(intent) is not None or any(_PLACEHOLDER.search(step.step) for step in plan.steps)


def _scrolling(intent: str, plan: Plan, page: Observation) -> bool:
    return _SCROLLING.search(_text(plan)) is not None


def _element_id(intent: str, plan: Plan, page: Observation) -> bool:
    return any(match[0] not in intent for match in _ELEMENT_ID.finditer(_text(plan)))


def _no_reasoning(intent: str, plan: Plan, page: Observation) -> bool:
    return not all(step.reasoning for step in plan.steps)


def _unseen_page(intent: str, plan: Plan, page: Observation) -> bool:
    """Paper A.3 wants an observation of the page in the reasoning of step 1: it must have a word of the page at least."""
    seen = _page_words(_words(page)) - _MARKUP
    return not seen & _page_words(plan.steps[0].reasoning)


def _invented_value(intent: str, plan: Plan, page: Observation) -> bool:
    known = plain(f"{intent}\n{page.url}\n{_words(page)}")
    return any(not shows(known, value) for value in _values(_text(plan)))


def _lost_values(intent: str, plan: Plan, page: Observation) -> bool:
    steps = plain("\n".join(step.step for step in plan.steps))
    values = _values(intent)
    return sum(shows(steps, value) for value in values) < NAMED * len(values)


def _no_report(intent: str, plan: Plan, page: Observation) -> bool:
    asks = _ASKS.search(intent) or (_QUESTION.search(intent) and not _POLITE.search(intent))
    return bool(asks) and not any(_REPORTS.search(step.step) for step in plan.steps)


_RULES: dict[str, Callable[[str, Plan, Observation], bool]] = {
    "length of the request": _odd_length,
    "placeholder": _placeholder,
    "scrolling": _scrolling,
    "element id": _element_id,
    "step without reasoning": _no_reasoning,
    "reasoning without the page": _unseen_page,
    "value from nowhere": _invented_value,
    "values of the request missing": _lost_values,
    "question without a report": _no_report,
}


def _text(plan: Plan) -> str:
    return "\n".join(f"{step.reasoning}\n{step.step}" for step in plan.steps)


def _page_words(text: str) -> set[str]:
    return set(_PAGE_WORD.findall(text.casefold()))


def _words(page: Observation) -> str:
    return f"{page.title}\n{readable(page.outline)}"


def _values(text: str) -> set[str]:
    """Quoted texts and long numbers; not dates."""
    return {value for value in values_in(text, TELLING) if not _DATE.search(value)}
