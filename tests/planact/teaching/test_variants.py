"""Variants of a training pair: what the teacher is shown, and how its answer is read."""

import contextlib
import time
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.teaching import AnswerError
from planact.teaching.failures import FailureClass
from planact.teaching.variants import EARLIER, Variant, parse_variant, render_variant, variant_messages
from planact.types import Observation, Plan, PlanStep

PLAN = Plan((PlanStep("The page has a search box.", "Search for 'Tee'."), PlanStep("It is open.", "Report the price.")))
VARIANT = Variant("What does 'Tee' cost?", PLAN)
TEXT = """User Query: What does 'Tee' cost?
Global Plan:
## Step 1
Reasoning: The page has a search box.
Step: Search for 'Tee'.
## Step 2
Reasoning: It is open.
Step: Report the price."""
CONCERN = FailureClass("Prices", "The agent reports another price.")


@dataclass(frozen=True)
class Seed:
    intent: str
    page: Observation
    plan: Plan


def test_the_format():
    assert render_variant(VARIANT) == TEXT
    assert parse_variant(TEXT) == VARIANT


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n\n{TEXT}\n\nThis varies the product.",
        f"<think>User Query: no</think>{TEXT}",
        TEXT.replace("User Query:", "**User Query:**").replace("Global Plan:", "### Global Plan:"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("What does", "What\ndoes"),
    ],
)
def test_what_teachers_write_around_it(text):
    assert parse_variant(text) == VARIANT


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "expected a line 'User Query"),
        (TEXT.replace("User Query", "Query"), "expected a line 'User Query"),
        (TEXT.replace("Global Plan", "Plan"), "expected a line 'User Query"),
        (TEXT.replace("What does 'Tee' cost?", " "), "the request is empty"),
        (TEXT.replace("## Step 2", "## Step 3"), "steps are numbered"),
        (TEXT[: TEXT.index("## Step 1")], "no plan found"),
        (TEXT.replace("Report the price.", ""), "step 2 lacks"),
    ],
)
def test_what_has_another_form_is_named(text, words):
    with pytest.raises(AnswerError, match=words):
        parse_variant(text)


def test_the_teacher_sees_pair_class_and_earlier_variants():
    page = Observation("text with ids", "outline", "http://shop/", "Shop")
    system, user = variant_messages(Seed("How much\nis 'Mug'?", page, PLAN), CONCERN, [f"request {n}" for n in range(EARLIER + 1)], 22)
    assert "exactly as they are" in system["content"]
    assert user["content"].startswith(
        "## Class\nName: Prices\nDescription: The agent reports another price.\n\n"
        "## Pair\nUser Query: How much is 'Mug'?\nInitial HTML State:\noutline\nGlobal Plan:\n## Step 1\n"
    )
    assert user["content"].endswith(f"- request {EARLIER}\n\nWrite variant 22.") and "text with ids" not in user["content"]
    assert "- request 1\n" in user["content"] and "- request 0\n" not in user["content"]
    assert "## Earlier Variants\n(none)\n" in variant_messages(Seed("q", page, PLAN), CONCERN, [], 1)[1]["content"]


lines = st.text().map(lambda text: " ".join(text.split())).filter(lambda line: line and "</think>" not in line and "```" not in line)
plans = st.lists(st.builds(PlanStep, lines, lines), min_size=1, max_size=4).map(lambda steps: Plan(tuple(steps)))


@given(st.builds(Variant, lines, plans))
def test_every_variant_is_read_back(variant):
    assert parse_variant(render_variant(variant)) == variant


pieces = ["User Query:", "\nGlobal Plan:", "\n## Step 1\n", "Reasoning: a\n", "Step: b\n", "\n\n", "*", "</think>"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=20).map("".join))
def test_any_text_is_a_variant_or_refused(text):
    with contextlib.suppress(AnswerError):
        variant = parse_variant(text)
        assert variant.intent and variant.plan


@pytest.mark.parametrize("text", ["User Query:\n" * 8_000, "*" * 100_000, "User Query: a\nGlobal Plan:\n" + "## Step 1\nStep:\n" * 6_000])
def test_100_kb_of_nonsense_is_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(AnswerError):
        parse_variant(text)
    assert time.process_time() - started < 1
