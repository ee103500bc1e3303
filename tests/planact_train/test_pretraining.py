"""What the base model is drilled on: instructions that are right on their page, the same for a seed, and no benchmark task."""

import asyncio
import random
import re
from collections import Counter

import pytest

from planact.actions import parse_action
from planact.types import Observation, Op
from planact_envs.miniweb import tasks
from planact_train import pretraining
from planact_train.pretraining import QUESTIONS, Drill, drills, phrases_of, wander

ROLE_OF = {Op.TYPE: "textbox", Op.SEARCH: "textbox", Op.SELECT: "combobox"}


@pytest.fixture(scope="module")
def wandered(pages):
    return asyncio.run(wander(phrases_of(pages), 6, seed=1))


def check(drill: Drill, page, browser) -> None:
    """The action is what the instruction asks for, of an element that is there with that role and name."""
    action, quoted = drill.action, re.findall(r"'(.*?)'(?= in |\.$)", drill.instruction)
    if action.op == Op.STOP:
        assert drill.instruction == f"Report '{quoted[0]}'."
        assert f"{quoted[0]}: {action.text}" in page.text.splitlines()
        return
    node = browser.tab.page.nodes[action.element]
    assert action.target == f"{node.role} '{node.name}'"
    assert quoted[-1] == node.name
    if action.op == Op.CLICK:
        assert drill.instruction == f"Open '{node.name}'." and node.role not in ("textbox", "combobox")
        return
    assert node.role == ROLE_OF[action.op] and quoted[0] == action.text
    if action.op == Op.SELECT:
        assert action.text in [option.name for option in node.children]


async def carry_out(page, made) -> None:
    """Each drill on its page, in a world of its own."""
    for drill in made:
        browser, database = pretraining._browser()
        await browser.goto(page.url)
        assert pretraining._observe(browser).text == page.text
        check(drill, page, browser)
        if drill.action.op != Op.STOP:
            await browser.act(drill.action)  # raises ActionFailed when it cannot be done
        await browser.close()
        database.close()


async def test_every_drill_of_crawled_pages_is_right_and_can_be_carried_out(pages):
    dice, phrases, ops = random.Random(2), phrases_of(pages), Counter()
    for page in dice.sample(pages, 60):
        made = drills(page, phrases, dice)
        ops.update(drill.action.op for drill in made)
        await carry_out(page, made)
    assert set(ops) == {Op.CLICK, Op.TYPE, Op.SEARCH, Op.SELECT, Op.STOP} and min(ops.values()) >= 5, ops


def test_reported_values_stand_on_the_page_also_after_changes(wandered, pages):
    dice, seen = random.Random(0), 0
    for page in wandered:
        for drill in drills(page, phrases_of(pages), dice):
            if drill.action.op == Op.STOP:
                assert f"{drill.instruction[8:-2]}: {drill.action.text}" in page.text.splitlines()
                seen += 1
    assert seen > 20


def test_a_page_by_hand():
    # One link, one field, one list and one "Name: value" line: four drills, in random order.
    text = "page 'Shop'\nlink 'Cart' [1]\ntextbox 'Search' [2] = ''\ncombobox 'Sort by' [3] = 'Price' of Name, Price\nShipping: $4.50"
    made = {drill.action.op: drill for drill in drills(Observation(text, "", ""), ["Blue Mug"], random.Random(0))}
    assert {op: drill.instruction for op, drill in made.items() if op != Op.SELECT} == {
        Op.CLICK: "Open 'Cart'.",
        Op.SEARCH: "Search for 'Blue Mug' in 'Search'.",
        Op.STOP: "Report 'Shipping'.",
    }
    assert (made[Op.CLICK].action.element, made[Op.SEARCH].action.element, made[Op.STOP].action.text) == ("1", "2", "$4.50")
    assert made[Op.SELECT].action.text in ("Name", "Price") and made[Op.SELECT].action.element == "3"
    assert made[Op.SELECT].instruction == f"Select '{made[Op.SELECT].action.text}' in 'Sort by'."


def test_no_task_of_any_split_is_among_the_conversations(pages, wandered):
    intents = [task.intent for split in ("train", "validation", "test") for task in tasks.load_tasks(split)]
    rows = list(pretraining.conversations(pages + wandered, 2000, seed=0))
    everything = "\n".join(m["content"] for row in rows for m in (*row["prompt"], *row["completion"])).lower()
    assert len(rows) == 2000 and len(intents) > 1000
    assert [intent for intent in intents if intent.lower() in everything] == []


def test_a_seed_always_gives_the_same_rows_and_another_one_others(pages, wandered):
    again = asyncio.run(wander(phrases_of(pages), 6, seed=1))
    assert [page.text for page in again] == [page.text for page in wandered]
    one, same, other = (list(pretraining.conversations(pages, 50, seed)) for seed in (3, 3, 4))
    assert one == same and one != other


def test_half_of_the_rows_are_executor_prompts_and_half_are_chats_about_one_page(conversations):
    rounds, quizzes = conversations[::2], conversations[1::2]
    for row in rounds:
        assert re.search(r"^# Task\n.*\n\n# Plan\n1\. ", row["prompt"][0]["content"], re.M)
        assert [m["role"] for m in row["completion"]] == ["assistant"]
    for row in quizzes:
        roles = [m["role"] for m in (*row["prompt"], *row["completion"])]
        assert roles[:2] == ["system", "user"] and roles[1:] == ["user", "assistant"] * (len(roles) // 2)
        assert len(roles) <= 1 + 2 * QUESTIONS
    answers = [m["content"] for row in conversations for m in row["completion"] if m["role"] == "assistant"]
    assert all(parse_action(answer, "webrl") for answer in answers)


def test_the_plan_of_a_row_says_what_its_answer_does(conversations):
    # The step to do next is the one after as many steps as there are past answers.
    for row in conversations[::2]:
        done = sum(m["role"] == "assistant" for m in row["prompt"])
        step = re.findall(r"^\d+\. (.*)$", row["prompt"][0]["content"].split("# Plan\n")[1], re.M)[done]
        action = parse_action(row["completion"][0]["content"], "webrl")
        if action.op == Op.STOP:
            assert f"{step.removeprefix('Report ')[1:-2]}: {action.text}" in row["prompt"][-1]["content"].splitlines()
        else:
            assert step.endswith(f"{action.target.split(' ', 1)[1]}.")
