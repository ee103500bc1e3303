"""Replanning data (paper 4.2.1): the plan of what is left, for every later turn of a solved trajectory."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from itertools import pairwise
from typing import Any, Mapping, Sequence

from planact.llm import LLM
from planact.teaching.annotation import annotate_plan, replan_annotation_messages
from planact.types import Plan, Trajectory, to_dict
from planact_data.desk import Desk, Question
from planact_data.grounding import Grounded, checked_steps, grounded

KIND = "replan"
REVISION = "revision"  # what a replan did to the plan before it, in the store beside the answer
ALIKE = 0.6  # of the shorter step's words that a longer one repeats in their order, to count as the same step, refined; ours

Replans = dict[str, tuple[Grounded, ...]]


@dataclass(frozen=True)
class Revision:
    """How many steps of the last plan a replan kept word for word, refined, and removed, and how many it added."""

    kept: int = 0
    refined: int = 0
    removed: int = 0
    added: int = 0


async def write_replans(
    trajectories: Sequence[Trajectory], plans: Mapping[str, Grounded], teacher: LLM, desk: Desk
) -> tuple[Replans, dict[str, Any]]:
    """The plans of all turns of each trajectory, the first one included, by task id; without those of which one was rejected.

    Also counts for the card.
    """
    found: Replans = {}
    planned = [t for t in trajectories if t.task_id in plans]

    async def work(trajectory: Trajectory) -> None:
        written = [plans[trajectory.task_id]]
        for done in range(1, len(trajectory.turns)):
            earlier = [annotate_plan(one.plan, one.spans, trajectory.turns) for one in written]
            messages = replan_annotation_messages(trajectory.intent, trajectory.turns, earlier)
            check = partial(checked_steps, trajectory=trajectory, done=done)
            question = Question(f"{trajectory.task_id}/{done}", messages, check)
            answer = await desk.ask(KIND, teacher, question)
            if answer.rejected:
                return
            written.append(grounded(answer.value))
            desk.store.put(question.key, to_dict(revision(written[-2].plan, written[-1].plan)), kind=REVISION, replace=True)
        found[trajectory.task_id] = tuple(written)

    await desk.each("replans", planned, work, [KIND])
    return found, _counts(planned, found)


def _counts(planned: Sequence[Trajectory], found: Replans) -> dict[str, Any]:
    steps: Counter[str] = Counter()
    for written in found.values():
        for last, new in pairwise(written):
            steps.update(to_dict(revision(last.plan, new.plan)))
    return {
        "trajectories with a plan": len(planned),
        "with all replans": len(found),
        "rejected": {"one of the replans was rejected": len(planned) - len(found)},
        "replans": sum(len(written) - 1 for written in found.values()),
        "steps of the last plan": dict(steps),
    }


def revision(last: Plan, new: Plan) -> Revision:
    """Compare plans step by step: equal texts are kept, of the rest the most alike are one step, refined, from `ALIKE` on."""
    old, fresh = [_words(step.step) for step in last.steps], [_words(step.step) for step in new.steps]
    kept = sum((Counter(map(tuple, old)) & Counter(map(tuple, fresh))).values())
    left, written = _without(old, fresh), _without(fresh, old)
    pairs = sorted(((-_likeness(a, b), i, j) for i, a in enumerate(left) for j, b in enumerate(written)))
    used_left: set[int] = set()
    used_written: set[int] = set()
    for likeness, i, j in pairs:
        if -likeness >= ALIKE and i not in used_left and j not in used_written:
            used_left.add(i)
            used_written.add(j)
    refined = len(used_left)
    return Revision(kept, refined, len(left) - refined, len(written) - refined)


def _words(step: str) -> list[str]:
    return step.lower().rstrip(".").split()


def _without(steps: Sequence[list[str]], others: Sequence[list[str]]) -> list[list[str]]:
    """The steps that `others` do not have, counting repetitions."""
    spare = Counter(map(tuple, others))
    left = []
    for step in steps:
        if spare[tuple(step)]:
            spare[tuple(step)] -= 1
        else:
            left.append(step)
    return left


def _likeness(a: Sequence[str], b: Sequence[str]) -> float:
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(1, min(len(a), len(b)))


def plans_of(written: Sequence[Grounded]) -> list[Plan]:
    return [one.plan for one in written]


def plans_behind(kind: str, task_id: str, plans: Mapping[str, Grounded], replans: Mapping[str, tuple[Grounded, ...]]) -> list[Plan]:
    """The plans in force, turn by turn, in a trajectory's rows of `kind`: all, or the first alone. Empty when its replans are missing."""
    if kind.startswith(("replan", "act_dynamic")):
        return plans_of(replans.get(task_id, ()))
    return [plans[task_id].plan]
