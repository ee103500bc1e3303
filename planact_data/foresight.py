"""The gate against hindsight: no plan and no reasoning may state what only a later page shows (paper A.5, A.9).

A teacher that writes a plan sees the actions that are still to come, so those are looked through for names as well: what they click
and write. Labels of menus and buttons are no secret; a plan names them without quotes, as "the page Orders" or "the Save button".
"""

from __future__ import annotations

import re
from typing import Iterator, Sequence

from planact.actions import describe_action
from planact.types import Action, Op, Plan, Turn
from planact_data.values import plain, readable, shows, values_in

_CONTROL = re.compile(r"(?:button|textbox|searchbox|combobox|checkbox|radio|tab|menuitem|option|spinbutton|switch)\b", re.I)
_NAME = re.compile(r"'([^'\n]+)'|\"([^\"\n]+)\"|> ?([^<>\n]+?) ?</")
_TITLE_CASE = re.compile(r"[A-Z][\w’-]*(?: (?:(?:of|the|and|for|in|de|von) )?[A-Z0-9][\w’-]*)+")
_LABEL = r"(?:page|button|link|menu|tab|field|form|section|list|box|mode|option|category|column|filter|heading|table|view)"
MIN_NAME = 4  # characters of a name of one word; ours


def foreseen_values(plan: Plan, intent: str, turns: Sequence[Turn], done: int) -> list[str]:
    """What `plan` states that no page up to turn `done` has shown, but a later page or action does."""
    seen = "\n".join([intent, sights(turns[:done]), readable(turns[done].observation.outline)])
    text = "\n".join(f"{step.reasoning}\n{step.step}" for step in plan.steps)
    return sorted(unseen_names(text, seen, turns[done:]).union(unseen_values(text, seen, sights(turns[done:]))))


def unseen_names(text: str, seen: str, later: Sequence[Turn]) -> set[str]:
    """Names in `text` that do not stand in `seen` but that the actions of `later` turns give away."""
    seen = plain(seen)
    names = {name for turn in later if turn.action for name in _names(turn.action)}
    said = {name for name in names if _says(text, name) and not shows(seen, name)}
    return {name for name in said if not any(name != other and name in other for other in said)}


def unseen_values(text: str, seen: str, elsewhere: str) -> list[str]:
    """Values in `text` (quoted texts, and words with digits) that do not stand in `seen` but do `elsewhere`."""
    seen, elsewhere = plain(seen), plain(elsewhere)
    return sorted(v for v in values_in(text) if not shows(seen, v) and shows(elsewhere, v))


def sights(turns: Sequence[Turn]) -> str:
    """The pages and actions of these turns, as a planner sees them."""
    return "\n".join(f"{readable(turn.observation.outline)}\n{describe_action(turn.action) if turn.action else ''}" for turn in turns)


def _names(action: Action) -> Iterator[str]:
    """What an action gives away: the name of a thing that it opens, a text that it writes, and names within that text."""
    target = readable(action.target)
    if action.op in (Op.CLICK, Op.HOVER) and not _CONTROL.match(target) and (name := _NAME.search(target)):
        found = [next(filter(None, name.groups()))]
    elif action.op in (Op.TYPE, Op.SEARCH, Op.STOP, Op.GOTO):
        found = [action.text, *_TITLE_CASE.findall(action.text)]
    else:  # options of a menu are labels, unless they are people or things
        found = _TITLE_CASE.findall(action.text)
    found += [word for name in found if _TITLE_CASE.fullmatch(name) for word in name.split()]  # a first name tells as much
    for name in found:
        one_word = not re.search(r"\s", name.strip())
        if not one_word or (len(name) >= MIN_NAME and re.search(r"[A-Z\d_.-]", name)):
            yield " ".join(name.split())


def _says(text: str, name: str) -> bool:
    """`name` stands in `text`, and not as the label of a page or control.

    Names in title case count in any letters. Others may be plain words ("New post", "Report"): they count in their own letters
    and not where a sentence begins.
    """
    title_case = _TITLE_CASE.fullmatch(name) is not None
    for found in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.I if title_case else 0):
        before, after = text[max(0, found.start() - 40) : found.start()], text[found.end() : found.end() + 20]
        begins = re.search(r"(?:^|[.!?:\n])[ \n]*$", before)
        labels = re.search(rf"\b{_LABEL} ['\"]?$", before, re.I) or re.match(rf"['\"]? {_LABEL}\b", after, re.I)
        if not labels and (title_case or not begins):
            return True
    return False
