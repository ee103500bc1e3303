"""Kinds of failures, each rule on hand-made trajectories."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from planact.failures import KINDS, MAX_EVIDENCE, UNSCORED, classify, explain
from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, PlanStep, StopReason, Trajectory, Turn

INTENT = "Set the stock of 'Oak Trunk' to '286' pieces."
START = "page 'Shop'\nlink 'Products'"
PRODUCT = "page 'Oak Trunk'\nPrice: $54.75\ntextbox 'Stock'"
LINK = Action(Op.CLICK, "1", target="link 'Products'")
OPEN = Action(Op.CLICK, "2", target="link 'Oak Trunk'")
TYPE = Action(Op.TYPE, "3", "286", "textbox 'Stock'")
SAVE = Action(Op.CLICK, "4", target="button 'Save'")
STOP = Action(Op.STOP)
FORMAT = FailureInfo("format", "no action found")


def page(text, error=""):
    return Observation(text, text, "http://x/", text.split("'")[1] if "'" in text else "", error=error)


def failed(*steps, intent=INTENT, stop=StopReason.ANSWERED, answer="", error="", final=None, success=False):
    """A trajectory of (action, page, error shown on it) triples; None for an unreadable action."""
    turns = [
        Turn(n, Plan(), page(text, shown), "", action, failure=None if action else FORMAT)
        for n, (action, text, shown) in enumerate((*step, "")[:3] for step in steps)
    ]
    return Trajectory("t", "h", intent, tuple(turns), stop, Outcome(success, reason="expected 'secret'"), final, answer, error)


CHANGED = [(LINK, START), (OPEN, "page 'Products'"), (TYPE, PRODUCT), (SAVE, PRODUCT)]
QUESTION = "What is the price of 'Oak Trunk'?"
CASES = [
    # the agent's answers cannot be read
    ("format", "no readable action: no action found", failed(*[(None, START)] * 3, stop=StopReason.INVALID_ACTIONS)),
    # the last of three impossible actions in a row
    (
        "grounding",
        "last action, click link 'Products', could not be carried out: no element 1",
        failed((LINK, START), (LINK, START, "no element 1"), stop=StopReason.INVALID_ACTIONS, final=page(START, "no element 1")),
    ),
    ("grounding", "no element 1", failed((OPEN, START), (LINK, "page 'Oak Trunk'"), (STOP, START, "no element 1"))),
    # a failed action that others followed explains nothing
    ("planning", "used '286'", failed((LINK, START), (OPEN, START, "no element 1"), (STOP, PRODUCT))),
    ("loop", "4 of 5 turns repeat", failed(*[(LINK, START)] * 5, stop=StopReason.REPEATED_ACTION)),
    ("loop", "4 of 6 turns repeat", failed(*[(LINK, START), (OPEN, PRODUCT)] * 3, stop=StopReason.MAX_TURNS)),
    # there and back: the 4 that repeat are fewer than half of 10, and the last ones
    ("loop", "4 of 10 turns repeat", failed(*CHANGED, *[(OPEN, START), (LINK, PRODUCT)] * 3, stop=StopReason.MAX_TURNS)),
    ("limits", "cut off after 5 turns (max_turns)", failed(*CHANGED, (LINK, START), stop=StopReason.MAX_TURNS)),  # 1 of 5 repeats
    ("planning", "and none used 'Oak Trunk'", failed((LINK, START), (SAVE, PRODUCT), stop=StopReason.MAX_TURNS)),
    ("limits", "cut off after 1 turns", failed((LINK, START), stop=StopReason.MAX_TURNS, intent="Look around.")),  # names nothing
    ("limits", "cut off after 0 turns (token_budget)", failed(stop=StopReason.TOKEN_BUDGET)),
    ("planning", "gave up after 1 turns: infeasible 'no'", failed((Action(Op.INFEASIBLE, text="no"), START), stop=StopReason.INFEASIBLE)),
    # answers
    ("planning", "answered '$9' without having come to 'Oak Trunk'", failed((STOP, START), intent=QUESTION, answer="$9")),
    ("observation", "answered '$9'; no page showed it", failed((OPEN, START), (STOP, PRODUCT), intent=QUESTION, answer="$9")),
    ("observation", "'Stock'; a page showed it", failed((OPEN, START), (STOP, PRODUCT), intent=QUESTION, answer="Stock")),
    ("observation", "answered '54'; a page showed it", failed((STOP, PRODUCT), intent="How much is the trunk?", answer="54")),
    # ended without an answer
    ("planning", "without having used '286'", failed((OPEN, START), (SAVE, PRODUCT), (STOP, PRODUCT))),
    ("planning", "without an answer to the question", failed((OPEN, START), (STOP, PRODUCT), intent=QUESTION)),
    ("planning", "ended on the page 'Oak Trunk' without", failed((OPEN, START), (STOP, PRODUCT), intent="Buy 'Oak Trunk'")),
    ("planning", "filled in was sent: type textbox 'Stock' '286'", failed(*CHANGED[:3], (STOP, PRODUCT))),
    ("planning", "filled in was sent: type textbox 'Stock' '286'", failed(*CHANGED[:3], (LINK, PRODUCT), (STOP, START))),
    ("grounding", "the last in click button 'Save', and the outcome is wrong", failed(*CHANGED, (STOP, PRODUCT))),
    ("unknown", "the last change: click button 'Save'", failed(*CHANGED, (STOP, PRODUCT), intent="Tidy up the shop.")),
]


@pytest.mark.parametrize("kind, words, trajectory", CASES)
def test_each_rule(kind, words, trajectory):
    failure = explain(trajectory)
    assert failure.kind == kind == classify(trajectory) and words in failure.message
    assert "secret" not in failure.message  # what would have been right


def test_every_kind_has_a_case():
    assert {kind for kind, _, _ in CASES} == set(KINDS)


@pytest.mark.parametrize(
    "kind, stop", [("model", StopReason.MODEL_ERROR), ("environment", StopReason.ENV_ERROR), ("judge", StopReason.ANSWERED)]
)
def test_what_nobody_could_judge_is_no_failure_of_the_agent(kind, stop):
    trajectory = failed(*CHANGED, stop=stop, error="timed out", success=None)
    assert explain(trajectory) == FailureInfo(kind, "timed out") and kind in UNSCORED
    assert explain(replace(trajectory, error="")).message == "there is no verdict"


def test_a_solved_task_has_no_kind():
    assert classify(failed(*CHANGED, success=True)) == "" and explain(failed(success=True)) is None


def test_an_agent_that_never_had_a_plan_failed_by_format():
    trajectory = failed((LINK, START), (STOP, START))
    first = replace(trajectory.turns[0], plan_failure=FailureInfo("plan", "no plan found"))
    assert explain(replace(trajectory, turns=(first, trajectory.turns[1]))) == FailureInfo("format", "no plan could be read: no plan found")
    planned = replace(first, plan=Plan((PlanStep("why", "do"),)))
    assert classify(replace(trajectory, turns=(planned, trajectory.turns[1]))) == "planning"


def test_an_agent_that_leaves_a_plan_with_every_value_went_to_the_wrong_element():
    """The plan is about the request, so it is not to blame, and no step of it names the link that came last."""
    plan = Plan((PlanStep("why", "Open 'Oak Trunk' and set its stock to '286'."),))

    def by_plan(plan, *steps):
        trajectory = failed(*steps)
        return explain(replace(trajectory, turns=tuple(replace(turn, plan=plan) for turn in trajectory.turns)))

    strayed = by_plan(plan, (OPEN, START), (LINK, PRODUCT), (STOP, START))
    assert strayed == FailureInfo("grounding", "the plan uses '286'; ended after click link 'Products', which no step of it names")
    assert by_plan(plan, (LINK, START), (OPEN, PRODUCT), (STOP, START)).kind == "planning"  # given up on the way
    other = Plan((PlanStep("why", "Open 'Oak Trunk'."),))
    assert by_plan(other, (OPEN, START), (LINK, PRODUCT), (STOP, START)).kind == "planning"  # the plan lacks a value


def test_evidence_is_one_short_line():
    message = explain(failed((STOP, PRODUCT), intent="Why?", answer="a\nb " * 500)).message
    assert "\n" not in message and len(message) < MAX_EVIDENCE + 60


actions = st.none() | st.builds(Action, st.sampled_from(Op), st.text(max_size=3), st.text(max_size=5), st.text(max_size=5))
steps = st.lists(st.tuples(actions, st.text(max_size=5), st.sampled_from(["", "error"])), max_size=5)


@example([], StopReason.TIME_LIMIT, False, "", "")
@example([(STOP, "", ""), (None, "", "error")], StopReason.ANSWERED, False, "", "")
@given(steps, st.sampled_from(StopReason), st.sampled_from([True, False, None]), st.text(), st.text(max_size=5))
def test_any_trajectory_has_a_kind(steps, stop, success, intent, answer):
    """Any that an episode can leave: what ended by itself or on invalid actions has turns."""
    if stop in (StopReason.ANSWERED, StopReason.INFEASIBLE, StopReason.INVALID_ACTIONS, StopReason.REPEATED_ACTION):
        steps = [*steps, (None if stop == StopReason.INVALID_ACTIONS else STOP, "", "")]
    kind = classify(failed(*steps, intent=intent, stop=stop, success=success, answer=answer))
    broken = stop in (StopReason.ENV_ERROR, StopReason.MODEL_ERROR)
    assert kind in {True: ("",), False: UNSCORED[:2] if broken else KINDS, None: UNSCORED}[success]
