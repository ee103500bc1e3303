"""A teacher's verdicts on pairs that nobody has carried out."""

import contextlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.teaching import AnswerError
from planact.teaching.feasibility import Verdict, feasibility_messages, parse_verdicts, render_verdicts
from planact.types import Observation, Plan, PlanStep

VERDICTS = (Verdict("The shop sells it.", True), Verdict("There is no garage.", False))
TEXT = "## Pair 1\nThe shop sells it.\n[YES]\n## Pair 2\nThere is no garage.\n[NO]"


def test_the_format():
    assert render_verdicts(VERDICTS) == TEXT
    assert parse_verdicts(TEXT, 2) == VERDICTS


@pytest.mark.parametrize(
    "text",
    [
        f"My verdicts:\n{TEXT}\n\nI hope this helps.",
        f"<think>[YES]</think>{TEXT}",
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\n\n"),
        TEXT.replace("[YES]", "**[yes]**."),
        TEXT.replace("## Pair 2", "**Pair 2:**"),
        TEXT.replace(".\n[", ". ["),
    ],
)
def test_what_teachers_write_around_it(text):
    assert parse_verdicts(text, 2) == VERDICTS


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "expected 2 blocks"),
        (TEXT.replace("## Pair 2", "## Pair 3"), "expected 2 blocks"),
        (TEXT + "\n## Pair 3\n[YES]", "expected 2 blocks"),
        (TEXT.replace("[NO]", "NO"), "pair 2 needs one line that ends with its verdict.*there are 0"),
        (TEXT.replace("[YES]", "[YES]\n[NO]"), "pair 1 needs one line .*there are 2"),
        (TEXT.replace("[NO]", "[NO] I think"), "pair 2 needs"),
    ],
)
def test_what_has_another_form_is_named(text, words):
    with pytest.raises(AnswerError, match=words):
        parse_verdicts(text, 2)


reasons = st.text().map(lambda text: " ".join(text.split())).filter(lambda line: "[" not in line and "</think>" not in line)
reasons = reasons.filter(lambda line: not line.strip("#* ").lower().startswith("pair"))  # a heading of its own


@given(st.lists(st.builds(Verdict, reasons, st.booleans()), min_size=1, max_size=10).map(tuple))
def test_all_verdicts_are_read_back(verdicts):
    assert parse_verdicts(render_verdicts(verdicts), len(verdicts)) == verdicts


pieces = ["## Pair 1\n", "## Pair 2\n", "[YES]", "[NO]", "\n", " ", "**", "</think>", "٣"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=20).map("".join))
def test_any_text_has_all_verdicts_or_is_refused(text):
    with contextlib.suppress(AnswerError):
        assert len(parse_verdicts(text, 2)) == 2


@dataclass(frozen=True)
class Shown:
    intent: str
    page: Observation
    plan: Plan


def test_the_teacher_sees_a_page_once_and_steps_without_reasons():
    page = Observation("link 'Cart' [7]", "link 'Cart'", "http://x/")
    pairs = [Shown(f"Buy {n}.", page, Plan((PlanStep("secret", f"Order {n}."), PlanStep("", "Stop.")))) for n in (1, 2)]
    user = feasibility_messages(pairs)[1]["content"]
    assert user == (
        "## Pair 1\nUser Query: Buy 1.\nInitial HTML State:\nlink 'Cart'\nGlobal Plan:\n1. Order 1.\n2. Stop.\n\n"
        "## Pair 2\nUser Query: Buy 2.\nInitial HTML State:\n(as in Pair 1)\nGlobal Plan:\n1. Order 2.\n2. Stop."
    )
