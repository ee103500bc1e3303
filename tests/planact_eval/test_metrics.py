"""Counting: the Wilson interval by hand, and that every planned task is counted once and as one thing."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, PlanStep, StopReason, Task, Trajectory, Turn, Usage
from planact_eval.intervals import wilson
from planact_eval.metrics import summarize, verdict

PAGE = Observation("page", "page", "http://shop/")
PLAN = Plan((PlanStep("why", "what"),))


def task(id, template="t"):
    return Task(id=id, suite="s", split="test", sites=("shop",), intent=f"do {id}", start_url="http://shop/", template=template)


def turn(index=0, **fields):
    return Turn(index, PLAN, PAGE, "exit()", Action(Op.STOP), **fields)


ONE_TURN = (turn(),)


def episode(id, success, turns=ONE_TURN, stop=StopReason.ANSWERED, **fields):
    return Trajectory(id, "hash", f"do {id}", tuple(turns), stop, Outcome(success), PAGE, **fields)


def test_wilson_by_hand():
    # 8 of 10: z² = 3.841459; middle (0.8 + 0.192073) / 1.384146 = 0.716740;
    # half 1.959964 · sqrt(0.8 · 0.2 / 10 + 3.841459 / 400) / 1.384146 = 1.959964 · 0.160011 / 1.384146 = 0.226578
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=2e-6)
    # 0 of 10: low 0; high z² / (n + z²) = 3.841459 / 13.841459
    assert wilson(0, 10) == (0.0, pytest.approx(0.277533, abs=1e-6))
    assert wilson(10, 10) == (pytest.approx(1 - 0.277533, abs=1e-6), 1.0)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_wilson_holds_the_rate(successes, n):
    successes = min(successes, n)
    low, high = wilson(successes, n)
    assert 0 <= low <= successes / n + 1e-12 and successes / n - 1e-12 <= high <= 1
    mirrored = wilson(n - successes, n)
    assert mirrored == (pytest.approx(1 - high), pytest.approx(1 - low))


@pytest.mark.parametrize(("successes", "n"), [(3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_rate(successes, n):
    with pytest.raises(ValueError, match=f"{successes} successes of {n}"):
        wilson(successes, n)


def test_every_verdict_is_counted_apart():
    tasks = [task("a"), task("b"), task("c", "u"), task("d", "u"), task("e", "u")]
    episodes = [
        episode("e", None),  # ended in order, no verdict
        episode("d", None, (), StopReason.ENV_ERROR),
        episode("c", None, (), StopReason.MODEL_ERROR),
        episode("b", False, stop=StopReason.MAX_TURNS),
        episode("a", True),
    ]
    s = summarize(tasks, episodes)
    assert [verdict(e) for e in episodes] == ["unscored", "error", "error", "failure", "success"]
    assert (s.planned, s.success, s.failure, s.error, s.unscored) == (5, 1, 1, 2, 1)
    assert (s.rate, s.low, s.high) == (0.2, *wilson(1, 5))  # of all planned tasks, broken or not
    assert s.stop_reasons == {"answered": 2, "env_error": 1, "max_turns": 1, "model_error": 1}
    assert s.by_template == {"t": (1, 2), "u": (0, 3)}


def test_means_are_over_all_episodes():
    first = turn(0, replanned=True, plan_response="x", planner=Usage(100, 20, 1, 1.0, 0.5), executor=Usage(200, 10, 1, 1.0, 0.25))
    second = turn(1, replanned=True, plan_response="x", planner=Usage(140, 40, 2, 1.0, 0.25), executor=Usage(210, 20, 1, 1.0, 0.25))
    s = summarize([task("a"), task("b")], [episode("a", True, (first, second), seconds=3.0), episode("b", False, (turn(),), seconds=1.0)])
    assert (s.turns, s.replans, s.seconds) == (1.5, 0.5, 2.0)  # (2 + 1) / 2, the first plan is no replan, (3 + 1) / 2
    assert s.plan_tokens == 150  # (120 + 180) / 2
    assert s.act_tokens == 220  # (210 + 230) / 2
    assert s.model_calls == 2.5  # (1 + 1 + 2 + 1) / 2
    assert s.usd == 1.25  # of both episodes together


def test_an_unknown_price_makes_the_cost_unknown():
    assert summarize([task("a")], [episode("a", True, (turn(executor=Usage(1, 1, 1, 0.0, None)),))]).usd is None


def test_plan_validity():
    good = turn(0, replanned=True, plan_response="## Step 1")
    bad = turn(1, plan_response="hm", plan_failure=FailureInfo("plan", "no plan"))
    bad_and_worse = dataclasses.replace(bad, index=2, failure=FailureInfo("format", "no action"))
    silent = turn(3, planner=Usage(50, 0, 0), plan_failure=FailureInfo("plan", "an empty answer"))  # and from a cache
    unasked = turn(4)
    assert summarize([task("a")], [episode("a", True, (good, bad, bad_and_worse, silent, unasked))]).plan_validity == 0.25
    assert summarize([task("a")], [episode("a", True, (unasked,))]).plan_validity is None


@pytest.mark.parametrize(
    ("planned", "run", "message"),
    [
        (["a", "b"], ["a"], "not run: b"),
        (["a"], ["a", "a"], "run twice: a"),
        (["a", "a"], ["a"], "planned twice: a"),
        (["a"], ["a", "x"], "not planned: x"),
        (list("abcdefgh"), ["a"], "not run: b, c, d, e, f and 2 more"),
        ([], [], "no task was planned"),
    ],
)
def test_a_task_is_there_exactly_once(planned, run, message):
    with pytest.raises(ValueError, match=message):
        summarize([task(id) for id in planned], [episode(id, True) for id in run])


def test_a_summary_that_does_not_add_up_is_refused():
    s = summarize([task("a")], [episode("a", True)])
    with pytest.raises(ValueError, match="2 tasks were planned, but 1 succeeded, 0 failed, 0 broke and 0 were not scored"):
        dataclasses.replace(s, planned=2)
