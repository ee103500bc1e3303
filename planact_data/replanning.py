"""Replanning data (paper 4.2.1): the plan of what is left, for every later turn of a solved trajectory."""

from __future__ import annotations

from typing import Mapping, Sequence

from planact.llm import LLM
from planact.teaching.annotation import replan_annotation_messages
from planact.types import Plan, Trajectory
from planact_data.desk import Desk, Question
from planact_data.grounding import Grounded, checked_steps, grounded

KIND = "replan"


async def write_replans(
    trajectories: Sequence[Trajectory], plans: Mapping[str, Grounded], teacher: LLM, desk: Desk
) -> dict[str, tuple[Grounded, ...]]:
    """The plans of all turns of each trajectory, the first one included, by task id; without those of which one was rejected."""
    found: dict[str, tuple[Grounded, ...]] = {}

    async def work(trajectory: Trajectory) -> None:
        written = [plans[trajectory.task_id]]
        for done in range(1, len(trajectory.turns)):
            messages = replan_annotation_messages(trajectory.intent, trajectory.turns, done, written[-1].plan)
            question = Question(f"{trajectory.task_id}/{done}", messages, lambda text: checked_steps(text, trajectory, done))
            answer = await desk.ask(KIND, teacher, question)
            if answer.rejected:
                return
            written.append(grounded(answer.value))
        found[trajectory.task_id] = tuple(written)

    await desk.each("replans", [t for t in trajectories if t.task_id in plans], work, [KIND])
    return found


def plans_of(written: Sequence[Grounded]) -> list[Plan]:
    return [one.plan for one in written]
