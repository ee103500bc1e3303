"""Instructions about one page and the actions that carry them out: what a base model knows before it is taught a site's tasks.

Made from the page's text alone, in the words that plans commonly use ("Open 'Cart'.", "Find 'Blue Mug' in the list and open it.").
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Sequence

from planact.types import Action, Op
from planact_envs.observation import Element, describe_element, read_elements

PAIR = re.compile(r"^([A-Z][\w -]{2,30}): (.{1,40})$", re.M)
NEXT = "Next page"
FORM = 0.25  # share of drills on a page with a form that fill in and send it; also of those on a paged list that turn the page
DONE = 0.03  # share of drills that have nothing to do but stop

LINK = (
    "Open '{name}'.",
    "Find '{name}' in the list and open it.",
    "Open '{name}' in the search results.",
    "Go to the page {name}.",
)
BUTTON = ("Press '{name}'.", "Press {name}.")
TYPE = ("type '{value}' in '{name}'", "write '{value}' in {name}", "set the {lower} to '{value}'")
SELECT = ("select '{value}' in '{name}'", "set the {lower} to '{value}'")
SEARCH = ("Search for '{value}' in '{name}'.", "Search the {rest} for '{value}'.")
REPORT = ("Report '{name}'.", "Report the {lower} shown on the page.")
STOP = "Stop: the task is done."


@dataclass(frozen=True)
class Drill:
    """One instruction on a page and the actions that carry it out there, in order."""

    instruction: str
    actions: tuple[Action, ...]


def drill_on(text: str, phrases: Sequence[str], dice: random.Random) -> Drill:
    """A drill for the page `text` (`short` form). `phrases` are what it types, searches for, and looks for on later pages."""
    if dice.random() < DONE:
        return Drill(STOP, (Action(Op.STOP),))
    elements, pairs = read_elements(text, "short"), PAIR.findall(text)
    fields = [e for e in elements if _is_field(e)]
    buttons = [e for e in elements if e.role == "button"]
    following = next((e for e in elements if e.name == NEXT), None)
    if following and dice.random() < FORM:
        return _next_page(following, text, phrases, dice)
    if fields and buttons and dice.random() < FORM:
        return _form(fields, dice.choice(buttons), text, phrases, dice)
    if pairs and dice.random() < len(pairs) / (len(pairs) + len(elements)):
        name, value = dice.choice(pairs)
        return Drill(_worded(dice.choice(REPORT), name), (Action(Op.STOP, text=value),))
    return element_drill(dice.choice(elements), text, phrases, dice)


def element_drill(element: Element, text: str, phrases: Sequence[str], dice: random.Random) -> Drill:
    """A drill for one element of the page."""
    if element.role == "textbox" and not _is_field(element):
        value, (first, *rest) = dice.choice(phrases), element.name.split()
        pattern = dice.choice(SEARCH) if first == "Search" and rest else SEARCH[0]
        return Drill(_worded(pattern, element.name, value), (_action(Op.SEARCH, element, value),))
    if _is_field(element):
        words, action = _filled(element, text, phrases, dice)
        return Drill(f"{_capital(words)}.", (action,))
    pattern = dice.choice(BUTTON if element.role == "button" else LINK)
    return Drill(_worded(pattern, element.name), (_action(Op.CLICK, element),))


def _is_field(element: Element) -> bool:
    return element.role == "combobox" or (element.role == "textbox" and "earch" not in element.name)


def _filled(element: Element, text: str, phrases: Sequence[str], dice: random.Random) -> tuple[str, Action]:
    if element.role == "combobox":
        option = dice.choice(_options(text, element.id))
        return _worded(dice.choice(SELECT), element.name, option), _action(Op.SELECT, element, option)
    phrase = dice.choice(phrases)
    return _worded(dice.choice(TYPE), element.name, phrase), _action(Op.TYPE, element, phrase)


def _form(fields: Sequence[Element], button: Element, text: str, phrases: Sequence[str], dice: random.Random) -> Drill:
    """Up to two fields filled in, and a button pressed."""
    chosen = sorted(dice.sample(fields, min(len(fields), dice.randint(1, 2))), key=fields.index)
    filled = [_filled(field, text, phrases, dice) for field in chosen]
    words = ", ".join(words for words, _ in filled)
    instruction = f"{_capital(words)} and press '{button.name}'."
    return Drill(instruction, (*(action for _, action in filled), _action(Op.CLICK, button)))


def _next_page(link: Element, text: str, phrases: Sequence[str], dice: random.Random) -> Drill:
    """The thing looked for is not on this page of the list."""
    wanted = next(phrase for phrase in iter(lambda: dice.choice(phrases), None) if phrase not in text)
    return Drill(_worded(LINK[1], wanted), (_action(Op.CLICK, link),))


def _action(op: Op, element: Element, value: str = "") -> Action:
    return Action(op, element.id, value, target=describe_element(element, "short"))


def _worded(pattern: str, name: str, value: str = "") -> str:
    return pattern.format(name=name, value=value, lower=name.lower(), rest=name.split(" ", 1)[-1])


def _options(text: str, key: str) -> list[str]:
    return re.search(rf"\[{key}\] = .*? of (.*)$", text, re.M)[1].split(" | ")[0].split(", ")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
