"""Grounded plans (paper 4.2) and replans (4.2.1): a teacher explains solved trajectories, checks hold it to what was on screen."""

from __future__ import annotations

from typing import Sequence

from planact.annotate import (
    AnnotatedStep,
    AnnotationError,
    annotated_plan,
    check_spans,
    parse_annotation,
    plan_annotation_messages,
    replan_annotation_messages,
)
from planact.llm import LLM
from planact.parallel import run_all
from planact.progress import Progress
from planact.prompts import Message
from planact.store import RunStore
from planact.types import Plan, Trajectory, Usage, from_dict, to_dict
from planact_data.checks import foreseen_values

REPAIRS = 2  # times the teacher is shown what is wrong with its answer; ours
MAX_TOKENS = 2048  # of one annotation; ours
KINDS = {False: "plan", True: "replan"}


async def annotate_all(trajectories: Sequence[Trajectory], replans: bool, teacher: LLM, store: RunStore, seed: int, in_flight: int) -> None:
    """Put the first plan (`replans` False) or the plans of all later turns (True) of each trajectory into `store`."""
    kind = KINDS[replans]
    done = store.keys(kind)
    todo = [t for t in trajectories if t.task_id not in done]
    with Progress(f"{kind} annotations", len(trajectories), done=len(trajectories) - len(todo), unit="trajectories") as progress:

        async def work(trajectory: Trajectory) -> None:
            store.put(trajectory.task_id, await _annotate(trajectory, replans, teacher, store, seed), kind=kind)
            progress.update()

        await run_all(todo, work, in_flight)


async def _annotate(trajectory: Trajectory, replans: bool, teacher: LLM, store: RunStore, seed: int) -> dict:
    """The stored record: plans as data, or the reason for which there is none; repairs asked for; the teacher's usage."""
    turns, usage, repairs = trajectory.turns, Usage(), 0
    plans: list[Plan] = []
    last = from_dict(Plan, store.get(trajectory.task_id, "plan")["plans"][0]) if replans else Plan()
    spans: list[list[list[int]]] = []
    for done in range(1, len(turns)) if replans else [0]:
        steps, tries, spent, reason = await _ask(trajectory, done, last, teacher, seed)
        usage, repairs = usage + spent, repairs + tries
        if not steps:
            return {"plans": [], "spans": [], "rejected": reason, "repairs": repairs, "usage": to_dict(usage)}
        last = annotated_plan(steps)
        plans.append(last)
        spans.append([list(step.actions) for step in steps])
    return {"plans": to_dict(plans), "spans": spans, "rejected": "", "repairs": repairs, "usage": to_dict(usage)}


async def _ask(trajectory: Trajectory, done: int, last: Plan, teacher: LLM, seed: int) -> tuple[tuple[AnnotatedStep, ...], int, Usage, str]:
    """Checked steps for what follows turn `done`, repairs used, usage; no steps and the reason when no answer passed."""
    turns = trajectory.turns
    messages: list[Message] = (
        replan_annotation_messages(trajectory.intent, turns, done, last) if done else plan_annotation_messages(trajectory.intent, turns)
    )
    usage, reason = Usage(), ""
    for tries in range(REPAIRS + 1):
        completion = await teacher.complete(messages, max_tokens=MAX_TOKENS, seed=seed + tries)
        usage += completion.usage
        try:
            steps = parse_annotation(completion.text)
            check_spans(steps, done + 1, len(turns))
            if foreseen := foreseen_values(annotated_plan(steps), trajectory.intent, turns, done):
                raise AnnotationError(f"the plan states {', '.join(foreseen)}, which no page has shown yet")
            return steps, tries, usage, ""
        except AnnotationError as error:
            reason = str(error)
        complaint = f"That answer cannot be used: {reason}. Write the whole answer again."
        messages = [*messages, {"role": "assistant", "content": completion.text}, {"role": "user", "content": complaint}]
    return (), REPAIRS, usage, reason


def load_plans(task_id: str, store: RunStore, replans: bool) -> list[Plan]:
    """[first plan], followed by the plan of each later turn when `replans`; [] when one of them was rejected."""
    plans: list[Plan] = []
    for kind in ("plan", "replan") if replans else ("plan",):
        record = store.get(task_id, kind)
        if record["rejected"]:
            return []
        plans += [from_dict(Plan, plan) for plan in record["plans"]]
    return plans
