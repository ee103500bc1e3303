"""The gates, case by case: near and exact duplicates, values from the future."""

from dataclasses import replace

import pytest

from planact.types import Action, Observation, Op, Plan, PlanStep, Task, Turn
from planact_data.checks import drop_duplicates, drop_near_duplicates, foreseen_values


def task(intent, number=0):
    return Task(f"t.{number}", "miniweb", "train", ("shop",), intent, "http://shop.miniweb/", "t")


def tasks(*intents):
    return [task(intent, number) for number, intent in enumerate(intents)]


def intents(found):
    return [task.intent for task in found]


def test_the_first_of_near_duplicates_stays():
    long = "Write a review of the copper kettle that says it is light and keeps the tea warm"
    similar, other = tasks(long, long + "!", long.upper(), "Buy a kettle", long.replace("copper", "slate"), "Buy  a\nkettle"), 0.9
    kept, dropped = drop_near_duplicates(similar, other)
    # shingles are cut from lower-case text with single spaces; another product is another request
    assert intents(kept) == [long, "Buy a kettle", long.replace("copper", "slate")]
    assert intents(dropped) == [long + "!", long.upper(), "Buy  a\nkettle"]


def test_a_threshold_of_one_drops_equal_shingles_only():
    kept, dropped = drop_near_duplicates(tasks("Buy a kettle", "buy a kettle", "Buy a kettle!"), 1.0)
    assert (intents(kept), intents(dropped)) == (["Buy a kettle", "Buy a kettle!"], ["buy a kettle"])


def test_nearly_all_pairs_above_the_threshold_are_found():
    """Sketches are approximate: of 50 queries with a twin at 0.85 to 0.9, at most one may slip through a threshold of 0.8."""
    base = [f"Find order number {n * 7919} of customer {n * 104729} and report the day on which it was sent" for n in range(1, 51)]
    pairs = [task(query, 2 * n + copy) for n, text in enumerate(base) for copy, query in enumerate([text, text.replace("sent", "paid")])]
    dropped = drop_near_duplicates(pairs, 0.8)[1]
    assert 49 <= len(dropped) <= 50 and all("paid" in intent for intent in intents(dropped))
    assert drop_near_duplicates(pairs, 0.95)[1] == []


def test_short_and_empty_queries_can_be_compared():
    kept, dropped = drop_near_duplicates(tasks("", "a", "", "ab", "a"), 0.9)
    assert (intents(kept), intents(dropped)) == (["", "a", "ab"], ["", "a"])


def row(prompt, completion, **other):
    return {"prompt": [{"role": "user", "content": prompt}], "completion": [{"role": "assistant", "content": completion}], **other}


def test_a_row_is_a_duplicate_when_prompt_and_completion_are_equal():
    rows = [
        row("a", "x", id=1),
        row("a", "y", id=2),
        row("a", "x", id=3),
        row("b", "x", id=4),
        row("ax", "", id=5),
        row("", "ax", id=6),
        row("a", "y", id=7),
    ]
    kept, dropped = drop_duplicates(rows)
    assert [r["id"] for r in kept] == [1, 2, 4, 5, 6] and dropped == 2


def turn(outline, op=Op.CLICK, target="link 'Next'", text=""):
    return Turn(0, Plan(), Observation(outline, outline, "http://x/"), "", Action(op, "1", text, target))


TURNS = [
    turn("page 'Home'\nlink 'Tea'"),
    turn("page 'Tea'\nPrice: $12.50\nPart: ABC-77\nlink 'Old Mill'", Op.TYPE, "textbox 'Q'", "from turn 1"),
    turn("page 'Old Mill'\nPoints: 1024\nRating: 4.5"),
]
FORESEEN = [  # step of the plan, turns done, values that are too early
    ("Report the price", 0, []),
    ("The price is $12.50", 0, ["$12.50"]),
    ("The price is $12.50", 1, []),  # on the page that is open
    ("The price is $12.50.", 2, []),  # on an earlier page
    ("Open 'Old Mill'", 0, ["Old Mill"]),
    ("Open 'Old Mill'", 1, []),
    ("Open Old Mill", 0, []),  # only quoted texts and words with digits are values
    ("Search for ABC-77, then report 1024", 0, ["1024", "ABC-77"]),
    ("Search for ABC-77, then report 1024", 1, ["1024"]),
    ("Type 'from turn 1'", 0, ["from turn 1"]),  # what is typed later
    ("Type 'from turn 1'", 1, ["from turn 1"]),
    ("Type 'from turn 1'", 2, []),
    ("Open the 3 results for 'Kettle' of 2031", 0, []),  # stands nowhere: not from the future
    ("Give a rating of 4", 0, []),  # 4.5 and 1024 are other values
    ("Give 4.5 or 10", 0, ["4.5"]),
    ("Open 'Tea'", 0, []),
    ("Compare '7' and '' and 'Q' with the page's 'Rating'", 0, ["Q", "Rating"]),  # lone quotes and apostrophes pair with nothing
]


@pytest.mark.parametrize("step, done, values", FORESEEN)
def test_values_from_the_future(step, done, values):
    assert foreseen_values(Plan((PlanStep("why", step),)), "Find the price", TURNS, done) == values
    assert foreseen_values(Plan((PlanStep(step, "do"),)), "Find the price", TURNS, done) == values  # also in the reasoning


def test_a_value_of_the_request_is_known_from_the_start():
    plan = Plan((PlanStep("", "Search for ABC-77"),))
    assert foreseen_values(plan, "Buy ABC-77", TURNS, 0) == [] != foreseen_values(plan, "Buy ABC-78", TURNS, 0)


def test_the_last_page_counts_as_future_until_it_is_open():
    plan = Plan((PlanStep("", "Report 1024"),))
    assert [foreseen_values(plan, "", TURNS, done) for done in range(3)] == [["1024"], ["1024"], []]
    assert foreseen_values(plan, "", [*TURNS[:2], replace(TURNS[2], observation=TURNS[0].observation)], 0) == []
