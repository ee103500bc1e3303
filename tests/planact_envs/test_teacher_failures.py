"""The scripted teacher on failures and variants: its answers pass the parsers, and its mistakes are those that checks must catch."""

from collections import Counter

import pytest

from planact.llm import RequestRefused
from planact.teaching import AnswerError
from planact.teaching.failures import MAX_CLASSES, classes_messages, classify_messages, parse_classes, parse_classification
from planact.teaching.variants import parse_variant, variant_messages
from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, StopReason, Trajectory, Turn
from planact_data.pairs import Pair
from planact_envs.miniweb.tasks import SUITES, load_tasks
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.knowledge import requests
from planact_envs.miniweb.teacher.pairs import plan_of

TRAIN, VALIDATION = load_tasks("train"), load_tasks("validation")
HELD_OUT = {task.intent for split in ("validation", "test") for suite in SUITES for task in load_tasks(split, suite)}
PAGE = Observation("", "page 'Shop'", "http://shop.miniweb/", "Shop")


def failed(task):
    turn = Turn(0, Plan(), PAGE, "", Action(Op.STOP))
    attempt = Trajectory(task.id, task.hash, task.intent, (turn,), StopReason.ANSWERED, Outcome(False), PAGE)
    return attempt, FailureInfo("planning", "ended")


async def answer(messages, error_rate=0.0, seed=0):
    return (await ScriptedTeacher("short", "webrl", error_rate).complete(messages, max_tokens=1000, seed=seed)).text


def template(intent):
    return requests()[intent].template.name


async def test_classes_are_the_templates_that_failed_most_often():
    shop = [task for task in VALIDATION if task.start_url == "http://shop.miniweb/"][:20]
    found = parse_classes(await answer(classes_messages("shop.miniweb", [failed(task) for task in shop])))
    counted = Counter(task.template for task in shop)
    assert len(found) == min(len(counted), MAX_CLASSES)
    assert [one.name for one in found] == [name.replace(".", " ").replace("_", " ") for name, _ in counted.most_common(MAX_CLASSES)]
    assert not any(value in str(found) for task in shop for value in task.params.values() if len(value) > 3)


async def test_a_pair_is_sorted_by_its_template():
    tasks = [task for task in VALIDATION if task.template in ("shop.price", "shop.wish")]
    classes = parse_classes(await answer(classes_messages("shop.miniweb", [failed(task) for task in tasks])))
    names = [one.name for one in classes]
    for task in TRAIN[::40]:
        messages = classify_messages("shop.miniweb", classes, task.intent, plan_of(task.intent))
        index = parse_classification(await answer(messages), len(classes))
        assert index == (names.index(task.template.replace(".", " ")) if task.template in ("shop.price", "shop.wish") else None)


async def test_a_variant_is_another_request_of_the_template_about_something_that_no_held_out_task_is_about():
    for task in TRAIN[::60]:
        pair = Pair("seed/x", task.intent, PAGE, plan_of(task.intent), "shop.miniweb", "seed")
        concern = parse_classes(await answer(classes_messages("x", [failed(task)])))[0]
        variant = parse_variant(await answer(variant_messages(pair, concern, [], 1)))
        assert template(variant.intent) == task.template and variant.plan == plan_of(variant.intent)
        assert variant.intent not in HELD_OUT
        again = parse_variant(await answer(variant_messages(pair, concern, [variant.intent], 2)))
        assert again.intent != variant.intent


async def mistakes(messages, check, seeds=40):
    """What becomes of answers of a teacher that is always wrong, and that a complaint makes it right."""
    found = Counter()
    for seed in range(seeds):
        try:
            found[check(await answer(messages, 1.0, seed))] += 1
        except AnswerError as error:
            found[error.reason] += 1
    complaint = [{"role": "assistant", "content": "..."}, {"role": "user", "content": "That answer cannot be used."}]
    assert check(await answer([*messages, *complaint], 1.0)) == check(await answer(messages))
    return found


async def test_wrong_classes_have_no_form_or_name_a_request():
    task = next(task for task in VALIDATION if task.template == "shop.price")
    found = await mistakes(classes_messages("x", [failed(task)]), lambda text: task.intent in parse_classes(text)[0].description)
    assert set(found) == {"format", True} and min(found.values()) > 5


async def test_wrong_classifications_are_another_class_or_none_that_exists():
    task = next(task for task in TRAIN if task.template == "shop.price")
    classes = parse_classes(await answer(classes_messages("x", [failed(task)])))
    messages = classify_messages("x", classes, task.intent, plan_of(task.intent))
    found = await mistakes(messages, lambda text: str(parse_classification(text, len(classes))))
    assert set(found) == {"no such class", "None"} and min(found.values()) > 5


async def test_wrong_variants_lack_the_plan_copy_the_pair_or_ask_what_is_held_out():
    task = next(task for task in TRAIN if task.template == "shop.price")
    pair = Pair("seed/x", task.intent, PAGE, plan_of(task.intent), "shop.miniweb", "seed")
    concern = parse_classes(await answer(classes_messages("x", [failed(task)])))[0]
    messages = variant_messages(pair, concern, [], 1)
    kinds = Counter()
    for seed in range(60):
        try:
            intent = parse_variant(await answer(messages, 1.0, seed)).intent
            kinds["copy" if intent == task.intent else "held out" if intent in HELD_OUT else "fine"] += 1
        except AnswerError as error:
            kinds[error.reason] += 1
    assert set(kinds) == {"format", "copy", "held out"} and min(kinds.values()) > 8


async def test_a_pair_that_is_not_of_miniweb_is_refused():
    pair = Pair("seed/x", "Boil an egg", PAGE, Plan(), "x", "seed")
    concern = parse_classes(await answer(classes_messages("x", [failed(VALIDATION[0])])))[0]
    with pytest.raises(RequestRefused, match="no miniweb task 'Boil an egg'"):
        await answer(variant_messages(pair, concern, [], 1))
