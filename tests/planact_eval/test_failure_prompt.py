"""The question why an attempt failed: what the judge sees, what it never sees, and which answers are read."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.failures import KINDS, MAX_EVIDENCE
from planact.teaching import AnswerError
from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, PlanStep, StopReason, Trajectory, Turn
from planact_eval.failure_prompt import ENDINGS, FIRST, LAST, SYSTEM, failure_messages, parse_failure, render_failure

PLAN, REVISED = Plan((PlanStep("why", "Open 'Oak Trunk'."),)), Plan((PlanStep("why", "Report the price."),))
CLICK = Action(Op.CLICK, "2", target="link 'Oak Trunk'")


def page(title, error=""):
    return Observation(f"[1] page '{title}'", f"page '{title}'", "http://x/", title, error=error)


def turn(index, action, seen, plan=PLAN, response=""):
    return Turn(index, plan, seen, response, action)


def attempt(*turns, final=None, stop=StopReason.ANSWERED, answer=""):
    outcome = Outcome(False, "miniweb", "expected 'secret'")
    return Trajectory("t", "h", "What does\nit cost?", turns, stop, outcome, final, answer)


def test_the_judge_sees_plan_actions_results_end_and_page_and_no_reference():
    tried = attempt(
        turn(0, CLICK, page("Shop")),
        turn(1, None, page("Shop"), response="I would\nclick"),
        turn(2, Action(Op.CLICK, "9", target="link 'Cart'"), page("Shop", "no action found"), REVISED),
        turn(3, Action(Op.STOP, text="$9"), page("Cart", "no element 9"), REVISED),
        final=page("Cart"),
        answer="$9",
    )
    system, user = failure_messages(tried)
    assert system == {"role": "system", "content": SYSTEM} and all(f"- {kind}: " in SYSTEM for kind in KINDS)
    assert user["content"] == (
        "## Request\nWhat does it cost?\n\n"
        "## Plan\n1. Open 'Oak Trunk'.\nRevised 1 times, at last to:\n1. Report the price.\n\n"
        "## Actions\n"
        "1. on 'Shop': click link 'Oak Trunk' -> the page did not change\n"
        "2. on 'Shop': (unreadable) I would click -> not carried out: no action found\n"
        "3. on 'Shop': click link 'Cart' -> not carried out: no element 9\n"
        "4. on 'Cart': stop '$9' -> the page did not change\n\n"
        "## End\nthe agent ended it; the outcome is wrong\nAnswer: $9\n\n"
        "## Last Page\npage 'Cart'"
    )
    assert "secret" not in user["content"] and "miniweb" not in user["content"]


def test_an_attempt_without_plan_answer_and_final_page():
    text = failure_messages(attempt(turn(0, CLICK, page("Shop"), Plan()), stop=StopReason.MAX_TURNS))[1]["content"]
    assert "## Plan\n(none)\n" in text and "cut off at the limit of turns; the outcome is wrong\nAnswer: (none)" in text
    assert text.endswith("## Last Page\npage 'Shop'")


def test_of_a_long_attempt_the_middle_is_left_out():
    text = failure_messages(attempt(*(turn(n, CLICK, page(f"Page {n}")) for n in range(50))))[1]["content"]
    lines = text.split("## Actions\n")[1].split("\n\n")[0].splitlines()
    assert len(lines) == FIRST + 1 + LAST and lines[FIRST] == "(20 actions are left out)"
    assert lines[FIRST - 1].startswith("10. on 'Page 9'") and lines[FIRST + 1].startswith("31. on 'Page 30'")


def test_every_end_that_is_the_agents_own_has_words():
    assert set(ENDINGS) == set(StopReason) - {StopReason.ENV_ERROR, StopReason.MODEL_ERROR}


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_read_back(kind):
    failure = FailureInfo(kind, "action 3 opens 'Cart' where the plan says 'Oak Trunk'.")
    assert parse_failure(render_failure(failure)) == failure


@pytest.mark.parametrize(
    "text",
    [
        "Let me see.\nEvidence: it is\nKind: loop",
        "<think>\nKind: planning\n</think>\n\nEvidence: it is\nKind: loop",
        "**Evidence:** it is\n\n**Kind:** Loop.\n",
        "evidence:  it is\nkind: 'loop'",
    ],
)
def test_thoughts_emphasis_and_case_are_no_hindrance(text):
    assert parse_failure(text) == FailureInfo("loop", "it is")


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "format"),
        ("Kind: loop", "format"),
        ("Evidence: it is", "format"),
        ("Evidence:\nKind: loop", "format"),
        ("Kind: loop\nEvidence: it is", "format"),
        ("Evidence: it is\nKind: loop or planning", "format"),
        ("Evidence: it is\nKind: loop\nI hope this helps.", "format"),
        ("Evidence: it is\nKind: environment", "no such kind"),  # rules tell that, never a judge
        ("Evidence: it is\nKind: laziness", "no such kind"),
    ],
)
def test_other_answers_are_refused(text, reason):
    with pytest.raises(AnswerError) as caught:
        parse_failure(text)
    assert caught.value.reason == reason


@given(st.text(max_size=60) | st.lists(st.sampled_from(["Evidence:", "Kind:", " loop", " x", "*", "\n", "\t"])).map("".join))
def test_any_text_is_a_kind_with_a_short_line_or_refused(text):
    with contextlib.suppress(AnswerError):
        failure = parse_failure(text)
        assert failure.kind in KINDS and failure.message and "\n" not in failure.message and len(failure.message) <= MAX_EVIDENCE + 1
