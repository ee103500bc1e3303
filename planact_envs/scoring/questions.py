"""The questions that WebArena's scorers put to a judge model. The verdict words are the originals', the wording around them is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from planact.llm import Message

SAME_MEANING = """You grade a student's answer to a question against a reference answer.
Wording does not matter, meaning does: every fact of the reference must be in the student's answer, and nothing there may contradict it.
"N/A" means that the task cannot be done.

Question: {question}
Reference answer: {reference}
Student's answer: {answer}

Conclude with one of: correct, incorrect, partially correct."""

SAME_REASON = """The task below cannot be done. Somebody tried it and reported why. Decide whether the report gives the actual reason,
be it only by implication.

Task: {question}
Actual reason: {reference}
Reported reason: {answer}

Conclude with one of: same, different."""


@dataclass(frozen=True)
class Question:
    check: str
    text: str
    read: Callable[[str], bool | None]

    @property
    def messages(self) -> list[Message]:
        return [{"role": "user", "content": self.text}]


def same_meaning(question: str, reference: str, answer: str, partial: bool = False) -> Question:
    """Whether an answer, or what a page shows, means the same as the reference; "partially" is no unless `partial`."""
    text = SAME_MEANING.format(question=question, reference=reference, answer=answer)
    no = ("incorrect",) if partial else ("incorrect", "partially correct")
    return Question("fuzzy_match", text, lambda reply: verdict(reply, yes="correct", no=no))


def same_reason(question: str, reference: str, answer: str) -> Question:
    """Whether an answer says why the task cannot be done."""
    text = SAME_REASON.format(question=question, reference=reference, answer=answer)
    return Question("ua_match", text, lambda reply: verdict(reply, yes="same", no=("different",)))


def verdict(reply: str, yes: str, no: tuple[str, ...]) -> bool | None:
    """As the originals read it: a word of `no` anywhere decides, then `yes`; neither is no verdict, where the originals crash."""
    text = reply.lower()
    if any(word in text for word in no):
        return False
    return True if yes in text else None
