"""How questions show several pages."""

from dataclasses import dataclass

from planact.plans import render_steps
from planact.shorten import count_tokens
from planact.teaching.pairs import MAX_PAGE, show_pages, show_pairs
from planact.types import Observation, Plan, PlanStep


def test_equal_pages_are_shown_once():
    pages = ["home", "cart", "home", "cart", "end"]
    assert show_pages(pages, "Pair", "") == ["home", "cart", "(as in Pair 1)", "(as in Pair 2)", "end"]


@dataclass(frozen=True)
class Shown:
    intent: str
    page: Observation
    plan: Plan


def test_a_long_page_keeps_what_the_requests_and_plans_name():
    page = "\n".join(["page 'Shop'", *(f"link 'Product {n}'" for n in range(1000))])
    pairs = [
        Shown("Open 'Product 700'.", Observation("", page, "http://x/"), Plan((PlanStep("", "Open it."),))),
        Shown("Open something.", Observation("", page, "http://x/"), Plan((PlanStep("", "Open 'Product 900'."),))),
    ]
    text = show_pairs(pairs, "Pair", render_steps)
    assert "link 'Product 700'\n" in text and "link 'Product 900'\n" in text and "link 'Product 500'\n" not in text
    assert count_tokens(page) > 2 * MAX_PAGE > count_tokens(text) and "(nodes left out: " in text
