"""What fields hold when a page is shown again from the history: browsers put back what was typed there before.

A field is found again as Chromium does it: by its name and type among the fields of its form, and the form by its
address and its first two names.
"""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import islice

from selectolax.lexbor import LexborNode

from planact_envs.page import Page, default_text

Key = tuple[str, ...]
State = tuple[tuple[Key, str | None], ...]  # fields in order; None: a text field that holds what the page gave it


def form_state(page: Page) -> State:
    """What the fields of a page hold."""
    return tuple((key, _held(page, id_)) for id_, key in _fields(page))


def restored(page: Page, state: State) -> dict[str, str]:
    """The values, by element id, that a page gets from the state in which it was left."""
    left: dict[Key, deque[str | None]] = defaultdict(deque)
    for key, value in state:
        left[key].append(value)
    values = {id_: left[key].popleft() for id_, key in _fields(page) if left[key]}
    return {id_: value for id_, value in values.items() if value is not None}


def form_of(element: LexborNode) -> LexborNode | None:
    """The form around an element."""
    parent = element.parent
    while parent is not None and parent.tag != "form":
        parent = parent.parent
    return parent


def _held(page: Page, id_: str) -> str | None:
    node, element = page.nodes[id_], page.elements[id_]
    if node.role in ("checkbox", "radio"):
        return "on" if "checked" in node.states else ""
    if node.role == "textbox" and node.value == default_text(element, element.tag):
        return None
    return node.value


def _fields(page: Page) -> list[tuple[str, Key]]:
    """Every field's id and what it is known by."""
    forms: dict[int, Key] = {}
    found = []
    for id_, element in page.elements.items():
        if element.tag in ("input", "select", "textarea") and page.nodes[id_].role != "button":
            form = form_of(element)
            number = form.mem_id if form else 0
            if number not in forms:
                signature = _signature(form)
                forms[number] = (*signature, str(sum(key[:-1] == signature for key in forms.values())))
            attributes = element.attributes
            kind = (attributes.get("type") or "text").lower() if element.tag == "input" else element.tag
            found.append((id_, (*forms[number], attributes.get("name") or "", kind)))
    return found


def _signature(form: LexborNode | None) -> Key:
    if form is None:
        return ("no form",)
    names = (field.attributes.get("name") for field in form.css("input, select, textarea"))
    return ((form.attributes.get("action") or "").split("?")[0], *islice(filter(None, names), 2))
