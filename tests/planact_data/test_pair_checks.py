"""The rules that written pairs must keep, and the verdicts of a teacher."""

import pytest

from planact.llm import ScriptedLLM
from planact.store import RunStore
from planact.teaching.annotation import annotated_plan
from planact.types import Observation, Plan, PlanStep
from planact_data.desk import Desk
from planact_data.pair_checks import KIND, broken_rule, verdicts
from planact_data.pairs import Pair
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.tasks import all_tasks, solution
from planact_envs.miniweb.teacher.planning import annotate
from planact_envs.observation import FORMS

TASKS = [task for task in all_tasks().values() if task.split == "train"]
PAGE = Observation("", "textbox 'Search products' [1]\nlink 'Cart' [2]\nlink 'Kitchen' [3]", "http://shop.x/", "The Shop")
SEARCH = ("The page has a box to search products.", "Search for 'Tee Kettle'.")
REPORT = ("It is shown there.", "Report the price.")


async def homes(form):
    """The first pages of all sites by address."""
    env = MiniwebEnv(form)
    found = {url: await env.reset(next(task for task in TASKS if task.start_url == url)) for url in HOME.values()}
    await env.close()
    return found


@pytest.mark.parametrize("form", FORMS)
async def test_the_oracles_plans_of_all_training_tasks_keep_the_rules(form):
    pages, broken = await homes(form), {}
    for task in TASKS:
        if rule := broken_rule(task.intent, annotated_plan(annotate(solution(task), 0)), pages[task.start_url]):
            broken[task.id] = rule
    assert len(TASKS) > 3000 and broken == {}


def plan(*steps):
    return Plan(tuple(PlanStep(*step) for step in steps))


def rule(intent, *steps):
    return broken_rule(intent, plan(*steps), PAGE)


@pytest.mark.parametrize(
    "intent, steps",
    [
        ("What does 'Tee Kettle' cost?", (SEARCH, REPORT)),
        ("What does the tee kettle cost?", (SEARCH, REPORT)),  # a value needs no quotes in the request
        ('Find "Tee Kettle" for me.', (SEARCH,)),
        ("Show me 'Tee Kettle'.", (SEARCH, ("It is a label on the page.", "Go to 'Kitchen'."))),  # the page shows it
        ("Could you find 'Tee Kettle'?", (SEARCH,)),  # asks for an action
        ("Which of 'Tee Kettle' and 'Tee Pot' is in the cart?", (SEARCH, REPORT)),  # half of the values are enough
        ("Find 'Tee Kettle', made in May 2023.", (SEARCH, ("It has a date.", "Set the date to '05/01/2023'."))),
        ("Write '[7] and element 7' about 'Tee Kettle'.", (SEARCH, ("It has a form.", "Write '[7] and element 7'."))),
        ("Buy 'Tee Kettle', don't wait.", (SEARCH, ("The customer's cart is open.", "Order the 2 products' set of 12."))),
    ],
)
def test_good_pairs_break_none(intent, steps):
    assert rule(intent, *steps) == ""


@pytest.mark.parametrize(
    "intent, steps, reason",
    [
        ("Tea?", (SEARCH, REPORT), "length of the request"),
        ("Find 'Tee Kettle'. " * 50, (SEARCH,), "length of the request"),
        ("Find [product name].", (SEARCH,), "placeholder"),
        ("Find {product}.", (SEARCH,), "placeholder"),
        ("Find 'Tee Kettle'.", (SEARCH, ("So.", "Write <the price>.")), "placeholder"),
        ("Find 'Tee Kettle'.", (SEARCH, ("So.", "Send it to XXXX.")), "placeholder"),
        ("Find 'Tee Kettle'.", (("The search box is below.", "Scroll down to it."), SEARCH), "scrolling"),
        ("Find 'Tee Kettle'.", (SEARCH, ("It needs scrolling.", "Open it.")), "scrolling"),
        ("Find 'Tee Kettle'.", (SEARCH, ("So.", "Click element 7.")), "element id"),
        ("Find 'Tee Kettle'.", (SEARCH, ("So.", "Click the link [7].")), "element id"),
        ("Find 'Tee Kettle'.", (SEARCH, ("So.", 'Click id="a7".')), "element id"),
        ("Find 'Tee Kettle'.", (SEARCH, ("", "Open it.")), "step without reasoning"),
        ("Find 'Tee Kettle'.", (("I must begin.", "Search for 'Tee Kettle'."),), "reasoning without the page"),
        ("Find 'Tee Kettle'.", (("There is a textbox.", "Search for 'Tee Kettle'."),), "reasoning without the page"),  # a role, no word
        ("Find 'Tee Kettle'.", (SEARCH, ("It is there.", "Open 'Tee Pot'.")), "value from nowhere"),
        ("Find 'Tee Kettle'.", (SEARCH, ("It costs $19.99.", "Open it.")), "value from nowhere"),
        ("Find order 1279 of 'Tee Kettle'.", (SEARCH, ("It is there.", "Open order 1278.")), "value from nowhere"),
        ("Find 'Tee Kettle'.", (("The page can search for 'Kettle'.", "Search for 'Kettles'."),), "value from nowhere"),
        ("Find 'Tee Kettle'.", (("Search products is on the page.", "Search for it."),), "values of the request missing"),
        ("Find order 1279.", (("Search products is on the page.", "Search for it."),), "values of the request missing"),
        ("Find 'A', 'B' and 'Tee Kettle'.", (SEARCH,), "values of the request missing"),  # one of three
        ("What does 'Tee Kettle' cost?", (SEARCH,), "question without a report"),
        ("Find 'Tee Kettle' and tell me its price.", (SEARCH, ("It is there.", "Open it.")), "question without a report"),
    ],
)
def test_each_rule_is_broken_by_what_it_is_for(intent, steps, reason):
    assert rule(intent, *steps) == reason


def test_names_on_a_page_of_html_are_read_without_escapes():
    page = Observation("", "<a> Salt &amp; Pepper </a>", "http://shop.x/")
    assert broken_rule("Open the mill.", plan(("Salt is on the page.", "Open 'Salt & Pepper'.")), page) == ""


PAIRS = [Pair(f"expansion/shop.x/0/{n}", f"Find 'Tee {n}'.", PAGE, plan(SEARCH), "shop.x", "expansion") for n in (1, 2)]


async def ask(tmp_path, *replies):
    teacher = ScriptedLLM(replies)
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        desk = Desk(store, seed=0, in_flight=2)
        return await verdicts(PAIRS, "shop.x/0", teacher, desk), desk.tally(KIND)


async def test_one_question_is_asked_about_all_pairs(tmp_path):
    reasons, tally = await ask(tmp_path, "## Pair 1\nNo such thing.\n[NO]\n## Pair 2\nFine.\n[YES]")
    assert reasons == ["not feasible", ""] and (tally.asked, tally.usage.calls) == (1, 1)


async def test_pairs_without_a_verdict_are_not_used(tmp_path):
    reasons, tally = await ask(tmp_path, "Fine.", "Fine.", "Both fine.")
    assert reasons == ["no verdict (format)"] * 2 and tally.rejected == {"format": 1}
