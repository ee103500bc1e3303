"""The text of a plan: read strictly enough to trust, leniently enough for what real models write around it."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.plans import MAX_STEPS, PlanFormatError, parse_plan, render_plan, render_steps
from planact.types import Plan, PlanStep

TWO = Plan((PlanStep("The page shows a search box.", "Search for 'Tee'."), PlanStep("It is in the list.", "Open it.")))
TEXT = """## Step 1
Reasoning: The page shows a search box.
Step: Search for 'Tee'.
## Step 2
Reasoning: It is in the list.
Step: Open it."""


def test_the_format():
    assert render_plan(TWO) == TEXT
    assert parse_plan(TEXT) == TWO
    assert render_steps(TWO) == "1. Search for 'Tee'.\n2. Open it."
    assert render_plan(Plan()) == "" and render_steps(Plan()) == "" and not Plan()


@pytest.mark.parametrize(
    "text",
    [
        f"Sure, here is the plan.\n\n{TEXT}",
        f"<think>## Step 1\nReasoning: no\nStep: not this one\n## Step 7</think>\n{TEXT}",
        f"It begins here.</think>{TEXT}",  # the opening tag stood in the prompt
        TEXT.replace("## Step", "### step").replace("Reasoning:", "REASONING :"),
        TEXT.replace("## Step 1", "  # Step 1:  ").replace("Step: ", "  Step :"),
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\n\n"),
        TEXT.replace("shows a search", "shows\n  a\tsearch").replace("Open it", "Open\nit"),
        f"```\n{TEXT}".replace("Open it.", "Open it.\n"),
    ],
)
def test_what_models_write_around_it(text):
    assert parse_plan(text) == TWO


def test_a_step_runs_over_several_lines_up_to_the_next_heading():
    plan = parse_plan("## Step 1\nReasoning: a\nStep 1 needs b\nStep: do c\nReasoning: d\nStep: e\n## Step 2\nReasoning:\nStep: f")
    assert plan == Plan((PlanStep("a Step 1 needs b", "do c Reasoning: d Step: e"), PlanStep("", "f")))


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "an empty answer"),
        (" \n\t", "an empty answer"),
        ("<think>## Step 1\nReasoning: cut off\nStep: before the plan", "an empty answer"),
        ("I cannot help with that.", "I cannot help with that."),
        ("1. Search\n2. Open", "expected '## Step 1'"),
        ("## Step one\nReasoning: a\nStep: b", "no plan found"),
        ("## Step 1 Search\nReasoning: a\nStep: b", "no plan found"),
        ("#### Step 1\nReasoning: a\nStep: b", "no plan found"),
        (TEXT.replace("## Step 1", "## Step 2").replace("## Step 2", "## Step 3", 1), r"numbered \[3, 2\]"),
        (TEXT.replace("## Step 2", "## Step 1"), r"numbered \[1, 1\]"),
        (TEXT.replace("## Step 2", "## Step 3"), r"numbered \[1, 3\]"),
        (TEXT.replace("## Step 1", "## Step 0"), r"numbered \[0, 2\]"),
        ("## Step 1\nStep: b", "step 1 lacks"),
        ("## Step 1\nReasoning: a", "step 1 lacks"),
        ("## Step 1\nStep: b\nReasoning: a", "step 1 lacks"),
        ("## Step 1\nReasoning: a Step: b", "step 1 lacks"),
        ("## Step 1\nReasoning: a\nStep:", "step 1 lacks"),
        (TEXT.replace("Step: Open it.", "Step: \n "), "step 2 lacks"),
        ("## Step 1", "step 1 lacks"),
    ],
)
def test_what_is_no_plan_is_named(text, words):
    with pytest.raises(PlanFormatError, match=words):
        parse_plan(text)


def test_the_number_of_steps_is_limited():
    assert MAX_STEPS == 50
    fifty = Plan((PlanStep("", "again"),) * 50)
    assert parse_plan(render_plan(fifty)) == fifty
    with pytest.raises(PlanFormatError, match="51 steps; expected at most 50"):
        parse_plan(render_plan(Plan((PlanStep("", "again"),) * 51)))


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 100_000,
        "## Step 1" + " " * 90_000 + "x",
        "## Step 1\n" + "Reasoning:\n" * 9_000,
        "## Step 1\nReasoning:" + "\nStep " * 15_000,
        "#" * 100_000,
        "## Step 1\n" * 10_000,
        "x" * 100_000,
    ],
)
def test_100_kb_of_nonsense_is_refused_at_once(text):
    started = time.process_time()
    with pytest.raises(PlanFormatError):
        parse_plan(text)
    assert time.process_time() - started < 1  # a few milliseconds; quadratic patterns need 10 s and more


def test_a_long_step_is_read_whole_and_a_longer_answer_up_to_its_limit():
    assert len(parse_plan(f"## Step 1\nReasoning: a\nStep: {'x' * 90_000}").steps[0].step) == 90_000
    head = "## Step 1\nReasoning: a\nStep: "
    assert len(parse_plan(head + "x" * 200_000).steps[0].step) == 100_000 - len(head)


lines = st.text().map(lambda text: " ".join(text.split())).filter(lambda line: "</think>" not in line)
plans = st.builds(Plan, st.lists(st.builds(PlanStep, lines, lines.filter(bool)), min_size=1, max_size=6).map(tuple))


@given(plans)
def test_every_plan_is_read_back(plan):
    assert parse_plan(render_plan(plan)) == plan


pieces = ["## Step 1", "## Step 2", "##Step", "Reasoning:", "Step:", "\n", " ", "</think>", "<think>", "²", "٣", "\x00", "a"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces) | st.text(max_size=5), max_size=25).map("".join))
def test_any_text_is_a_plan_or_refused(text):
    with contextlib.suppress(PlanFormatError):
        plan = parse_plan(text)
        assert plan.steps and all(step.step for step in plan.steps)
        assert parse_plan(render_plan(plan)) == plan
