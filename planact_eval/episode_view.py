"""What a reader sees of one episode: plans against the plan before, reasoning apart from the answer, and what each action led to.

The report and the viewer show it with one template, episode.html.jinja. Page texts and model answers are hostile: `templates`
escapes all of them, and `visible` spells out what a browser would hide or turn around.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from planact.actions import describe_action, strip_thinking
from planact.failures import explain
from planact.types import FINAL_OPS, Observation, Plan, StopReason, Trajectory, Turn, Usage
from planact_envs.observation import element_line
from planact_eval.metrics import planner_was_asked, tokens, verdict

MAX_TEXT = 20_000  # characters shown of one page or answer
MAX_FIELD = 2_000  # characters shown of anything else: a request, an address, a step, a reason; ours
LIKENESS_WORDS = 40  # of a step that are compared; ours
REFINED = 0.5  # a new step with a larger share of common words counts as an old one refined; ours

ENDINGS = {
    StopReason.ANSWERED: "the executor stopped with an answer",
    StopReason.INFEASIBLE: "the executor declared the task infeasible",
    StopReason.MAX_TURNS: "the turn limit was reached",
    StopReason.INVALID_ACTIONS: "too many unreadable or impossible actions in a row",
    StopReason.REPEATED_ACTION: "the same action on the same page too often",
    StopReason.TOKEN_BUDGET: "the episode's token limit was reached",
    StopReason.TIME_LIMIT: "the episode's time limit was reached",
    StopReason.ENV_ERROR: "the environment broke",
    StopReason.MODEL_ERROR: "the model's endpoint failed",
}

Picture = Callable[[Observation], tuple[str, str]]  # of a page: (data: URI or "", why it is not shown or "")


def no_picture(page: Observation) -> tuple[str, str]:
    return "", ""


class Text(str):
    """A text that has been cut to a length of its own already; any other is cut to MAX_FIELD when it is shown."""


@dataclass(frozen=True)
class Change:
    """One step of a plan against the plan before."""

    mark: str  # "kept", "new", "refined" or "removed"
    step: str
    reasoning: str = ""
    before: str = ""  # of a refined step


def episode_view(
    name: str,
    trajectory: Trajectory,
    limit: int = MAX_TEXT,
    picture: Picture = no_picture,
    opinions: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """What the template shows of one episode.

    `name` is the run or row that it belongs to, `limit` the characters shown of a page, `opinions` say why it failed beside
    the rules ({"kind", "source", "message"}), `notes` are what else there is to know.
    """
    planned = any(planner_was_asked(turn) for turn in trajectory.turns)
    final = trajectory.final
    return {
        "row": name,
        "trajectory": trajectory,
        "verdict": verdict(trajectory),
        "failure": explain(trajectory),
        "opinions": opinions,
        "notes": notes,
        "ending": ENDINGS[trajectory.stop_reason],
        "plan_tokens": tokens(trajectory.planner_usage) if planned else None,
        "act_tokens": tokens(trajectory.executor_usage),
        "usd": usd(trajectory),
        "turns": [turn_view(trajectory, i, limit, picture) for i in range(len(trajectory.turns))],
        "final": None if final is None else {"name": page_name(final), "text": cut(final.text, limit), "picture": picture(final)},
    }


def usd(trajectory: Trajectory) -> float | None:
    """Dollars of an episode's calls, the judge's included; None: at least one has no known price."""
    return (trajectory.planner_usage + trajectory.executor_usage + trajectory.judge_usage).usd


def turn_view(trajectory: Trajectory, i: int, limit: int, picture: Picture) -> dict[str, Any]:
    turn = trajectory.turns[i]
    before = trajectory.turns[i - 1].plan if i else Plan()
    kind, words = _result(trajectory, i)
    thought, answer = split_thinking(turn.response)
    return {
        "turn": turn,
        "planner": _planner_view(turn, before, limit) if planner_was_asked(turn) else None,
        "page": page_view(turn.observation.text, turn.action.element if turn.action else "", limit),
        "picture": picture(turn.observation),
        "thought": cut(thought, limit),
        "response": cut(answer, limit),
        "action": describe_action(turn.action) if turn.action else "",
        "result": kind,
        "result_words": words,
        "price": price(turn.executor),
    }


def _planner_view(turn: Turn, before: Plan, limit: int) -> dict[str, Any]:
    """The planner's work of a turn: its plan, each step marked against the plan before."""
    changed = turn.plan != before
    thought, answer = split_thinking(turn.plan_response)
    return {
        "what": "no readable plan" if not turn.replanned else "plan" if not before else "new plan" if changed else "same plan again",
        "changes": plan_changes(before, turn.plan) if turn.replanned and changed else (),
        "first": not before,
        "thought": cut(thought, limit),
        "raw": cut(answer, limit),
        "failure": turn.plan_failure.message if turn.plan_failure else "",
        "price": price(turn.planner),
    }


def plan_changes(before: Plan, after: Plan) -> tuple[Change, ...]:
    """The steps of `after` in order, then the steps of `before` that are gone."""
    old, new = {s.step for s in before.steps}, {s.step for s in after.steps}
    gone = [s.step for s in before.steps if s.step not in new]
    changes = []
    for s in after.steps:
        likest = max(gone, key=lambda step: _likeness(step, s.step), default="")
        if s.step in old:
            changes.append(Change("kept", s.step, s.reasoning))
        elif likest and _likeness(likest, s.step) > REFINED:
            gone.remove(likest)
            changes.append(Change("refined", s.step, s.reasoning, likest))
        else:
            changes.append(Change("new", s.step, s.reasoning))
    return (*changes, *(Change("removed", step) for step in gone))


def _likeness(one: str, other: str) -> float:
    """Share of words in common and in order, 0 to 1."""
    return SequenceMatcher(None, one.split()[:LIKENESS_WORDS], other.split()[:LIKENESS_WORDS], autojunk=False).ratio()


def split_thinking(text: str) -> tuple[str, str]:
    """(reasoning, answer) of a model's text; the reasoning is what stands in a leading `<think>` block."""
    answer = strip_thinking(text)
    thought = text.removesuffix(answer) if answer else text if answer != text else ""
    return re.sub(r"</?think>", "", thought).strip(), answer.strip()


def page_view(text: str, element: str, limit: int) -> dict[str, Text]:
    """A page in three pieces, the line of the acted `element` in the middle; the beginning and what is around that line are kept."""
    span = element_line(text, element) if element else None
    if span is None:
        return {"before": cut(text, limit), "line": Text(), "after": Text()}
    before, line, after = text[: span[0]], text[span[0] : span[1]], text[span[1] :]
    if len(text) > limit:
        quarter = limit // 4
        skipped = len(before) - 2 * quarter
        if skipped > 0:
            before = f"{before[:quarter]}\n[{skipped:,} characters are not shown]\n{before[-quarter:]}"
        line, after = cut(line, quarter), cut(after, quarter)
    return {"before": Text(before), "line": Text(line), "after": Text(after)}


def price(usage: Usage) -> str:
    """What one call, or the calls of one decision, took: tokens, seconds and dollars."""
    if not usage.calls and not tokens(usage):
        return ""
    parts = [f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens", f"{usage.seconds:.1f} s"]
    parts += [f"{usage.calls} calls"] if usage.calls > 1 else ["from the cache"] if not usage.calls else []
    parts += ["price unknown"] if usage.usd is None else [f"${usage.usd:.4f}"] if usage.usd else []
    return ", ".join(parts)


def page_name(page: Observation) -> str:
    return f"{page.title} ({page.url})" if page.title else page.url


def cut(text: str, limit: int = MAX_TEXT) -> Text:
    return Text(text if len(text) <= limit else f"{text[:limit]}\n[{len(text) - limit:,} more characters are not shown]")


def visible(value: object) -> object:
    """A text with control, invisible and direction-changing characters spelled out; anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else f"\\u{ord(c):04x}" for c in value)


def _shown(value: object) -> object:
    short = not isinstance(value, str) or isinstance(value, Markup | Text) or len(value) <= MAX_FIELD
    return visible(value if short else cut(value, MAX_FIELD))


def templates() -> Environment:
    """The templates of this folder. Everything that stands in them is escaped, made visible and of bounded length."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["page_name"] = page_name
    return environment


def _result(trajectory: Trajectory, i: int) -> tuple[str, str]:
    """What the action of turn `i` led to: ("end" | "error" | "same" | "page", words)."""
    turn, last = trajectory.turns[i], i + 1 == len(trajectory.turns)
    if turn.action and turn.action.op in FINAL_OPS:
        return "end", "the episode ends here"
    page = trajectory.final if last else trajectory.turns[i + 1].observation
    if page is None or (last and trajectory.stop_reason == StopReason.ENV_ERROR):
        return "error", trajectory.error or "nothing was recorded"
    if page.error:
        return "error", page.error
    if page.text == turn.observation.text and page.url == turn.observation.url:
        return "same", "the page did not change"
    return "page", page_name(page)
