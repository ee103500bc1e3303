"""Classes of failures: what the teacher is shown, and how its answers are read."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.teaching import AnswerError
from planact.teaching.failures import (
    FAILURES,
    MAX_ACTIONS,
    MAX_CLASSES,
    FailureClass,
    classes_messages,
    classify_messages,
    parse_classes,
    parse_classification,
    render_classes,
    render_classification,
)
from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, PlanStep, StopReason, Trajectory, Turn

CLASSES = (
    FailureClass("Spare parts", "The agent buys the product itself. The page of the product names its part."),
    FailureClass("Status of orders", "The agent opens the wrong order."),
)
TEXT = """## Class A
Name: Spare parts
Description: The agent buys the product itself. The page of the product names its part.
## Class B
Name: Status of orders
Description: The agent opens the wrong order."""


def test_the_format_of_classes():
    assert render_classes(CLASSES) == TEXT
    assert parse_classes(TEXT) == CLASSES


@pytest.mark.parametrize(
    "text",
    [
        f"Here are the classes.\n\n{TEXT}\n",
        f"<think>## Class A</think>{TEXT}",
        TEXT.replace("## Class A", "**Class A:**").replace("Name: Spare parts", "**Name:** Spare parts"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\n\n"),
        TEXT.replace("product itself. The", "product itself.\nThe"),
        TEXT.replace("Name:", "- name :"),
    ],
)
def test_what_teachers_write_around_classes(text):
    assert parse_classes(text) == CLASSES


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "expected blocks"),
        ("1. Spare parts\n2. Orders", "expected blocks"),
        (TEXT.replace("Class B", "Class C"), "in order"),
        (TEXT.replace("Class A", "Class B"), "in order"),
        (TEXT.replace("Name: Status", "Title: Status"), "class B lacks its Name"),
        (TEXT.replace("Description: The agent buys", "The agent buys"), "class A lacks its Name or Description"),
        (TEXT.replace("Status of orders", "x"), "class B needs a name of 3 to 80"),
        (TEXT.replace("Status of orders", "x" * 81), "class B needs a name"),
        (TEXT.replace("The agent opens the wrong order.", ""), "class B needs .* a description"),
        (TEXT.replace("Status of orders", "spare Parts"), "the same name"),
        (render_classes([FailureClass(f"name {n}", "it") for n in range(MAX_CLASSES + 1)]), "expected at most 5"),
    ],
)
def test_classes_that_cannot_be_used(text, words):
    with pytest.raises(AnswerError, match=words):
        parse_classes(text)


@pytest.mark.parametrize("index", [0, 1, None])
def test_the_format_of_a_classification(index):
    assert parse_classification(render_classification("It buys a part.", index), 2) == index


@pytest.mark.parametrize(
    "verdict, index",
    [
        ("Class B", 1),
        ("class b", 1),
        ("B", 1),
        ("**Class A**", 0),
        ("Class A: Spare parts", 0),
        ("Class B (Status of orders).", 1),
        ('"Other"', None),
        ("other.", None),
        ("\n Class A \n\nI hope this helps.", 0),
    ],
)
def test_verdicts(verdict, index):
    assert parse_classification(f"Well.\n### Reasoning:\nBecause.\n\n**Classification**\n{verdict}", 2) == index


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "expected '## Reasoning'"),
        ("Class A", "expected '## Reasoning'"),
        ("## Classification\nClass A", "expected '## Reasoning'"),
        ("## Classification\nClass A\n## Reasoning\nBecause.", "expected '## Reasoning'"),
        ("## Reasoning\nBecause.\n## Classification", "such as 'Class A'"),
        ("## Reasoning\nBecause.\n## Classification\nI would say A", "such as 'Class A'"),
        ("## Reasoning\nBecause.\n## Classification\nClass A or Class B", "such as 'Class A'"),
        ("## Reasoning\nBecause.\n## Classification\nClass C", "no class C; the last is B"),
    ],
)
def test_classifications_that_cannot_be_used(text, words):
    with pytest.raises(AnswerError, match=words):
        parse_classification(text, 2)


NO_PLAN = Plan()


def failed(actions, plan=NO_PLAN, error="", final=None):
    pages = [Observation("text", "outline", f"http://shop/{n}", f"title {n}", (), error) for n in range(len(actions))]
    turns = tuple(Turn(n, plan, page, f"answer {n}", action) for n, (page, action) in enumerate(zip(pages, actions)))
    outcome = Outcome(False, "miniweb", "answer: expected '$54.75', got ''")
    return Trajectory("t", "h", "Find the\nprice", turns, StopReason.ANSWERED, outcome, final)


CLICK = Action(Op.CLICK, "1", target="link 'Products'")


def test_the_teacher_sees_what_was_done_and_not_what_is_right():
    plan = Plan((PlanStep("private reason", "Search for it"), PlanStep("", "Report it")))
    one = failed([CLICK, None, Action(Op.STOP)], plan, "no element 1", Observation("", "", "", "End page", error="late error"))
    system, user = (m["content"] for m in classes_messages("shop.x", [(one, FailureInfo("planning", "ended")), (failed([CLICK]), one)][:1]))
    assert user == (
        "## Website\nshop.x\n\n## Failure 1\nRequest: Find the price\nRule: planning: ended\nPlan:\n1. Search for it\n2. Report it\n"
        "Actions:\n1. click link 'Products'\n2. (no readable action)\n3. stop\nLast page: End page\nLast error: late error"
    )
    assert "54.75" not in user and "private reason" not in user and "outline" not in user and "never" in system


def test_long_failures_and_many_are_cut():
    long = failed([CLICK] * (MAX_ACTIONS + 3))
    shown = classes_messages("shop.x", [(long, FailureInfo("loop", "x" * 1000))] * (FAILURES + 5))[1]["content"]
    assert shown.count("## Failure") == FAILURES and f"## Failure {FAILURES}\n" in shown
    assert shown.count("(3 earlier ones are left out)\n4. click") == FAILURES and f"\n{MAX_ACTIONS + 3}. click" in shown
    assert max(map(len, shown.splitlines())) < 250 and "Plan:\n(none)\n" in shown and "Last error: (none)" in shown


def test_a_classification_is_asked_of_request_and_steps():
    plan = Plan((PlanStep("private reason", "Open it"),))
    user = classify_messages("shop.x", CLASSES, "Buy\na part", plan)[1]["content"]
    assert user == f"## Website\nshop.x\n\n{TEXT}\n\n## User Query\nBuy a part\n\n## Global Plan\n1. Open it"


lines = st.text().map(lambda text: " ".join(text.split())).filter(lambda line: line and "</think>" not in line)
names = lines.filter(lambda line: 3 <= len(line) <= 80 and line == line.strip("* "))
classes = st.lists(st.builds(FailureClass, names, lines), min_size=1, max_size=MAX_CLASSES, unique_by=lambda one: one.name.casefold())


@given(classes.map(tuple))
def test_all_classes_are_read_back(found):
    text = render_classes(found)
    assert parse_classes(text) == found


@given(lines, st.integers(0, 4) | st.none())
def test_all_classifications_are_read_back(reasoning, index):
    assert parse_classification(render_classification(reasoning, index), 5) == index


pieces = [
    "## Class A\n",
    "## Class B\n",
    "Name:",
    "\nDescription:",
    "## Reasoning\n",
    "## Classification\n",
    "Other",
    "Class A",
    "*",
    "\n",
    "²",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=20).map("".join))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(AnswerError):
        assert all(one.name and one.description for one in parse_classes(text))
    with contextlib.suppress(AnswerError):
        assert parse_classification(text, 2) in (0, 1, None)


@pytest.mark.parametrize(
    "text",
    [
        "## Class A\n" + "Name:\n" * 15_000,
        "## Class A\n" + "Name: a" * 14_000,
        "#" * 100_000,
        "## Reasoning\n## Classification\nA" + " " * 90_000 + "x",
        "## Reasoning\n## Classification\n" + "*" * 90_000,
        "## Reasoning\n" * 7_000,
    ],
)
def test_100_kb_of_nonsense_is_refused_at_once(text):
    started = time.process_time()
    for parse in (parse_classes, lambda text: parse_classification(text, 5)):
        with pytest.raises(AnswerError):
            parse(text)
    assert time.process_time() - started < 1  # a few milliseconds
