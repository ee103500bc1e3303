"""The leak gate: what it refuses and why, on hand-made requests and on miniweb's own splits."""

import csv
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planact.types import Plan, PlanStep, Task
from planact_data.leaks import Gate, Nearest, content_words, names, telling_answers
from planact_envs.miniweb.teacher.knowledge import requests
from planact_envs.suites import load_suite

KETTLE = "Find the price of the blue tea kettle in the shop"  # content words: price, blue, tea, kettle, shop
CUSTOMER = "Find the customer name and email with phone number 555-229-3326 and tell me when they placed their last order"


def task(intent, split="test", **evaluation):
    return Task("t.1", "x", split, ("shop",), intent, "http://shop/", "t", eval=evaluation)


def answered(intent, answer, split="test"):
    return task(intent, split, reference_answers={"must_include": [answer]})


def gate(*intents, near_duplicate=0.9):
    return Gate([task(intent) for intent in intents], near_duplicate)


def plan(*steps):
    return Plan(tuple(PlanStep("why", step) for step in steps))


REPEATS = [
    KETTLE,
    KETTLE.upper(),
    "  Find the price of the 'blue' tea-kettle, in the shop?! ",
    "In the shop, find the price of the blue tea kettle.",
    "Please find me the prices of the blue tea kettles in our shop",  # words of asking and a plural
    "Ｆind the price of the blue tea kettle in the shop",  # a full-width letter
]
OTHERS = [
    "Find the price of the red tea kettle in the shop",  # 4 of 6 content words
    "Find the price of the spare part of the blue tea pot in the shop",  # 4 of 8
    "Find the colour of the tea kettle",
    "Kettle",  # 1 of 5: too little to be a short form
    "",
]


@pytest.mark.parametrize("intent", REPEATS)
def test_a_held_out_request_in_other_clothes_is_refused(intent):
    assert gate("something else", KETTLE).refusal(intent) == "repeats a test request"
    assert gate("something else", KETTLE).repeats(intent)


@pytest.mark.parametrize("intent", OTHERS)
def test_another_request_passes(intent):
    assert gate("something else", KETTLE).refusal(intent) == ""


@pytest.mark.parametrize(
    "intent",
    [
        "Find the customer name and email with phone number 555-229-3326",  # customer name email phone number 555 229 3326: 8 of 11
        "Customer with the phone number 555-229-3326?",  # 6 of 11
        "find customers' names and emails by number 5552293326".replace("5552293326", "555-229-3326"),
    ],
)
def test_a_shortened_form_is_refused(intent):
    assert gate(KETTLE, CUSTOMER).refusal(intent) == "shortens a test request"
    assert not gate(KETTLE, CUSTOMER).repeats(intent)


def test_a_short_form_about_another_customer_passes():
    assert gate(KETTLE, CUSTOMER).refusal("Find the customer name and email with phone number 555-229-0000") == ""


@pytest.mark.parametrize(
    "intent",
    [
        "Find the current price of the blue tea kettle in the shop right now",  # 8 content words beside 5
        "Quickly and carefully: What is the blue tea kettle's price in the shop today?",  # a capital of the form names nothing
        "find the price of the blue Tea kettle in the shop, with tax and postage",
    ],
)
def test_a_longer_form_is_refused(intent):
    assert gate("something else", KETTLE).refusal(intent) == "extends a test request"
    assert not gate("something else", KETTLE).repeats(intent)


@pytest.mark.parametrize(
    "intent",
    [
        "Find the price of the blue tea kettle in the shop for Bob",  # names somebody else
        "Find the price of the blue tea kettle in the shop, add 2 to the cart",
        "Find the price of the blue tea kettle in the shop and write a long review of it that praises its lid and cord",  # 11 words
    ],
)
def test_a_longer_form_about_something_else_passes(intent):
    assert gate("something else", KETTLE).refusal(intent) == ""


def test_shingles_find_a_misspelt_word_and_never_another_name():
    market = "I am doing a market survey for one stop market, show me the most expensive product from competative swimwear category"
    orders = "What is the number of the spare part for the product of my order '1137'?"
    assert gate(market, orders).refusal(market.replace("competative", "competitive")) == "repeats a test request"
    assert gate(market, orders).refusal(orders.replace("1137", "1133")) == ""
    assert gate(market, near_duplicate=0.99).refusal(market.replace("competative", "competitive")) == ""


def test_the_reason_names_the_test_split_first():
    both = Gate([task(KETTLE, "validation"), task(KETTLE.upper())], 0.9)
    assert both.refusal(KETTLE) == "repeats a test request"
    assert Gate([task(KETTLE, "validation")], 0.9).refusal(KETTLE) == "repeats a validation request"


PRICE = answered("What is the price of the product 'Ceramic Wheel'?", "$54.75", "validation")


@pytest.mark.parametrize(
    "intent, step, reason",
    [
        ("How much does 'Ceramic Wheel' cost?", "Report $54.75.", "states the answer of a validation request"),
        ("Does 'Ceramic Wheel' cost 54.75?", "Report the price.", "states the answer of a validation request"),
        ("How much is this?", "Look 'Ceramic Wheel' up and report 54.75", "states the answer of a validation request"),
        ("How much does 'Ceramic Wheel' cost?", "Report the price on the page.", ""),
        ("How much does 'Ceramic Wheel' cost?", "Report $54.7.", ""),
        ("How much does 'Ceramic Wheel' cost?", "Report $154.75.", ""),
        ("How much does 'Ceramic Hook' cost?", "Report $54.75.", ""),  # one of two names
        ("Which wheel costs 54.75?", "Open the list of products.", ""),
    ],
)
def test_an_answer_counts_with_a_request_about_the_same_thing(intent, step, reason):
    assert Gate([PRICE], 0.9).refusal(intent, plan(step)) == reason


def test_a_request_that_names_nothing_is_about_its_content_words():
    """Content words of the held-out one: many, review, shop, received, far (5); of the others: 4 of these, and 1."""
    reviews = answered("How many reviews our shop received by far?", "351")
    assert (
        Gate([reviews], 0.9).refusal("How many reviews did the shop get so far?", plan("Report 351"))
        == "states the answer of a test request"
    )
    assert Gate([reviews], 0.9).refusal("Which order has the most reviews?", plan("Open order 351")) == ""


@pytest.mark.parametrize(
    "evaluation, telling",
    [
        ({"reference_answers": {"exact_match": "$54.75"}}, ["$54.75"]),
        ({"reference_answers": {"must_include": ["Norwick", "7", "Yes", "N/A", "0.5"]}}, ["Norwick"]),  # 05 has two digits
        ({"reference_answers": {"must_include": ["652 |OR| 31"], "fuzzy_match": "driving: 13min"}}, ["652", "driving: 13min"]),
        ({"reference_answers": {"exact_match": "oak trunk"}}, []),  # the request says it
        ({"program_html": [{"url": "", "required_contents": {"must_include": ["Zinc Spring", "Oak Trunk"]}}]}, ["Zinc Spring"]),
        ({"reference_answers": None, "program_html": None}, []),
        ({}, []),
    ],
)
def test_telling_answers(evaluation, telling):
    assert telling_answers(task("Buy the spare part of 'Oak Trunk'", **evaluation)) == telling


def test_words():
    assert content_words("Please show me the Reviews of order 7, and its address!") == {"review", "order", "7", "addres"}
    assert names("Tell Ann about 'the red Fox', \"tea\" and GPU-3. Then stop") == {"ann", "red", "fox", "tea", "gpu", "3"}
    assert names("Who is it? Where is Bob's dog") == {"bob"}


@pytest.mark.parametrize("suite, others", [("miniweb-short", 49), ("miniweb", 6)])  # of 3,117 and 1,113
def test_training_tasks_about_other_things_pass(suite, others):
    """Refused are some that are a part of a held-out task about the same thing, such as a price against the price of its spare part,
    or have one as a part."""
    suite = load_suite(suite)
    train, held_out = suite.tasks("train"), (*suite.tasks("validation"), *suite.tasks("test"))
    whole = Gate(held_out, 0.9)
    assert [task.intent for task in train if whole.repeats(task.intent)] == []
    assert sum(bool(whole.refusal(task.intent)) for task in train) <= others
    assert all(whole.refusal(task.intent.lower() + " ?") for task in held_out)
    assert all(whole.refusal(task.intent + " right now, quickly") for task in held_out)


@pytest.mark.parametrize("suite", ["miniweb-short", "miniweb"])
def test_every_rewording_of_a_held_out_task_with_its_answer_is_refused(suite):
    suite = load_suite(suite)
    held_out = (*suite.tasks("validation"), *suite.tasks("test"))
    whole, tried = Gate(held_out, 0.9), 0
    instances = {(task.template, tuple(sorted(task.params.items()))): task for task in held_out}
    for request in requests().values():
        same = instances.get((request.template.name, tuple(sorted(request.params.items()))))
        for answer in telling_answers(same) if same else ():
            tried += 1
            assert whole.refusal(request.intent, plan(f"Report {answer}.")), (request.intent, answer)
    assert tried > 300


def test_the_report(tmp_path):
    split = Gate([task("Buy a red kettle"), task("Sell a red kettle", "validation"), task("Close the issue")], 0.9)
    assert split.refusal("Sell the red kettle") == "repeats a validation request"
    assert split.refusal("Open an issue about kettles") == ""
    assert [split.refusal("Buy a green kettle") for _ in range(2)] == ["", ""]  # asked twice, reported once
    assert split.nearest == [
        Nearest("Buy a green kettle", "Buy a red kettle", 2 / 4, ""),
        Nearest("Sell the red kettle", "Buy a red kettle", 2 / 4, "repeats a validation request"),
        Nearest("Open an issue about kettles", "Close the issue", 1 / 5, ""),
    ]
    assert split.summary() == {
        "requests": 3,
        "refused": {"repeats a validation request": 1},
        "similarity": {"0.2 to 0.3": 1, "0.5 to 0.6": 2},
    }
    split.write_report(tmp_path / "nearest.csv")
    rows = list(csv.DictReader((tmp_path / "nearest.csv").open()))
    assert [row["similarity"] for row in rows] == ["0.500", "0.500", "0.200"]
    assert rows[1] == {
        "intent": "Sell the red kettle",
        "test_intent": "Buy a red kettle",
        "similarity": "0.500",
        "refused": "repeats a validation request",
    }


def test_a_refusal_that_only_the_plan_calls_for_stays_in_the_report():
    asked = Gate([replace(PRICE, split="test")], 0.9)
    for steps in (plan(), plan("Report $54.75"), plan()):
        asked.refusal("How much does 'Ceramic Wheel' cost?", steps)
    assert [one.refused for one in asked.nearest] == ["states the answer of a test request"]


@pytest.mark.parametrize("held_out", [[], [task(KETTLE, "validation")]])
def test_without_test_tasks_nothing_is_near(held_out, tmp_path):
    bare = Gate(held_out, 0.9)
    assert bare.refusal("Buy a lamp") == "" and bare.nearest == [Nearest("Buy a lamp", "", 0.0, "")]
    bare.write_report(tmp_path / "nearest.csv")


def test_a_thousand_held_out_requests_are_searched_in_a_millisecond():
    held_out = load_suite("miniweb").tasks("train")[:1000]
    whole = Gate(held_out, 0.9)
    intents = list(requests())[:2000]
    started = time.process_time()
    for intent in intents:
        whole.refusal(intent, plan("Search for 'it'", "Report the price"))
    assert (time.process_time() - started) / len(intents) < 0.002  # seconds; measured: 0.0002


@given(st.text(), st.lists(st.text(), max_size=5))
def test_a_request_always_repeats_itself(intent, others):
    whole = gate(*others, intent)
    assert whole.refusal(intent, plan(intent)) == "repeats a test request"
    assert 0 <= whole.nearest[0].similarity <= 1


@given(st.lists(st.text(), max_size=4), st.text(), st.text())
def test_any_text_can_be_asked_about(held_out, intent, step):
    reasons = ("", *(f"{does} a test request" for does in ("repeats", "shortens", "extends", "states the answer of")))
    assert Gate([answered(text, text[::-1]) for text in held_out], 0.9).refusal(intent, plan(step)) in reasons
