"""Values: the texts between quotes and the words with digits that a text states, and whether a page or request shows them too."""

from __future__ import annotations

import re
from html import unescape

_VALUES = re.compile(
    r"""(?<!\w)'([^'\n]+)'(?!\w)|"([^"\n]+)"|“([^“”\n]+)”|‘([^‘’\n]+)’(?!\w)|`([^`\n]+)`"""  # quoted
    r"|(?<![\w.-])([#$€£]?[\w-]*\d(?:[\w.,:-]*\w)?)"  # or with a digit
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def values_in(text: str, digits: int = 1) -> set[str]:
    """Quoted texts, and words outside of quotes that have so many digits at least."""
    found = {(number, next(filter(None, quoted), "")) for *quoted, number in _VALUES.findall(text)}
    return {number or quoted for number, quoted in found if quoted or sum(map(str.isdigit, number)) >= digits}


def readable(page: str) -> str:
    """A page's text or outline in the words that it shows: in html form, which begins with a tag, they are escaped."""
    return unescape(page) if page.lstrip().startswith("<") else page


def plain(text: str) -> str:
    """`text` as it is compared: a value is the same in other letters, and a number without its commas."""
    return _THOUSANDS.sub("", text.lower().replace("’", "'"))


def shows(plain_text: str, value: str) -> bool:
    """`value` stands in a text that went through `plain` as a whole: "12" in "12 pieces" and in "$12.", not in "120", "12.50" or "1.12"."""
    value = plain(value).lstrip("#$€£")
    if value not in plain_text:  # most do not, and a search by pattern takes longer
        return False
    return re.search(rf"(?<!\w)(?<!\d[.,:]){re.escape(value)}(?!\w)(?![.,:]\d)", plain_text) is not None
