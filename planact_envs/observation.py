"""Observation texts. One page tree, three serializers:

- `axtree`: BrowserGym's accessibility-tree lines, `[7] link 'Reports'`;
- `html`: pruned HTML in the form of WebRL, `<a id="7"> Reports </a>`;
- `short`: for tiny models, one element a line with the id after the name, `link 'Reports' [7]`, because a model of a
  few million parameters then writes the id by copying what follows the name.

Each also gives the planner's outline: the same page without ids (paper: planner and replanner see no ids).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape
from typing import Callable

from planact.types import Observation
from planact_envs.page import INTERACTIVE, Node, Page

FORMS = ("axtree", "html", "short")


@dataclass(frozen=True)
class Element:
    """An element that can be acted on, as read back from an observation text."""

    role: str
    name: str
    id: str


def describe_element(element: Element, form: str) -> str:
    """The element in words, for an action's `# Element:` line. In `short` form the id follows the name there too, as on
    the page: a tiny model then writes the id by the same copying that wrote the name."""
    words = f"{element.role} '{element.name}'"
    return f"{words} [{element.id}]" if form == "short" else words


def observation_of(
    page: Page, form: str, url: str, tabs: tuple[str, ...] = (), error: str = "", screenshot: str | None = None
) -> Observation:
    """A page as the agent sees it. `tabs` are the urls of all tabs; a single one is not worth a word."""
    text, outline = (render_page(page.root, page.title, form, ids) for ids in (True, False))
    return Observation(text, outline, url, page.title, tabs if len(tabs) > 1 else (), error, screenshot)


def render_page(root: Node, title: str, form: str, ids: bool = True) -> str:
    """The observation text of a page in one of FORMS; `ids=False` gives the planner's outline."""
    return _SERIALIZERS[form](root, title, ids)


def _axtree(root: Node, title: str, ids: bool) -> str:
    lines = [f"RootWebArea '{_quoted(title)}'"]

    def walk(node: Node, depth: int) -> None:
        indent = "\t" * depth
        if node.role == "text":
            lines.append(f"{indent}StaticText '{_quoted(node.name)}'")
            return
        bid = f"[{node.id}] " if ids and node.id else ""
        properties = [f"value='{_quoted(_one_line(node.value))}'"] if node.value else []
        properties += [f"{state}=True" for state in node.states]
        name = f"{node.role} '{_quoted(node.name)}'"
        lines.append(indent + bid + ", ".join([name, *properties]))
        for child in node.children:
            walk(child, depth + 1)

    for child in root.children:
        walk(child, 1)
    return "\n".join(lines)


_INPUT_TYPES = {"textbox": "text", "button": "submit", "checkbox": "checkbox", "radio": "radio"}
_TAGS = {"link": "a", "heading": "h1", "list": "ul", "listitem": "li", "row": "tr", "cell": "td"}


def _html(root: Node, title: str, ids: bool) -> str:
    lines = [f"<html> <title> {escape(title)} </title>"]

    def walk(node: Node, depth: int) -> None:
        indent = "  " * depth
        if node.role == "text":
            lines.append(f"{indent}{escape(node.name)}")
            return
        tag = node.tag or _TAGS.get(node.role, "div")
        attributes = f' id="{node.id}"' if ids and node.id else ""
        labelled = node.role in ("textbox", "combobox", "checkbox", "radio") or tag == "input"
        if tag == "input":
            attributes += f' type="{_INPUT_TYPES[node.role]}"'
        if labelled and node.name:
            attributes += f' label="{escape(node.name)}"'
        if node.value and node.role == "textbox":
            attributes += f' value="{escape(_one_line(node.value))}"'
        attributes += "".join(f' {state}="true"' for state in node.states)
        text = "" if labelled else escape(node.name)
        if not node.children:
            lines.append(f"{indent}<{tag}{attributes}> {text} </{tag}>" if text else f"{indent}<{tag}{attributes} />")
            return
        lines.append(f"{indent}<{tag}{attributes}> {text}".rstrip())
        for child in node.children:
            walk(child, depth + 1)
        lines.append(f"{indent}</{tag}>")

    for child in root.children:
        walk(child, 1)
    return "\n".join([*lines, "</html>"])


def _short(root: Node, title: str, ids: bool) -> str:
    lines = [f"page '{_quoted(title)}'"]

    def piece(node: Node) -> str:
        if node.role in ("text", "heading"):
            return _quoted(node.name)
        value = f" = {_quoted(_one_line(node.value))}" if node.value else ""
        states = "".join(f" {state}" for state in node.states)
        options = " of " + ", ".join(_quoted(child.name) for child in node.children) if node.role == "combobox" else ""
        bid = f" [{node.id}]" if ids else ""
        return f"{node.role} '{_quoted(node.name)}'{bid}{value}{states}{options}"

    def walk(node: Node) -> None:
        if node.role in ("row", "listitem"):
            lines.append(" | ".join(_leaves(node, piece)))
        elif node.role in INTERACTIVE or node.role in ("text", "heading"):
            lines.append(piece(node))
        else:
            for child in node.children:
                walk(child)

    for child in root.children:
        walk(child)
    return "\n".join(lines)


def _leaves(node: Node, piece: Callable[[Node], str]) -> list[str]:
    if node.role in INTERACTIVE or node.role in ("text", "heading"):
        return [piece(node)]
    return [text for child in node.children for text in _leaves(child, piece)]


def _quoted(name: str) -> str:
    """Names stand between single quotes, so one inside becomes a typographic quote; no text of a page can pass for an element."""
    return name.replace("'", "’")


def _one_line(value: str) -> str:
    """What is typed into a textarea may hold line breaks, and each line of an observation is an element."""
    return " ".join(value.splitlines())


_SERIALIZERS: dict[str, Callable[[Node, str, bool], str]] = {"axtree": _axtree, "html": _html, "short": _short}

_LINES = {
    "axtree": re.compile(r"^\s*\[(?P<id>\w+)\] (?P<role>\w+) '(?P<name>[^'\n]*)'", re.M),
    "short": re.compile(r"(?:^|\| )(?P<role>\w+) '(?P<name>[^'\n]*)' \[(?P<id>\w+)\]", re.M),
}
_TAGGED = re.compile(
    r'<(?P<tag>\w+) id="(?P<id>\w+)"(?: type="(?P<type>\w+)")?(?: label="(?P<label>[^"]*)")?[^>]*?'
    r"(?:/>|>(?: (?P<text>[^<\n]*?))? ?(?:</|$))",
    re.M,
)
_TAG_ROLES = {"a": "link", "button": "button", "select": "combobox", "textarea": "textbox"}
_TAG_ROLES |= {kind: role for role, kind in _INPUT_TYPES.items()}


def read_elements(text: str, form: str) -> list[Element]:
    """The elements with ids in an observation text, in order: how a text-only policy sees a page."""
    if form == "html":
        found = [(m["type"] or m["tag"], unescape(m["label"] or m["text"] or ""), m["id"]) for m in _TAGGED.finditer(text)]
        return [Element(_TAG_ROLES.get(kind, "clickable"), name, id_) for kind, name, id_ in found]
    return [Element(m["role"], m["name"], m["id"]) for m in _LINES[form].finditer(text)]


def element_line(text: str, id: str) -> tuple[int, int] | None:
    """Where the line of the element with an id stands in an observation text of any form, as (start, end); None when there is none.

    Names cannot hold the quotes and brackets that each form puts around an id, so the forms are not mistaken for each other.
    """
    for pattern in (*_LINES.values(), _TAGGED):
        if found := next((m for m in pattern.finditer(text) if m["id"] == id), None):
            end = text.find("\n", found.start("id"))
            return text.rfind("\n", 0, found.start("id")) + 1, len(text) if end < 0 else end
    return None
