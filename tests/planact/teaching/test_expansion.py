"""New pairs from a teacher: what it is shown, and what is read of its answers."""

import contextlib
import time
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.teaching import AnswerError
from planact.teaching.expansion import WANTED, Expansion, NewPair, expansion_messages, parse_expansion, render_expansion
from planact.types import Observation, Plan, PlanStep

PAIRS = (
    NewPair(
        "Find the price of 'Tee'.",
        2,
        Plan((PlanStep("The page has a search box.", "Search for 'Tee'."), PlanStep("It is shown.", "Report it."))),
    ),
    NewPair("Open my cart.", 1, Plan((PlanStep("The page links to the cart.", "Go to the cart."),))),
)
TEXT = """## Data Pair 1
User Query: Find the price of 'Tee'.
Initial HTML State: 2
Global Plan:
## Step 1
Reasoning: The page has a search box.
Step: Search for 'Tee'.
## Step 2
Reasoning: It is shown.
Step: Report it.

## Data Pair 2
User Query: Open my cart.
Initial HTML State: 1
Global Plan:
## Step 1
Reasoning: The page links to the cart.
Step: Go to the cart."""


def test_the_format():
    assert render_expansion(PAIRS) == TEXT
    assert parse_expansion(TEXT, 2) == Expansion(PAIRS)


@pytest.mark.parametrize(
    "text",
    [
        f"Here are the pairs:\n{TEXT}\n\nI hope they help.\nTell me if not.",
        f"<think>## Data Pair 1</think>{TEXT}",
        f"```\n{TEXT}\n```",
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n\n", "\n\n---\n\n"),
        TEXT.replace("\n\n", "\n---\n"),
        TEXT.replace("## Data Pair 1", "### Data Pair 1:").replace("## Data Pair 2", "**Data Pair 2**"),
        TEXT.replace("User Query:", "**User Query:**").replace("Global Plan:", "### Global Plan:"),
        TEXT.replace("User Query: ", "User Query:\n").replace("State: ", "State:\n"),
        TEXT.replace("State: 2", "State: Example 2").replace("State: 1", "State: [1]"),
        TEXT.replace("price of", "price\n  of"),
        TEXT.replace("Global Plan:\n", "Global Plan:\n\n").replace("Step: ", "Step:\n"),
    ],
)
def test_what_teachers_write_around_it(text):
    assert parse_expansion(text, 2) == Expansion(PAIRS)


def test_the_page_is_no_part_of_the_request():
    """The released code leaves the line with the page's number in the text of the request."""
    assert all("HTML" not in pair.intent for pair in parse_expansion(TEXT, 2).pairs)


@pytest.mark.parametrize(
    "text, reason",
    [
        (TEXT.replace("User Query: Open my cart.\n", ""), "a line is missing"),
        (TEXT.replace("Initial HTML State: 1\n", ""), "a line is missing"),
        (TEXT.replace("State: 1\nGlobal Plan:", "State: 1"), "a line is missing"),
        (TEXT.replace("Open my cart.", ""), "empty request"),
        (TEXT.replace("State: 1", "State: 3"), "no such page"),
        (TEXT.replace("State: 1", "State: 0"), "no such page"),
        (TEXT.replace("State: 1", "State: -1 or 1"), "no such page"),
        (TEXT.replace("State: 1", "State: the shop"), "no such page"),
        (TEXT.replace("State: 1", f"State: {'9' * 5000}"), "no such page"),
        (TEXT.replace("Reasoning: The page links to the cart.\n", ""), "unreadable plan"),
        (TEXT.replace("Step: Go to the cart.", ""), "unreadable plan"),
        (TEXT.replace("Go to the cart.", ""), "unreadable plan"),
        (TEXT.replace("## Step 1\nReasoning: The page links", "## Step 2\nReasoning: The page links"), "unreadable plan"),
    ],
)
def test_a_pair_that_cannot_be_read_costs_itself_alone(text, reason):
    assert parse_expansion(text, 2) == Expansion(PAIRS[:1], (reason,))


def test_the_last_pair_of_an_answer_that_was_cut_is_lost():
    assert parse_expansion(TEXT[: TEXT.index("Step: Go")], 2) == Expansion(PAIRS[:1], ("unreadable plan",))


@pytest.mark.parametrize("text", ["", "I cannot do that.", "<think>" + TEXT, TEXT.replace("Data Pair", "Pair")])
def test_an_answer_without_pairs_has_another_form(text):
    with pytest.raises(AnswerError, match="expected blocks '## Data Pair 1'") as error:
        parse_expansion(text, 2)
    assert error.value.reason == "format"


def test_an_answer_without_a_readable_pair_is_told_what_is_wrong_with_the_first():
    with pytest.raises(
        AnswerError, match=r"none of the 2 pairs can be read; the first: its Initial HTML State must be a number from 1 to 0"
    ):
        parse_expansion(TEXT, 0)


def test_more_pairs_than_asked_for_are_left_out():
    many = tuple(NewPair(f"request {n}", 1, PAIRS[0].plan) for n in range(WANTED + 2))
    assert parse_expansion(render_expansion(many), 1).pairs == many[:WANTED]


lines = st.text().map(lambda text: " ".join(text.split())).filter(lambda line: "</think>" not in line)
plans = st.lists(st.builds(PlanStep, lines, lines.filter(bool)), min_size=1, max_size=3).map(tuple).map(Plan)
requests = lines.filter(lambda line: line and not line.startswith("*"))  # stars around field names are taken for bold print


@given(st.lists(st.builds(NewPair, requests, st.integers(1, 5), plans), min_size=1, max_size=WANTED).map(tuple))
def test_every_expansion_is_read_back(pairs):
    assert parse_expansion(render_expansion(pairs), 5) == Expansion(pairs)


pieces = ["## Data Pair 1\n", "## Data Pair 2\n", "User Query:", "\nInitial HTML State:", "\nGlobal Plan:", "1", "٣", "²", "\n---\n"]
pieces += ["\n## Step 1\n", "\nReasoning:", "\nStep:", "\n\n", "**", "</think>", "```"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=30).map("".join))
def test_any_text_is_an_expansion_or_refused(text):
    with contextlib.suppress(AnswerError):
        for pair in parse_expansion(text, 5).pairs:
            assert pair.intent and 1 <= pair.example <= 5 and pair.plan


@pytest.mark.parametrize(
    "text",
    [
        "## Data Pair 1\n" + "User Query:\n" * 7_000,
        "## Data Pair 1\n" + "User Query:\nInitial HTML State:\n" * 3_000,
        "## Data Pair 1\nUser Query: a\nInitial HTML State: 1\nGlobal Plan:\n" + "Step:\n" * 15_000,
        "## Data Pair 1\nUser Query: a\nInitial HTML State: " + "1 " * 45_000 + "\nGlobal Plan:\n",
        "## Data Pair 1" + " " * 90_000 + "x",
        "## Data Pair 1\n" + "#* " * 30_000,
        "-" * 90_000 + "x",
        "## Data Pair 1\n" * 6_000,
        "\n" * 100_000,
    ],
)
def test_100_kb_of_nonsense_is_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(AnswerError):
        parse_expansion(text, 5)
    assert time.process_time() - started < 1  # a few milliseconds; one pattern over all lines needs minutes


@dataclass(frozen=True)
class Shown:
    intent: str
    page: Observation
    plan: Plan


def test_the_teacher_sees_requests_pages_without_ids_and_plans():
    page = Observation("link 'Cart' [7]", "link 'Cart'", "http://x/")
    system, user = expansion_messages([Shown(pair.intent, page, pair.plan) for pair in PAIRS], 3)
    assert system["role"] == "system" and f"Write {WANTED} new" in system["content"]
    assert user["content"].startswith(
        "## Example 1\nUser Query: Find the price of 'Tee'.\nInitial HTML State:\nlink 'Cart'\nGlobal Plan:\n## Step 1\n"
    )
    assert "## Example 2\nUser Query: Open my cart.\nInitial HTML State:\n(as in Example 1)\nGlobal Plan:\n" in user["content"]
    assert user["content"].endswith("This is list 3 for this site.") and "[7]" not in user["content"]
