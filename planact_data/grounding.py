"""Grounded plans (paper 4.2): a teacher explains solved trajectories, checks hold it to what was done and what was on screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from planact.llm import LLM
from planact.teaching import AnswerError
from planact.teaching.annotation import AnnotatedStep, annotated_plan, check_spans, parse_annotation, plan_annotation_messages
from planact.types import Plan, Trajectory
from planact_data.desk import Desk, Question
from planact_data.foresight import foreseen_values

KIND = "plan"


@dataclass(frozen=True)
class Grounded:
    """A plan and, for each of its steps, the indices (from 1) of the actions that carry it out."""

    plan: Plan
    spans: tuple[tuple[int, ...], ...]


async def ground_plans(trajectories: Sequence[Trajectory], teacher: LLM, desk: Desk) -> dict[str, Grounded]:
    """The grounded plan of each trajectory, by task id; without those for which the teacher wrote none that can be used."""
    plans: dict[str, Grounded] = {}

    async def work(trajectory: Trajectory) -> None:
        messages = plan_annotation_messages(trajectory.intent, trajectory.turns)
        answer = await desk.ask(KIND, teacher, Question(trajectory.task_id, messages, lambda text: checked_steps(text, trajectory, 0)))
        if not answer.rejected:
            plans[trajectory.task_id] = grounded(answer.value)

    await desk.each("grounded plans", trajectories, work, [KIND])
    return plans


def checked_steps(text: str, trajectory: Trajectory, done: int) -> tuple[AnnotatedStep, ...]:
    """The steps in a teacher's answer for what follows turn `done`. Raises AnswerError."""
    steps = parse_annotation(text)
    check_spans(steps, done + 1, len(trajectory.turns))
    if foreseen := foreseen_values(annotated_plan(steps), trajectory.intent, trajectory.turns, done):
        raise AnswerError(f"the plan states {', '.join(foreseen)}, which no page has shown yet", "foresight")
    return steps


def grounded(steps: Sequence[AnnotatedStep]) -> Grounded:
    return Grounded(annotated_plan(steps), tuple(step.actions for step in steps))
