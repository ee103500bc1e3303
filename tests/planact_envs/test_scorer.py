"""The scorer on cases made by hand."""

import asyncio
import sqlite3

import pytest

from planact_envs.miniweb.database import connect, difference
from planact_envs.miniweb.scorer import changes, clean, contains, same_page, score, visible_text
from planact_envs.miniweb.world import build_world

NOTHING = {"eval_types": ["string_match"], "reference_answers": {"exact_match": "$12.50"}, "database": {}}


def database(*fruits: str) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE fruit (id INTEGER PRIMARY KEY, name TEXT)")
    db.executemany("INSERT INTO fruit (name) VALUES (?)", [(name,) for name in fruits])
    db.commit()
    return db


def judge(evaluation, answer="", url="http://shop.miniweb/", start=None, end=None, pages=None):
    async def fetch(address: str) -> str:
        return (pages or {})[address]

    empty = database()
    return asyncio.run(score(evaluation, answer=answer, url=url, start=start or empty, end=end or empty, fetch=fetch))


def database_check(**changes):
    return {"eval_types": [], "database": {"fruit": {"added": [], "removed": [], "changed": []} | changes}}


@pytest.mark.parametrize("answer", ["$12.50", " $12.50. ", "'$12.50'", '"$12.50."', "'$12.50'."])
def test_an_exact_answer_matches_whatever_stands_around_it(answer):
    assert judge(NOTHING, answer).success is True


@pytest.mark.parametrize("answer", ["", "12.50", "$12.5", "$12.500", "It costs $12.50", "$112.50"])
def test_another_answer_does_not(answer):
    outcome = judge(NOTHING, answer)
    assert outcome.success is False and outcome.scorer == "miniweb"
    assert outcome.reason == f"answer: expected '$12.50', got {answer!r}"


def test_clean_keeps_what_is_inside():
    assert clean(" 'The  Answer.' ") == "the answer"
    assert clean("it's") == "it's"
    assert clean("") == ""


@pytest.mark.parametrize(
    ("text", "wanted", "expected"),
    [
        ("12 pieces", "12", True),
        ("There are 12.", "12", True),
        ("12.50", "12", False),
        ("1.12", "12", False),
        ("1,120", "120", False),
        ("120", "12", False),
        ("costs $12.50, not less", "$12.50", True),
        ("costs $112.50", "12.50", False),
        ("Oak  Desk\nLamp", "oak desk lamp", True),
        ("Oak Desk Lamps", "Oak Desk Lamp", False),
        ("SKU: SP-204.", "sp-204", True),
    ],
)
def test_must_include_is_by_whole_tokens(text, wanted, expected):
    assert contains(text, wanted) is expected
    evaluation = {"eval_types": ["string_match"], "reference_answers": {"must_include": [wanted]}, "database": {}}
    assert judge(evaluation, text).success is expected


def test_an_answer_nobody_asked_for_is_ignored():
    assert judge({"eval_types": [], "database": {}}, "done!").success is True


def test_addresses_match_by_page():
    assert same_page("http://a.miniweb/x", "http://A.miniweb/x/?done=cart")
    assert same_page("http://a.miniweb/x?a=1&b=2", "http://a.miniweb/x?b=2&a=1")
    assert not same_page("http://a.miniweb/x?a=1", "http://a.miniweb/x")
    assert not same_page("http://a.miniweb/x", "http://b.miniweb/x")


def test_the_last_page_may_be_one_of_several():
    evaluation = {"eval_types": ["url_match"], "reference_url": "http://a.miniweb/ |OR| http://a.miniweb/b", "database": {}}
    assert judge(evaluation, url="http://a.miniweb/b").success is True
    outcome = judge(evaluation, url="http://a.miniweb/c")
    assert outcome.success is False and "got 'http://a.miniweb/c'" in outcome.reason


def test_pages_are_judged_by_what_they_show():
    check = {"url": "http://a.miniweb/cart", "required_contents": {"must_include": ["Oak Lamp", "quantity 3"]}}
    evaluation = {"eval_types": ["program_html"], "program_html": [check], "database": {}}
    page = "<title>quantity 3</title><ul><li><a href='/x'>Oak Lamp</a> quantity {}</li></ul>"
    assert judge(evaluation, pages={"http://a.miniweb/cart": page.format(3)}).success is True
    outcome = judge(evaluation, pages={"http://a.miniweb/cart": page.format(30)})
    assert outcome.reason == "page http://a.miniweb/cart: 'quantity 3' is not shown"
    last = {**evaluation, "program_html": [{**check, "url": "last"}]}
    assert judge(last, url="http://a.miniweb/z", pages={"http://a.miniweb/z": page.format(3)}).success is True


def test_visible_text_holds_field_values_and_chosen_options_only():
    html = "<p>Hello</p><input type=hidden value=secret><input id=c value=Corby><label for=c>City</label>"
    html += "<select aria-label=Size><option>Small<option selected>Large</select>"
    assert visible_text(html) == "Hello City Corby Size Large"


def test_the_expected_change_and_only_that():
    end = database("plum")
    assert judge(database_check(added=[{"name": "plum"}]), end=end).success is True
    nothing = judge(database_check(added=[{"name": "plum"}]))
    assert nothing.reason == "database: fruit added: expected {'name': 'plum'}"
    side_effect = judge(NOTHING, "$12.50", end=end)
    assert side_effect.reason == "database: fruit added: unexpected {'name': 'plum'}"
    twice = judge(database_check(added=[{"name": "plum"}]), end=database("plum", "plum"))
    assert twice.success is False


def test_removed_and_changed_rows():
    start, end = database("plum", "fig"), database("plum")
    assert judge(database_check(removed=[{"name": "fig"}]), start=start, end=end).success is True
    changed = {"id": 1, "before": {"name": "plum"}, "after": {"name": "pear"}}
    assert judge(database_check(changed=[changed]), start=database("plum"), end=database("pear")).success is True
    assert judge(database_check(changed=[changed]), start=database("plum"), end=database("fig")).success is False


def test_the_start_may_be_a_serialized_world():
    assert judge(database_check(added=[{"name": "fig"}]), start=database("plum").serialize(), end=database("plum", "fig")).success is True


def test_every_fault_is_named():
    evaluation = {**NOTHING, "eval_types": ["string_match", "url_match"], "reference_url": "http://a.miniweb/"}
    assert judge(evaluation, "x", url="http://b.miniweb/", end=database("fig")).reason.count(";") == 2


@pytest.mark.parametrize("evaluation", [{**NOTHING, "eval_types": ["magic"]}, {**NOTHING, "reference_answers": {"fuzzy_match": "x"}}])
def test_an_unknown_evaluation_is_an_error(evaluation):
    with pytest.raises(ValueError, match="unknown"):
        judge(evaluation)


@pytest.mark.parametrize("commit", [True, False])
@pytest.mark.parametrize("writes", [0, 1, 2])
def test_changes_are_the_same_where_the_tables_are_not_looked_at(writes, commit):
    """Nothing is written, a title, and the old title again."""
    world = build_world()
    end = connect(world)
    statements = ["UPDATE forum_post SET title = title || '!' WHERE id = 1", "UPDATE forum_post SET title = rtrim(title, '!') WHERE id = 1"]
    for statement in statements[:writes]:
        end.execute(statement)
        if commit:
            end.commit()
    assert changes(world, end) == difference(connect(world), end) and bool(changes(world, end)) is (writes == 1)
