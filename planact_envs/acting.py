"""What every browser checks before it acts on a page, in the same words, whichever back end reads the page."""

from __future__ import annotations

from planact_envs.page import Node, Page

SHOWN = 200  # characters of a text in a message
OPTIONS = 25  # that a message names; miniweb's longest list has 23


class ActionFailed(Exception):
    """The action cannot be carried out on this page; the message is shown to the agent."""


def node_of(page: Page, key: str) -> Node:
    """The element `key` of a page. Raises ActionFailed when there is none or it is disabled."""
    if key not in page.nodes:
        last = len(page.nodes)
        raise ActionFailed(f"no element {shown(key)} on this page; it has elements 1 to {last}" if last else "this page has no elements")
    node = page.nodes[key]
    if "disabled" in node.states:
        raise ActionFailed(f"{node.role} {shown(node.name)} is disabled")
    return node


def text_field(page: Page, key: str) -> Node:
    node = node_of(page, key)
    if node.role != "textbox":
        raise ActionFailed(f"{node.role} {shown(node.name)} is not a text field")
    return node


def choice(page: Page, key: str, label: str) -> int:
    """The position of the option that `label` names in the select `key`: its whole label, else a part of it."""
    node = node_of(page, key)
    if node.role != "combobox":
        raise ActionFailed(f"{node.role} {shown(node.name)} has no options")
    labels = [option.name.lower() for option in node.children]
    wanted = label.strip().lower()
    matches = [i for i, x in enumerate(labels) if x == wanted] or [i for i, x in enumerate(labels) if wanted and wanted in x]
    if not matches:
        names, more = [cut(option.name) for option in node.children[:OPTIONS]], len(node.children) - OPTIONS
        known = ", ".join(names) + (f" and {more} more" if more > 0 else "")
        raise ActionFailed(f"{shown(node.name)} has no option {shown(label)}; it has {known}")
    return matches[0]


def tab_index(tabs: int, text: str) -> int:
    """The tab that `text` names among so many."""
    if text not in map(str, range(tabs)):
        raise ActionFailed(f"there is no tab {shown(text)}; tabs are 0 to {tabs - 1}")
    return int(text)


def shown(text: str) -> str:
    """`text` as it stands in a message: quoted, and cut when long."""
    return repr(cut(text))


def cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
