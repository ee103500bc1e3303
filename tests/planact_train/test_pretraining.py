"""What the base model is drilled on: answers that are right on their page, the same for a seed, and no benchmark task."""

import asyncio
import random
import re
from collections import Counter

import pytest

from planact.actions import parse_action
from planact.types import Action, Observation, Op
from planact_envs.miniweb import tasks
from planact_train import pretraining
from planact_train.pretraining import BLOCK, QUESTIONS, WARM_UP, phrases_of, wander

ROLE_OF = {Op.TYPE: "textbox", Op.SEARCH: "textbox", Op.SELECT: "combobox"}


@pytest.fixture(scope="module")
def wandered(pages):
    return asyncio.run(wander(phrases_of(pages), 15, seed=1))


def check(drill, page, browser) -> None:
    """The action is what the instruction asks for, of an element that is there with that role and name."""
    action, quoted = drill.action, re.findall(r"'(.*?)'(?= in |\.$)", drill.instruction)
    if action.op == Op.STOP:
        assert drill.instruction == f"Report '{quoted[0]}'."
        assert f"{quoted[0]}: {action.text}" in page.text.splitlines()
        return
    node = browser.tab.page.nodes[action.element]
    assert action.target == f"{node.role} '{node.name}' [{node.id}]" and action.target in page.text
    assert quoted[-1] == node.name
    if action.op == Op.CLICK:
        assert drill.instruction == f"Open '{node.name}'." and node.role not in ("textbox", "combobox")
        return
    assert node.role == ROLE_OF[action.op] and quoted[0] == action.text
    if action.op == Op.SELECT:
        assert action.text in [option.name for option in node.children]


async def test_every_drill_of_crawled_pages_is_right_and_can_be_carried_out(pages):
    # Each on its page, in a world of its own.
    dice, phrases, ops = random.Random(2), phrases_of(pages), Counter()
    for page in dice.choices(pages, k=300):
        drill = pretraining._drill(page, phrases, dice)
        ops[drill.action.op] += 1
        browser, database = pretraining._browser()
        await browser.goto(page.url)
        assert pretraining._observe(browser).text == page.text
        check(drill, page, browser)
        if drill.action.op != Op.STOP:
            await browser.act(drill.action)  # raises ActionFailed when it cannot be done
        await browser.close()
        database.close()
    assert set(ops) == {Op.CLICK, Op.TYPE, Op.SEARCH, Op.SELECT, Op.STOP} and min(ops.values()) >= 3, ops


def test_the_drills_of_a_page_by_hand():
    # One link, one field, one list and one "Name: value" line.
    text = "page 'Shop'\nlink 'Cart' [1]\ntextbox 'Search' [2] = ''\ncombobox 'Sort by' [3] = 'Price' of Name, Price\nShipping: $4.50"
    dice, page = random.Random(0), Observation(text, "", "")
    made = {(drill.instruction, drill.action) for drill in (pretraining._drill(page, ["Blue Mug"], dice) for _ in range(200))}
    assert made == {
        ("Open 'Cart'.", Action(Op.CLICK, "1", target="link 'Cart' [1]")),
        ("Search for 'Blue Mug' in 'Search'.", Action(Op.SEARCH, "2", "Blue Mug", "textbox 'Search' [2]")),
        ("Select 'Name' in 'Sort by'.", Action(Op.SELECT, "3", "Name", "combobox 'Sort by' [3]")),
        ("Select 'Price' in 'Sort by'.", Action(Op.SELECT, "3", "Price", "combobox 'Sort by' [3]")),
        ("Report 'Shipping'.", Action(Op.STOP, text="$4.50")),
    }


def test_walks_meet_pages_that_links_do_not_reach(wandered, pages):
    # Search results and filled forms among them; every page once.
    texts = [page.text for page in wandered]
    assert len(set(texts)) == len(texts) > 20
    assert len(set(texts) - {page.text for page in pages}) > 5


def kind_of(row):
    return row["prompt"][0]["content"].split("\n")[0]


def of_kind(kind, rows):
    found = [row for row in rows if kind_of(row) == kind]
    assert len(found) >= BLOCK
    return found


def test_rows_come_in_blocks_of_one_kind_and_executor_prompts_come_later(pages):
    rows = list(pretraining.conversations(pages, 2000, seed=1))
    kinds = [kind_of(row) for row in rows]
    assert all(len(set(kinds[start : start + BLOCK])) == 1 for start in range(0, len(kinds), BLOCK))
    first = kinds.index("act")
    assert WARM_UP * 2000 <= first < WARM_UP * 2000 + 10 * BLOCK
    assert set(kinds) == {"find", "list", "act"}
    assert 0.3 < kinds[first:].count("act") / len(kinds[first:]) < 0.7  # half of what follows
    assert all([m["role"] for m in row["completion"]] == ["assistant"] for row in rows)


def test_what_is_to_be_found_stands_on_the_page_under_that_name(conversations):
    for row in of_kind("find", conversations):
        page, asked, answers = (message["content"] for message in (*row["prompt"], *row["completion"]))
        assert 1 <= len(answers.splitlines()) <= QUESTIONS
        names = []
        for line in answers.splitlines():
            assert line in page
            names.append(re.fullmatch(r"\w+ '(.*)' \[\d+\]|([^:]+): .*", line).expand(r"\1\2"))
        assert asked == f"Find {', '.join(map(repr, names))}."


def test_a_list_says_what_its_sentence_says(conversations):
    for row in of_kind("list", conversations):
        sentence, answer = row["prompt"][1]["content"], row["completion"][0]["content"]
        lines = answer.splitlines()
        assert 2 <= len(lines) <= 5 and [line.split(". ")[0] for line in lines] == [str(n + 1) for n in range(len(lines))]
        parts = [line.split(". ", 1)[1].removesuffix(".") for line in lines]
        said = [part[0].lower() + part[1:] for part in parts]
        assert sentence.lower() == f"{', then '.join(said)}.".lower()


def test_the_plan_of_an_executor_prompt_says_what_its_answer_does(conversations):
    # The step to do next is the one after as many steps as there are past answers.
    for row in of_kind("act", conversations):
        done = sum(m["role"] == "assistant" for m in row["prompt"])
        head = row["prompt"][0]["content"]
        assert re.search(r"^# Task\n.*\n\n# Plan\n1\. ", head, re.M)
        step = re.findall(r"^\d+\. (.*)$", head.split("# Plan\n")[1], re.M)[done]
        action, page = parse_action(row["completion"][0]["content"], "webrl"), row["prompt"][-1]["content"]
        if action.op == Op.STOP:
            assert f"{step.removeprefix('Report ')[1:-2]}: {action.text}" in page.splitlines()
        else:
            assert action.target in page and action.target.endswith(f" [{action.element}]")
            assert step.endswith(f"{action.target.split(' ', 1)[1].rsplit(' ', 1)[0]}.")


def test_no_task_of_any_split_is_among_the_conversations(pages, wandered):
    intents = [task.intent for split in ("train", "validation", "test") for task in tasks.load_tasks(split)]
    rows = list(pretraining.conversations(pages + wandered, 2000, seed=0))
    everything = "\n".join(m["content"] for row in rows for m in (*row["prompt"], *row["completion"])).lower()
    assert len(rows) == 2000 and len(intents) > 1000
    assert [intent for intent in intents if intent.lower() in everything] == []


def test_a_seed_always_gives_the_same_rows_and_another_one_others(pages, wandered):
    again = asyncio.run(wander(phrases_of(pages), 15, seed=1))
    assert [page.text for page in again] == [page.text for page in wandered]
    one, same, other = (list(pretraining.conversations(pages, 100, seed)) for seed in (3, 3, 4))
    assert one == same and one != other
