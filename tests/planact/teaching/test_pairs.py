"""How questions show several pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.teaching.pairs import page_texts, shorten


def test_equal_pages_are_shown_once():
    assert page_texts(["home", "cart", "home", "cart", "end"], "Pair") == ["home", "cart", "(as in Pair 1)", "(as in Pair 2)", "end"]


@pytest.mark.parametrize(
    "limit, shown",
    [
        (11, "one\ntwo\nsix"),  # all of it
        (10, "one\ntwo\n(1 more lines are left out)"),
        (7, "one\ntwo\n(1 more lines are left out)"),  # "one\ntwo" has 7 characters
        (6, "one\n(2 more lines are left out)"),
        (2, "(3 more lines are left out)"),
    ],
)
def test_a_long_page_loses_whole_lines_at_its_end(limit, shown):
    assert shorten("one\ntwo\nsix", limit) == shown


@given(st.text(alphabet="ab\n"), st.integers(1, 20))
def test_every_line_is_shown_or_counted(page, limit):
    shown, lines = shorten(page, limit).split("\n"), page.split("\n")
    if len(page) > limit:
        kept = shown[:-1]
        assert lines[: len(kept)] == kept and len("\n".join(kept)) <= limit < len("\n".join(lines[: len(kept) + 1]))
        assert shown[-1] == f"({len(lines) - len(kept)} more lines are left out)"
    else:
        assert shown == lines
