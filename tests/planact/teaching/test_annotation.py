"""The teacher's plans of solved trajectories: their format, the rules they are held to, and what the teacher is shown."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.prompts import PAST_PAGE
from planact.teaching.annotation import (
    PAST_FUTURE,
    AnnotatedStep,
    AnswerError,
    annotate_plan,
    annotated_plan,
    check_spans,
    parse_annotation,
    plan_annotation_messages,
    render_annotation,
    replan_annotation_messages,
)
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn

STEPS = (
    AnnotatedStep(PlanStep("The page has a search box.", "Search for 'Tee'."), "search 'Search' 'Tee'; click 'Tee'", (1, 2)),
    AnnotatedStep(PlanStep("It is open.", "Report the price."), "stop '3'", (3,)),
)
TEXT = """## Step 1
Reasoning: The page has a search box.
Description: search 'Search' 'Tee'; click 'Tee'
Step: Search for 'Tee'.
Actions: [1, 2]
## Step 2
Reasoning: It is open.
Description: stop '3'
Step: Report the price.
Actions: [3]"""


def test_the_format():
    assert render_annotation(STEPS) == TEXT
    assert parse_annotation(TEXT) == STEPS
    assert annotated_plan(STEPS) == Plan((STEPS[0].step, STEPS[1].step))


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n{TEXT}\n\nI hope this helps.",
        f"<think>## Step 1</think>{TEXT}",
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\n\n"),
        TEXT.replace("[1, 2]", " [ 1,\n2 ]"),
        TEXT.replace("[1, 2]", "[1 2]"),
        TEXT.replace("has a search", "has\n a search"),
        f"```\n{TEXT}\n```",
    ],
)
def test_what_teachers_write_around_it(text):
    assert parse_annotation(text) == STEPS


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "expected blocks"),
        ("1. Search 2. Open", "expected blocks"),
        ("<think>" + TEXT, "expected blocks"),
        (TEXT.replace("Step 2\n", "Step 3\n"), "in order"),
        (TEXT.replace("Step 1\n", "Step 2\n"), "in order"),
        (TEXT.replace("Reasoning: It", "It"), "step 2 lacks"),
        (TEXT.replace("Description: stop", "stop"), "step 2 lacks"),
        (TEXT.replace("Step: Search", "Search"), "step 1 lacks"),
        (TEXT.replace("Actions: [3]", ""), "step 2 lacks"),
        (TEXT.replace("[3]", "3"), "step 2 lacks"),
        (TEXT.replace("[3]", "[three]"), "step 2 lacks"),
        (TEXT.replace("[3]", "[-3]"), "step 2 lacks"),
        (TEXT.replace("[3]", "[3.0]"), "step 2 lacks"),
        (TEXT.replace("Report the price.", ""), "step 2 is empty"),
        (TEXT.replace("[3]", f"[{'9' * 5000}]"), "step 2 names an action that does not exist"),
    ],
)
def test_what_has_another_form_is_named(text, words):
    with pytest.raises(AnswerError, match=words):
        parse_annotation(text)


lines = st.text().map(lambda text: " ".join(text.split())).filter(lambda line: "</think>" not in line)
steps = st.builds(
    AnnotatedStep, st.builds(PlanStep, lines, lines.filter(bool)), lines, st.lists(st.integers(0, 9999), max_size=4).map(tuple)
)


@given(st.lists(steps, min_size=1, max_size=5).map(tuple))
def test_every_annotation_is_read_back(annotation):
    assert parse_annotation(render_annotation(annotation)) == annotation


pieces = [
    "## Step 1\n",
    "## Step 2\n",
    "Reasoning:",
    "\nDescription:",
    "\nStep:",
    "\nActions: [",
    "1",
    ",",
    "]",
    "\n",
    "٣",
    "²",
    "</think>",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=25).map("".join))
def test_any_text_is_an_annotation_or_refused(text):
    with contextlib.suppress(AnswerError):
        annotation = parse_annotation(text)
        assert annotation and all(step.step.step for step in annotation)


@pytest.mark.parametrize(
    "text",
    [
        "## Step 1\n" + "Reasoning:\n" * 9_000,
        "## Step 1\n" + "Reasoning:\nDescription:\nStep:\n" * 3_000,
        "## Step 1\nReasoning:\nDescription:\nStep: a\n" + "Actions: [1,\n" * 8_000,
        "## Step 1" + " " * 90_000 + "x",
        "\n" * 100_000,
    ],
)
def test_100_kb_of_nonsense_is_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(AnswerError):
        parse_annotation(text)
    assert time.process_time() - started < 1  # a few milliseconds; one pattern over all lines needs minutes


def spans(*actions, step="go", reasoning="why"):
    return [AnnotatedStep(PlanStep(reasoning, step), "", indices) for indices in actions]


@pytest.mark.parametrize("steps, first, last", [(spans((1, 2), (3,)), 1, 3), (spans((4,), (5, 6, 7)), 4, 7), (spans((1,)), 1, 1)])
def test_steps_that_keep_the_rules(steps, first, last):
    check_spans(steps, first, last)


@pytest.mark.parametrize(
    "steps, first, last, words",
    [
        (spans((1,), (3,)), 1, 3, r"cover actions \[1, 3\]; expected \[1, 2, 3\]"),  # a gap
        (spans((1, 2), (2, 3)), 1, 3, r"\[1, 2, 2, 3\]"),  # an overlap
        (spans((2, 1), (3,)), 1, 3, r"\[2, 1, 3\]"),  # the order within a step
        (spans((3,), (1, 2)), 1, 3, r"\[3, 1, 2\]"),  # the order of the steps
        (spans((1, 2)), 1, 3, r"\[1, 2\]"),  # the end is missing
        (spans((2, 3)), 1, 3, r"\[2, 3\]"),  # the beginning is missing
        (spans((1, 2, 3, 4)), 1, 3, r"\[1, 2, 3, 4\]"),  # one too many
        (spans((0, 1)), 1, 1, r"\[0, 1\]"),
        (spans((1, 2), (3,)), 2, 3, r"expected \[2, 3\]"),  # a replan says nothing about what is done
        (spans((1,), (), (2,)), 1, 2, "step 2 covers no action"),
        ([], 1, 1, r"cover actions \[\]"),
        (spans((1,), step="Scroll down to 'Tee'."), 1, 1, "step 1 mentions scrolling"),
        (spans((1,)) + spans((2,), reasoning="It needs SCROLLING."), 1, 2, "step 2 mentions scrolling"),
    ],
)
def test_steps_that_break_a_rule(steps, first, last, words):
    with pytest.raises(AnswerError, match=words):
        check_spans(steps, first, last)


def page(name):
    return Observation(f"text of {name}", f"outline of {name}", f"http://x/{name}", f"title of {name}", (), f"error of {name}")


ACTIONS = [
    Action(Op.TYPE, "71", "Tee", "textbox 'Search'"),
    Action(Op.CLICK, "72"),
    Action(Op.CLICK, "73", target="link 'Tee'"),
    Action(Op.STOP, text="$3"),
]
TURNS = [Turn(i, Plan(), page(f"page{i}"), f"answer{i}", action) for i, action in enumerate(ACTIONS)]
EARLIER = [  # plans written before turns 0, 1 and 2
    annotate_plan(Plan((PlanStep("r", "find 'Tee'"), PlanStep("r", "report"))), [(1, 2, 3), (4,)], TURNS),
    annotate_plan(Plan((PlanStep("r", "open 'Tee'"), PlanStep("r", "report"))), [(2, 3), (4,)], TURNS),
    annotate_plan(Plan((PlanStep("r", "open it"), PlanStep("r", "report"))), [(3,), (4,)], TURNS),
]


def shown(messages):
    """Which pages a prompt shows, and all of its text."""
    text = "\n".join(m["content"] for m in messages)
    return [i for i in range(len(TURNS)) if f"page{i}" in text], text


def test_the_teacher_of_a_first_plan_sees_the_first_page_only():
    pages, text = shown(plan_annotation_messages("Buy 'Tee'", TURNS))
    assert pages == [0] and text.count("page0") == text.count("outline of page0") == 1
    assert "## User Query\nBuy 'Tee'\n" in text
    assert text.endswith("1. type textbox 'Search' 'Tee'\n2. click element 72\n3. click link 'Tee'\n4. stop '$3'")
    assert not any(word in text for word in ("answer0", "71", "error of"))


@pytest.mark.parametrize("done", [1, 2, 3])
def test_the_teacher_of_a_replan_sees_the_current_page_and_its_own_earlier_plans(done):
    messages = replan_annotation_messages("Buy 'Tee'", TURNS, EARLIER[:done])
    assert [m["role"] for m in messages] == ["system"] + ["user", "assistant"] * done + ["user"]
    pages, _ = shown(messages)
    assert pages == [done] and f"outline of page{done}\n" in messages[-1]["content"]
    assert [m["content"] for m in messages[2:-1:2]] == [render_annotation(steps) for steps in EARLIER[:done]]
    assert messages[1]["content"].startswith("## User Query\nBuy 'Tee'\n\n") and "User Query" not in str(messages[2:])


@pytest.mark.parametrize("done", [1, 2, 3])
def test_actions_are_past_or_future_and_those_of_earlier_rounds_are_left_out(done):
    *earlier, last = [m["content"] for m in replan_annotation_messages("Buy 'Tee'", TURNS, EARLIER[:done]) if m["role"] == "user"]
    for turn, text in enumerate(earlier):
        past, future = text.split("## Past Actions\n")[1].split("\n\n## Current HTML State\n" + PAST_PAGE + "\n\n## Future Actions\n")
        assert (past == "none" if turn == 0 else past.count("\n") == turn - 1) and future == PAST_FUTURE
    past, future = last.split("## Past Actions\n")[1].split("## Future Actions\n")
    assert f"\n{done}. " in f"\n{past}" and f"{done + 1}. " not in past.split("## Current HTML State")[0]
    assert future.startswith(f"{done + 1}. ") and future.endswith("4. stop '$3'") and f"\n{done}. " not in f"\n{future}"


def test_a_plan_is_shown_again_with_the_actions_of_its_steps():
    assert EARLIER[0] == (
        AnnotatedStep(PlanStep("r", "find 'Tee'"), "type textbox 'Search' 'Tee'; click element 72; click link 'Tee'", (1, 2, 3)),
        AnnotatedStep(PlanStep("r", "report"), "stop '$3'", (4,)),
    )
    assert parse_annotation(render_annotation(EARLIER[0])) == EARLIER[0]
    with pytest.raises(ValueError, match="shorter"):
        annotate_plan(Plan((PlanStep("r", "one"),)), [], TURNS)
