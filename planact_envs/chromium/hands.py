"""Mouse and keyboard: the actions on the elements of one page."""

from __future__ import annotations

from planact.types import Action, Op
from planact_envs.acting import ActionFailed, choice, node_of, shown, text_field
from planact_envs.chromium.tab import Tab

PICKED = frozenset({"date", "time", "datetime-local", "month", "week", "color", "range"})  # inputs that take no typed text
FAULTS = {
    "stale": "is no longer on the page; look at the page again",
    "hidden": "is not visible",
    "disabled": "is disabled",
    "covered": "is covered by another element",
}


async def act_on(tab: Tab, action: Action) -> None:
    """Carry out an action on the page in `tab`. Raises ActionFailed when it cannot be; what follows from it is not waited for."""
    match action.op:
        case Op.CLICK:
            await _click(tab, action.element)
        case Op.TYPE:
            await _type(tab, action.element, action.text)
        case Op.SEARCH:
            await _type(tab, action.element, action.text)
            await _press(tab, "Enter")
        case Op.SELECT:
            index = choice(tab.page, action.element, action.text)
            await _point(tab, action.element)
            await tab.call("select", number_of(tab, action.element), index)
        case Op.HOVER:
            await tab.within(tab.window.mouse.move(*await _point(tab, action.element)))
        case Op.PRESS:
            await _press(tab, action.text)
        case Op.SCROLL:
            await tab.call("scroll", -1 if action.text == "up" else 1)
        case _:
            raise ActionFailed(f"{action.op} is not an action on a page")


def number_of(tab: Tab, key: str) -> int:
    """What reader.js calls the element."""
    return int(tab.page.elements[key].attributes["planact"])


async def _point(tab: Tab, key: str) -> tuple[float, float]:
    """The middle of an element, scrolled into view. Raises ActionFailed when it cannot be reached."""
    node = node_of(tab.page, key)
    found = await tab.call("locate", number_of(tab, key))
    if fault := found.get("fault"):
        by = f" ({found['by']})" if found.get("by") else ""
        raise ActionFailed(f"{node.role} {shown(node.name)} {FAULTS[fault]}{by}")
    return found["x"], found["y"]


async def _click(tab: Tab, key: str) -> None:
    node = node_of(tab.page, key)
    if node.role != "combobox":  # a click would open a list that is no part of the page; options are chosen by `select`
        await tab.within(tab.window.mouse.click(*await _point(tab, key)))
    if node.role in ("combobox", "textbox"):
        await tab.call("focus", number_of(tab, key), False)


async def _type(tab: Tab, key: str, text: str) -> None:
    node = text_field(tab.page, key)
    await _point(tab, key)
    number, keyboard = number_of(tab, key), tab.window.keyboard
    if await tab.call("kind", number) in PICKED:
        if not await tab.call("set", number, text):
            raise ActionFailed(f"{node.role} {shown(node.name)} does not take {shown(text)}")
        return
    await tab.call("focus", number, True)
    await tab.within(keyboard.insert_text(text) if text else keyboard.press("Delete"))


async def _press(tab: Tab, key: str) -> None:
    from playwright.async_api import Error

    try:
        await tab.within(tab.window.keyboard.press("Enter" if key.lower() == "enter" else key))
    except Error as error:
        if "Unknown key" not in error.message:
            raise
        raise ActionFailed(f"there is no key {shown(key)}") from error
