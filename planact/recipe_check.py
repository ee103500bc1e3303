"""Turns a tree of `recipe_yaml.Node` into frozen dataclasses, checking names, types, choices and ranges on the way."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from planact.recipe_yaml import Node, RecipeError, did_you_mean, plain

T = TypeVar("T")
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


class UnknownKey(RecipeError):
    """A key that is not valid where it stands."""

    def __init__(self, message: str, key: str) -> None:
        super().__init__(message)
        self.key = key


def rule(
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    pattern: str = "",
    wants: str = "",
    secret: bool = False,
) -> Any:
    """A dataclass field with limits: `low` and `high` are allowed values, `pattern` must match all of a text.

    `wants` says in words what `pattern` asks for; `secret` keeps a refused value out of the error message.
    """
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "pattern": pattern, "wants": wants, "secret": secret})


def build(kind: type[T], node: Node, section: str = "") -> T:
    """`node` as the dataclass `kind`; `section` is its dotted name. Raises RecipeError."""
    if not isinstance(node.value, dict):
        raise wrong(node, section, "a mapping (`key: value` lines)")
    hints = typing.get_type_hints(kind)
    check_keys(node, hints, section)
    values = {}
    for field in dataclasses.fields(kind):
        dotted = f"{section}.{field.name}" if section else field.name
        if field.name in node.value:
            values[field.name] = _convert(hints[field.name], node.value[field.name], dotted, field.metadata)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            place = f"section '{section}'" if section else "the top level"
            raise RecipeError(f"{node.where}: the key '{field.name}' is missing in {place}; add `{field.name}: {_say(hints[field.name])}`")
    return kind(**values)


def check_keys(node: Node, valid: Collection[str], section: str) -> None:
    """Raises UnknownKey on the first key of the mapping that is not in `valid`, naming the nearest valid one."""
    for key, child in node.value.items():
        if key in valid:
            continue
        place = f"in section '{section}'" if section else "at the top level"
        message = f"{child.where}: unknown key '{key}' {place}"
        hint = did_you_mean(key, valid)
        if not hint and len(valid) <= 20:
            hint = f"; valid keys: {', '.join(valid)}"
        raise UnknownKey(message + hint, key)


def _convert(kind: Any, node: Node, dotted: str, limits: Mapping[str, Any]) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is Node or Node in args:  # the caller checks it
        return node
    if origin in (types.UnionType, typing.Union):
        inner = next(a for a in args if a is not type(None))
        if node.value is not None:
            return _convert(inner, node, dotted, {**limits, "optional": True})
        if node.text == "" and _is_mapping(inner):
            raise RecipeError(f"{node.where}: section '{dotted}' is empty; write `{{}}` for its defaults or `null` to leave the stage out")
        return None
    if dataclasses.is_dataclass(kind):
        return build(kind, node, dotted)
    if _is_mapping(kind):
        return _mapping(args, node, dotted)
    if origin is tuple:
        if not isinstance(node.value, list):
            raise wrong(node, dotted, f"a list of {_say(args[0])}")
        items = tuple(_convert(args[0], child, f"{dotted}[{i}]", {}) for i, child in enumerate(node.value))
        for i, item in enumerate(items):
            if isinstance(item, str) and item in items[:i]:
                raise RecipeError(f"{node.value[i].where}: {dotted}: '{item}' stands in the list twice; keep one")
        return items
    if origin is typing.Literal:
        return _choice(args, node, dotted)
    if limits.get("secret") and not isinstance(node.value, str | None):
        raise _hidden(node, dotted, limits)
    return _limited(_scalar(kind, node, dotted, limits), node, dotted, limits)


def _is_mapping(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) or (isinstance(origin := typing.get_origin(kind), type) and issubclass(origin, Mapping))


def _mapping(args: tuple[Any, ...], node: Node, dotted: str) -> dict[str, Any]:
    if not isinstance(node.value, dict):
        raise wrong(node, dotted, "a mapping (`key: value` lines)")
    names, kind = args
    if typing.get_origin(names) is typing.Literal:
        check_keys(node, typing.get_args(names), dotted)
    if kind is Any:
        return plain(node)
    return {key: _convert(kind, child, f"{dotted}.{key}", {}) for key, child in node.value.items()}


def _choice(choices: tuple[Any, ...], node: Node, dotted: str) -> Any:
    if any(type(node.value) is type(choice) and node.value == choice for choice in choices):  # `type`, because True == 1
        return node.value
    hint = did_you_mean(node.value, [choice for choice in choices if isinstance(choice, str)]) if isinstance(node.value, str) else ""
    raise RecipeError(f"{wrong(node, dotted, _say(typing.Literal[choices]))}{hint}")


def _scalar(kind: type, node: Node, dotted: str, limits: Mapping[str, Any]) -> Any:
    value = node.value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:  # `type`, because True is an int
        raise wrong(node, dotted, _WORDS[kind] + " or null" * ("optional" in limits))
    return value


def _limited(value: Any, node: Node, dotted: str, limits: Mapping[str, Any]) -> Any:
    low, high, pattern = limits.get("low"), limits.get("high"), limits.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        raise _hidden(node, dotted, limits) if limits["secret"] else wrong(node, dotted, limits["wants"])
    if (low is not None and value < low) or (high is not None and value > high):
        raise wrong(node, dotted, f"at least {low}" if high is None else f"a value from {low} to {high}")
    return value


def _say(kind: Any) -> str:
    """A type in words."""
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(str(choice).lower() if isinstance(choice, bool) else f"'{choice}'" for choice in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return "a list"
    return _WORDS.get(kind, "a mapping")


def _hidden(node: Node, dotted: str, limits: Mapping[str, Any]) -> RecipeError:
    """The error for a value that may be a password: it is shown neither as found nor in the text of an override."""
    where = node.where.partition("=")[0] if node.where.startswith("--set ") else node.where
    return RecipeError(f"{where}: {dotted}: expected {limits['wants']}; found something else (not shown)")


def wrong(node: Node, dotted: str, expected: str) -> RecipeError:
    """The error for a value of the wrong type, choice or size."""
    value = node.value
    if isinstance(value, (dict, list)):
        found = "a mapping" if isinstance(value, dict) else "a list"
    elif value is None:
        found = "null" if node.text else "nothing"
    elif isinstance(value, str):
        found = f"the text {value[:60]!r}"
    elif isinstance(value, bool):
        found = f"{node.text}, which YAML reads as {str(value).lower()}"
    else:
        found = f"the number {node.text}"
    hint = "; quote it to make it text" if expected == "text" and not isinstance(value, (dict, list, str)) and node.text else ""
    return RecipeError(f"{node.where}: {dotted}: expected {expected}, found {found}{hint}")
