"""The two spellings of an action: parse model text into an `Action`, render an `Action` as text.

`webrl` is WebRL's and Plan-and-Act's: `do(action="Click", element="15")`, `exit(message="...")`, `go_backward()`.
`browsergym` is BrowserGym's: `click('15')`, `fill('7', 'text')`, `send_msg_to_user('...')`.
Both may be preceded by comment lines `# Element: ...` (what is acted on) and `# Note: ...` (memory for later turns).
Arguments are string and number literals read by a scanner of our own; nothing is ever evaluated.
"""

from __future__ import annotations

import json
import re

from planact.types import ELEMENT_OPS, Action, Op

GRAMMARS = ("webrl", "browsergym")
MAX_RESPONSE = 100_000  # characters read of one response


class ActionFormatError(ValueError):
    """The text holds no readable action; the message says what was found and what is expected."""


def parse_action(text: str, grammar: str) -> Action:
    """The first action in `text`. Reasoning before it, and anything after it, is ignored. Raises ActionFormatError."""
    text = strip_thinking(text[:MAX_RESPONSE])
    calls = _calls(text, _CALL_NAMES[grammar])
    comments = {m["key"].lower(): m["value"].strip() for m in _COMMENT.finditer(text[: calls[0][2]] if calls else text)}
    target, note = comments.get("element", ""), comments.get("note", "")
    if not calls:
        if note and grammar == "webrl":
            return Action(Op.NOTE, text=note, target=target, note=note)
        found = repr(text.strip()[:80]) if text.strip() else "an empty answer"
        raise ActionFormatError(f"no action found in {found}; expected a call such as {_EXAMPLE[grammar]}")
    op, element, argument = _READERS[grammar](calls)
    if op in ELEMENT_OPS and not element:
        raise ActionFormatError(f"{op} needs an element id, for example {_EXAMPLE[grammar]}")
    return Action(op, element, note if op == Op.NOTE else argument, target, note)


def render_action(action: Action, grammar: str) -> str:
    """The text that `parse_action` reads back into `action` (in WebRL INFEASIBLE becomes the answer N/A, any key Enter)."""
    lines = [f"# Element: {_line(action.target)}"] if action.target else []
    lines += [f"# Note: {_line(action.note)}"] if action.note else []
    call = _WRITERS[grammar](action)
    return "\n".join([*lines, call] if call else lines)


def describe_action(action: Action) -> str:
    """One line for people and planners: what was done to what, without ids."""
    parts = [action.op.replace("_", " ")]
    if action.element or action.target:
        parts.append(_ID.sub("", action.target) or f"element {action.element}")
    if action.text:
        parts.append(repr(action.text))
    return " ".join(parts)


def answer_pattern(grammar: str, reasoning: bool = False) -> str:
    """A regular expression that every rendered action matches, for servers that hold a model to one (vLLM's structured outputs).

    A note alone, which is no call in WebRL's spelling, cannot be written under it.
    With `reasoning` a `<think>` block may stand before it, in which no tag can be opened.
    """
    thought = r"(<think>\n[^<]*</think>\n\n)?" if reasoning else ""
    return thought + r"(# Element: [^\n]+\n)?(# Note: [^\n]+\n)?" + _PATTERNS[grammar]


def strip_thinking(text: str) -> str:
    """`text` without a leading `<think>...</think>` block; nothing is left of one that was cut before its end."""
    _, end, answer = text.partition("</think>")
    if end:
        return answer
    return "" if text.lstrip().startswith("<think>") else text


_COMMENT = re.compile(r"^[ \t]*#[ \t]*(?P<key>Element|Note)[ \t]*:(?P<value>.*)$", re.M | re.I)
_ID = re.compile(r" \[\w+\]$")
_ARGUMENT = re.compile(
    r"""\s*(?:(?P<key>[A-Za-z_]\w*)\s*=\s*)?(?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<number>-?\d+(?:\.\d+)?))\s*""",
    re.S,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.S)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_EXAMPLE = {"webrl": 'do(action="Click", element="7")', "browsergym": "click('7')"}

Call = tuple[str, dict[str, str], int]  # name, arguments (positional ones as "0", "1", ...), offset in the text


def _calls(text: str, names: frozenset[str]) -> list[Call]:
    """Well-formed calls that start a line, in order; at most two, which is all that any spelling needs."""
    calls: list[Call] = []
    for start in re.finditer(r"^[ \t`]*([A-Za-z_]\w*)[ \t]*\(", text, re.M):
        if start[1] in names and (arguments := _arguments(text, start.end())) is not None:
            calls.append((start[1], arguments, start.start()))
            if len(calls) == 2:
                break
    return calls


def _arguments(text: str, position: int) -> dict[str, str] | None:
    """The literal arguments from just after "(" to ")"; None when anything else stands there."""
    arguments: dict[str, str] = {}
    closing = re.compile(r"\s*\)").match
    if closing(text, position):
        return arguments
    while match := _ARGUMENT.match(text, position):
        raw = next(v for v in (match["double"], match["single"], match["number"]) if v is not None)
        arguments[match["key"] or str(len(arguments))] = raw if match["number"] else _unescape(raw)
        position = match.end()
        if closing(text, position):
            return arguments
        if text[position : position + 1] != ",":
            return None
        position += 1
    return None


def _unescape(raw: str) -> str:
    text = _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _ESCAPES.get(m[2], m[2]), raw)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # joins escaped pairs; half of one cannot be sent


def _line(text: str) -> str:
    return " ".join(text.split())


# WebRL. Names in lower case, as its parser compares them; the last four are ours: WebRL has no word for them.
_DO = {
    "click": Op.CLICK,
    "type": Op.TYPE,
    "search": Op.SEARCH,
    "select dropdown option": Op.SELECT,
    "hover": Op.HOVER,
    "press enter": Op.PRESS,
    "scroll up": Op.SCROLL,
    "scroll down": Op.SCROLL,
    "go backward": Op.BACK,
    "go forward": Op.FORWARD,
    "goto": Op.GOTO,
    "new tab": Op.NEW_TAB,
    "switch tab": Op.TAB_FOCUS,
    "close tab": Op.CLOSE_TAB,
}
_DO_NAMES = {Op.SELECT: "Select Dropdown Option", Op.TAB_FOCUS: "Switch Tab", Op.NEW_TAB: "New Tab", Op.CLOSE_TAB: "Close Tab"}


def _read_webrl(calls: list[Call]) -> tuple[Op, str, str]:
    name, arguments, _ = calls[0]
    if name == "exit":
        return Op.STOP, "", arguments.get("message", arguments.get("0", ""))
    if name in ("go_backward", "go_forward"):
        return (Op.BACK if name == "go_backward" else Op.FORWARD), "", ""
    action = arguments.get("action", arguments.get("0", ""))
    op = _DO.get(action.strip().lower())
    if op is None:
        raise ActionFormatError(f"unknown action {action[:40]!r}; known actions are {', '.join(_DO)}")
    implied = {"press enter": "Enter", "scroll up": "up", "scroll down": "down"}.get(action.strip().lower(), "")
    return op, arguments.get("element", ""), implied or arguments.get("argument", "")


def _write_webrl(action: Action) -> str:
    match action.op:
        case Op.STOP:
            return f"exit(message={_double(action.text)})"
        case Op.INFEASIBLE:
            return 'exit(message="N/A")'
        case Op.BACK:
            return "go_backward()"
        case Op.FORWARD:
            return "go_forward()"
        case Op.PRESS:
            return 'do(action="Press Enter")'
        case Op.SCROLL:
            return f'do(action="Scroll {action.text.capitalize()}")'
        case Op.NOTE:
            return ""
    words = [f'action="{_DO_NAMES.get(action.op, action.op.capitalize())}"']
    words += [f"argument={_double(action.text)}"] if action.text or action.op in (Op.TYPE, Op.SEARCH) else []
    words += [f"element={_double(action.element)}"] if action.element else []
    return f"do({', '.join(words)})"


def _double(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# BrowserGym. `press` acts on the page's focus, as `keyboard_press` does there.
_GYM = {
    "click": Op.CLICK,
    "fill": Op.TYPE,
    "select_option": Op.SELECT,
    "hover": Op.HOVER,
    "keyboard_press": Op.PRESS,
    "scroll": Op.SCROLL,
    "goto": Op.GOTO,
    "go_back": Op.BACK,
    "go_forward": Op.FORWARD,
    "new_tab": Op.NEW_TAB,
    "tab_focus": Op.TAB_FOCUS,
    "tab_close": Op.CLOSE_TAB,
    "noop": Op.NOTE,
    "send_msg_to_user": Op.STOP,
    "report_infeasible": Op.INFEASIBLE,
}
_GYM_NAMES = {op: name for name, op in _GYM.items()}
_GYM_ARGUMENTS = {"bid": "0", "value": "1", "options": "1", "key": "0", "url": "0", "text": "0", "reason": "0", "index": "0"}
_GYM_ARGUMENTS |= {"delta_x": "0", "delta_y": "1"}
SCROLL_PIXELS = 400  # one screenful less an overlap; ours


def _read_browsergym(calls: list[Call]) -> tuple[Op, str, str]:
    name, arguments, _ = calls[0]
    arguments = {_GYM_ARGUMENTS.get(key, key): value for key, value in arguments.items()}
    op = _GYM[name]
    first, second = arguments.get("0", ""), arguments.get("1", "")
    if op == Op.SCROLL:
        return op, "", "up" if second.startswith("-") else "down"
    if op == Op.TYPE and len(calls) == 2 and calls[1][0] == "keyboard_press" and "Enter" in calls[1][1].values():
        return Op.SEARCH, first, second
    return (op, first, second) if op in ELEMENT_OPS else (op, "", first)


def _write_browsergym(action: Action) -> str:
    match action.op:
        case Op.SEARCH:
            return f"fill({_single(action.element)}, {_single(action.text)})\nkeyboard_press('Enter')"
        case Op.TYPE | Op.SELECT:
            return f"{_GYM_NAMES[action.op]}({_single(action.element)}, {_single(action.text)})"
        case Op.SCROLL:
            return f"scroll(0, {'-' if action.text == 'up' else ''}{SCROLL_PIXELS})"
        case Op.TAB_FOCUS:
            return f"tab_focus({action.text})"
        case Op.BACK | Op.FORWARD | Op.NEW_TAB | Op.CLOSE_TAB | Op.NOTE:
            return f"{_GYM_NAMES[action.op]}()"
    return f"{_GYM_NAMES[action.op]}({_single(action.element or action.text)})"


def _single(text: str) -> str:
    inner = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    return f"'{inner}'"


_DOUBLE, _SINGLE = r'"([^"\\\n]|\\[^\n])*"', r"'([^'\\\n]|\\[^\n])*'"  # a quoted text on one line
_NAMES = "|".join(sorted({*_DO_NAMES.values(), *(name.title() for name, op in _DO.items() if op not in _DO_NAMES)}))
_PATTERNS = {
    "webrl": (
        rf'(do\(action="({_NAMES})"(, argument={_DOUBLE})?(, element={_DOUBLE})?\)'
        rf"|exit\(message={_DOUBLE}\)|go_backward\(\)|go_forward\(\))"
    ),
    "browsergym": (rf"(({'|'.join(_GYM)})\(({_SINGLE}(, {_SINGLE})?|-?[0-9]+(, -?[0-9]+)?)?\))(\nkeyboard_press\('Enter'\))?"),
}
_READERS = {"webrl": _read_webrl, "browsergym": _read_browsergym}
_WRITERS = {"webrl": _write_webrl, "browsergym": _write_browsergym}
_CALL_NAMES = {"webrl": frozenset({"do", "exit", "go_backward", "go_forward"}), "browsergym": frozenset(_GYM)}
