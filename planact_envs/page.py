"""The page tree: what every back end reads a page into, and what every serializer writes from.

`read_html` is the reader for served HTML (no JavaScript). Elements that can be acted on get ids "1", "2", ... in
document order, so the same page always has the same ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

from selectolax.lexbor import LexborHTMLParser, LexborNode

INTERACTIVE = frozenset({"link", "button", "textbox", "combobox", "checkbox", "radio", "clickable"})
INPUT_ROLES = {
    "submit": "button",
    "button": "button",
    "reset": "button",
    "image": "button",
    "checkbox": "checkbox",
    "radio": "radio",
}  # every other input type is a textbox
ROLES = {"ul": "list", "ol": "list", "li": "listitem", "table": "table", "tr": "row", "td": "cell", "th": "cell", "option": "option"}
ROLES |= {f"h{level}": "heading" for level in range(1, 7)}
SKIPPED = frozenset({"script", "style", "template", "noscript", "head", "-comment", "meta", "link"})
CONTROLS = "a[href], button, input, select, textarea"
MADE = frozenset(
    {"button", "link", "tab", "menuitem", "option", "switch", "checkbox", "radio"}
)  # of elements that scripts made into controls
Attributes = Mapping[str, str | None]
MAX_DEPTH = 200  # nested elements; what lies deeper is left out, so that no page exhausts Python's stack


@dataclass(frozen=True, slots=True)
class Node:
    """`role` is the ARIA role, or "text" for a run of text (in `name`), or "group" for a plain container."""

    role: str
    name: str = ""
    id: str = ""  # only on elements that can be acted on
    value: str = ""  # of a textbox, or the chosen option's label of a combobox
    states: tuple[str, ...] = ()  # "checked", "disabled", "selected"
    tag: str = ""
    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Page:
    """A parsed page: its tree, its title, and the source element behind each id."""

    root: Node
    title: str
    elements: Mapping[str, LexborNode]
    nodes: Mapping[str, Node]


def read_html(html: str, values: Mapping[str, str] | None = None) -> Page:
    """Parse `html`. `values` holds what was typed, selected or checked on this page so far, by element id."""
    tree = LexborHTMLParser(html)
    reader = _Reader(tree, values or {})
    root = Node("page", children=tuple(reader.children(tree.body))) if tree.body else Node("page")
    title = tree.css_first("title")
    return Page(root, _clean(title.text()) if title else "", reader.elements, reader.nodes)


class _Reader:
    def __init__(self, tree: LexborHTMLParser, values: Mapping[str, str]):
        self.values = values
        self.elements: dict[str, LexborNode] = {}
        self.nodes: dict[str, Node] = {}
        self.labels = {key: _label_text(label) for label in tree.css("label[for]") if (key := label.attributes["for"])}
        self.depth = 0

    def children(self, element: LexborNode) -> list[Node]:
        found: list[Node] = []
        self.collect(element, found)
        return found

    def collect(self, element: LexborNode, found: list[Node]) -> None:
        """Put what is inside `element` at the end of `found`."""
        if self.depth == MAX_DEPTH:
            return
        self.depth += 1
        for child in element.iter(include_text=True):
            tag = child.tag
            if tag == "-text":
                if text := _clean(child.text_content or ""):
                    found.append(Node("text", text))
            elif tag not in SKIPPED and not _hidden(attributes := child.attributes):  # a new dict at every reading
                if tag == "label":  # its text is the name of the field that it is for
                    found += [node for node in self.children(child) if node.role in INTERACTIVE]
                else:
                    self.element(child, tag, attributes, found)
        self.depth -= 1

    def element(self, element: LexborNode, tag: str, attributes: Attributes, found: list[Node]) -> None:
        role = _role(element, tag, attributes)
        if role in INTERACTIVE:
            found.append(self.interactive(element, tag, role, attributes))
        elif role == "heading" and not element.css_first(CONTROLS):
            found.append(Node(role, _clean(element.text()), tag=tag))
        elif role in ("group", "heading"):
            self.collect(element, found)  # plain containers add nothing to what an agent needs to know
        else:
            found.append(Node(role, tag=tag, children=tuple(self.children(element))))

    def interactive(self, element: LexborNode, tag: str, role: str, attributes: Attributes) -> Node:
        key = str(len(self.elements) + 1)
        self.elements[key] = element
        states = ("disabled",) if "disabled" in attributes else ()
        value, options = "", ()
        if role == "combobox":
            labels = option_labels(element)
            value = self.values.get(key) or _selected(element)
            options = tuple(Node("option", label, tag="option", states=("selected",) if label == value else ()) for label in labels)
        elif role == "textbox":
            value = self.values.get(key, default_text(element, tag))
        elif role in ("checkbox", "radio") and self.values.get(key, "on" if "checked" in attributes else "") == "on":
            states += ("checked",)
        node = Node(role, self.name(element, tag, role, attributes), key, value, states, tag, options)
        self.nodes[key] = node
        return node

    def name(self, element: LexborNode, tag: str, role: str, attributes: Attributes) -> str:
        """A short form of the accessible-name computation: aria-label, label, own text, value, placeholder, title."""
        if label := attributes.get("aria-label"):
            return _clean(label)
        if label := self.labels.get(attributes.get("id") or ""):
            return label
        if role in ("link", "button", "clickable") and (text := _clean(element.text())):
            return text
        if label := _label_text(_ancestor(element, "label")):
            return label
        if tag == "input" and role == "button" and attributes.get("value"):
            return _clean(attributes["value"])
        return _clean(attributes.get("placeholder") or attributes.get("title") or "")


def option_labels(select: LexborNode) -> list[str]:
    """The visible labels of a select's options, in order."""
    return [_clean(option.text()) for option in select.css("option")]


def _selected(select: LexborNode) -> str:
    options = select.css("option")
    chosen = [o for o in options if "selected" in o.attributes] or options[:1]
    return _clean(chosen[0].text()) if chosen else ""


def default_text(element: LexborNode, tag: str) -> str:
    """What a text field holds when the page is served."""
    return element.attributes.get("value") or "" if tag == "input" else element.text()


def _role(element: LexborNode, tag: str, attributes: Attributes) -> str:
    if tag == "a":
        return "link" if "href" in attributes else "group"
    if tag == "input":
        return INPUT_ROLES.get((attributes.get("type") or "text").lower(), "textbox")
    if tag in ("button", "textarea", "select"):
        return {"button": "button", "textarea": "textbox", "select": "combobox"}[tag]
    if attributes.get("contenteditable", "false") != "false":
        return "textbox"
    if ("onclick" in attributes or attributes.get("role") in MADE) and not element.css_first(CONTROLS):
        return "clickable"  # one that holds other controls is left to them
    return ROLES.get(tag, "group")


def _ancestor(element: LexborNode, tag: str) -> LexborNode | None:
    parent = element.parent
    while parent is not None and parent.tag != tag:
        parent = parent.parent
    return parent


def _label_text(label: LexborNode | None) -> str:
    """The text of a label without that of a field inside it."""
    if label is None:
        return ""
    texts = (node for node in label.traverse(include_text=True) if node.tag == "-text")
    return _clean("".join(node.text_content or "" for node in texts if node.parent.tag not in ("option", "textarea", "button")))


def _hidden(attributes: Attributes) -> bool:
    if not attributes:
        return False
    if "hidden" in attributes or attributes.get("aria-hidden") == "true" or (attributes.get("type") or "").lower() == "hidden":
        return True
    return "display:none" in (attributes.get("style") or "").replace(" ", "").lower()


def _clean(text: str) -> str:
    return " ".join(text.split())
