"""What the tiny base model is pretrained on: pages of miniweb's sites and generic instructions about what is on them.

No benchmark task is used, of any split: the instructions are made from the page alone ("Open 'Cart'.", "Report 'Price'."),
as a general model knows how to work a page before it knows these sites' tasks. Prompts come from the one renderer.
"""

from __future__ import annotations

import random
import re
import sqlite3
from dataclasses import dataclass
from typing import Iterator, Sequence
from urllib.parse import urljoin

from planact.prompts import Message, executor_answer, executor_messages
from planact.types import Action, Observation, Op, Plan, PlanStep, Turn
from planact_envs.miniweb import sites, world
from planact_envs.miniweb.browser import TextBrowser, with_database
from planact_envs.observation import Element, read_elements, render_page

_PAIR = re.compile(r"^([A-Z][\w -]{2,30}): (.{1,40})$", re.M)
Row = dict[str, list[Message]]  # prompt and completion
QUESTIONS = 10  # instructions per page
WALK = 8  # actions of a random walk


@dataclass(frozen=True)
class Drill:
    """One instruction on a page and its right action."""

    instruction: str
    action: Action


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
    await browser.close()
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
            moves = [d for d in drills(pages[-1], phrases, dice) if d.action.op != Op.STOP]
            await browser.act(dice.choice(moves).action)
        await browser.close()
        database.close()
    return list({page.text: page for page in pages}.values())


def _browser() -> tuple[TextBrowser, sqlite3.Connection]:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.deserialize(world.build_world())
    return TextBrowser(with_database(sites.app(), database), sites.HOSTS), database


def _observe(browser: TextBrowser) -> Observation:
    page = browser.tab.page
    text, outline = (render_page(page.root, page.title, "short", ids) for ids in (True, False))
    return Observation(text, outline, browser.tab.url, page.title)


def phrases_of(pages: Sequence[Observation]) -> list[str]:
    """Names and values that stand on the pages: what instructions type and search for."""
    names = [element.name for page in pages for element in read_elements(page.text, "short")]
    return names + [value for page in pages for _, value in _PAIR.findall(page.text)]


def drills(page: Observation, phrases: Sequence[str], dice: random.Random) -> list[Drill]:
    """Instructions for elements and "Name: value" lines of the page, in random order."""
    made = [_element_drill(element, page.text, phrases, dice) for element in read_elements(page.text, "short")]
    made += [Drill(f"Report '{key}'.", Action(Op.STOP, text=value)) for key, value in _PAIR.findall(page.text)]
    return dice.sample(made, min(QUESTIONS, len(made)))


def _element_drill(element: Element, text: str, phrases: Sequence[str], dice: random.Random) -> Drill:
    target = f"{element.role} '{element.name}'"
    if element.role == "textbox":
        phrase, search = dice.choice(phrases), "earch" in element.name or dice.random() < 0.3
        op, verb = (Op.SEARCH, "Search for") if search else (Op.TYPE, "Type")
        return Drill(f"{verb} '{phrase}' in '{element.name}'.", Action(op, element.id, phrase, target))
    if element.role == "combobox":
        option = dice.choice(_options(text, element.id))
        return Drill(f"Select '{option}' in '{element.name}'.", Action(Op.SELECT, element.id, option, target))
    return Drill(f"Open '{element.name}'.", Action(Op.CLICK, element.id, target=target))


def _options(text: str, key: str) -> list[str]:
    return re.search(rf"\[{key}\] = .*? of (.*)$", text, re.M)[1].split(" | ")[0].split(", ")


def conversations(pages: Sequence[Observation], count: int, seed: int) -> Iterator[Row]:
    """`count` rows: half ask many things about one page, half follow a plan of such instructions round by round."""
    dice, phrases = random.Random(seed), phrases_of(pages)
    for n in range(count):
        yield (_quiz if n % 2 else _rounds)(pages, phrases, dice)


def _quiz(pages: Sequence[Observation], phrases: Sequence[str], dice: random.Random) -> Row:
    page = dice.choice(pages)
    messages = [{"role": "system", "content": f"act\n\n{page.text}"}]
    for drill in drills(page, phrases, dice):
        messages += [{"role": "user", "content": drill.instruction}, executor_answer(drill.action, "webrl")]
    return {"prompt": messages[:2], "completion": messages[2:]}


def _rounds(pages: Sequence[Observation], phrases: Sequence[str], dice: random.Random) -> Row:
    """An executor prompt: a plan of up to five instructions, some of them carried out on pages that are no longer shown."""
    length = dice.randint(2, 5)
    chosen = [(page, dice.choice(drills(page, phrases, dice))) for page in dice.choices(pages, k=length)]
    plan = Plan(tuple(PlanStep("", drill.instruction) for _, drill in chosen))
    done = dice.randrange(length)
    turns = [Turn(i, plan, page, "", drill.action) for i, (page, drill) in enumerate(chosen[:done])]
    page, drill = chosen[done]
    task = f"{dice.choice(phrases)} and {dice.choice(phrases)}"
    return {
        "prompt": executor_messages("compact", "webrl", task, plan, turns, page),
        "completion": [executor_answer(drill.action, "webrl")],
    }
