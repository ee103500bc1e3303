"""What the base model is drilled on: answers that are right on their page, the same for a seed, and no benchmark task."""

import asyncio
import re

import pytest

from planact.actions import parse_action
from planact.types import Op
from planact_envs.miniweb import tasks
from planact_train import pretraining
from planact_train.pretraining import BLOCK, QUESTIONS, WARM_UP, phrases_of, wander


@pytest.fixture(scope="module")
def wandered(pages):
    return asyncio.run(wander(phrases_of(pages), 15, seed=1))


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


def test_an_executor_prompt_asks_for_what_its_answer_does(conversations):
    # What is typed or chosen stands in some step of the plan; where plans are revised, what was done first does not.
    revised = 0
    for row in of_kind("act", conversations):
        steps = row["prompt"][0]["content"].split("# Plan\n")[1].splitlines()
        past = [parse_action(m["content"], "webrl") for m in row["prompt"] if m["role"] == "assistant"]
        action, page = parse_action(row["completion"][0]["content"], "webrl"), row["prompt"][-1]["content"]
        if action.op == Op.STOP:
            assert not action.text or f": {action.text}" in page
        else:
            assert action.target in page and action.target.endswith(f" [{action.element}]")
        if action.text and action.op != Op.STOP:
            assert any(f"'{action.text}'" in step for step in steps)
        revised += bool(past and past[0].text) and not any(past[0].text in step for step in steps)
    assert revised > 3  # plans without the steps that are done


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
