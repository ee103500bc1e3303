"""The nouns that every room shares: tasks, pages, actions, plans, turns and trajectories.

All are frozen rows of plain data. `to_dict` / `from_dict` at the end turn any of them into JSON and back, so that
a trajectory written by one room is read by another without importing it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Mapping


class Op(StrEnum):
    """What an action does. Element operations need `Action.element`; the rest do not."""

    CLICK = "click"
    TYPE = "type"
    SEARCH = "search"  # type, then Enter
    SELECT = "select"
    HOVER = "hover"
    PRESS = "press"  # a key, e.g. "Enter"
    SCROLL = "scroll"  # text is "up" or "down"
    GOTO = "goto"
    BACK = "back"
    FORWARD = "forward"
    NEW_TAB = "new_tab"
    TAB_FOCUS = "tab_focus"  # text is the tab's index, from 0
    CLOSE_TAB = "close_tab"
    NOTE = "note"  # remember text, touch nothing
    STOP = "stop"  # text is the answer, may be empty
    INFEASIBLE = "infeasible"  # text is the reason


ELEMENT_OPS = frozenset({Op.CLICK, Op.TYPE, Op.SEARCH, Op.SELECT, Op.HOVER})
FINAL_OPS = frozenset({Op.STOP, Op.INFEASIBLE})


@dataclass(frozen=True)
class Task:
    """One row of a benchmark. `eval` is data for the suite's scorer; the agent sees only `intent` and `start_url`."""

    id: str  # unique in its suite
    suite: str
    split: str  # "train", "validation" or "test"
    sites: tuple[str, ...]
    intent: str
    start_url: str
    template: str  # tasks of one template differ in `params` only
    params: Mapping[str, str] = field(default_factory=dict)
    eval: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hash(self) -> str:
        return content_hash(to_dict(self))


@dataclass(frozen=True)
class Observation:
    """A page as the agent sees it. `text` has element ids (executor); `outline` is the same page without (planner)."""

    text: str
    outline: str
    url: str
    title: str = ""
    tabs: tuple[str, ...] = ()  # urls of all tabs, when there is more than one
    error: str = ""  # why the last action had no effect; empty when it had
    screenshot: str | None = None  # path of a PNG


@dataclass(frozen=True)
class Action:
    """One typed operation. Never executable text."""

    op: Op
    element: str = ""  # id on the current page
    text: str = ""  # what to type, the option, key, url, answer or reason
    target: str = ""  # description of the element, the `# Element:` line
    note: str = ""  # memory for later turns, the `# Note:` line


@dataclass(frozen=True)
class PlanStep:
    reasoning: str
    step: str


@dataclass(frozen=True)
class Plan:
    """Steps in order; the chain case of a DAG."""

    steps: tuple[PlanStep, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0  # waiting for the model
    usd: float | None = 0.0  # None: at least one call has no known price

    def __add__(self, other: Usage) -> Usage:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.calls + other.calls,
            self.seconds + other.seconds,
            usd,
        )


@dataclass(frozen=True)
class FailureInfo:
    """Why something did not work; the one type behind feedback text, replanning reasons and error counts."""

    kind: str  # "format", "grounding", "environment", "model", "plan"; of a whole episode, one of planact.failures
    message: str


@dataclass(frozen=True)
class Turn:
    """One executor decision and what led to it."""

    index: int  # from 0
    plan: Plan
    observation: Observation  # what the executor saw
    response: str  # the executor's raw text
    action: Action | None  # None: `response` holds no readable action
    replanned: bool = False  # the planner was called for this turn and its plan is in force
    plan_response: str = ""  # the planner's raw text when it was called this turn
    plan_failure: FailureInfo | None = None  # why the planner's answer could not be used; the plan in force stayed
    failure: FailureInfo | None = None  # why the executor's answer could not be used
    planner: Usage = Usage()
    executor: Usage = Usage()


class StopReason(StrEnum):
    """Why an episode ended."""

    ANSWERED = "answered"  # the executor stopped with an answer
    INFEASIBLE = "infeasible"  # the executor declared the task infeasible
    MAX_TURNS = "max_turns"  # the turn limit was reached
    INVALID_ACTIONS = "invalid_actions"  # too many unreadable or impossible actions in a row
    REPEATED_ACTION = "repeated_action"  # the same action on the same page too often
    TOKEN_BUDGET = "token_budget"  # the episode's token limit was reached
    TIME_LIMIT = "time_limit"  # the episode's limit of wall time was reached
    ENV_ERROR = "env_error"  # the environment broke
    MODEL_ERROR = "model_error"  # the endpoint failed for good


@dataclass(frozen=True)
class Judgement:
    """One question to a judge model and what it said; `verdict` None: it gave none, and the task stays unscored."""

    check: str  # which check of the task asked, e.g. "fuzzy_match"
    model: str
    prompt_hash: str  # of the messages that were sent
    response: str
    verdict: bool | None
    usage: Usage = Usage()
    failed: bool = False  # the call itself; `response` is the error then


@dataclass(frozen=True)
class Outcome:
    """A verdict. `success` None means not scored: never a success, never a failure, counted apart."""

    success: bool | None
    scorer: str = ""
    reason: str = ""
    judgements: tuple[Judgement, ...] = ()


@dataclass(frozen=True)
class Trajectory:
    task_id: str
    task_hash: str
    intent: str
    turns: tuple[Turn, ...]
    stop_reason: StopReason
    outcome: Outcome
    final: Observation | None = None  # the page after the last action
    answer: str = ""  # of a `stop`
    error: str = ""  # of ENV_ERROR and MODEL_ERROR
    seconds: float = 0.0  # wall time of the episode
    seed: int = 0
    prompts_hash: str = ""

    @property
    def planner_usage(self) -> Usage:
        return sum((t.planner for t in self.turns), Usage())

    @property
    def executor_usage(self) -> Usage:
        return sum((t.executor for t in self.turns), Usage())

    @property
    def judge_usage(self) -> Usage:
        return sum((judgement.usage for judgement in self.outcome.judgements), Usage())

    @property
    def replans(self) -> int:
        """Plans put in force after the first turn."""
        return sum(t.replanned for t in self.turns if t.index > 0)


def content_hash(data: Any, length: int = 16) -> str:
    """First `length` hex digits of the SHA-256 of `data` as canonical JSON."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def to_dict(row: Any) -> Any:
    """A dataclass row as JSON-ready data."""
    if dataclasses.is_dataclass(row):
        return {f.name: to_dict(getattr(row, f.name)) for f in dataclasses.fields(row)}
    if isinstance(row, Mapping):
        return {str(k): to_dict(v) for k, v in row.items()}
    if isinstance(row, (list, tuple)):
        return [to_dict(v) for v in row]
    return row


def from_dict(kind: Any, data: Any) -> Any:
    """The inverse of `to_dict` for a type built of the rows above. Raises TypeError on unknown or missing fields."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return None if data is None else from_dict(next(a for a in args if a is not type(None)), data)
    if origin is tuple:
        return tuple(from_dict(args[0], v) for v in data)
    if dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        unknown = sorted(set(data) - set(hints))
        if unknown:
            raise TypeError(f"{kind.__name__} has no field {', '.join(unknown)}; it has {', '.join(hints)}")
        return kind(**{name: from_dict(hints[name], value) for name, value in data.items()})
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(data)
    return data


_hints = cache(typing.get_type_hints)  # a fifth of a millisecond per call, for every stored item
