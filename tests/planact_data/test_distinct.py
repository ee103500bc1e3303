"""Near-duplicates in a stream of requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact_data.distinct import Distinct, jaccard


def test_a_text_counts_only_once_it_was_new():
    distinct = Distinct(0.8)
    # shingles: abcdefghi has 5; with one letter more 6, of which 5 are shared: 5/6 = 0.83; with two more 7: 5/7 = 0.71
    assert distinct.is_new("a", "abcdefghi")
    assert not distinct.is_new("b", "abcdefghij")  # refused, so it is nothing to compare with
    assert distinct.is_new("c", "abcdefghijk")  # 6/7 = 0.86 to the refused one
    assert distinct.is_new("b", "something else")  # and its key is free


def test_case_and_spaces_make_no_difference():
    distinct = Distinct(1.0)
    assert distinct.is_new("a", "Buy a kettle")
    assert not distinct.is_new("b", "  buy a\nKETTLE ")
    assert distinct.is_new("c", "Buy a kettle!")


def test_a_key_is_taken_once():
    distinct = Distinct(0.9)
    distinct.is_new("a", "Buy a kettle")
    with pytest.raises(ValueError, match="already exists"):
        distinct.is_new("a", "Sell a lamp")


@given(st.lists(st.text(max_size=30), max_size=8))
def test_a_text_is_never_new_twice(texts):
    distinct = Distinct(0.9)
    for i, text in enumerate(texts):
        distinct.is_new(f"first {i}", text)
        assert not distinct.is_new(f"second {i}", text)


def test_the_share_of_common_words():
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 0.5  # 2 of 4
    assert jaccard(frozenset(), frozenset()) == 1.0
