"""New requests and their feasibility: prompts, and answers read and refused."""

import contextlib
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planact.shorten import count_tokens
from planact.teaching import AnswerError
from planact.teaching.pairs import MAX_PAGE
from planact.teaching.queries import (
    FEASIBILITY_SYSTEM,
    LENGTHS,
    SYSTEM,
    WANTED,
    feasibility_messages,
    parse_feasibility,
    parse_queries,
    query_messages,
    render_feasibility,
    render_queries,
)
from planact.types import Observation

PAGE = Observation("page 'Shop' link 'Cart' [3]", "page 'Shop' link 'Cart'", "http://shop.example/")
requests = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=LENGTHS[0], max_size=60).map(
    lambda text: " ".join(text.split())
)
lists = st.lists(requests.filter(lambda text: len(text) in LENGTHS), min_size=1, max_size=WANTED, unique_by=str.casefold)


def test_the_teacher_sees_the_first_page_without_ids_and_the_seeds_in_order():
    system, user = query_messages(PAGE, ["Buy a lamp", "How much is\na kettle?"])
    assert system == {"role": "system", "content": SYSTEM}
    assert user["content"] == "## First Page\npage 'Shop' link 'Cart'\n\n## Requests\n1. Buy a lamp\n2. How much is a kettle?"


def test_of_a_long_page_the_teacher_sees_what_the_requests_are_about():
    long = replace(PAGE, outline="\n".join(["page 'Shop'", *(f"link 'Item {n}'" for n in range(2_000)), "link 'Blue lamp'"]))
    for messages in (query_messages(long, ["Buy the blue lamp"]), feasibility_messages("Buy the blue lamp", long)):
        shown = messages[1]["content"]
        assert "link 'Blue lamp'" in shown and "nodes left out" in shown and count_tokens(shown) < MAX_PAGE + 50


@given(lists)
def test_what_is_rendered_is_read_back(wanted):
    assert parse_queries(render_queries(wanted)) == tuple(wanted)


def test_words_before_the_first_request_thinking_and_other_numbering_are_no_hindrance():
    text = "<think>1. hm</think>Here are some:\n\n1) Buy the  blue lamp\n\n 2. Sell the red kettle \n"
    assert parse_queries(text) == ("Buy the blue lamp", "Sell the red kettle")


@pytest.mark.parametrize(
    "text, words, reason",
    [
        ("", "expected lines '1. first request'", "format"),
        ("- Buy the blue lamp", "expected lines '1. first request'", "format"),
        ("2. Buy the blue lamp", "expected request 1 .* found '2. Buy", "format"),
        ("1. Buy the blue lamp\n3. Sell the kettle", "expected request 2 .* found '3. Sell", "format"),
        ("1. Buy the blue lamp\nand a bulb for it", "expected request 2 .* found 'and a bulb", "format"),
        ("1. Buy the blue lamp\n1. Sell the red kettle", "expected request 2", "format"),
        (render_queries([f"Buy lamp number {n}" for n in range(11)]), "there are 11 requests; expected at most 10", "format"),
        ("1. Buy the blue lamp\n2. Buy it", "request 2 must have 10 to 400 characters", "length"),
        ("1. " + "x" * 401, "request 1 must have 10 to 400", "length"),
        ("1. Buy the blue lamp\n2. buy THE  blue lamp", "twice", "a request twice"),
    ],
)
def test_other_answers_are_refused_with_what_is_wrong(text, words, reason):
    with pytest.raises(AnswerError, match=words) as refused:
        parse_queries(text)
    assert refused.value.reason == reason


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["1. ", "2) ", "10. ", "\n", "Buy the lamp", "</think>", "٣. ", "²"]) | st.text(max_size=8)).map("".join))
def test_any_text_is_a_list_of_requests_or_refused(text):
    with contextlib.suppress(AnswerError):
        assert 1 <= len(parse_queries(text)) <= WANTED


def test_the_teacher_is_asked_about_one_request_and_its_first_page():
    system, user = feasibility_messages("Buy a lamp", PAGE)
    assert system == {"role": "system", "content": FEASIBILITY_SYSTEM}
    assert user["content"] == "## Request\nBuy a lamp\n\n## First Page\npage 'Shop' link 'Cart'"


@pytest.mark.parametrize("feasible", [True, False])
def test_a_verdict_is_read_back(feasible):
    assert parse_feasibility(render_feasibility("The shop sells [NO] lamps [YES].", feasible)) is feasible


@pytest.mark.parametrize("text", ["", "YES", "[MAYBE]", "[YES]\nor so", "It is [YES]", "[YES] [NO]", "<think>[YES]"])
def test_a_last_line_without_a_verdict_is_refused(text):
    with pytest.raises(AnswerError, match=r"expected \[YES\] or \[NO\] as the last line"):
        parse_feasibility(text)


@given(st.text(max_size=40))
def test_any_text_is_a_verdict_or_refused(text):
    with contextlib.suppress(AnswerError):
        assert parse_feasibility(text) in (True, False)


@pytest.mark.parametrize("text", ["1. " * 40_000, "1." + " " * 99_000 + "x\n", "\n" * 100_000, "[YES" * 25_000, "1. a\t" * 20_000])
def test_100_kb_of_nonsense_is_refused_at_once(text):
    started = time.process_time()
    for parse in (parse_queries, parse_feasibility):
        with pytest.raises(AnswerError):
            parse(text)
    assert time.process_time() - started < 1
