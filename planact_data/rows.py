"""Training rows, rendered by the same functions that render inference prompts.

Kinds: `plan` (request + first page → plan), `replan` (… + what was done + current page → rest of the plan), `act`
(executor under the first plan), `act_dynamic` (executor under the newest plan), `react` (executor without a plan). Each has
a twin `<kind>_cot`, whose prompts ask for reasoning and whose answers begin with it (paper 4.2.2).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Callable, Iterator, Mapping, Sequence

from planact.prompts import (
    Message,
    executor_answer,
    executor_messages,
    planner_answer,
    planner_messages,
    prompts_hash,
    replanner_messages,
    seen,
)
from planact.recipe import Agent
from planact.shorten import count_tokens
from planact.types import Action, Plan, Trajectory, Turn
from planact_data.pairs import Pair, pair_of
from planact_envs.observation import read_elements

KINDS = ("plan", "replan", "act", "act_dynamic", "react")
COT_KINDS = tuple(f"{kind}_cot" for kind in KINDS)
Row = dict


def features():
    """The schema of every kind, as `datasets.Features`."""
    from datasets import Features, List, Value

    chat = List({"role": Value("string"), "content": Value("string")})
    return Features(
        {
            "id": Value("string"),  # "<task>/<kind>/<turn>"
            "kind": Value("string"),
            "task_id": Value("string"),  # the id of the pair for a request that was never run
            "turn": Value("int32"),  # from 0
            "prompt": chat,
            "completion": chat,  # one assistant message
            "prompts_hash": Value("string"),
            "source": Value("string"),  # the pipeline stage that the row comes from
        }
    )


@dataclass(frozen=True)
class Draft:
    """A row whose answer is known and lacks its reasoning, if it is to have one."""

    kind: str
    task_id: str
    turn: int
    source: str
    prompt: list[Message]
    label: Plan | Action
    page: str  # all of the page that the prompt shows
    shown: str  # and what the prompt shows of it

    @property
    def id(self) -> str:
        return f"{self.task_id}/{self.kind}/{self.turn}"


def drafts(
    kind: str, trajectory: Trajectory, plans: Sequence[Plan], agent: Agent, source: str = "seed", dropped: Counter[str] | None = None
) -> Iterator[Draft]:
    """All rows of `kind` that one solved trajectory can give; `plans[t]` is what is still to do at turn t, `plans[0]` the first plan.

    An action on an element that the shortened page does not show gives no row: an agent could not do it either.
    """
    if _family(kind) == "plan":
        yield pair_draft(kind, pair_of(trajectory, plans[0], source), agent)
        return
    for turn, prompt, label, page, shown in _MAKERS[_family(kind)](trajectory, plans, _told(agent, kind)):
        if isinstance(label, Action) and shown != page and not _within_reach(label, shown, agent.observation):
            if dropped is not None:
                dropped["target shortened away"] += 1
            continue
        yield Draft(kind, trajectory.task_id, turn, source, prompt, label, page, shown)


def _within_reach(action: Action, shown: str, form: str) -> bool:
    return not action.element or any(element.id == action.element for element in read_elements(shown, form))


def pair_draft(kind: str, pair: Pair, agent: Agent) -> Draft:
    """The planner row of a pair; `kind` is plan or plan_cot."""
    agent, page = _told(agent, kind), pair.page
    task_id = pair.id if pair.parent else pair.id.removeprefix(f"{pair.source}/")
    shown = seen(agent, page.outline, pair.intent)
    return Draft(kind, task_id, 0, pair.source, planner_messages(agent, pair.intent, page), pair.plan, page.outline, shown)


def make_rows(
    kind: str,
    trajectory: Trajectory,
    plans: Sequence[Plan],
    agent: Agent,
    reasoning: Mapping[str, str] | None = None,
    source: str = "seed",
    dropped: Counter[str] | None = None,
    sizes: Counter[str] | None = None,
) -> Iterator[Row]:
    """The rows of `kind` from one trajectory. Those of a _cot kind need `reasoning` (by row id).

    What is lost is counted by reason in `dropped`, the tokens of pages in `sizes` (for `kept_ratio`).
    """
    dropped = Counter() if dropped is None else dropped
    for draft in drafts(kind, trajectory, plans, agent, source, dropped):
        row = finish(draft, agent, reasoning, sizes)
        if row is not None:
            yield row
        else:
            dropped["rows without reasoning"] += 1


def pair_row(
    kind: str, pair: Pair, agent: Agent, reasoning: Mapping[str, str] | None = None, sizes: Counter[str] | None = None
) -> Row | None:
    """The row of kind plan or plan_cot, None when its reasoning is missing."""
    return finish(pair_draft(kind, pair, agent), agent, reasoning, sizes)


def kept_ratio(sizes: Mapping[str, int]) -> float:
    """Tokens of pages that the counted rows show, as a share of the tokens of the whole pages."""
    return sizes.get("shown", 0) / sizes["whole"] if sizes.get("whole") else 1.0


def finish(draft: Draft, agent: Agent, reasoning: Mapping[str, str] | None, sizes: Counter[str] | None = None) -> Row | None:
    """The row of a draft, None when its kind wants a reasoning that there is not."""
    cot = draft.kind in COT_KINDS
    thought = (reasoning or {}).get(draft.id, "") if cot else ""
    if cot and not thought:
        return None
    if sizes is not None:
        whole = count_tokens(draft.page)
        sizes.update(whole=whole, shown=whole if draft.shown == draft.page else count_tokens(draft.shown))
    return {
        "id": draft.id,
        "kind": draft.kind,
        "task_id": draft.task_id,
        "turn": draft.turn,
        "prompt": draft.prompt,
        "completion": [answer_of(draft.label, agent.grammar, thought)],
        "prompts_hash": prompts_hash(agent.prompts, agent.grammar, cot),
        "source": draft.source,
    }


def answer_of(label: Plan | Action, grammar: str, thought: str = "") -> Message:
    return planner_answer(label, thought) if isinstance(label, Plan) else executor_answer(label, grammar, thought)


def _family(kind: str) -> str:
    return kind.removesuffix("_cot")


def _told(agent: Agent, kind: str) -> Agent:
    """The kind says whether the prompt asks for reasoning: rows of both sorts lie in one folder."""
    return replace(agent, cot=kind in COT_KINDS)


def _replan(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    turns = under_plans(trajectory.turns, plans)
    for t in range(1, len(plans)):
        page = turns[t].observation
        shown = seen(agent, page.outline, trajectory.intent, turns[t - 1].plan, turns[:t])
        yield t, replanner_messages(agent, trajectory.intent, turns[:t], page), plans[t], page.outline, shown


def _act(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    yield from _executor(trajectory, under_plans(trajectory.turns, plans[:1]), agent)


def _act_dynamic(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    yield from _executor(trajectory, under_plans(trajectory.turns, plans), agent)


def _react(trajectory: Trajectory, plans: Sequence[Plan], agent: Agent):
    yield from _executor(trajectory, [replace(t, plan=None) for t in trajectory.turns], agent)


def _executor(trajectory: Trajectory, turns: Sequence[Turn], agent: Agent):
    for t, turn in enumerate(turns):
        page = turn.observation
        shown = seen(agent, page.text, trajectory.intent, turn.plan, turns[:t])
        yield t, executor_messages(agent, trajectory.intent, turn.plan, turns[:t], page), turn.action, page.text, shown


def under_plans(turns: Sequence[Turn], plans: Sequence[Plan]) -> list[Turn]:
    """The turns as if `plans[t]` had been written before turn t; the last plan stays in force after that."""
    return [replace(turn, plan=plans[min(t, len(plans) - 1)], replanned=t < len(plans)) for t, turn in enumerate(turns)]


_MAKERS: dict[str, Callable] = {"replan": _replan, "act": _act, "act_dynamic": _act_dynamic, "react": _react}
