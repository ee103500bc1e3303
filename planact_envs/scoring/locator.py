"""What a task file reads from a page, given there as a JavaScript expression: parsed into data, never run.

The expressions of WebArena and WebArena-Lite have few forms: `document`, one or more calls that find an element, and what is
read of it. `READ` is our own fixed script, which carries the parsed steps out in the page.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

STRING = r"""(?:'[^'\\\n]*'|"[^"\\\n]*")"""
STEP = (
    rf"\.querySelector\({STRING}\)|\.querySelectorAll\({STRING}\)\[\d+\]"
    r"|\.(?:firstElementChild|lastElementChild|firstChild|lastChild|nextElementSibling|parentElement)"
)
VALUE = rf"\.(?:outerText|innerText|textContent|value|selectedIndex)|\.getAttribute\({STRING}\)|\.checked\.toString\(\)"
FORMS = {  # each with the groups `steps`, and `read` where the form leaves it open
    "value": rf"document(?P<steps>(?:{STEP})+)(?P<read>{VALUE})",
    "optional": rf"\(document(?P<steps>(?:{STEP})+)\?(?P<read>{VALUE}) \|\| (?:''|\"\")\)",  # nothing when there is no element
    "links": rf"\[\.\.\.document(?P<steps>(?:{STEP})+)\.querySelectorAll\('\[href\],\[src\]'\)\]"
    r"\.map\(elem => elem\.getAttribute\('href'\) \|\| elem\.getAttribute\('src'\)\)\.join\(' '\)",
    "click": rf"document(?P<steps>(?:{STEP})+)\.click\(\)",
}
_FORMS = {form: re.compile(pattern) for form, pattern in FORMS.items()}
_STEP = re.compile(STEP)
_TEXT = re.compile(STRING)
_NAME = re.compile(r"\w+")

READ = """parts => parts.map(part => {
  let element = document;
  for (const [kind, argument, index] of part.steps) {
    if (kind === "querySelector") element = element.querySelector(argument);
    else if (kind === "querySelectorAll") element = element.querySelectorAll(argument)[index];
    else element = element[kind];
    if (!element && part.form === "optional") return "";
  }
  if (part.form === "click") return element.click();
  if (part.form === "links")
    return [...element.querySelectorAll("[href],[src]")].map(e => e.getAttribute("href") || e.getAttribute("src")).join(" ");
  if (part.read === "getAttribute") return element.getAttribute(part.argument);
  if (part.read === "checked") return element.checked.toString();
  return element[part.read];
}).reduce((left, right) => left + right)"""


class UnknownLocator(ValueError):
    """An expression of a form that no WebArena task has."""


@dataclass(frozen=True)
class Part:
    """One term of a locator."""

    form: str  # a key of FORMS
    steps: tuple[tuple[str, str, int], ...]  # how the element is found: (property or method, selector, index)
    read: str = ""  # a property, or "getAttribute"
    argument: str = ""  # the attribute's name


def parse_locator(text: str) -> list[dict[str, Any]]:
    """The terms of a locator, joined there by `+`, as data for READ. Raises UnknownLocator."""
    parts, position = [], 0
    while True:
        form, match = _match(text, position)
        read = match.groupdict().get("read") or ""
        quoted = _TEXT.search(read)
        parts.append(Part(form, _steps(match["steps"]), _NAME.search(read)[0] if read else "", quoted[0][1:-1] if quoted else ""))
        if match.end() == len(text):
            return [asdict(part) for part in parts]
        if not text.startswith(" + ", match.end()):
            raise UnknownLocator(f"no locator of a known form: {text!r}")
        position = match.end() + len(" + ")


def parse_click(text: str) -> list[dict[str, Any]]:
    """A preparing action, which is a click. Raises UnknownLocator."""
    match = _FORMS["click"].fullmatch(text)
    if not match:
        raise UnknownLocator(f"no preparing action of a known form: {text!r}")
    return [asdict(Part("click", _steps(match["steps"])))]


def _match(text: str, position: int) -> tuple[str, re.Match[str]]:
    for form in ("value", "optional", "links"):
        if match := _FORMS[form].match(text, position):
            return form, match
    raise UnknownLocator(f"no locator of a known form: {text!r}")


def _steps(text: str) -> tuple[tuple[str, str, int], ...]:
    steps = []
    for step in _STEP.findall(text):
        quoted, index = _TEXT.search(step), re.search(r"\[(\d+)\]$", step)
        steps.append((_NAME.search(step)[0], quoted[0][1:-1] if quoted else "", int(index[1]) if index else 0))
    return tuple(steps)
