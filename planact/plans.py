"""The text of a plan (paper A.3): repeated blocks `## Step N` / `Reasoning: ...` / `Step: ...`, from step 1."""

from __future__ import annotations

import re

from planact.actions import MAX_RESPONSE, strip_thinking
from planact.types import Plan, PlanStep

MAX_STEPS = 50  # ours; a longer plan is a model repeating itself

_HEADING = re.compile(r"^[ \t]*#{1,3}[ \t]*Step[ \t]+(\d{1,4})(?:[ \t]*:)?[ \t\r]*$", re.M | re.I)
_FENCE = re.compile(r"^[ \t]*```[ \t\w]*$", re.M)
_REASONING = re.compile(r"^[ \t]*Reasoning[ \t]*:", re.M | re.I)
_STEP = re.compile(r"^[ \t]*Step[ \t]*:", re.M | re.I)


class PlanFormatError(ValueError):
    """The text is not a plan; the message says what was found and what is expected."""


def parse_plan(text: str) -> Plan:
    """The plan in `text`; anything before `## Step 1` is ignored. Raises PlanFormatError."""
    text = _FENCE.sub("", strip_thinking(text[:MAX_RESPONSE]))
    headings = list(_HEADING.finditer(text))
    if not headings:
        found = repr(text.strip()[:80]) if text.strip() else "an empty answer"
        raise PlanFormatError(f"no plan found in {found}; expected '## Step 1', 'Reasoning: ...' and 'Step: ...' lines")
    numbers = [int(h[1]) for h in headings]
    if numbers != list(range(1, len(numbers) + 1)):
        raise PlanFormatError(f"steps are numbered {numbers[:10]}; expected 1, 2, 3, ...")
    if len(numbers) > MAX_STEPS:
        raise PlanFormatError(f"the plan has {len(numbers)} steps; expected at most {MAX_STEPS}")
    ends = [h.start() for h in headings[1:]] + [len(text)]
    return Plan(tuple(_step(n, text[h.end() : end]) for n, h, end in zip(numbers, headings, ends)))


def render_plan(plan: Plan) -> str:
    """The text that `parse_plan` reads back into `plan`: what a planner is trained to write."""
    return "\n".join(f"## Step {n}\nReasoning: {s.reasoning}\nStep: {s.step}" for n, s in enumerate(plan.steps, 1))


def render_steps(plan: Plan) -> str:
    """The steps alone, numbered: what an executor reads."""
    return "\n".join(f"{n}. {s.step}" for n, s in enumerate(plan.steps, 1))


def _step(number: int, block: str) -> PlanStep:
    reasoning = _REASONING.search(block)  # one after the other: a single pattern needs quadratic time on a repeated line
    step = reasoning and _STEP.search(block, reasoning.end())
    if not step or not block[step.end() :].strip():
        raise PlanFormatError(f"step {number} lacks its 'Reasoning:' or 'Step:' line")
    return PlanStep(" ".join(block[reasoning.end() : step.start()].split()), " ".join(block[step.end() :].split()))
