"""Long pages cut down to a number of tokens, by the same rule for a training row and for a running episode.

Whole nodes are left out, never a part of one, and what stays is chosen by what a running agent knows too: its request, plan
and past, and the page. The element that a training row acts on gets no protection, since nobody can point it out at inference.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from math import fsum, sqrt

# Weights of a node's score; ours, chosen on miniweb's training trajectories (docs/LOG.md).
NAMED = 1.0  # for a node whose whole name stands in the request or plan
CONTROL = 3.0  # for the only control of its kind on the page; the more there are of a kind, the less each is worth
NEARNESS = 0.5  # share of a neighbour's relevance that counts for a node
FADING = 0.7  # what is left of that one node further
MISSES = 100  # nodes in a row that do not fit, after which the page is full

_PIECES = re.compile(r"[A-Za-z]{1,5}|\w|[^\w\s]{1,2}|\n[ \t]*")
_WORDS = re.compile(r"\w+")
_CONTROL = re.compile(
    r"\s*(?:\[\w+\] )?(link|button|textbox|combobox|checkbox|radio|clickable) '"  # axtree and short
    r"|\s*<(?:(a|button|input|select|textarea)\b|[^<>]* (id)=)"  # html: what can be acted on has an id
)
_NAME = re.compile(r"'([^'\n]+)'|>([^<>]+)<|label=\"([^\"]+)\"")
_TAG = re.compile(r"\s*<(?P<end>/?)(?P<name>[\w:-]+)(?:\s[^<>]*)?>[^<>]*+(?P<close></[\w:-]+>)?\s*")
_HEAD = re.compile(r"\s*<(?P<end>)(?P<name>html)[^<>]*>\s*<title>[^<>]*</title>(?P<close>)\s*")
_ITEM = re.compile(r"<html[^<>]*>(?:\s*<title>[^<>]*</title>)?|<(?P<name>[\w:-]+)(?:\s[^<>]*)?>[^<>]*</(?P=name)>|<[^<>]*>|[^<>]+|[<>]")
_MARKER = re.compile(r"\(nodes left out: ([1-9]\d{0,8})\)")
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})


def count_tokens(text: str) -> int:
    """An estimate without a tokenizer: pieces of words, single digits, pairs of signs, line breaks with their indentation.

    Measured on 800 pages and outlines of miniweb and one page in WebRL's form: 3 to 8 % more than Mistral's Tekken (131,072 tokens,
    made as those of Llama 3 and Qwen are), single pages from 7 % less to 21 % more; of the tokens of models/planact-tiny (1,536
    of them, so words fall apart) 76 % in axtree and 62 % in html.
    """
    return len(_PIECES.findall(text))


@lru_cache(maxsize=16)  # a row asks once for its prompt and once to see what is left of the page
def shorten(text: str, limit: int, wanted: str) -> str:
    """A page (text or outline of any observation form) in at most `limit` tokens, as `count_tokens` counts them.

    `wanted` is what the agent knows: the request, the plan, what it typed and noted. A node that stays keeps the nodes around it, and
    its lines as they are; each run of nodes that go becomes one line with their number. The title always stays, even when it
    is longer than `limit` by itself.
    """
    if text.count("\n") <= limit and count_tokens(text) <= limit:
        return text
    page = _read_html(text) if text.lstrip().startswith("<") else _read_lines(text)
    return _write(page, _choose(page, limit, _scores(page, wanted)))


@dataclass
class _Page:
    """Nodes in the order of their first lines. Every line opens or closes one."""

    lines: list[str]
    opening: list[int] = field(default_factory=list)  # line of each node
    closing: list[int] = field(default_factory=list)  # line of each node's end tag; -1: there is none
    parents: list[int] = field(default_factory=list)  # node around each node; -1: none


def _read_lines(text: str) -> _Page:
    """Axtree and short: a node a line, indentation is depth."""
    lines, parents, around = text.split("\n"), [], []
    for i, line in enumerate(lines):
        depth = len(line) - len(line.lstrip())
        while around and around[-1][0] >= depth:
            around.pop()
        parents.append(around[-1][1] if around else -1)
        around.append((depth, i))
    return _Page(lines, list(range(len(lines))), [-1] * len(lines), parents)


def _read_html(text: str) -> _Page:
    """Html: tags are depth. A page with several nodes on a line, such as WebRL's, gets a line for each first."""
    lines = text.split("\n")
    tags = [_TAG.fullmatch(line) or _HEAD.fullmatch(line) for line in lines]
    if not all(tag["close"] in (None, "", f"</{tag['name']}>") if tag else "<" not in line for line, tag in zip(lines, tags)):
        lines = [item for match in _ITEM.finditer(text) if (item := match[0].strip())]
        tags = [_TAG.fullmatch(line) or _HEAD.fullmatch(line) for line in lines]
    page, around, open_tags = _Page(lines), [], Counter()
    for i, (line, tag) in enumerate(zip(lines, tags)):
        if tag and tag["end"] and open_tags[tag["name"]]:
            name = ""
            while name != tag["name"]:  # what a broken page has left open inside ends here too
                node, name = around.pop()
                open_tags[name] -= 1
            page.closing[node] = i
            continue
        node = len(page.parents)
        page.parents.append(around[-1][0] if around else -1)
        page.opening.append(i)
        page.closing.append(-1)
        if tag and not (tag["end"] or tag["close"] or tag["name"] in _VOID or line.rstrip().endswith("/>")):
            around.append((node, tag["name"]))
            open_tags[tag["name"]] += 1
    return page


def _scores(page: _Page, wanted: str) -> list[float]:
    """How much each node matters: words of the request and plan, rare ones more than common ones; rare controls; neighbours."""
    spoken = _WORDS.findall(wanted.lower())
    words, phrases = {word for word in spoken if len(word) > 2 or word.isdigit()}, f" {' '.join(spoken)} "
    texts = [page.lines[i].lower() for i in page.opening]
    hits = [words.intersection(_WORDS.findall(text)) for text in texts]
    worth = {word: 1 / sqrt(n) for word, n in Counter(word for found in hits for word in found).items()}
    kinds = [match[match.lastindex] if (match := _CONTROL.match(text)) else "" for text in texts]
    rarity = {kind: CONTROL / sqrt(n) if kind else 0.0 for kind, n in Counter(kinds).items()}
    own = [min(1.0, fsum(map(worth.get, found))) + NAMED * _is_named(text, phrases) if found else 0.0 for found, text in zip(hits, texts)]
    return [mine + NEARNESS * near + rarity[kind] for mine, near, kind in zip(own, _spread(own), kinds)]


def _is_named(text: str, phrases: str) -> bool:
    match = _NAME.search(text)
    return bool(match) and f" {' '.join(_WORDS.findall(match[match.lastindex]))} " in phrases


def _spread(own: list[float]) -> list[float]:
    """The relevance that reaches each node from the ones before and after it: the strongest, not the sum."""
    near = [0.0] * len(own)
    for order in (range(len(own)), reversed(range(len(own)))):
        reach = 0.0
        for i in order:
            if near[i] < reach:
                near[i] = reach
            reach = FADING * (reach if reach > own[i] else own[i])
    return near


def _choose(page: _Page, limit: int, scores: list[float]) -> bytearray:
    """Which lines stay: flags by line number + 1, since both ends of the text count as lines that stay."""
    kept = bytearray(len(page.lines) + 2)
    kept[0] = kept[-1] = 1
    gap = count_tokens(f"\n{_marker(len(page.lines))}")
    spent = gap  # a page without a line is one gap
    titles = [0, *[n for n, i in enumerate(page.opening) if page.lines[i].lstrip().startswith("<title")][:1]]
    for node in titles:
        spent += _keep(page, node, kept, gap, None)
    misses = 0
    for node in sorted(range(len(scores)), key=scores.__getitem__, reverse=True):
        if misses == MISSES:
            break
        price = _keep(page, node, kept, gap, limit - spent)
        misses = misses + 1 if price is None else 0
        spent += price or 0
    return kept


def _keep(page: _Page, node: int, kept: bytearray, gap: int, budget: int | None) -> int | None:
    """Flag the lines of `node` and of those around it. Returns their tokens; None, and nothing is flagged, when over `budget`."""
    added, price = [], 0
    while node >= 0 and not kept[page.opening[node] + 1]:
        for line in (page.opening[node], page.closing[node]):
            if line >= 0:
                added.append(line)
                kept[line + 1] = 1
                price += 1 + count_tokens(page.lines[line]) + gap * (1 - kept[line] - kept[line + 2])  # it splits, moves or fills a gap
        node = page.parents[node]
    if budget is None or price <= budget:
        return price
    for line in added:
        kept[line + 1] = 0
    return None


def _marker(nodes: int) -> str:
    return f"(nodes left out: {nodes})"


def _write(page: _Page, kept: bytearray) -> str:
    first, lines, left_out = set(page.opening), [], 0
    for i, line in enumerate(page.lines):
        if not kept[i + 1]:
            earlier = _MARKER.fullmatch(line)  # of a page that has been shortened before
            left_out += int(earlier[1]) if earlier else i in first
            continue
        if left_out:
            lines.append(_marker(left_out))
            left_out = 0
        lines.append(line)
    return "\n".join([*lines, _marker(left_out)] if left_out else lines)
