"""Verdicts on trajectories: the judge's words, the reward model's prompt and its probability."""

import contextlib
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.shorten import count_tokens
from planact.teaching import AnswerError
from planact.teaching.outcome import (
    JUDGE_SYSTEM,
    ORM_CONTEXT,
    ORM_SYSTEM,
    judge_messages,
    orm_messages,
    p_yes,
    parse_verdict,
    render_verdict,
)
from planact.types import Action, Observation, Op, Plan, Turn


def page(text="[3] link 'Cart'"):
    return Observation(text, "link 'Cart'", "http://shop.example/")


def turn(index, action, response=""):
    return Turn(index, Plan(), page(), response, action)


CLICK = Action(Op.CLICK, "3", target="link 'Cart'", note="the lamp costs $12")
TURNS = [turn(0, CLICK), turn(1, None, "I would\nrather not"), turn(2, Action(Op.STOP, text="$12"))]


def test_the_judge_sees_request_actions_final_page_and_answer():
    system, user = judge_messages("What is in the cart?", TURNS, page(), "$12")
    assert system == {"role": "system", "content": JUDGE_SYSTEM}
    assert user["content"] == (
        "## Request\nWhat is in the cart?\n\n## Actions\n1. click link 'Cart'\n2. unreadable answer\n3. stop '$12'\n\n"
        "## Final Page\nlink 'Cart'\n\n## Answer\n$12"
    )
    assert judge_messages("x", [], page(), "")[1]["content"].endswith("## Answer\n(none)")


@pytest.mark.parametrize("solved", [True, False])
def test_a_verdict_is_read_back(solved):
    assert parse_verdict(render_verdict("Verdict: solved, one might think.", solved)) is solved


@pytest.mark.parametrize(
    "text, solved", [("**Verdict: not solved**", False), ("VERDICT:  Not Solved.\n", False), ("**Verdict:** solved", True)]
)
def test_emphasis_and_case_are_no_hindrance(text, solved):
    assert parse_verdict(text) is solved


@pytest.mark.parametrize(
    "text", ["", "solved", "Verdict: unsolved", "Verdict: solved?", "Verdict: solved\nbut", "Verdict: solved or not solved"]
)
def test_a_last_line_without_a_verdict_is_refused(text):
    with pytest.raises(AnswerError, match="expected 'Verdict: solved'"):
        parse_verdict(text)


@given(st.text(max_size=40) | st.lists(st.sampled_from(["Verdict:", " not", " solved", "*", "\t", "\n"])).map("".join))
def test_any_text_is_a_verdict_or_refused(text):
    with contextlib.suppress(AnswerError):
        assert parse_verdict(text) in (True, False)


def test_the_reward_model_gets_webrls_layout():
    """The layout of WebRL's process_data.py: a line for each action, its own lines joined."""
    system, user = orm_messages("What is in the cart?", TURNS, page("<html> [3] link 'Cart'\n</html>"))
    assert system == {"role": "system", "content": ORM_SYSTEM} and "YES" in ORM_SYSTEM and "NO" in ORM_SYSTEM
    assert user["content"] == (
        "The User Intent:\nWhat is in the cart?\n\n"
        "Action History:\n"
        '# Element: link \'Cart\'; # Note: the lamp costs $12; do(action="Click", element="3")\n'
        "I would; rather not\n"
        'exit(message="$12")\n\n'
        "The Current Screenshot:\n<html> [3] link 'Cart'\n</html>"
    )


def size(messages):
    return sum(count_tokens(message["content"]) for message in messages)


def head(messages):
    return messages[1]["content"].split("The Current Screenshot:\n")[0]


def test_a_long_page_loses_nodes_and_nothing_else_is_cut():
    long = "\n".join(["page 'Shop'", *(f"link 'Lamp {n}' [{n}]" for n in range(5_000)), "text 'the cart holds a lamp'"])
    messages = orm_messages("What is in the cart?", TURNS, page(long))
    shown = messages[1]["content"].split("The Current Screenshot:\n")[1].splitlines()
    assert head(messages) == head(orm_messages("What is in the cart?", TURNS, page("")))
    assert shown[0] == "page 'Shop'" and "text 'the cart holds a lamp'" in shown  # which the request is about
    assert {line for line in shown if "nodes left out" not in line} <= set(long.splitlines())
    assert 0.85 * ORM_CONTEXT < size(messages) <= 0.9 * ORM_CONTEXT


def test_of_a_long_history_the_last_actions_stay_and_leave_half_of_the_room_to_the_page():
    turns = [turn(n, Action(Op.TYPE, "3", f"{n}: " + "long text " * 200)) for n in range(60)] + [turn(60, Action(Op.STOP, text="done"))]
    messages = orm_messages("What is in the cart?", turns, page("\n".join(f"link 'Lamp {n}' [{n}]" for n in range(5_000))))
    history = head(messages).split("Action History:\n")[1].strip().splitlines()
    assert history[-1] == 'exit(message="done")' and 10 < len(history) < 30
    assert [line.split('"')[3].split(":")[0] for line in history[:-1]] == [str(n) for n in range(61 - len(history), 60)]
    assert 0.4 * ORM_CONTEXT < count_tokens(head(messages)) < 0.5 * ORM_CONTEXT and size(messages) <= 0.9 * ORM_CONTEXT


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.sampled_from([1, 5_000]), st.sampled_from([1, 5_000]))
def test_no_prompt_is_longer_than_the_context(intent, typed, seen, more, much):
    turns = [turn(0, Action(Op.TYPE, "1", typed * more)), turn(1, None, seen * much)]
    final = page("page 'x'\n" + "\n".join([f"text {seen!r}"] * much))
    assert size(orm_messages(intent, turns, final)) <= 0.9 * ORM_CONTEXT


@pytest.mark.parametrize(
    "told, expected",
    [
        ({"YES": math.log(0.6), "NO": math.log(0.2), "Maybe": math.log(0.2)}, 0.75),  # 0.6 / (0.6 + 0.2)
        ({"YES": math.log(0.3), " yes": math.log(0.1), "Yes": math.log(0.1), " NO": math.log(0.5)}, 0.5),  # 0.5 / (0.5 + 0.5)
        ({"YES": -3.0}, 1.0),
        ({"no": -0.1, "The": -2.0}, 0.0),
        ({"YES": -5000.0, "NO": -5000.0}, 0.5),  # too small for exp
        ({"Y": -0.1, "NOT": -0.2}, None),
        ({}, None),
    ],
)
def test_the_probability_of_yes_against_no(told, expected):
    assert p_yes(told) == (None if expected is None else pytest.approx(expected))


@given(st.dictionaries(st.sampled_from(["YES", "Yes", " YES", "NO", "no", "x"]), st.floats(-1e300, 1e300)))
def test_a_probability_lies_between_0_and_1(told):
    probability = p_yes(told)
    assert probability is None or 0 <= probability <= 1
