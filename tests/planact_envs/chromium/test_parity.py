"""Both back ends of miniweb show the same pages, take the same actions and give the same verdicts.

The full comparison is `slow`: every page that links reach, 200 scripted episodes and 100 random walks.
"""

import random
from collections import deque
from dataclasses import replace
from urllib.parse import urljoin

import pytest
import pytest_asyncio

from planact.loop import run_episode
from planact.recipe import Agent
from planact.types import Action, Op
from planact_envs.miniweb import sites
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.observation import FORMS, observation_of, read_elements
from planact_envs.suites import World, load_suite

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WORDS = ("lamp", "red chair", "3", "two\nlines", "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def make():
    """A maker of Chromium environments by form, over one browser and one server."""
    async with load_suite("miniweb-chromium").open(World()) as make_env:

        def make(form):
            env = make_env()
            env.form = form
            return env

        yield make


def assert_same(one, two, context):
    """Errors may be worded differently; whether there is one may not."""
    assert replace(one, error="") == replace(two, error=""), context
    assert bool(one.error) == bool(two.error), (context, one.error, two.error)


async def compare_pages(make, choose):
    """Follow the links that `choose` picks out of a page's; gives how many pages were compared."""
    task = load_suite("miniweb").tasks("train")[0]
    one, two = MiniwebEnv(), make("axtree")
    await one.reset(task)
    await two.reset(task)
    queue, seen = deque(sites.HOME.values()), set()
    while queue:
        url = queue.popleft()
        if url in seen:
            continue
        seen.add(url)
        assert_same(await one.step(Action(Op.GOTO, text=url)), await two.step(Action(Op.GOTO, text=url)), url)
        page, other = one.browser.tab.page, two.session.tab.page
        for form in FORMS:
            assert observation_of(page, form, url) == observation_of(other, form, url), url
        links = [page.elements[key].attributes["href"] for key, node in page.nodes.items() if node.role == "link"]
        queue += [urljoin(url, link) for link in choose(links)]
    await one.close()
    await two.close()
    return len(seen)


async def compare_episodes(make, tasks):
    """The scripted teacher on each task in both back ends, every other time with mistakes."""
    suite = load_suite("miniweb-chromium")
    agent = Agent(planner="none", executor="trained", max_turns=20)
    for number, task in enumerate(tasks):
        form = FORMS[number % len(FORMS)]
        teacher = suite.teacher(form, agent.grammar, 0.5 * (number % 2), number)
        one, two = MiniwebEnv(form), make(form)
        here, there = [await run_episode(task, env, agent, teacher) for env in (one, two)]
        await one.close()
        await two.close()
        assert (here.outcome, here.answer, here.stop_reason) == (there.outcome, there.answer, there.stop_reason), task.id
        assert len(here.turns) == len(there.turns), task.id
        pages = zip([*(turn.observation for turn in here.turns), here.final], [*(turn.observation for turn in there.turns), there.final])
        for mine, theirs in pages:
            assert_same(mine, theirs, task.id)


def some_action(page, dice):
    """Anything that an agent might do on this page: mostly its fields and buttons, sometimes the history."""
    luck, elements = dice.random(), read_elements(page.text, "axtree")
    for share, action in ((0.12, Action(Op.BACK)), (0.16, Action(Op.FORWARD)), (0.2, Action(Op.PRESS, text="Enter"))):
        if luck < share or not elements:
            return action
    fields = [element for element in elements if element.role != "link"]
    element = dice.choice(fields if fields and dice.random() < 0.6 else elements)
    if element.role == "textbox":
        return Action(dice.choice((Op.TYPE, Op.SEARCH, Op.CLICK)), element.id, dice.choice(WORDS))
    if element.role == "combobox" and dice.random() < 0.7:
        return Action(Op.SELECT, element.id, dice.choice([line.split("'")[1] for line in page.text.split("\n") if "\toption '" in line]))
    return Action(Op.CLICK, element.id)


async def compare_walks(make, seeds, steps=15):
    tasks = load_suite("miniweb").tasks("train")
    for seed in seeds:
        dice = random.Random(seed)
        one, two, task = MiniwebEnv(), make("axtree"), dice.choice(tasks)
        page, other = await one.reset(task), await two.reset(task)
        walk = []
        for _ in range(steps):
            assert_same(page, other, (seed, walk[-3:]))
            action = some_action(page, dice)
            walk.append((page.url, action.op, action.element, action.text))
            page, other = await one.step(action), await two.step(action)
        assert_same(page, other, (seed, walk[-3:]))
        assert await one.score("x") == await two.score("x"), seed
        await one.close()
        await two.close()


async def test_pages_read_the_same(make):
    dice = random.Random(0)
    links = iter(range(24))  # so many links are followed
    assert await compare_pages(make, lambda found: [dice.choice(found)] if found and next(links, None) is not None else []) > 10


async def test_scripted_episodes_are_the_same(make):
    tasks = load_suite("miniweb").tasks("train")
    await compare_episodes(make, random.Random(1).sample(tasks, 10))


async def test_random_walks_are_the_same(make):
    await compare_walks(make, range(4))


@pytest.mark.slow
async def test_every_page_reads_the_same(make):
    assert await compare_pages(make, lambda found: found) > 100


@pytest.mark.slow
async def test_200_scripted_episodes_are_the_same(make):
    suite = load_suite("miniweb")
    await compare_episodes(make, random.Random(2).sample([*suite.tasks("train"), *suite.tasks("test")], 200))


@pytest.mark.slow
async def test_100_random_walks_are_the_same(make):
    await compare_walks(make, range(100, 200))


async def test_many_episodes_at_once_do_not_see_each_other(make):
    task = next(task for task in load_suite("miniweb").tasks("train") if task.start_url == "http://forum.miniweb/")
    one, other = make("short"), make("short")
    await one.reset(task)
    await other.reset(task)
    post = Action(Op.GOTO, text="http://forum.miniweb/post/3")
    page, untouched = await one.step(post), await other.step(post)
    assert page == untouched
    upvote = next(element.id for element in read_elements(page.text, "short") if element.name == "Upvote")
    assert "Remove upvote" in (await one.step(Action(Op.CLICK, upvote))).text
    await one.session.page.evaluate("document.cookie = 'a=1'; localStorage.b = 2")
    assert await other.step(post) == untouched
    assert await other.session.page.evaluate("document.cookie + Object.keys(localStorage)") == ""
    await one.reset(task)
    assert await one.step(post) == untouched
    assert await one.session.page.evaluate("document.cookie + Object.keys(localStorage)") == ""
    await one.close()
    await other.close()
