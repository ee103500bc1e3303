"""The gates, case by case: near and exact duplicates."""

from planact.types import Task
from planact_data.checks import drop_duplicates, drop_near_duplicates


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
