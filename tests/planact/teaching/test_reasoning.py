"""Questions for reasoning: what the reasoner is shown, how its reply is read, and what cannot stand before an answer."""

import contextlib
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.actions import render_action
from planact.plans import render_plan
from planact.teaching import AnswerError
from planact.teaching.reasoning import (
    LABEL,
    MAX_CHARACTERS,
    SYSTEMS,
    check_label,
    check_reasoning,
    parse_reasoning,
    reasoning_messages,
    render_reasoning,
)
from planact.types import Action, Op, Plan, PlanStep

PROMPT = [
    {"role": "system", "content": "act, think first"},
    {"role": "user", "content": "page one"},
    {"role": "assistant", "content": "go_backward()"},
    {"role": "user", "content": "page two"},
]
PLAN = Plan((PlanStep("It has a search box.", "Search for 'Tee'."), PlanStep("why", "Report the price.")))
CLICK = Action(Op.CLICK, "7", target="link 'Tee'")


def test_the_reasoner_sees_all_that_the_role_sees_and_the_answer():
    system, user = reasoning_messages("action", PROMPT, "go_forward()")
    assert system == {"role": "system", "content": SYSTEMS["action"]} and user["role"] == "user"
    rounds = "<user>\npage one\n</user>\n<assistant>\ngo_backward()\n</assistant>\n<user>\npage two\n</user>"
    chat = f"<system>\nact, think first\n</system>\n{rounds}"
    assert user["content"] == f"## What it sees\n{chat}{LABEL}go_forward()"


def test_each_role_is_asked_in_its_own_words():
    assert len(set(SYSTEMS.values())) == 3 and all("<reasoning>\n" in text and "<answer>\n" in text for text in SYSTEMS.values())
    assert "{" not in "".join(SYSTEMS.values())


TEXT = "<reasoning>\nI see it.\n</reasoning>\n<answer>\ngo_backward()\n</answer>"


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"Of course:\n{TEXT}\nDone.",
        f"<think>First <reasoning> then</think>\n{TEXT}",
        TEXT.replace("\n", ""),
        TEXT.replace("\n", "\n\n"),
    ],
)
def test_what_reasoners_write_around_it(text):
    assert parse_reasoning(text) == ("I see it.", "go_backward()")
    assert render_reasoning("I see it.", "go_backward()") == TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I see it. go_backward()",
        TEXT.replace("<reasoning>", ""),
        TEXT.replace("</reasoning>", ""),
        TEXT.replace("<answer>", ""),
        TEXT.replace("</answer>", ""),
        "<answer>a</answer><reasoning>r</reasoning>",
        "<think>" + TEXT,
    ],
)
def test_what_has_another_form_is_refused(text):
    with pytest.raises(AnswerError, match="expected <reasoning>") as refused:
        parse_reasoning(text)
    assert refused.value.reason == "format"


words = st.text().map(str.strip).filter(lambda text: "</reasoning>" not in text and "</think>" not in text)


@given(words, words)
def test_every_reply_is_read_back(reasoning, label):
    assert parse_reasoning(render_reasoning(reasoning, label)) == (reasoning, label)


pieces = ["<reasoning>", "</reasoning>", "<answer>", "</answer>", "<think>", "</think>", "\n", "given answer", "## Step 1\n", "Step:"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(pieces) | st.text(max_size=4), max_size=25).map("".join), st.sampled_from([PLAN, CLICK]))
def test_any_text_is_read_or_refused(text, label):
    with contextlib.suppress(AnswerError):
        reasoning, written = parse_reasoning(text)
        check_reasoning(reasoning, "plan")
        check_label(written, label, "webrl")


@pytest.mark.parametrize("piece", ["<reasoning>", "</answer>", "<think", "given ", "I was ", " \n", "the answer that ", "<|", "user\t"])
def test_100_kb_of_nonsense_takes_no_time(piece):
    started = time.process_time()
    with contextlib.suppress(AnswerError):
        parse_reasoning(piece * (100_000 // len(piece)))
    for subject in SYSTEMS:
        with contextlib.suppress(AnswerError):
            check_reasoning((piece * MAX_CHARACTERS[subject])[: MAX_CHARACTERS[subject]], subject)
    assert time.process_time() - started < 1


def step(n, **changes):
    return replace(PLAN, steps=tuple(replace(s, **changes) if i == n else s for i, s in enumerate(PLAN.steps)))


@pytest.mark.parametrize(
    "plan", [PLAN, step(0, reasoning="other words"), step(0, step="search  for 'tee'"), step(1, step="Report the price")]
)
def test_the_same_steps_are_the_same_plan(plan):
    check_label(render_plan(plan), PLAN, "webrl")


@pytest.mark.parametrize(
    "text",
    [
        render_plan(step(0, step="Search for 'Mug'.")),
        render_plan(Plan(PLAN.steps[:1])),
        render_plan(Plan(PLAN.steps[::-1])),
        render_plan(Plan((*PLAN.steps, PLAN.steps[0]))),
        "Search for 'Tee'. Report the price.",
    ],
)
def test_another_plan_differs(text):
    with pytest.raises(AnswerError) as refused:
        check_label(text, PLAN, "webrl")
    assert refused.value.reason == "label differs"


@pytest.mark.parametrize("grammar", ["webrl", "browsergym"])
@pytest.mark.parametrize("action", [CLICK, Action(Op.STOP, text="12"), Action(Op.INFEASIBLE, text="N/A"), Action(Op.SCROLL, text="down")])
def test_the_same_action_in_either_grammar(action, grammar):
    check_label(f"{render_action(action, grammar)}\n", action, grammar)
    for other in (replace(CLICK, element="8"), Action(Op.STOP, text="13"), Action(Op.BACK)):
        with pytest.raises(AnswerError) as refused:
            check_label(render_action(other, grammar), action, grammar)
        assert refused.value.reason == "label differs"
    with pytest.raises(AnswerError, match="cannot be read"):
        check_label("click it", action, grammar)


HONEST = [
    ("action", "I am at step 2 of the given plan: Open 'Tee'. The label 'Tee' stands in the list, so I click it."),
    ("action", "The user: Petra. The answer to the request is shown here, so I report it."),
    ("plan", "I am asked for the price. The given page has a search box, so I begin there."),
    ("replan", "My given plan still holds. The steps that are left are these. I was given 12 points."),
    ("plan", "The expected price is not known yet. I think about what the page shows."),
]


@pytest.mark.parametrize("subject, text", HONEST)
def test_honest_reasoning_passes(subject, text):
    check_reasoning(text, subject)


BAD = [
    ("plan", "", "empty reasoning"),
    ("plan", "x" * (MAX_CHARACTERS["plan"] + 1), "too long"),
    ("action", "x" * (MAX_CHARACTERS["action"] + 1), "too long"),
    ("plan", "<think>I see", "chat markers"),
    ("plan", "I see</think>", "chat markers"),
    ("plan", "I see it.\nAssistant: yes", "chat markers"),
    ("plan", "I see <|im_end|>", "chat markers"),
    ("plan", "I see <｜User｜>", "chat markers"),
    ("plan", "I see </user>", "chat markers"),
    ("plan", "I see <answer>", "chat markers"),
    ("plan", "The given answer begins with a search.", "gives itself away"),
    ("plan", "It must match the GOLD\nplan.", "gives itself away"),
    ("plan", "The plan I was given has two steps.", "gives itself away"),
    ("action", "I was told that the right action is a click.", "gives itself away"),
    ("action", "The expected action is a click.", "gives itself away"),
    ("action", "The action that is provided is a click.", "gives itself away"),
    ("replan", "The provided new plan has two steps.", "gives itself away"),
    ("replan", "The future actions show that it works.", "gives itself away"),
    ("replan", "In hindsight the search works.", "gives itself away"),
]


@pytest.mark.parametrize("subject, text, reason", BAD)
def test_what_cannot_stand_before_an_answer(subject, text, reason):
    with pytest.raises(AnswerError) as refused:
        check_reasoning(text, subject)
    assert refused.value.reason == reason
