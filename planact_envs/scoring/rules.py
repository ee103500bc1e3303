"""The flow that WebArena's scorers share: deterministic checks first, a judge only where they leave the verdict open.

A `program_html` check opens its page in a tab of its own, after the episode; nothing is scored while an episode runs.
"""

from __future__ import annotations

import asyncio
import html
import operator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Mapping

from playwright.async_api import Error as PlaywrightError

from planact.env import EnvError
from planact.types import Outcome, Task
from planact_envs.evidence import reading_key
from planact_envs.judging import ask_judge
from planact_envs.scoring.ending import Ending, SavedPage, Unscorable
from planact_envs.scoring.functions import call
from planact_envs.scoring.locator import READ, UnknownLocator, parse_click, parse_locator
from planact_envs.scoring.questions import Question, same_meaning, same_reason

if TYPE_CHECKING:
    from playwright.async_api import Page

OR = " |OR| "
PATIENCE = 120.0  # seconds for one check of a page (ours)
SETTLE = 3000.0  # milliseconds at most for a page to draw itself after it has loaded; the originals always sleep as long
Findings = tuple[list[str], list[Question]]  # what does not match, and what only a judge can say


@dataclass(frozen=True)
class Rules:
    """Where the published scorers differ."""

    name: str
    clean: Callable[[str], str]  # what is compared of a text
    includes: Callable[[str, str, bool], bool]  # (wanted, text, whether it is the only text wanted of an answer), both cleaned
    same_page: Callable[[str, str, str | None], bool]  # (reference addresses, address, the task's url_note)
    answer_choices: bool  # " |OR| " in the reference of an answer separates choices
    one_question: bool  # several references of a fuzzy match are asked in one question, else each in its own
    unescape: bool = False  # HTML entities in what a page check reads are resolved
    same: Callable[[str, str], bool] = operator.eq  # what an exact match is, of two cleaned texts
    partial: bool = False  # a judge's "partially correct" is a yes


async def score(rules: Rules, task: Task, ending: Ending) -> Outcome:
    """Judge an ending by the task's `eval`, in which placeholders are resolved. Raises EnvError when a page cannot be had."""
    try:
        faults, questions = await find(rules, task, ending)
    except (Unscorable, UnknownLocator) as error:
        return Outcome(None, rules.name, f"this task cannot be scored by {rules.name}: {error}")
    if faults or not questions:
        return Outcome(not faults, rules.name, "; ".join(faults))
    return await judged(rules, questions, ending)


async def judged(rules: Rules, questions: list[Question], ending: Ending) -> Outcome:
    if ending.judge is None:
        return Outcome(None, rules.name, f"{questions[0].check} needs a judge model; add endpoints.judge to the recipe")
    judgements = []
    for question in questions:
        judgements.append(await ask_judge(ending.judge, question.check, question.messages, question.read))
        if judgements[-1].verdict is not True:
            break
    last = judgements[-1]
    reasons = {True: "", False: f"{last.check}: the judge says no", None: f"{last.check}: the judge gave no verdict"}
    return Outcome(last.verdict, rules.name, reasons[last.verdict], tuple(judgements))


async def find(rules: Rules, task: Task, ending: Ending) -> Findings:
    """The first kind of check with a fault ends it: pages are opened last."""
    checks = {"string_match": answer_check, "url_match": url_check, "program_html": page_check}
    faults: list[str] = []
    questions: list[Question] = []
    for kind in task.eval["eval_types"]:
        if kind not in checks:
            raise Unscorable(f"evaluation type {kind!r}; known are {', '.join(checks)}")
        new_faults, new_questions = await checks[kind](rules, task, ending)
        faults, questions = faults + new_faults, questions + new_questions
        if faults:
            break
    return faults, questions


async def answer_check(rules: Rules, task: Task, ending: Ending) -> Findings:
    faults: list[str] = []
    questions: list[Question] = []
    answer = rules.clean(ending.answer)
    for kind, value in (task.eval["reference_answers"] or {}).items():
        if kind == "exact_match" and isinstance(value, str):
            if not rules.same(rules.clean(value), rules.clean(answer)):
                faults.append(f"answer: expected {value!r}, got {ending.answer!r}")
        elif kind == "must_include" and isinstance(value, list):
            for wanted in value:
                choices = wanted.split(OR) if rules.answer_choices else [wanted]
                if not any(included(rules, choice, answer, len(value) == 1) for choice in choices):
                    faults.append(f"answer: expected it to include {wanted!r}, got {ending.answer!r}")
        elif kind == "fuzzy_match" and isinstance(value, list | str):
            more = fuzzy(rules, task, value, answer)
            faults, questions = faults + more[0], questions + more[1]
        else:
            raise Unscorable(f"the reference answer {kind} is the {type(value).__name__} {value!r}")
    return faults, questions


def fuzzy(rules: Rules, task: Task, value: list[str] | str, answer: str) -> Findings:
    """What remains to be asked about an answer. No answer is a fault without a question."""
    if value == "N/A" and rules.clean(value) == rules.clean(answer):
        return [], []
    if not answer.strip():
        return ["answer: none was given"], []
    if value == "N/A":
        return [], [same_reason(task.intent, task.eval.get("string_note", ""), answer)]
    if isinstance(value, str):
        raise Unscorable(f"the reference answer fuzzy_match is the text {value!r}")
    return [], meanings(rules, task, value, answer)


def meanings(rules: Rules, task: Task, references: list[str], text: str) -> list[Question]:
    asked = [", ".join(references)] if rules.one_question else references
    return [same_meaning(task.intent, reference, text, rules.partial) for reference in asked]


async def url_check(rules: Rules, task: Task, ending: Ending) -> Findings:
    reference, url = task.eval["reference_url"], ending.page.url
    if rules.same_page(reference, url, task.eval.get("url_note")):
        return [], []
    return [f"url: expected {reference!r}, got {url!r}"], []


async def page_check(rules: Rules, task: Task, ending: Ending) -> Findings:
    faults: list[str] = []
    questions: list[Question] = []
    for target in task.eval["program_html"]:
        text = await reading(target, ending)
        text = html.unescape(text) if rules.unescape else text
        required = target["required_contents"]
        where = f"page {target['url']}: {target['locator'] or 'its HTML'}"
        if isinstance(required.get("exact_match"), str):
            if not rules.same(rules.clean(required["exact_match"]), rules.clean(text)):
                faults.append(f"{where}: expected {required['exact_match']!r}, got {text[:200]!r}")
        elif isinstance(required.get("must_include"), list):
            missing = [w for w in required["must_include"] if not any(included(rules, choice, text, False) for choice in w.split(OR))]
            faults += [f"{where}: {wanted!r} is not there" for wanted in missing]
        elif isinstance(required.get("fuzzy_match"), list):
            questions.append(same_meaning(task.intent, ", ".join(required["fuzzy_match"]), text, rules.partial))
        else:
            raise Unscorable(f"required contents {required!r}")
    return faults, questions


def included(rules: Rules, wanted: str, text: str, alone: bool) -> bool:
    return rules.includes(rules.clean(wanted), rules.clean(text), alone)


async def reading(target: Mapping[str, Any], ending: Ending) -> str:
    """What a check reads. It is read once, and what was read when the episode ended stands for a page that is gone."""
    key = reading_key(target)
    if key not in ending.readings:
        if isinstance(ending.page, SavedPage):
            raise Unscorable(": ".join(filter(None, [f"it needs the page {target['url']}, which was not saved", ending.page.why])))
        ending.readings[key] = await in_time(page_text(target, ending), target)
    return ending.readings[key]


async def in_time(reading: Awaitable[str], target: Mapping[str, Any]) -> str:
    """A page whose scripts never rest would keep the scorer for ever. Raises EnvError."""
    try:
        return await asyncio.wait_for(reading, PATIENCE)
    except TimeoutError as error:
        raise EnvError(f"the page {target['url']} could not be read for scoring within {PATIENCE:g} s") from error


async def page_text(target: Mapping[str, Any], ending: Ending) -> str:
    """What a check reads, on the page that the episode ended on (`last`) or on one that is opened for it."""
    url = target["url"]
    if url == "last":
        return await read(target, ending, ending.page)
    fixed = not url.startswith("func:reddit_get_post_url")
    url = await call(url, ending, ending.page) if url.startswith("func:") else url
    page = await ending.page.context.new_page()
    try:
        await page.goto(url)
        await settle(page)
        return await read(target, ending, page)
    except PlaywrightError as error:
        if fixed:
            raise EnvError(f"the page {url} cannot be opened for scoring: {error.message.splitlines()[0]}") from error
        return ""  # the address is where the agent went: one that does not open shows nothing
    finally:
        await page.close()


async def settle(page: Page) -> None:
    with suppress(PlaywrightError):  # a page that never stops asking is read as it is
        await page.wait_for_load_state("networkidle", timeout=SETTLE)


async def read(target: Mapping[str, Any], ending: Ending, page: Page) -> str:
    """The text at the target's locator; "" when the page has no such element."""
    locator = target["locator"].strip()
    if not locator:
        return await page.content()
    if locator.startswith("func:"):
        return await call(locator, ending, page)
    clicks, parts = [parse_click(action) for action in target.get("prep_actions", ())], parse_locator(locator)
    with suppress(PlaywrightError):  # what it would open may be open already
        for click in clicks:
            await page.evaluate(READ, click)
    try:
        return str(await page.evaluate(READ, parts))
    except PlaywrightError as error:
        if page.is_closed() or "crashed" in error.message:
            raise
        return ""
