"""WebArena's tasks end to end in Chromium: login, episodes, every kind of check, and the trajectories."""

import asyncio
import json

import pytest

from planact.llm import ScriptedLLM
from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import StopReason
from planact_envs.suites import World, load_suite

pytestmark = pytest.mark.browser
AGENT = Agent(planner="none", executor="base", observation="html", grammar="webrl", max_turns=5)


def click(element):
    return f'do(action="Click", element="{element}")'


def typed(element, text):
    return f'do(action="Type", argument="{text}", element="{element}")'


def stop(text=""):
    return f'exit(message="{text}")'


def shown(url, locator, content, kind="must_include", **more):
    return {"url": url, "locator": locator, "required_contents": {kind: [content] if kind != "exact_match" else content}, **more}


INNER = "document.querySelector('.submission__inner').outerText"
TASKS = {  # name: (site, start page, evaluation, the agent's replies, success)
    "answer": ("shopping", "/lamp", {"reference_answers": {"must_include": ["39.64"]}}, [stop("It costs $39.64.")], True),
    "wrong answer": ("shopping", "/lamp", {"reference_answers": {"must_include": ["39.64"]}}, [stop("It costs $139.64.")], False),
    "no answer": ("shopping", "/lamp", {"reference_answers": {"must_include": ["39.64"]}}, [click(1)] * 5, False),
    "impossible": ("shopping", "", {"reference_answers": {"fuzzy_match": "N/A"}, "string_note": "none"}, [stop("N/A")], True),
    "judged": ("shopping", "", {"reference_answers": {"fuzzy_match": ["forty"]}}, [stop("40")], True),
    "page": ("shopping", "", {"reference_url": "__SHOPPING__/lamp", "url_note": "GOLD in PRED"}, [click(1), stop()], True),
    "other page": ("shopping", "", {"reference_url": "__SHOPPING__/lamp", "url_note": "GOLD in PRED"}, [click(2), stop()], False),
    "wish": (
        "shopping",
        "/lamp",
        {"program_html": [shown("__SHOPPING__/wishlist/", "document.querySelector('.products-grid.wishlist').outerText", "lamp")]},
        [click(1), stop()],
        True,
    ),
    "order": (
        "shopping",
        "",
        {"program_html": [shown("func:shopping_get_latest_order_url()", 'document.querySelector(".ordered").outerText', "order 170")]},
        [stop()],
        True,
    ),
    "review": (
        "shopping",
        "",
        {
            "program_html": [
                shown("last", "func:shopping_get_sku_latest_review_rating('B1')", "80", "exact_match"),
                shown("last", "func:shopping_get_sku_latest_review_author('B1')", "Bob", "exact_match"),
            ]
        },
        [stop()],
        True,
    ),
    "field": (
        "shopping",
        "/product",
        {
            "program_html": [shown("last", "document.querySelector('[name=\"product[price]\"').value", "39.64", "exact_match")]
        },  # as published
        [stop()],
        True,
    ),
    "changed field": (
        "shopping",
        "/product",
        {"program_html": [shown("last", "document.querySelector('[name=\"product[price]\"').value", "5", "exact_match")]},
        [typed(1, "5"), stop()],
        True,
    ),
    "after a click": (
        "shopping",
        "/product",
        {
            "program_html": [
                shown(
                    "last",
                    'document.querySelector(".inner").outerText',
                    "second",
                    prep_actions=['document.querySelector(".title").click()'],
                )
            ]
        },
        [stop()],
        True,
    ),
    "whole page": ("shopping", "/lamp", {"program_html": [shown("last", "", "<b>lamp</b>")]}, [stop()], True),
    "missing element": ("shopping", "", {"program_html": [shown("last", "document.querySelector('.no').outerText", "x")]}, [stop()], False),
    "judged page": (
        "shopping",
        "/lamp",
        {"program_html": [shown("last", "document.querySelector('b').outerText", "a light", "fuzzy_match")]},
        [stop()],
        True,
    ),
    "comment": (
        "reddit",
        "/f/books/7/title",
        {"program_html": [shown("func:reddit_get_post_url('__last_url__')", INNER, "nobody |OR| hello")]},
        [typed(1, "Hello you"), click(2), stop()],
        True,
    ),
    "role": (
        "gitlab",
        "",
        {"program_html": [shown("__GITLAB__/team", "func:gitlab_get_project_memeber_role(__page__, 'vinta')", "Guest", "exact_match")]},
        [stop()],
        True,
    ),
    "no such member": (
        "gitlab",
        "",
        {"program_html": [shown("__GITLAB__/team", "func:gitlab_get_project_memeber_role(__page__, 'nobody')", "Guest", "exact_match")]},
        [stop()],
        False,
    ),
    "strange locator": ("shopping", "", {"program_html": [shown("last", "document.cookie", "x")]}, [stop()], None),
    "strange function": ("shopping", "", {"program_html": [shown("func:__import__('os')", "", "x")]}, [stop()], None),
    "not hosted": ("map", "", {"reference_answers": {"must_include": ["x"]}}, [], None),
}


def said(name):
    return f"Do the task {name}!"


@pytest.fixture(scope="module")
def world(sites, entry, tmp_path_factory):
    """What the sites hold; and the environment that says where they and the tasks are."""
    file = tmp_path_factory.mktemp("tasks") / "tasks.json"
    rows = [
        entry(number, said(name), site, start if start.startswith("_") else f"__{site.upper()}__{start}", evaluation, login=site != "map")
        for number, (name, (site, start, evaluation, _, _)) in enumerate(TASKS.items())
    ]
    file.write_text(json.dumps(rows))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**sites[1], "PLANACT_WEBARENA_LITE_TASKS": str(file)}.items():
            patch.setenv(name, value)
        yield sites[0]


async def episodes(names, scorer="vab", judge=None, agent=AGENT, **more):
    """Trajectories of the tasks, one after the other, each with its script."""
    suite = load_suite("webarena-lite")
    tasks = {task.intent: task for task in suite.tasks("test")}
    found = {}
    async with suite.open(World("html", scorer, judge, **more)) as make_env:
        for name in names:
            env = make_env()
            try:
                found[name] = await run_episode(tasks[said(name)], env, agent, ScriptedLLM(TASKS[name][3]))
            finally:
                await env.close()
    return found


@pytest.fixture(scope="module")
def run(world):
    return asyncio.run(episodes(TASKS, judge=ScriptedLLM(lambda messages: "correct", name="a-judge")))


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_scored_in_the_browser(run, name):
    trajectory = run[name]
    assert trajectory.outcome.success is TASKS[name][4], (trajectory.outcome, trajectory.error, trajectory.final)


@pytest.mark.slow
def test_what_cannot_be_scored_says_why(run):
    assert "no locator of a known form" in run["strange locator"].outcome.reason
    assert "no function of a known form" in run["strange function"].outcome.reason
    assert run["not hosted"].stop_reason == StopReason.ENV_ERROR and "map is not hosted" in run["not hosted"].error
    assert run["no answer"].stop_reason == StopReason.MAX_TURNS


@pytest.mark.slow
def test_what_the_judge_said_is_kept(run):
    for name in ("judged", "judged page"):
        (judgement,) = run[name].outcome.judgements
        assert (judgement.model, judgement.verdict, judgement.check) == ("a-judge", True, "fuzzy_match")
    assert not run["impossible"].outcome.judgements


async def test_an_answer_a_page_and_a_comment(world):
    found = await episodes(["answer", "page", "wish", "comment"])
    assert all(one.outcome.success for one in found.values())
    assert {"reddit", "shopping"} == set(world.logins) - {"gitlab"}
    seen = found["page"].turns[0].observation
    assert "Hello somebody" in seen.text and '<a id="1"> Lamp </a>' in seen.text and "id=" not in seen.outline


@pytest.mark.slow
async def test_without_a_judge_a_task_that_needs_one_is_unscored(world):
    found = await episodes(["judged", "impossible"])
    assert [one.outcome.success for one in found.values()] == [None, True]
    assert "endpoints.judge" in found["judged"].outcome.reason
