"""Find what must not be published: keys, tokens, passwords and cookies in a text.

    own = secret_values(os.environ)
    for secret in secrets_in(text, own):
        print(secret)  # Hugging Face token that begins with 'hf_A'

What is found is never shown whole.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

MIN_VALUE = 8  # characters; a shorter value of a variable is a word that any page may hold
HIDDEN = "[a secret]"  # stands where one was; its blank keeps it from being found as one
SHOWN = 4  # characters of a secret that may be shown, and never more than a quarter of it
_SECRET_NAME = re.compile(r"_(KEY|TOKEN|SECRET)$|PASSWORD", re.I)

# Kind, the literal that it is found by, and the pattern, whose group 1 is the secret. Looking for the literal first, and beginning the
# pattern with it, keeps a scan at the speed of a substring search; what may not stand before it is said by a lookbehind. Repeats are
# bounded: hostile text costs linear time. Digits are asked for where words would pass: "sk-" begins branch names, "Bearer" sentences.
_KINDS = [
    (kind, literal, re.compile(pattern, re.A))
    for kind, literal, pattern in (
        ("API key", "sk-", r"(sk-(?<![\w-]sk-)(?=[\w-]{0,200}\d)[\w-]{0,200}?[A-Za-z0-9]{16})"),
        ("Hugging Face token", "hf_", r"(hf_(?<!\whf_)[A-Za-z0-9]{30})"),
        ("GitHub token", "gh", r"(gh(?<!\wgh)[pousr]_[A-Za-z0-9]{36})"),
        ("GitHub token", "github_pat_", r"(github_pat_(?<!\wgithub_pat_)\w{40})"),
        ("GitLab token", "glpat-", r"(glpat-(?<!\wglpat-)[\w-]{20})"),
        ("AWS key", "AKIA", r"(AKIA(?<!\wAKIA)[0-9A-Z]{16})\b"),
        ("Google key", "AIza", r"(AIza(?<!\wAIza)[\w-]{35})"),
        ("Slack token", "xox", r"(xox(?<!\wxox)[abeprs]-(?=[\w-]{0,200}\d)[\w-]{16})"),
        ("private key", "-----BEGIN ", r"(-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY-----)"),
        ("JSON web token", "eyJ", r"(eyJ(?<!\weyJ)[\w-]{10,1000}\.eyJ[\w-]{10})"),
        ("bearer header", "earer ", r"earer (?<=[Bb]earer ) {0,4}(?=[\w.~+/=-]{0,200}\d)([\w.~+/=-]{16})"),
        ("basic header", "asic ", r"asic (?<=uthorization: [Bb]asic )([\w+/=]{8})"),
        ("cookie header", "ookie", r"ookie(?<=[Cc]ookie)[\"']?: ?[\"']?[\w.-]{1,100}=([^\s;,\"'=]{8})"),
        ("password in an address", "://", r"://[^\s/?#@:\"'<>\[\]]{0,100}:([^\s/?#@\"'<>]{1,100})@\w"),
    )
]


_REST = re.compile(r"[\w.~+/=-]*", re.A)  # the patterns end where a secret is certain, and not where it ends
_KEY_BODY = re.compile(r"((\s|\\n)+[A-Za-z0-9+/=]{16,})*((\s|\\n)+[A-Za-z0-9+/=]+(?=(\s|\\n)*-----END))?")


@dataclass(frozen=True)
class Secret:
    kind: str
    begins: str  # the first characters, enough to find it by

    def __str__(self) -> str:
        return f"{self.kind} that begins with {self.begins!r}"


def secret_values(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of `environment` whose names say that they are secrets: *_KEY, *_TOKEN, *_SECRET, *PASSWORD*."""
    return {name: value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= MIN_VALUE}


def secrets_in(text: str, own: Mapping[str, str]) -> Iterator[Secret]:
    """What in `text` looks like a secret, and where it holds one of the values of `own` (by name)."""
    for kind, literal, pattern in _KINDS:
        if literal in text:
            yield from (Secret(kind, _begin(match[1])) for match in pattern.finditer(text))
    for name, value in own.items():
        if value in text:
            yield Secret(f"value of {name}", _begin(value))


def hide(text: str, own: Mapping[str, str]) -> str:
    """`text` without what `secrets_in` finds in it; values of `own` also as addresses, forms and HTML spell them."""
    for kind, literal, pattern in _KINDS:
        if literal in text:
            text = "".join(_without(text, pattern, _KEY_BODY if kind == "private key" else _REST))
    for value in sorted(own.values(), key=len, reverse=True):
        for spelled in {value, quote(value, safe=""), quote_plus(value), html.escape(value)}:
            text = text.replace(spelled, HIDDEN)
    return text


def _without(text: str, pattern: re.Pattern[str], rest: re.Pattern[str]) -> Iterator[str]:
    """The pieces of `text`, with HIDDEN for each secret: what the pattern finds, and the `rest` that follows it."""
    position = 0
    for match in pattern.finditer(text):
        if match.start(1) >= position:
            yield text[position : match.start(1)] + HIDDEN
            position = rest.match(text, match.end(1)).end()
    yield text[position:]


def _begin(secret: str) -> str:
    return secret[: min(SHOWN, len(secret) // 4)]
