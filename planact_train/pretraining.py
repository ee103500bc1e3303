"""What the tiny base model is pretrained on: pages of miniweb's sites and generic instructions about what is on them.

No benchmark task is used, of any split: the instructions are made from the page alone ("Open 'Cart'.", "Report 'Price'."),
as a general model knows how to work a page before it knows these sites' tasks. Prompts come from the one renderer.
"""

from __future__ import annotations

import random
import sqlite3
from typing import Iterator, Sequence
from urllib.parse import urljoin

from planact.prompts import Message, executor_answer, executor_messages
from planact.recipe import Agent
from planact.types import Observation, Plan, PlanStep, Turn
from planact_envs.miniweb import sites, world
from planact_envs.miniweb.browser import TextBrowser, with_database
from planact_envs.observation import describe_element, read_elements, render_page
from planact_train.drills import PAIR, drill_on, element_drill

Row = dict[str, list[Message]]  # prompt and completion
QUESTIONS = 10  # names asked for on one page
BLOCK = 32  # rows of one kind in a row: a batch without much padding
WARM_UP = 0.3  # share of the rows before executor prompts begin
WALK = 8  # actions of a random walk
AGENT = Agent(prompts="compact", observation="short")  # whose executor prompts the base learns to read


async def crawl() -> list[Observation]:
    """Every page that links reach from the sites' home pages, in `short` form."""
    browser, database = _browser()
    pages: dict[str, Observation] = {}
    queue = list(sites.HOME.values())
    for url in queue:
        if url not in pages:
            await browser.goto(url)
            pages[url] = _observe(browser)
            page = browser.tab.page
            queue += [urljoin(url, page.elements[k].attributes["href"]) for k, node in page.nodes.items() if node.role == "link"]
    database.close()
    return list(pages.values())


async def wander(phrases: Sequence[str], walks: int, seed: int) -> list[Observation]:
    """Pages met on random walks: search results, filled forms and what a site shows after a change."""
    dice, pages = random.Random(seed), []
    for _ in range(walks):
        browser, database = _browser()
        await browser.goto(dice.choice(list(sites.HOME.values())))
        for _ in range(WALK):
            pages.append(_observe(browser))
            element = dice.choice(read_elements(pages[-1].text, "short"))
            await browser.act(element_drill(element, pages[-1].text, phrases, dice).actions[0])
        database.close()
    return list({page.text: page for page in pages}.values())


def _browser() -> tuple[TextBrowser, sqlite3.Connection]:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.deserialize(world.build_world())
    return TextBrowser(with_database(sites.app(), database), sites.HOSTS), database


def _observe(browser: TextBrowser) -> Observation:
    page = browser.tab.page
    text, outline = (render_page(page.root, page.title, AGENT.observation, ids) for ids in (True, False))
    return Observation(text, outline, browser.tab.url, page.title)


def phrases_of(pages: Sequence[Observation]) -> list[str]:
    """Names and values that stand on the pages: what instructions type and search for."""
    names = [element.name for page in pages for element in read_elements(page.text, "short")]
    return names + [value for page in pages for _, value in PAIR.findall(page.text)]


def conversations(pages: Sequence[Observation], count: int, seed: int) -> Iterator[Row]:
    """`count` rows in blocks of one kind; the first part is `find` and `list` alone, since the rest builds on copying."""
    dice, phrases = random.Random(seed), phrases_of(pages)
    for start in range(0, count, BLOCK):
        make = dice.choice((_find, _list) if start < WARM_UP * count else (_find, _list, _rounds, _rounds))
        for _ in range(min(BLOCK, count - start)):
            yield make(pages, phrases, dice)


def _find(pages: Sequence[Observation], phrases: Sequence[str], dice: random.Random) -> Row:
    """Where things stand on a page: every answer is a line of the page, found by its name."""
    page = dice.choice(pages)
    lines = {element.name: describe_element(element, "short") for element in read_elements(page.text, "short")}
    lines |= {key: f"{key}: {value}" for key, value in PAIR.findall(page.text)}
    names = dice.sample(list(lines), min(QUESTIONS, len(lines)))
    return _row(f"find\n\n{page.text}", f"Find {', '.join(map(repr, names))}.", "\n".join(lines[name] for name in names))


def _list(pages: Sequence[Observation], phrases: Sequence[str], dice: random.Random) -> Row:
    """A sentence of instructions as a numbered list."""
    verbs = ("open {0}", "type {0} in {1}", "search {1} for {0}", "select {0} in {1}", "report {0}")
    parts = [dice.choice(verbs).format(repr(dice.choice(phrases)), repr(dice.choice(phrases))) for _ in range(dice.randint(2, 5))]
    sentence = ", then ".join(parts)
    return _row("list", f"{_capital(sentence)}.", "\n".join(f"{n}. {_capital(part)}." for n, part in enumerate(parts, 1)))


def _rounds(pages: Sequence[Observation], phrases: Sequence[str], dice: random.Random) -> Row:
    """An executor prompt: a plan of up to five instructions, some of them carried out on pages that are no longer shown.

    In half the rows the plan is revised, as after replanning: what is finished has left it.
    """
    chosen = [(page, drill_on(page.text, phrases, dice)) for page in dice.choices(pages, k=dice.randint(2, 5))]
    todo = [(i, page, action) for i, (page, drill) in enumerate(chosen) for action in drill.actions]
    done = dice.randrange(len(todo))
    current, page, action = todo[done]
    first = current if dice.random() < 0.5 else 0
    plan = Plan(tuple(PlanStep("", drill.instruction) for _, drill in chosen[first:]))
    turns = [Turn(i, plan, past, "", past_action) for i, (_, past, past_action) in enumerate(todo[:done])]
    task = f"{dice.choice(phrases)} and {dice.choice(phrases)}"
    return {
        "prompt": executor_messages(AGENT, task, plan, turns, page),
        "completion": [executor_answer(action, AGENT.grammar)],
    }


def _row(system: str, user: str, assistant: str) -> Row:
    prompt = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"prompt": prompt, "completion": [{"role": "assistant", "content": assistant}]}


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
