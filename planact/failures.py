"""Why a trajectory failed: a kind and a sentence of evidence, told by rules from the trajectory alone.

The first rule that holds names the kind:

    model, environment, judge   the endpoint failed, the world broke, or no judge gave a verdict: no failure of the agent
    format       no plan could be read, or the episode ended on answers without a readable action
    loop         the same action on the same page, until that or a limit ended the episode
    grounding    actions that could not be carried out ended the episode or came last; or the agent ended it after an action on
                 an element that its plan, which has every value of the request, does not name; or all values of the request
                 were used in forms and the outcome is wrong nevertheless, so that they went to the wrong place
    limits       the episode was cut off while it went on
    planning     the agent went on without using anything that the request names until it was cut off; or it ended it itself: it
                 gave up, left out a value of the request, the answer to a question or the sending of a form, or did nothing
                 that has a result
    observation  the agent answered, after it had seen what the request names: the page was misread
    unknown      something was changed, the outcome is wrong, and the request names no value to tell by

Elsewhere planning errors, grounding errors and observation misunderstanding are planning, grounding and observation here; being
stuck is loop, and budget is limits. Those of CERTAIN are told by how the episode ended; the others are a guess, for which a
model can be asked too (planact_eval.failure_judge), and docs/failure_sample says how good it is.

The evidence says what was done and never what would have been right: a scorer's reasons state reference answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from planact.actions import describe_action
from planact.types import ELEMENT_OPS, Action, FailureInfo, Op, StopReason, Trajectory, Turn

UNKNOWN = "unknown"
KINDS = ("planning", "grounding", "observation", "loop", "format", "limits", UNKNOWN)
UNSCORED = ("environment", "model", "judge")
CERTAIN = ("loop", "format", *UNSCORED)
LIMITS = (StopReason.MAX_TURNS, StopReason.TOKEN_BUDGET, StopReason.TIME_LIMIT)
STUCK = 3  # trailing turns that do again what was done, from which an episode that was cut off was stuck; ours
MAX_EVIDENCE = 200  # characters of a page's or a model's text in a sentence; ours

_BROKEN = {StopReason.MODEL_ERROR: "model", StopReason.ENV_ERROR: "environment"}
_NAME = re.compile(r"'(.+)'")  # of an element, in its description
_FILLS = (Op.TYPE, Op.SELECT)
_VALUES = re.compile(r"(?<!\w)'([^']+)'(?!\w)|\"([^\"]+)\"|(?<![\w.])([\w-]*\d[\w.,:-]*\w|\d)")


def classify(trajectory: Trajectory) -> str:
    """One of KINDS, one of UNSCORED, or "" for a solved task."""
    failure = explain(trajectory)
    return failure.kind if failure else ""


def explain(trajectory: Trajectory) -> FailureInfo | None:
    """The kind and the evidence; None for a solved task."""
    if trajectory.outcome.success:
        return None
    if trajectory.outcome.success is None or trajectory.stop_reason in _BROKEN:
        kind = _BROKEN.get(trajectory.stop_reason, "judge")
        return FailureInfo(kind, _cut(trajectory.error or "there is no verdict"))
    rules = (_format, _loop, _grounding, _limits, _answered, _ended)
    return next(failure for rule in rules if (failure := rule(trajectory)))


def _format(trajectory: Trajectory) -> FailureInfo | None:
    turns = trajectory.turns
    unplanned = next((turn.plan_failure for turn in turns if turn.plan_failure), None)
    if unplanned and not any(turn.plan for turn in turns):
        return FailureInfo("format", f"no plan could be read: {_cut(unplanned.message)}")
    if trajectory.stop_reason == StopReason.INVALID_ACTIONS and turns[-1].failure:
        return FailureInfo("format", f"the last answer holds no readable action: {_cut(turns[-1].failure.message)}")
    return None


def _loop(trajectory: Trajectory) -> FailureInfo | None:
    """Half of the turns or more repeat an earlier one, or the last ones do, where a limit ended the episode."""
    turns = trajectory.turns
    again = _repeats(turns)
    at_limit = trajectory.stop_reason in LIMITS and any(again) and (2 * sum(again) >= len(turns) or all(again[-STUCK:]))
    if trajectory.stop_reason == StopReason.REPEATED_ACTION or at_limit:
        return FailureInfo("loop", f"{sum(again)} of {len(turns)} turns repeat an action on the same page; the last: {_act(turns[-1])}")
    return None


def _repeats(turns: Sequence[Turn]) -> list[bool]:
    """For each turn whether its action was done before on a page with the same text."""
    done: set[tuple[Action | None, str]] = set()
    again = []
    for turn in turns:
        again.append((turn.action, turn.observation.text) in done)
        done.add((turn.action, turn.observation.text))
    return again


def _grounding(trajectory: Trajectory) -> FailureInfo | None:
    turns = trajectory.turns
    pages = [*(turn.observation for turn in turns[1:]), trajectory.final]  # that each turn led to
    acting = [(turn, page) for turn, page in zip(turns, pages) if turn.action and turn.action.op not in (Op.STOP, Op.INFEASIBLE)]
    failed = [(turn, page.error) for turn, page in acting if page and page.error]
    if failed and (trajectory.stop_reason == StopReason.INVALID_ACTIONS or failed[-1][0] is acting[-1][0]):
        turn, error = failed[-1]
        return FailureInfo("grounding", f"the last action, {_act(turn)}, could not be carried out: {_cut(error)}")
    return None


def _limits(trajectory: Trajectory) -> FailureInfo | None:
    if trajectory.stop_reason not in LIMITS:
        return None
    turns = trajectory.turns
    values = _values(trajectory.intent)
    if turns and values and len(_missing(trajectory.intent, "\n".join(map(_act, turns)))) == len(values):
        return FailureInfo("planning", f"cut off after {len(turns)} turns ({trajectory.stop_reason}), and none used {values[0]!r}")
    return FailureInfo("limits", f"cut off after {len(turns)} turns ({trajectory.stop_reason})")


def _answered(trajectory: Trajectory) -> FailureInfo | None:
    if trajectory.stop_reason == StopReason.INFEASIBLE:
        return FailureInfo("planning", f"gave up after {len(trajectory.turns)} turns: {_act(trajectory.turns[-1])}")
    if not trajectory.answer:
        return None
    seen = "\n".join(f"{turn.observation.outline}\n{_act(turn)}" for turn in trajectory.turns[:-1])
    seen += f"\n{trajectory.turns[-1].observation.outline}"
    if missing := _missing(trajectory.intent, seen):
        return FailureInfo("planning", f"answered {_cut(trajectory.answer)!r} without having come to {missing[0]!r}")
    shown = "a page showed it" if _stands_in(trajectory.answer, seen) else "no page showed it"
    return FailureInfo("observation", f"answered {_cut(trajectory.answer)!r}; {shown}")


def _ended(trajectory: Trajectory) -> FailureInfo:
    turns = trajectory.turns
    if missing := _missing(trajectory.intent, "\n".join(map(_act, turns))):
        if strayed := _strayed(trajectory):
            return FailureInfo("grounding", f"the plan uses {missing[0]!r}; ended after {_act(strayed)}, which no step of it names")
        return FailureInfo("planning", f"ended after {len(turns)} turns without having used {missing[0]!r}")
    if "?" in trajectory.intent:
        return FailureInfo("planning", f"ended after {len(turns)} turns without an answer to the question")
    changing = [turn for turn in turns if turn.action and _changes(turn)]
    if not changing:
        page = turns[-1].observation.title
        return FailureInfo("planning", f"ended on the page {_cut(page)!r} without an answer and without having changed anything")
    if changing[-1].action.op in _FILLS:
        return FailureInfo("planning", f"ended before what was filled in was sent: {_act(changing[-1])}")
    if not _values(trajectory.intent):
        return FailureInfo(UNKNOWN, f"the request names no value, and the outcome is wrong; the last change: {_act(changing[-1])}")
    return FailureInfo("grounding", f"every value of the request was used, the last in {_act(changing[-1])}, and the outcome is wrong")


def _strayed(trajectory: Trajectory) -> Turn | None:
    """The last action on an element, where the plan names every value of the request and neither of the two names the element."""
    acting = [turn for turn in trajectory.turns if turn.action and turn.action.op in ELEMENT_OPS]
    plan = "\n".join(step.step for step in acting[-1].plan.steps) if acting else ""
    if not plan or _missing(trajectory.intent, plan):
        return None
    name = _NAME.search(acting[-1].action.target)
    return None if name is None or _stands_in(name[1], f"{plan}\n{trajectory.intent}") else acting[-1]


def _changes(turn: Turn) -> bool:
    return turn.action.op in (*_FILLS, Op.PRESS) or (turn.action.op == Op.CLICK and "button" in turn.action.target)


def _values(intent: str) -> list[str]:
    """Values of the request: quoted texts and words with digits."""
    return [a or b or c for a, b, c in _VALUES.findall(intent)]


def _missing(intent: str, text: str) -> list[str]:
    """Values of the request that do not stand in `text`."""
    return [value for value in _values(intent) if not _stands_in(value, text)]


def _stands_in(value: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(value.casefold())}(?!\w)", text.casefold()) is not None


def _act(turn: Turn) -> str:
    return _cut(describe_action(turn.action)) if turn.action else "an unreadable answer"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_EVIDENCE else f"{text[:MAX_EVIDENCE]}…"
