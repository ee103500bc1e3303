"""miniweb episodes: isolated from each other, cheap to open and close, and never broken by an action."""

import asyncio
import os
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.env import EnvError
from planact.types import FINAL_OPS, Action, Op
from planact_envs.miniweb.database import connect, difference
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import load_tasks
from planact_envs.miniweb.world import build_world
from planact_envs.observation import FORMS, read_elements, render_page

TASK = next(task for task in load_tasks("train") if task.start_url == "http://forum.miniweb/")
POST = "http://forum.miniweb/post/3"


def id_of(page, name):
    return next(element.id for element in read_elements(page.text, "short") if element.name == name)


async def test_interleaved_episodes_do_not_see_each_other():
    one, other = MiniwebEnv("short"), MiniwebEnv("short")
    await one.reset(TASK)
    await other.reset(TASK)
    untouched = build_world()[:]
    page_of_one, page_of_other = await one.step(Action(Op.GOTO, text=POST)), await other.step(Action(Op.GOTO, text=POST))
    assert page_of_one == page_of_other and "button 'Upvote'" in page_of_one.text
    page_of_one = await one.step(Action(Op.CLICK, id_of(page_of_one, "Upvote")))
    assert "button 'Remove upvote'" in page_of_one.text
    assert await other.step(Action(Op.GOTO, text=POST)) == page_of_other  # no upvote here
    page_of_other = await other.step(Action(Op.TYPE, id_of(page_of_other, "Your comment"), "only here"))
    page_of_other = await other.step(Action(Op.CLICK, id_of(page_of_other, "Add comment")))
    assert "only here" in page_of_other.text and "only here" not in (await one.step(Action(Op.GOTO, text=POST))).text
    start = connect(build_world())
    assert list(difference(start, one.database)) == ["forum_vote"] and list(difference(start, other.database)) == ["forum_comment"]
    await one.close()
    await other.close()
    build_world.cache_clear()
    assert build_world() == untouched  # the bytes that every episode starts from


async def test_reset_begins_again():
    env = MiniwebEnv("short")
    first = await env.reset(TASK)
    post = await env.step(Action(Op.GOTO, text=POST))
    await env.step(Action(Op.CLICK, id_of(post, "Upvote")))
    await env.step(Action(Op.NEW_TAB))
    old = env.database
    assert await env.reset(TASK) == first
    assert await env.step(Action(Op.GOTO, text=POST)) == post
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        old.execute("SELECT 1")
    await env.close()


async def test_close_twice_and_before_the_first_reset():
    env = MiniwebEnv()
    await env.close()
    await env.reset(TASK)
    await env.close()
    await env.close()
    assert (await env.reset(TASK)).url == TASK.start_url
    await env.close()


def test_an_unknown_form_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'markdown' does not exist; choose one of axtree, html, short"):
        MiniwebEnv("markdown")


@pytest.mark.parametrize("form", FORMS)
async def test_an_observation_shows_the_page_twice_with_and_without_ids(form):
    env = MiniwebEnv(form)
    seen = await env.reset(TASK)
    page = env.browser.tab.page
    assert seen.text == render_page(page.root, page.title, form)
    assert seen.outline == render_page(page.root, page.title, form, ids=False) != seen.text
    assert (seen.url, seen.title, seen.tabs, seen.error) == (TASK.start_url, page.title, (), "")
    await env.close()


async def test_an_impossible_action_leaves_the_page_and_says_why():
    env = MiniwebEnv("short")
    first = await env.reset(TASK)
    after = await env.step(Action(Op.CLICK, "999"))
    assert after == replace(first, error=after.error) and "no element '999'" in after.error
    assert (await env.step(Action(Op.SCROLL, text="down"))).error == ""  # an error belongs to one action
    await env.close()


async def test_tabs_are_shown_when_there_are_several():
    env = MiniwebEnv("short")
    await env.reset(TASK)
    assert (await env.step(Action(Op.NEW_TAB))).tabs == (TASK.start_url, "about:blank")
    assert (await env.step(Action(Op.CLOSE_TAB))).tabs == ()
    await env.close()


async def test_a_start_page_outside_the_sites_is_an_error_of_the_environment():
    env = MiniwebEnv()
    with pytest.raises(EnvError, match="the start page cannot be opened: 'http://evil.example/' is outside"):
        await env.reset(replace(TASK, start_url="http://evil.example/"))
    await env.close()


async def test_an_empty_tab_is_judged_as_a_page_that_shows_nothing():
    check = {"url": "last", "required_contents": {"must_include": ["Points"]}}
    env = MiniwebEnv()
    await env.reset(replace(TASK, eval={"eval_types": ["program_html"], "program_html": [check], "database": {}}))
    await env.step(Action(Op.GOTO, text=POST))
    assert (await env.score("")).success is True
    await env.step(Action(Op.NEW_TAB))
    outcome = await env.score("")
    assert outcome.success is False and outcome.reason == "page about:blank: 'Points' is not shown"
    await env.close()


async def test_episodes_leak_no_descriptor_and_no_browser():
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    env, before, steady = MiniwebEnv("short"), descriptors(), None
    for n in range(200):
        page = await env.reset(TASK)
        await env.step(Action(Op.CLICK, read_elements(page.text, "short")[n % 5].id))
        steady = steady or descriptors()
    assert descriptors() == steady
    await env.close()
    assert descriptors() == before


WORDS = [
    "",
    "1",
    "7",
    "Enter",
    "down",
    "http://forum.miniweb/post/3",
    "http://shop.miniweb/cart",
    "²",
    "\ud800",
    "\x00",
    "' OR 1=1 --",
    "%",
    "x" * 5000,
]
actions = st.builds(
    Action,
    st.sampled_from(sorted(set(Op) - FINAL_OPS)),
    st.integers(-1, 30).map(str) | st.sampled_from(WORDS),
    st.sampled_from(WORDS) | st.text(max_size=10),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["http://forum.miniweb/post/3", "http://shop.miniweb/account/edit", "http://code.miniweb/"]),
    st.lists(actions, max_size=8),
)
def test_no_action_breaks_an_episode(url, chosen):
    async def run():
        env = MiniwebEnv("short")
        last = await env.reset(replace(TASK, start_url=url))
        for action in chosen:
            page = await env.step(action)
            if page.error:
                assert page == replace(last, error=page.error)
            last = page
        assert (await env.score("x")).success is False
        await env.close()

    asyncio.run(run())
