"""Rows of plain data: JSON and back, hashes, and sums of usage."""

import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planact.types import (
    Action,
    FailureInfo,
    Observation,
    Op,
    Outcome,
    Plan,
    PlanStep,
    StopReason,
    Task,
    Trajectory,
    Turn,
    Usage,
    content_hash,
    from_dict,
    to_dict,
)

TASK = Task(
    "shop.1", "miniweb", "test", ("shop", "forum"), "Buy 'Tee'", "http://shop/", "shop.buy", {"name": "Tee"}, {"answers": {"must": [1]}}
)
PAGE = Observation("[1] link 'A'", "link 'A'", "http://shop/", "Shop", ("http://shop/", "about:blank"), "no element '9'", "page.png")

words = st.text(max_size=12)
counts = st.integers(0, 10**9)
seconds = st.floats(0, 1e6)
usages = st.builds(Usage, counts, counts, counts, seconds, st.none() | st.floats(0, 1e3))
plans = st.builds(Plan, st.lists(st.builds(PlanStep, words, words), max_size=3).map(tuple))
pages = st.builds(Observation, words, words, words, words, st.lists(words, max_size=2).map(tuple), words, st.none() | words)
actions = st.builds(Action, st.sampled_from(Op), words, words, words, words)
failures = st.builds(FailureInfo, words, words)
turns = st.builds(
    Turn, counts, plans, pages, words, st.none() | actions, st.booleans(), words, st.none() | failures, planner=usages, executor=usages
)
trajectories = st.builds(
    Trajectory,
    words,
    words,
    words,
    st.lists(turns, max_size=3).map(tuple),
    st.sampled_from(StopReason),
    st.builds(Outcome, st.none() | st.booleans(), words, words),
    st.none() | pages,
    words,
    words,
    seconds,
    counts,
    words,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(trajectories)
def test_a_trajectory_survives_json(trajectory):
    back = from_dict(Trajectory, json.loads(json.dumps(to_dict(trajectory))))
    assert back == trajectory
    assert isinstance(back.stop_reason, StopReason) and all(type(turn.plan.steps) is tuple for turn in back.turns)
    assert content_hash(to_dict(back)) == content_hash(to_dict(trajectory))


def test_a_task_survives_json_and_keeps_its_hash():
    back = from_dict(Task, json.loads(json.dumps(to_dict(TASK))))
    assert back == TASK and back.hash == TASK.hash


@pytest.mark.parametrize("change", [{"intent": "Buy 'tee'"}, {"params": {"name": "Mug"}}, {"eval": {}}, {"sites": ["forum", "shop"]}])
def test_every_part_of_a_task_is_in_its_hash(change):
    assert from_dict(Task, to_dict(TASK) | change).hash != TASK.hash


@pytest.mark.parametrize(
    "data, words",
    [
        ({"reasoning": "r", "step": "s", "spet": "x"}, "PlanStep has no field spet; it has reasoning, step"),
        ({"reasoning": "r", "b": 1, "a": 1}, "no field a, b"),
        ({"reasoning": "r"}, "step"),
    ],
)
def test_unknown_and_missing_fields_are_refused(data, words):
    with pytest.raises(TypeError, match=words):
        from_dict(PlanStep, data)


def test_unknown_fields_are_refused_at_any_depth():
    data = to_dict(Turn(0, Plan((PlanStep("r", "s"),)), PAGE, "click", Action(Op.CLICK, "1")))
    data["plan"]["steps"][0]["goal"] = ""
    with pytest.raises(TypeError, match="PlanStep has no field goal"):
        from_dict(Turn, data)


def test_an_unknown_operation_is_refused():
    with pytest.raises(ValueError, match="fly"):
        from_dict(Action, {"op": "fly"})


def shuffled(data, rng):
    """The same data with the keys of every mapping in another order."""
    if isinstance(data, dict):
        return {key: shuffled(data[key], rng) for key in rng.sample(list(data), len(data))}
    return [shuffled(item, rng) for item in data] if isinstance(data, list) else data


def test_the_hash_does_not_depend_on_the_order_of_keys():
    data = to_dict(TASK) | {"page": to_dict(PAGE)}
    others = [shuffled(data, random.Random(seed)) for seed in range(10)]
    assert any(list(other) != list(data) for other in others)
    assert {content_hash(other) for other in others} == {content_hash(data)}


def test_the_hash_tells_apart_what_differs():
    different = [
        {},
        [],
        "",
        0,
        None,
        False,
        {"a": 1},
        {"a": "1"},
        {"a": [1]},
        {"a": 1, "b": None},
        "a",
        "A",
        ["a", "b"],
        ["ab"],
        "é",
        "e\u0301",
    ]
    assert len({content_hash(data) for data in different}) == len(different)


def test_the_hash_is_the_same_in_every_process():
    code = "from planact.types import content_hash as h; print(h({'b': {'x', 'y'} and ['x', 'y'], 'a': {'é': 1.5, 'd': None}}))"
    here = content_hash({"a": {"d": None, "é": 1.5}, "b": ["x", "y"]})
    for seed in "12":
        run = [sys.executable, "-c", code]
        assert (
            subprocess.run(run, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True).stdout.strip()
            == here
        )
    # the first 16 hex digits of: printf '{"a":1}' | sha256sum
    assert content_hash({"a": 1}) == "015abd7f5cc57a2d"


def test_text_that_no_file_can_hold_can_still_be_hashed():
    assert content_hash("\ud83d") != content_hash("\ud83e")


def test_usage_adds_up():
    total = Usage(10, 2, 1, 0.5, 0.01) + Usage(20, 3, 2, 0.25, 0.02)
    assert (total.prompt_tokens, total.completion_tokens, total.calls, total.seconds) == (30, 5, 3, 0.75)
    assert total.usd == pytest.approx(0.03)
    assert sum([Usage(1), Usage(2)], Usage()) == Usage(3)


@pytest.mark.parametrize("one, other", [(None, 0.5), (0.5, None), (None, None)])
def test_one_unknown_price_makes_the_sum_unknown(one, other):
    assert (Usage(1, usd=one) + Usage(1, usd=other)) == Usage(2, usd=None)


def test_a_trajectory_sums_its_turns():
    def turn(index, replanned, planner, executor):
        return Turn(index, Plan(), PAGE, "", None, replanned, planner=Usage(planner), executor=Usage(executor))

    # planner 5 + 0 + 7, executor 1 + 2 + 3; the first plan is no replan
    three = (turn(0, True, 5, 1), turn(1, False, 0, 2), turn(2, True, 7, 3))
    trajectory = Trajectory("t", "h", "i", three, StopReason.MAX_TURNS, Outcome(False))
    assert (trajectory.planner_usage.prompt_tokens, trajectory.executor_usage.prompt_tokens, trajectory.replans) == (12, 6, 1)
