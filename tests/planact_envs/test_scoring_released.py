"""The released runner's scorer on the published answers, held to what was measured with its own text comparison; and what it reads."""

from types import SimpleNamespace

import pytest

from planact.llm import ScriptedLLM
from planact.recipe import RecipeError
from planact.types import Action, Observation, Op, Outcome, Plan, StopReason, Task, Trajectory, Turn
from planact_envs.scoring import released, rules
from planact_envs.scoring.ending import Ending
from planact_envs.webarena.sites import SITES, Sites
from planact_envs.webarena.tasks import load_tasks, number_of

HOSTED = Sites({site: f"http://{site}.test".replace("_", "-") for site in SITES}, {})
PAGE = Observation("", "", "http://shopping.test/")


def ended(answer="", judge=None):
    return Ending(answer, SimpleNamespace(url=PAGE.url), HOSTED, judge)


def trajectory(*responses):
    actions = [Action(Op.STOP) if "exit(" in text else Action(Op.CLICK, "1") if "do(" in text else None for text in responses]
    turns = tuple(Turn(i, Plan(), PAGE, text, action) for i, (text, action) in enumerate(zip(responses, actions, strict=True)))
    return Trajectory("t", "h", "", turns, StopReason.ANSWERED, Outcome(None))


def task(**reference):
    return Task("t.1", "webarena", "test", (), "How many?", "", "t", eval={"eval_types": ["string_match"], "reference_answers": reference})


async def verdict(reference, answer, *responses, judge=None):
    return (await released.score(task(**reference), ended(answer, judge), trajectory(*responses))).success


def published():
    try:
        tasks = [HOSTED.resolve_task(one) for one in load_tasks("webarena-lite", "test")]
    except RecipeError:
        pytest.skip("the task file of WebArena-Lite is not installed: `make webarena` installs it")
    tasks = [one for one in tasks if one.eval["reference_answers"] and "fuzzy_match" not in one.eval["reference_answers"]]
    return [one for one in tasks if number_of(one) != 349]


def reference(one):
    answers = one.eval["reference_answers"]
    value = answers.get("exact_match") or answers["must_include"]
    return value if isinstance(value, str) else ", ".join(text.split(rules.OR)[0] for text in value)


@pytest.mark.parametrize(
    ("said", "note", "passes"),  # of 43; what the runner's own comparison gave
    [
        (lambda text: text, "", 43),
        (lambda text: f"The answer is {text}.", "", 36),
        (lambda text: f"x{text}y", "", 36),
        (lambda text: " ".join(reversed(text.split())), "", 43),
        (lambda text: "I could not find it", "# Note: candidate {}\n", 36),
        (lambda text: "I could not find it", "", 0),
    ],
    ids=["the reference", "in a sentence", "inside a word", "in reverse", "in a comment", "not found"],
)
async def test_published_answers_pass_as_they_did(said, note, passes):
    count = 0
    for one in published():
        only = Task(
            one.id, one.suite, one.split, one.sites, one.intent, "", one.template, eval={**one.eval, "eval_types": ["string_match"]}
        )
        answer = said(reference(one))
        response = note.format(reference(one)) + f'exit(message="{answer}")'
        count += (await released.score(only, ended(answer), trajectory(response))).success
    assert count == passes


async def test_a_reference_inside_a_number_counts_and_punctuation_does_not():
    assert await verdict({"must_include": ["5"]}, "15") and await verdict({"must_include": ["0"]}, "$100")
    assert await verdict({"must_include": ["a-b c"]}, "see A, b; c") and not await verdict({"must_include": ["%"]}, "ten")
    assert await verdict({"exact_match": "Ann, Bob"}, "bob ann") and not await verdict({"exact_match": "Ann"}, "ann ann")


async def test_the_last_readable_action_counts_even_when_the_agent_never_answered():
    typed = 'do(action="Type", argument="39.64", element="1")'
    assert await verdict({"must_include": ["39.64"]}, "", typed, "noise")
    assert not await verdict({"must_include": ["39.64"]}, "", typed, 'do(action="Click", element="2")')
    assert not await verdict({"must_include": ["39.64"]}, "", "<think>39.64</think>exit(message='')")  # reasoning is no part of it


async def test_partially_correct_is_correct():
    judge = ScriptedLLM(lambda messages: "partially correct", name="j")
    assert await verdict({"fuzzy_match": ["two"]}, "a pair", judge=judge)
    assert not await verdict({"fuzzy_match": ["two"]}, "a pair", judge=ScriptedLLM(lambda messages: "incorrect"))


async def test_without_a_judge_an_open_question_stays_unscored():
    assert await verdict({"fuzzy_match": ["two"]}, "a pair", 'exit(message="a pair")') is None
