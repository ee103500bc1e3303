"""How other people's training records spell an action or a plan, read into our types.

`webrl`: WebRL's web_policy_sft.json, one chat of question and answer for each action; the question holds the whole episode,
with Llama 3's header tokens between its rounds. `released`: the files of the paper's authors, prompt and answer of a planner
or an executor, under the keys `input` / `output`, `instruction` / `input` / `output` or `prompt` / `completion`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any, Mapping

from planact.actions import ActionFormatError, parse_action, strip_thinking
from planact.plans import MAX_STEPS, PlanFormatError, parse_plan
from planact.prompts import PAST_PAGE
from planact.types import Action, Observation, Plan, PlanStep


class Unreadable(ValueError):
    """A record is not what its format says. The message is a reason to count by, a few words."""


@dataclass(frozen=True)
class Step:
    """An action of an episode, the page that it was chosen on and the answers that came before."""

    intent: str
    past: tuple[str, ...]
    page: Observation
    response: str
    action: Action


@dataclass(frozen=True)
class PlannedTask:
    intent: str
    page: Observation  # the first one
    plan: Plan


def read_record(format_: str, record: Mapping[str, Any]) -> Step | PlannedTask:
    """What a record teaches. Raises Unreadable."""
    prompt, answer = _sharegpt(record) if format_ == "webrl" else _prompt_and_answer(record)
    messages = _messages(prompt)
    asked = "\n".join(_without_page(text) for role, text in messages if role != "assistant")
    intent = _task_instruction(messages[0][1]) if format_ == "webrl" else _request(asked)
    past = tuple(_answer(text) for role, text in messages if role == "assistant")
    page = _page(messages[-1][1])
    response = _answer(answer)
    planned = format_ == "released" and _is_plan(answer)
    if planned and (past or _PAST.search(asked)):
        raise Unreadable("a plan that revises an earlier one")
    if not past and _PAST.search(asked):
        raise Unreadable("earlier actions that are not told apart")
    return PlannedTask(intent, page, _plan(response)) if planned else Step(intent, past, page, response, _action(response))


# Where a record keeps its question and its answer


def _sharegpt(record: Mapping[str, Any]) -> tuple[str, str]:
    chat = record.get("conversations")
    if not isinstance(chat, list) or not all(isinstance(message, dict) for message in chat):
        raise Unreadable("no conversation")
    said = [(message.get("from"), message.get("value")) for message in chat if message.get("from") != "system"]
    if [role for role, _ in said] != ["human", "gpt"] or not all(isinstance(text, str) for _, text in said):
        raise Unreadable("not one question and one answer")
    return said[0][1], said[1][1]


def _prompt_and_answer(record: Mapping[str, Any]) -> tuple[str, str]:
    asked = [text for key in ("instruction", "input", "prompt") if isinstance(text := record.get(key), str) and text]
    answer = record.get("output", record.get("completion"))
    if not asked or not isinstance(answer, str):
        raise Unreadable("no prompt and answer")
    return "\n\n".join(asked), answer


# The chat inside a prompt, as the chat templates of Llama 3, ChatML (Qwen) and DeepSeek write it

_SPEAKER = re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>|<\|im_start\|>(\w+)|<[|｜](User|Assistant)[|｜]>")
_TOKENS = re.compile(r"<\|(?:begin_of_text|eot_id|end_of_text|im_end|endoftext)\|>|<[|｜](?:begin|end)▁of▁sentence[|｜]>")
_FIRST_ROUND = re.compile(r"^[ \t]*Round 0\b", re.M)
_ROUND = re.compile(r"(?:^|\n)[ \t]*Round (\d{1,4})\s*$")  # WebRL numbers its rounds in front of their headers


def _messages(prompt: str) -> list[tuple[str, str]]:
    """Speakers and what they say; the last one is the user. A prompt without a template is one message. Raises Unreadable."""
    marks = list(_SPEAKER.finditer(prompt))
    starts, ends = [0, *(mark.end() for mark in marks)], [*(mark.start() for mark in marks), len(prompt)]
    roles = ["user", *((mark[1] or mark[2] or mark[3]).lower() for mark in marks)]
    messages, number = [], None
    for role, start, end in zip(roles, starts, ends):
        text = _TOKENS.sub("", prompt[start:end]).rstrip()
        if heading := _ROUND.search(text):
            number, text = int(heading[1]), text[: heading.start()]
        if start or text.strip():  # in front of the first header there may be nothing
            messages.append((role, text.strip()))
    if messages and messages[-1] in (("assistant", ""), ("assistant", "<think>")):
        messages.pop()  # where the answer is to be written
    if not messages or messages[-1][0] != "user":
        raise Unreadable("no page to act on")
    if number is not None and number != sum(role == "assistant" for role, _ in messages):
        raise Unreadable("rounds are missing from the prompt")
    return messages


_REQUEST = (  # the clearest heading first; the request is the line after it
    re.compile(r"^[ \t#*\[]*(?:Task Instruction|User(?:['’]s)? (?:Query|Task|Request))[ \t*\]]*(?::\**|\n)\s*(\S[^\n]*)", re.M | re.I),
    re.compile(r"^[ \t#*\[]*(?:Task|Query|Request|Goal)[ \t*\]]*(?::\**|\n)\s*(\S[^\n]*)", re.M | re.I),
)
_PAST = re.compile(r"^[ \t#*\[]*(?:Previous|Past|Last) (?:Global )?(?:Actions?|Plans?|Rounds?|Steps?)\b", re.M | re.I)
_EXAMPLE_INDEX = re.compile(r" ?Initial HTML State.*$")  # the released requests of expansion end with it


def _task_instruction(text: str) -> str:
    intent = _FIRST_ROUND.split(text.partition("Task Instruction:")[2])[0]
    if not intent.strip():
        raise Unreadable("no request")
    return " ".join(intent.split())


def _request(text: str) -> str:
    """The last one: prompts may show examples first."""
    for heading in _REQUEST:
        if (found := heading.findall(text)) and (intent := _EXAMPLE_INDEX.sub("", " ".join(found[-1].split()))):
            return intent
    raise Unreadable("no request")


# Pages

_HTML = re.compile(r"<(?:!doctype|html|body|div)\b", re.I)
_ID = re.compile(r"""(<[^<>]*?)\sid=(?:"[^"<>]*"|'[^'<>]*')""")
_TITLE = re.compile(r"<title>([^<>]*)</title>", re.I)
_SITES = {  # words on pages of WebArena's sites that only they have
    "OpenStreetMap": "map",
    "Magento Admin": "shopping_admin",
    "One Stop Market": "shopping",
    "GitLab": "gitlab",
    "Postmill": "reddit",
}


def _page(text: str) -> Observation:
    if text == PAST_PAGE:
        raise Unreadable("the page is left out")
    start = _HTML.search(text)
    if not start:
        raise Unreadable("no page")
    html = text[start.start() : text.rfind(">") + 1]
    site = next((site for word, site in _SITES.items() if word in html), "")
    title = _TITLE.search(html)
    return Observation(html, _ID.sub(r"\1", html), f"webarena://{site}/" if site else "", unescape(title[1]).strip() if title else "")


def _without_page(text: str) -> str:
    start = _HTML.search(text)
    return text[: start.start()] + "\n" + text[text.rfind(">") + 1 :] if start else text


# Answers

_TAGGED = re.compile(r"\[Start of (?:Plan|Action)\](.*?)(?:\[End of (?:Plan|Action)\]|\Z)", re.S | re.I)
_STEP = re.compile(r"^[ \t#*]*(?:Step[ \t]*)?(\d{1,3})(?:[ \t]*[:.)][ \t*]*|[ \t*]*$)", re.M | re.I)
_ACTION_NAME = re.compile(r"""\baction\s*=\s*["']([^"'\n]{1,40})["']""")


def _answer(text: str) -> str:
    text = strip_thinking(_TOKENS.sub("", text))
    tagged = _TAGGED.search(text)
    return (tagged[1] if tagged else text).strip()


def _is_plan(answer: str) -> bool:
    written = strip_thinking(answer).lstrip().lower()
    return "[start of plan]" in written or written.startswith("## step 1")


def _action(response: str) -> Action:
    try:
        return parse_action(response, "webrl")
    except ActionFormatError as error:
        name = _ACTION_NAME.search(response)
        known = not str(error).startswith("unknown action")
        raise Unreadable("the action cannot be read" if known or not name else f"an action that we do not have: {name[1]}") from None


def _plan(text: str) -> Plan:
    """A plan in the paper's form, or the numbered steps in which the released planners write, which give no reasoning."""
    try:
        return parse_plan(text)
    except PlanFormatError:
        headings: list[re.Match[str]] = []
        for heading in _STEP.finditer(text):
            if int(heading[1]) == len(headings) + 1:  # other numbers at the beginning of a line belong to the step
                headings.append(heading)
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    steps = [" ".join(text[heading.end() : end].replace("**", "").split()) for heading, end in zip(headings, ends)]
    if not all(steps) or not 0 < len(steps) <= MAX_STEPS:
        raise Unreadable("the plan has no steps that can be told apart")
    return Plan(tuple(PlanStep("", step) for step in steps))
