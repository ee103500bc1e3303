"""Instructions about one page: each says what its actions do, of elements that are there, and can be carried out."""

import random
import re
from collections import Counter

from planact.types import Action, Op
from planact_envs.observation import read_elements
from planact_train import pretraining
from planact_train.drills import NEXT, STOP, drill_on, element_drill
from planact_train.pretraining import phrases_of

ROLE_OF = {Op.TYPE: "textbox", Op.SEARCH: "textbox", Op.SELECT: "combobox"}
PAGE = """page 'Shop'
link 'Cart' [1]
textbox 'Search products' [2] = ''
combobox 'Sort by' [3] = 'Price' of Name, Price
button 'Apply' [4]
Shipping: $4.50"""


def made(text, count=600):
    dice = random.Random(0)
    return {(drill.instruction, drill.actions) for drill in (drill_on(text, ["Blue Mug"], dice) for _ in range(count))}


def test_the_drills_of_a_page_by_hand():
    cart = (Action(Op.CLICK, "1", target="link 'Cart' [1]"),)
    search = (Action(Op.SEARCH, "2", "Blue Mug", "textbox 'Search products' [2]"),)
    name, price = ((Action(Op.SELECT, "3", option, "combobox 'Sort by' [3]"),) for option in ("Name", "Price"))
    apply = (Action(Op.CLICK, "4", target="button 'Apply' [4]"),)
    report = (Action(Op.STOP, text="$4.50"),)
    forms = {
        (f"{words.format(option)} and press 'Apply'.", actions + apply)
        for option, actions in (("Name", name), ("Price", price))
        for words in ("Select '{}' in 'Sort by'", "Set the sort by to '{}'")
    }
    assert made(PAGE) == forms | {
        ("Open 'Cart'.", cart),
        ("Find 'Cart' in the list and open it.", cart),
        ("Open 'Cart' in the search results.", cart),
        ("Go to the page Cart.", cart),
        ("Search for 'Blue Mug' in 'Search products'.", search),
        ("Search the products for 'Blue Mug'.", search),
        ("Select 'Name' in 'Sort by'.", name),
        ("Select 'Price' in 'Sort by'.", price),
        ("Set the sort by to 'Name'.", name),
        ("Set the sort by to 'Price'.", price),
        ("Press 'Apply'.", apply),
        ("Press Apply.", apply),
        ("Report 'Shipping'.", report),
        ("Report the shipping shown on the page.", report),
        (STOP, (Action(Op.STOP),)),
    }


def test_what_is_not_on_a_page_of_a_list_is_looked_for_on_the_next_one():
    drills = made(f"page 'List'\nlink 'Oak Lamp' [1]\nlink '{NEXT}' [2]")
    turn = (Action(Op.CLICK, "2", target=f"link '{NEXT}' [2]"),)
    assert ("Find 'Blue Mug' in the list and open it.", turn) in drills
    assert ("Find 'Oak Lamp' in the list and open it.", turn) not in drills


def test_a_field_that_is_no_search_box_is_typed_into():
    page = "page 'Review'\ntextbox 'Your review' [5] = ''"
    typed = (Action(Op.TYPE, "5", "Blue Mug", "textbox 'Your review' [5]"),)
    dice = random.Random(1)
    words = {element_drill(read_elements(page, "short")[0], page, ["Blue Mug"], dice) for _ in range(50)}
    assert {drill.actions for drill in words} == {typed}
    assert {drill.instruction for drill in words} == {
        "Type 'Blue Mug' in 'Your review'.",
        "Write 'Blue Mug' in Your review.",
        "Set the your review to 'Blue Mug'.",
    }


def check(action, page, browser) -> None:
    """The action is on an element that is there, or reports a value that stands on the page."""
    if action.op == Op.STOP:
        assert not action.text or re.search(rf": {re.escape(action.text)}$", page.text, re.M)
        return
    node = browser.tab.page.nodes[action.element]
    assert action.target == f"{node.role} '{node.name}' [{node.id}]" and action.target in page.text
    assert node.role == ROLE_OF.get(action.op, node.role)
    if action.op == Op.SELECT:
        assert action.text in [option.name for option in node.children]


async def test_every_drill_of_crawled_pages_can_be_carried_out(pages):
    # Each on its page, in a world of its own.
    dice, phrases, ops = random.Random(2), phrases_of(pages), Counter()
    with_search = [page for page in pages if "textbox 'Search" in page.text]
    for page in dice.choices(pages, k=300) + dice.choices(with_search, k=100):
        drill = drill_on(page.text, phrases, dice)
        browser, database = pretraining._browser()
        await browser.goto(page.url)
        assert pretraining._observe(browser).text == page.text
        for action in drill.actions:
            ops[action.op] += 1
            check(action, page, browser)
            if action.op != Op.STOP:
                await browser.act(action)  # raises ActionFailed when it cannot be done
        database.close()
    assert set(ops) == {Op.CLICK, Op.TYPE, Op.SEARCH, Op.SELECT, Op.STOP}, ops
