"""YAML files read into trees that remember where every value stands, so that an error can name file and line.

Differences from plain PyYAML, each for a reason: `2e-5` is a number (PyYAML makes it text); dates, octal and base-60
numbers stay text (nobody means them in a recipe); duplicate keys, `!!` tags, `<<` merge keys, `.nan` and infinities are
refused; size, depth and alias expansion are bounded, since a recipe may come from a stranger.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1_000_000  # of one file
MAX_VALUES = 10_000  # in one file, aliases counted as often as they expand
MAX_DEPTH = 20  # nested lists and mappings

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # both give the same events; libyaml is ten times faster
_PLAIN = (  # what an unquoted scalar means; anything else is text
    ("null", r"~|null|Null|NULL|", lambda text: None),
    ("bool", r"(?i:yes|no|true|false|on|off)", lambda text: text.lower() in ("yes", "true", "on")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)", int),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", float),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", lambda text: math.nan),
)
_RESOLVERS = tuple((f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), read) for tag, pattern, read in _PLAIN)


class RecipeError(ValueError):
    """A recipe or ablation file cannot be used. The message names the file, the line, the key and what to type."""


@dataclass(frozen=True)
class Node:
    """One value of a YAML file."""

    value: Any  # str, int, float, bool, None, list[Node] or dict[str, Node]
    where: str  # "recipes/a.yaml:12" (the line of the key in a mapping) or "--set agent.replan=never"
    text: str = ""  # a scalar as it was written


def plain(node: Node) -> Any:
    """The value without places: dict, list and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def merge(base: Node, child: Node) -> Node:
    """`child` over `base`: mappings merge, lists and scalars replace."""
    if not (isinstance(base.value, dict) and isinstance(child.value, dict)):
        return child
    merged = dict(base.value)
    for key, node in child.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return replace(child, value=merged)


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """A closing question with the valid name most like `name`, and a second one if very close; empty when none is like it."""
    lower = {known.lower(): known for known in valid}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    found += [other for other in difflib.get_close_matches(name.lower(), lower, n=2, cutoff=0.78) if other not in found]
    return "; did you mean " + " or ".join(f"'{lower[match]}'" for match in found) + "?" if found else ""


def nest(dotted: str, node: Node) -> Node:
    """`agent.replan` and a value as the tree `agent: {replan: value}`. Raises RecipeError on an empty part or too many."""
    parts = dotted.split(".")
    if not all(parts) or len(parts) > MAX_DEPTH:
        raise RecipeError(f"{node.where}: '{dotted}' is not a key; write section.key, e.g. agent.replan")
    for part in reversed(parts):
        node = Node({part: node}, node.where)
    return node


def read_override(text: str) -> Node:
    """A `section.key=value` argument as a tree; the value is YAML. Raises RecipeError."""
    where = f"--set {text}"
    dotted, equals, value = text.partition("=")
    if not equals:
        raise RecipeError(f"{where}: expected section.key=value, e.g. --set agent.replan=never")
    if dotted.strip() == "extends":
        raise RecipeError(f"{where}: extends cannot be overridden; pass another file to --config")
    return nest(dotted.strip(), compose(value, lambda line: where))


def read_tree(path: Path, asked_by: str = "", _children: tuple[Path, ...] = ()) -> Node:
    """The file's root mapping with its parents (`extends`) merged in; `asked_by` is the place that names the file.

    Raises RecipeError on an unreadable file, text that is not a YAML mapping, and a cycle of parents.
    """
    root = compose(_read_text(path, asked_by), lambda line: f"{path}:{line}")
    if root.value is None:
        raise RecipeError(f"{path}: the file is empty; write `key: value` lines, e.g. `name: my-run`")
    if not isinstance(root.value, dict):
        kind = "a list" if isinstance(root.value, list) else f"the text or number {root.text[:40]!r}"
        raise RecipeError(f"{root.where}: expected `key: value` lines at the top level, found {kind}")
    extends = root.value.get("extends")
    if extends is None:
        return root
    root = replace(root, value={key: node for key, node in root.value.items() if key != "extends"})
    if not (isinstance(extends.value, str) and extends.value):
        raise RecipeError(f"{extends.where}: extends: expected the name of one parent file, e.g. `extends: base.yaml`")
    parent, chain = path.parent / extends.value, (*_children, path)
    if _identity(parent) in map(_identity, chain):
        names = " -> ".join(str(p) for p in (*chain, parent))
        raise RecipeError(f"{extends.where}: extends goes in a circle: {names}; remove one of these extends lines")
    return merge(read_tree(parent, f"{extends.where}: extends", chain), root)


def _identity(path: Path) -> str:
    try:
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError):  # not a possible path: reading it says so
        return str(path)


def _read_text(path: Path, asked_by: str) -> str:
    prefix = f"{asked_by}: " if asked_by else ""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise RecipeError(f"{prefix}no file {path}{_neighbours(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"{prefix}cannot read {str(path)!r}: {reason}") from None
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{prefix}{path} is larger than {MAX_BYTES:,} bytes; a recipe is a few kilobytes of YAML")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8 text; save the file as UTF-8") from None


def _neighbours(path: Path) -> str:
    """What stands beside a missing file."""
    try:
        names = {p.stem: p.name for p in sorted(path.parent.iterdir()) if p.suffix in (".yaml", ".yml")}
    except OSError as error:
        return f"; the folder {path.parent} cannot be read either: {error.strerror}"
    listing = f"; YAML files in {path.parent}: " + (", ".join(list(names.values())[:10]) or "none")
    close = difflib.get_close_matches(path.stem, names, n=2, cutoff=0.6)
    return "; did you mean " + " or ".join(names[stem] for stem in close) + "?" if close else listing


def compose(text: str, place: Callable[[int], str]) -> Node:
    """One YAML document as a tree; `place` turns a line number (from 1) into a node's `where`. Raises RecipeError."""
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if odd:
        line = text.count("\n", 0, odd.start()) + 1
        raise RecipeError(f"{place(line)}: the character {odd.group()!r} cannot stand in YAML; remove it")
    try:
        return _Composer(text, place).document()
    except RecipeError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise RecipeError(f"{place(mark.line + 1 if mark else 1)}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # e.g. an escape beyond Unicode
        raise RecipeError(f"{place(1)}: not valid YAML: {error}") from None


class _Composer:
    """Builds nodes from parser events. PyYAML's own composer recurses without bound and drops duplicate keys."""

    def __init__(self, text: str, place: Callable[[int], str]) -> None:
        self.events = yaml.parse(text, Loader=_LOADER)
        self.place = place
        self.anchors: dict[str, tuple[Node, int, int]] = {}  # node, values in it, levels below it
        self.values = 0
        self.deepest = 0  # level reached within the node being read

    def document(self) -> Node:
        next(self.events)  # the start of the stream
        if isinstance(next(self.events), yaml.StreamEndEvent):
            return Node(None, self.place(1))
        root = self.node(next(self.events), 0)
        next(self.events)  # the end of the document
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise RecipeError(f"{self.where(event)}: a second document starts here (---); keep one per file")
        return root

    def where(self, event: yaml.Event) -> str:
        return self.place(event.start_mark.line + 1)

    def until_end(self) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self.events), yaml.CollectionEndEvent):
            yield event

    def count(self, values: int, depth: int, where: str) -> None:
        self.values, self.deepest = self.values + values, max(self.deepest, depth)
        if depth > MAX_DEPTH:
            raise RecipeError(f"{where}: nested more than {MAX_DEPTH} levels deep; a recipe needs four")
        if self.values > MAX_VALUES:
            raise RecipeError(f"{where}: more than {MAX_VALUES:,} values once aliases (*name) are expanded; write fewer")

    def node(self, event: yaml.Event, depth: int) -> Node:
        where = self.where(event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, depth, where)
        before, outer, self.deepest = self.values, self.deepest, depth
        self.count(1, depth, where)
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise RecipeError(f"{where}: the tag {tag} is refused; write plain text, numbers, true/false, null, lists and mappings")
        if isinstance(event, yaml.ScalarEvent):
            node = Node(_scalar(event, where), where, event.value)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node([self.node(item, depth + 1) for item in self.until_end()], where)
        else:
            node = Node(self.mapping(depth), where)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.values - before, self.deepest - depth)
        self.deepest = max(outer, self.deepest)
        return node

    def alias(self, event: yaml.Event, depth: int, where: str) -> Node:
        if event.anchor not in self.anchors:
            raise RecipeError(f"{where}: *{event.anchor} has no complete &{event.anchor} above it; write the value itself")
        node, values, levels = self.anchors[event.anchor]
        self.count(values, depth + levels, where)
        return node

    def mapping(self, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for event in self.until_end():
            where = self.where(event)
            if not isinstance(event, yaml.ScalarEvent) or event.tag not in (None, "!"):
                raise RecipeError(f"{where}: a key must be plain text, e.g. `seed: 0`")
            key = _text(event.value, where)
            if key == "<<":
                raise RecipeError(f"{where}: merge keys (<<) are refused; use `extends: parent.yaml` or write the values out")
            if key in found:
                raise RecipeError(f"{where}: the key '{key}' is set twice in this mapping, first at {found[key].where}; keep one")
            found[key] = replace(self.node(next(self.events), depth + 1), where=where)
        return found


def _scalar(event: yaml.ScalarEvent, where: str) -> Any:
    if event.tag is not None or event.style:  # quoted, a block, or marked as text
        return _text(event.value, where)
    for _, pattern, read in _RESOLVERS:
        if pattern.match(event.value):
            return _number(read, event.value, where)
    return _text(event.value, where)


def _number(read: Callable[[str], Any], text: str, where: str) -> Any:
    """A null, a boolean or a number within 64 bits."""
    if len(text) <= 100:  # int() of thousands of digits is slow or refused
        value = read(text)
        if value is None or abs(value) < 2**63 or (isinstance(value, float) and math.isfinite(value)):
            return value
    raise RecipeError(f"{where}: the number {text[:40]} is not a finite number of usual size; quote it if it is text")


def _text(value: str, where: str) -> str:
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise RecipeError(f"{where}: half a surrogate pair is not text; write the character itself")
    return value


class _Dumper(yaml.SafeDumper):
    """Quotes exactly the text that the table above would read as something else."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if re.search("[\x85\u2028\u2029]", text) else None  # other styles lose these line ends
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)
for _tag, _pattern, _ in _RESOLVERS:
    _Dumper.add_implicit_resolver(_tag, _pattern, None)


def dump(data: Mapping[str, Any]) -> str:
    """Plain data as YAML that `compose` reads back to equal data; keys keep their order."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
