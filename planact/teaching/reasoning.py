"""Prompts and formats with which a reasoner writes the thoughts that precede a plan or an action (paper 3.4 and 4.2.2).

The reasoner gets what the role sees at inference and the answer of the row. It writes reasoning that leads there and then the
answer once more: `check_label` compares that with the row's, because reasoning that ends elsewhere would contradict it.
"""

from __future__ import annotations

import re
from typing import Sequence

from planact.actions import MAX_RESPONSE, ActionFormatError, parse_action, render_action, strip_thinking
from planact.plans import PlanFormatError, parse_plan
from planact.prompts import Message
from planact.teaching import AnswerError
from planact.types import Action, Plan

_TASK = """You write down how the {role} of a web agent thinks. You get everything that the {role} sees, and the {answer} with which it
answers. Write the thoughts that lead from the one to the other, and then the {answer} itself."""
_RULES = """
- Write in the first person and in the present tense, as the {role} while it thinks, in a few plain sentences.
- {duties}
- Use nothing but what the {role} sees. What no page has shown yet is unknown; describe it, and never say what it will be.
- The {answer} comes out of the thoughts. Nothing in them may tell that it was there before.
Answer in exactly this form:
<reasoning>
the thoughts
</reasoning>
<answer>
the {answer}, word for word
</answer>"""


def _system(role: str, answer: str, duties: str) -> str:
    return (_TASK + _RULES).format(role=role, answer=answer, duties=duties)


PLAN_SYSTEM = _system(
    "planner", "plan", "Begin with what the page shows that matters for the request; then say which steps it takes, in which order and why."
)
REPLAN_SYSTEM = _system(
    "replanner",
    "plan",
    "Begin with what the page shows and whether the last actions worked; then say what is left of the last plan, and what changes it.",
)
ACTION_SYSTEM = _system(
    "executor",
    "action",
    "Say where it stands in its task, and in its plan if it has one, what on the page it needs for that, and what it does with it.",
)
SYSTEMS = {"plan": PLAN_SYSTEM, "replan": REPLAN_SYSTEM, "action": ACTION_SYSTEM}
MAX_CHARACTERS = {"plan": 6000, "replan": 6000, "action": 2500}  # leaves room for the answer in 4096 and 1024 completion tokens; ours

SIGHT, LABEL = "## What it sees\n", "\n\n## Its answer\n"  # headings of the question


def reasoning_messages(subject: str, prompt: Sequence[Message], label: str) -> list[Message]:
    """Ask for the reasoning between a row's prompt and its answer `label`; `subject` is plan, replan or action."""
    chat = "\n".join(f"<{message['role']}>\n{message['content']}\n</{message['role']}>" for message in prompt)
    return [{"role": "system", "content": SYSTEMS[subject]}, {"role": "user", "content": f"{SIGHT}{chat}{LABEL}{label}"}]


def parse_reasoning(text: str) -> tuple[str, str]:
    """Reasoning and answer in a reasoner's reply. Raises AnswerError when it has another form."""
    text = strip_thinking(text[:MAX_RESPONSE])
    _, begun, rest = text.partition("<reasoning>")
    reasoning, ended, rest = rest.partition("</reasoning>")
    _, answered, rest = rest.partition("<answer>")
    label, closed, _ = rest.rpartition("</answer>")
    if not (begun and ended and answered and closed):
        raise AnswerError("expected <reasoning>...</reasoning> and then <answer>...</answer>", "format")
    return reasoning.strip(), label.strip()


def render_reasoning(reasoning: str, label: str) -> str:
    """The text that `parse_reasoning` reads back."""
    return f"<reasoning>\n{reasoning}\n</reasoning>\n<answer>\n{label}\n</answer>"


def check_label(text: str, label: Plan | Action, grammar: str) -> None:
    """Raises AnswerError when the answer written after the reasoning is not the row's."""
    if isinstance(label, Plan):
        try:
            same = _steps(parse_plan(text)) == _steps(label)
        except PlanFormatError as error:
            raise AnswerError(f"the plan after the reasoning cannot be read: {error}", "label differs") from None
    else:
        try:  # both read from text: INFEASIBLE has no spelling of its own in WebRL
            same = parse_action(text, grammar) == parse_action(render_action(label, grammar), grammar)
        except ActionFormatError as error:
            raise AnswerError(f"the action after the reasoning cannot be read: {error}", "label differs") from None
    if not same:
        raise AnswerError(
            "the answer after the reasoning is not the one under 'Its answer'; the reasoning must lead there", "label differs"
        )


def _steps(plan: Plan) -> list[str]:
    return [" ".join(step.step.lower().split()).rstrip(".") for step in plan.steps]


_MARKERS = re.compile(
    r"</?think\b|</?(?:reasoning|answer|system|user|assistant)>|<[|｜]|\[/?INST\]|^[ \t]*(?:system|user|assistant)[ \t]*:", re.I | re.M
)
_TOLD = (
    r"\b(?:gold(?:en)?|given|provided|expected|supplied|reference|prescribed|desired)[ \t\n]+(?:{nouns})\b"
    r"|\b(?:{nouns})[ \t\n]+(?:that[ \t\n]+)?(?:I[ \t\n]+(?:was|am|have been)|is|was|has been)[ \t\n]+(?:given|provided|supplied|told)\b"
    r"|\bI[ \t\n]+(?:was|am|have been)[ \t\n]+(?:told|given|shown)[ \t\n]+(?:that[ \t\n]+)?(?:the|this|which)[ \t\n]+"
    r"(?:right[ \t\n]+|correct[ \t\n]+|final[ \t\n]+)?(?:{nouns})\b"
    r"|\b(?:ground[ -]truth|hindsight|its answer|future actions?)\b"
)
_NOUNS = {"plan": "answer|plan|solution|steps", "replan": "answer|new plan|solution", "action": "answer|action|solution|label"}
_GIVEN_AWAY = {subject: re.compile(_TOLD.format(nouns=nouns), re.I) for subject, nouns in _NOUNS.items()}


def check_reasoning(reasoning: str, subject: str) -> None:
    """Raises AnswerError when the text cannot stand before an answer as the role's own thoughts."""
    if not reasoning:
        raise AnswerError("the reasoning is empty", "empty reasoning")
    if len(reasoning) > MAX_CHARACTERS[subject]:
        raise AnswerError(f"the reasoning has {len(reasoning)} characters; at most {MAX_CHARACTERS[subject]} are allowed", "too long")
    if marker := _MARKERS.search(reasoning):
        raise AnswerError(f"the reasoning contains {marker[0].strip()!r}, which marks parts of a chat", "chat markers")
    if told := _GIVEN_AWAY[subject].search(reasoning):
        raise AnswerError(f"the reasoning says {told[0]!r}: it must not tell that the answer was there before", "gives itself away")
