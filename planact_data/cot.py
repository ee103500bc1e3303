"""Chain-of-thought data (paper 4.2.2): reasoning between the prompt and the answer of every row that a `_cot` kind needs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Collection, Iterable

from planact.llm import LLM
from planact.recipe import Agent
from planact.teaching import AnswerError
from planact.teaching.reasoning import check_label, check_reasoning, parse_reasoning, reasoning_messages
from planact.types import Trajectory
from planact_data.desk import Desk, Question
from planact_data.foresight import sights, unseen_names, unseen_values
from planact_data.pairs import Pair
from planact_data.replanning import plans_behind
from planact_data.rows import COT_KINDS, Draft, answer_of, drafts, pair_draft
from planact_data.values import readable

if TYPE_CHECKING:
    from planact_data.pipeline import Material

TEMPERATURE = 0.6  # released code
MAX_TOKENS = 16_384  # completion tokens of one reply, the reasoner's own thinking included; released code

Reasoning = dict[str, str]  # by row id


async def write_reasoning(material: Material, kinds: Collection[str], reasoner: LLM, desk: Desk, agent: Agent) -> Reasoning:
    """The reasoning of the rows of those `kinds` that are _cot; rows for which none could be used are left out."""
    found: Reasoning = {}
    by_id = {trajectory.task_id: trajectory for trajectory in material.trajectories}

    async def work(kind: str, item: Pair | Trajectory) -> None:
        for draft in _drafts(kind, item, material, agent):
            question = _question(draft, agent.grammar, by_id.get(draft.task_id))
            answer = await desk.ask(kind, reasoner, question)
            if not answer.rejected:
                found[draft.id] = answer.value

    for kind in COT_KINDS:
        if kind in kinds:
            items = material.pairs if kind == "plan_cot" else material.trajectories
            await desk.each(f"reasoning of {kind}", items, partial(work, kind), [kind])
    return found


def _drafts(kind: str, item: Pair | Trajectory, material: Material, agent: Agent) -> Iterable[Draft]:
    if isinstance(item, Pair):
        return [pair_draft(kind, item, agent)]
    plans = plans_behind(kind, item.task_id, material.plans, material.replans)
    return drafts(kind, item, plans, agent) if plans else []


def _question(draft: Draft, grammar: str, trajectory: Trajectory | None) -> Question:
    """`trajectory` is the one that the row belongs to; None when its request was never run."""
    subject = draft.kind.removesuffix("_cot") if draft.kind in ("plan_cot", "replan_cot") else "action"
    label = answer_of(draft.label, grammar)["content"]
    known = "\n".join([*(message["content"] for message in draft.prompt), readable(draft.shown), label])
    turns = trajectory.turns if trajectory else ()
    later, elsewhere = turns[draft.turn + (subject == "action") :], sights(turns)  # an action is the answer of its own turn

    def check(text: str) -> str:
        reasoning, written = parse_reasoning(text)
        check_reasoning(reasoning, subject)
        check_label(written, draft.label, grammar)
        if unseen := unseen_names(reasoning, known, later).union(unseen_values(reasoning, known, elsewhere)):
            raise AnswerError(f"the reasoning states {', '.join(sorted(unseen))}, which it cannot know from what it sees", "foresight")
        return reasoning

    messages = reasoning_messages(subject, draft.prompt, label)
    return Question(draft.id, messages, check, max_tokens=MAX_TOKENS, temperature=TEMPERATURE)
