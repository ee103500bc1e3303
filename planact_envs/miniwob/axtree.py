"""Reads what BrowserGym extracts from a page (accessibility tree, DOM snapshot, extra properties) into our page tree.

Ids are BrowserGym's bids. Elements that react to clicks and have no role of their own are shown as `clickable`, for MiniWoB's
pages are full of them; one without text is called by its class or id (`star`, `retweet`), which is all that tells icons apart.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from planact_envs.page import INTERACTIVE, MAX_DEPTH, Node, Page

Row = Mapping[str, Any]  # one node of the accessibility tree as the DevTools protocol writes it

STRUCTURE = ("list", "listitem", "table", "row", "cell", "option")
ROLES = {role: role for role in (*INTERACTIVE, "heading", *STRUCTURE)}
ROLES |= dict.fromkeys(("searchbox", "spinbutton", "slider", "Date", "DateTime", "InputTime", "ColorWell"), "textbox")  # all can be filled
ROLES |= dict.fromkeys(("tab", "menuitem", "treeitem"), "button") | {"switch": "checkbox", "listbox": "combobox"}
ROLES |= {"gridcell": "cell", "columnheader": "cell", "rowheader": "cell", "StaticText": "text", "image": "text", "LabelText": "label"}
DROPPED = frozenset({"InlineTextBox", "LineBreak"})  # the parts of a text, which Chromium lists again below it
WHOLE_PAGE = frozenset({"html", "body"})  # click handlers on them are no element's
INPUTS = frozenset({"textbox", "button", "checkbox", "radio"})
NAMED_BY = ("title", "alt", "class", "id")
STATES = ("checked", "disabled", "selected", "expanded")


def read_axtree(axtree: Row, dom: Row, properties: Mapping[str, Row]) -> Page:
    """The page in BrowserGym's `axtree_object`, `dom_object` and `extra_element_properties`."""
    reader = _Reader(axtree["nodes"], _elements(dom), properties)
    top = axtree["nodes"][0]
    root = Node("page", children=tuple(reader.children(top, 0)))
    return Page(root, _clean(_value(top, "name")), {}, {node.id: node for node in _actable(root)})


class _Reader:
    def __init__(self, rows: list[Row], elements: Mapping[int, tuple[str, dict[str, str]]], properties: Mapping[str, Row]):
        self.rows = {row["nodeId"]: row for row in rows}
        self.elements = elements
        self.clickable = {bid for bid, found in properties.items() if found["clickable"]}
        self.parents = {child: row for row in rows for child in row.get("childIds", ())}
        self.clickable |= {row["browsergym_id"] for row in rows if self.is_item(row)}
        self.names = {_clean(_value(row, "name")) for row in rows if ROLES.get(_value(row, "role")) in INTERACTIVE}

    def is_item(self, row: Row) -> bool:
        """An item of a list or table that reacts to clicks as a whole, as menus of suggestions do."""
        if "browsergym_id" not in row or ROLES.get(_value(row, "role")) not in ("listitem", "row"):
            return False
        while row := self.parents.get(row["nodeId"]):
            if row.get("browsergym_id") in self.clickable:
                return self.tag_of(row)[0] not in WHOLE_PAGE
        return False

    def children(self, row: Row, depth: int) -> Iterator[Node]:
        if depth < MAX_DEPTH:
            for child in row.get("childIds", ()):
                if child in self.rows:
                    yield from self.read(self.rows[child], depth + 1)

    def read(self, row: Row, depth: int) -> Iterator[Node]:
        tag, attributes = self.tag_of(row)
        role, bid = self.role(row, tag, attributes), row.get("browsergym_id", "")
        if tag == "input" and role not in INPUTS:
            tag = ""  # serializers write an input's type, and this one has none of those
        if role in INTERACTIVE and bid:
            yield self.element(row, role, bid, tag, attributes)
        elif role == "label":  # its text is the name of the field that it is for
            yield from (node for node in self.children(row, depth) if node.role != "text" or node.name not in self.names)
        elif bid in self.clickable and tag not in WHOLE_PAGE:
            yield from self.plain(row, bid, tag, attributes, depth)
        elif role in ("text", "heading"):
            yield from self.words(row, role, tag, depth)
        elif role in STRUCTURE:
            yield Node(role, tag=tag, children=tuple(self.children(row, depth)))
        elif _value(row, "role") not in DROPPED:
            yield from self.children(row, depth)

    def role(self, row: Row, tag: str, attributes: Mapping[str, str]) -> str:
        """One of our roles, "label", or "" for a container that adds nothing."""
        if row.get("ignored"):
            return ""
        role = ROLES.get(_value(row, "role"), "")
        if attributes.get("contenteditable") == "true" or (tag == "input" and role == "combobox"):
            return "textbox"
        return role

    def tag_of(self, row: Row) -> tuple[str, dict[str, str]]:
        """Tag and attributes of the element behind a row."""
        return self.elements.get(row.get("backendDOMNodeId"), ("", {}))

    def element(self, row: Row, role: str, bid: str, tag: str, attributes: Mapping[str, str]) -> Node:
        options = tuple(self.options(row)) if role == "combobox" else ()
        value = _value(row, "value") if role in ("textbox", "combobox") else ""
        return Node(role, _clean(_value(row, "name")) or _called(attributes), bid, value, _states(row), tag, options)

    def options(self, row: Row) -> Iterator[Node]:
        for child in (self.rows[key] for key in row.get("childIds", ()) if key in self.rows):
            if _value(child, "role") == "option":
                yield Node("option", _clean(_value(child, "name")), states=_states(child), tag="option")
            else:
                yield from self.options(child)

    def words(self, row: Row, role: str, tag: str, depth: int) -> Iterator[Node]:
        """A text or heading, or its parts when one of them can be acted on."""
        inside = list(self.children(row, depth))
        if any(any(_actable(node)) for node in inside):
            yield from inside
        elif name := _clean(_value(row, "name")):
            yield Node(role, name, tag=tag if role == "heading" else "")

    def plain(self, row: Row, bid: str, tag: str, attributes: Mapping[str, str], depth: int) -> Iterator[Node]:
        """The element named by its text, then what else in it can be acted on.

        One without text of its own around others that can be acted on is left out: a click on those reaches it too.
        """
        inside = list(self.children(row, depth))
        others, text = [node for node in inside if any(_actable(node))], " ".join(_texts(inside))
        if text or not others:
            yield Node("clickable", text or _clean(_value(row, "name")) or _called(attributes), bid, states=_states(row), tag=tag)
        yield from others


def _elements(dom: Row) -> dict[int, tuple[str, dict[str, str]]]:
    """Backend node id → tag and attributes, from a DOM snapshot."""
    strings, found = dom["strings"], {}
    for document in dom["documents"]:
        nodes = document["nodes"]
        for key, tag, flat in zip(nodes["backendNodeId"], nodes["nodeName"], nodes["attributes"]):
            names = [strings[index] for index in flat]
            found[key] = strings[tag].lower(), dict(zip(names[::2], names[1::2]))
    return found


def _value(row: Row, key: str) -> str:
    return str(row.get(key, {}).get("value", ""))


def _states(row: Row) -> tuple[str, ...]:
    found = {entry["name"]: entry["value"].get("value") for entry in row.get("properties", ())}
    return tuple(state for state in STATES if found.get(state) in (True, "true", "mixed"))


def _called(attributes: Mapping[str, str]) -> str:
    return next((name for key in NAMED_BY if (name := _clean(attributes.get(key, "")))), "")


def _actable(node: Node) -> Iterator[Node]:
    """The elements with ids in a tree, in order."""
    if node.id:
        yield node
    for child in node.children:
        yield from _actable(child)


def _texts(nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        if not node.id:
            yield from [node.name] if node.name else _texts(list(node.children))


def _clean(text: str) -> str:
    return " ".join(text.split())
