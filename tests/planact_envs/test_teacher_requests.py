"""The scripted teacher as a writer of requests and as a judge of trajectories, and as an actor on requests that it does not know."""

import random
from collections import Counter

import pytest

from planact.llm import RequestRefused
from planact.loop import run_episode
from planact.recipe import Agent
from planact.teaching import AnswerError
from planact.teaching.outcome import judge_messages, orm_messages, p_yes, parse_verdict
from planact.teaching.queries import WANTED, feasibility_messages, parse_feasibility, parse_queries, query_messages
from planact.types import Observation, Outcome, StopReason, Task
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import all_tasks, find, load_tasks
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.knowledge import requests, solution_of, task_of
from planact_envs.suites import load_suite

PAGE = Observation("", "page 'Fernhill Store'", "http://shop.miniweb/")
TRAIN = load_tasks("train", "miniweb-short")
HELD_OUT = [task for task in all_tasks().values() if task.split != "train"]


async def written(teacher, number):
    """(seeds, answer) of so many questions with five seeds of the shop."""
    shop, dice = [task.intent for task in TRAIN if task.sites == ("shop",)], random.Random(number)
    groups = [dice.sample(shop, 5) for _ in range(number)]
    return [(seeds, (await teacher.complete(query_messages(PAGE, seeds), max_tokens=500)).text) for seeds in groups]


async def tried(task, form="short", grammar="webrl", error_rate=0.0, seed=0):
    env = MiniwebEnv(form)
    agent = Agent(planner="none", prompts="compact", observation=form, grammar=grammar)
    trajectory = await run_episode(task, env, agent, ScriptedTeacher(form, grammar, error_rate, seed))
    await env.close()
    return trajectory


async def test_new_requests_are_of_the_kinds_shown_and_about_nothing_that_is_held_out_or_verbatim_so():
    held_out, things = {task.intent for task in HELD_OUT}, 0
    taken = {(task.template, *(task.params[name] for name in requests()[task.intent].template.main)) for task in HELD_OUT}
    for seeds, answer in await written(ScriptedTeacher("short", "webrl"), 40):
        new = parse_queries(answer)
        assert 5 <= len(new) <= WANTED
        kinds = {requests()[seed].template.name for seed in seeds}
        for one in map(requests().get, new):
            assert one.template.name in kinds and not one.template.unseen
            leaks = (one.template.name, *(one.params[name] for name in one.template.main)) in taken
            assert leaks == (one.intent in held_out)
            things += leaks
    assert 4 <= things <= 24  # 40 x 0.3 = 12


async def test_mistakes_in_requests_come_at_about_their_rate_and_repairs_have_numbers():
    teacher, found = ScriptedTeacher("short", "webrl", error_rate=0.3), Counter()
    for seeds, answer in await written(teacher, 40):
        try:
            new = parse_queries(answer)
        except AnswerError as error:
            found["format"] += 1
            messages = [*query_messages(PAGE, seeds), {"role": "assistant", "content": answer}, {"role": "user", "content": str(error)}]
            new = parse_queries((await teacher.complete(messages, max_tokens=500)).text)
        found["requests"] += len(new)
        found["seeds"] += len(set(seeds) & set(new))
        found["unknown"] += sum(intent not in requests() for intent in new)
    assert 4 <= found["format"] <= 20  # 40 x 0.3 = 12
    assert 0.08 < found["seeds"] / found["requests"] < 0.25 and 0.08 < found["unknown"] / found["requests"] < 0.25  # 0.15 each


@pytest.mark.parametrize("error_rate, low, high", [(0.0, 0, 0), (0.3, 12, 48)])
async def test_feasible_is_what_miniweb_can_make_but_for_mistakes(error_rate, low, high):
    teacher, wrong = ScriptedTeacher("short", "webrl", error_rate), 0
    for n, task in enumerate(TRAIN[:50]):
        for intent, truth in ((task.intent, True), (f"Find product number {n} and send it to the moon", False)):
            answer = (await teacher.complete(feasibility_messages(intent, PAGE), max_tokens=500)).text
            wrong += parse_feasibility(answer) != truth
    assert low <= wrong <= high  # of 100


@pytest.mark.parametrize("form, grammar", [("axtree", "webrl"), ("html", "browsergym"), ("short", "webrl")])
async def test_judge_and_reward_model_agree_with_the_environment(form, grammar):
    """On the oracle's way and off it, for one task of every template; a detour that does no harm is judged too hard."""
    teacher, verdicts = ScriptedTeacher(form, grammar), Counter()
    for task in {task.template: task for task in all_tasks().values()}.values():
        for error_rate in (0.0, 1.0):
            one = await tried(task, form, grammar, error_rate)
            judge = (await teacher.complete(judge_messages(one.intent, one.turns, one.final, one.answer), max_tokens=500)).text
            orm = await teacher.complete(orm_messages(one.intent, one.turns, one.final), max_tokens=1, top_logprobs=20)
            assert (p_yes(orm.top_logprobs) > 0.5) == parse_verdict(judge) == (orm.text == "YES"), task.id
            verdicts[one.outcome.success, parse_verdict(judge)] += 1
    assert verdicts[True, True] >= len({task.template for task in all_tasks().values()})
    assert verdicts[False, False] > 20 and not verdicts[False, True] and verdicts[True, False] <= 10


async def test_wrong_verdicts_come_at_about_their_rate():
    teacher, wrong = ScriptedTeacher("short", "webrl", error_rate=0.3), Counter()
    for task in TRAIN[:1000:20]:
        one = await tried(task)
        judge = (await teacher.complete(judge_messages(one.intent, one.turns, one.final, one.answer), max_tokens=500)).text
        orm = await teacher.complete(orm_messages(one.intent, one.turns, one.final), max_tokens=1, top_logprobs=20)
        wrong.update({"judge": not parse_verdict(judge), "orm": p_yes(orm.top_logprobs) < 0.5})
    assert 5 <= wrong["judge"] <= 25 and 5 <= wrong["orm"] <= 25  # 50 x 0.3 = 15


async def test_an_unknown_request_is_no_success_for_the_judge():
    teacher, one = ScriptedTeacher("short", "webrl"), await tried(TRAIN[0])
    judge = (await teacher.complete(judge_messages("Boil an egg", one.turns, one.final, one.answer), max_tokens=500)).text
    orm = (await teacher.complete(orm_messages("Boil an egg", one.turns, one.final), max_tokens=1)).text
    assert (parse_verdict(judge), orm) == (False, "NO")


@pytest.mark.parametrize("grammar", ["webrl", "browsergym"])
async def test_on_an_unknown_request_the_actor_clicks_a_little_and_stops_and_nobody_can_score_it(grammar):
    endings = Counter()
    for seed in range(8):
        task = Task(f"synthetic.{seed}", "miniweb", "train", ("shop",), "Boil an egg", "http://shop.miniweb/", "synthetic")
        one = await tried(task, grammar=grammar, seed=seed)
        assert one.stop_reason == StopReason.ANSWERED and one.outcome == Outcome(None, "miniweb", "the task has no evaluation")
        endings[len(one.turns)] += 1
    assert set(endings) <= {1, 2, 3, 4} and len(endings) > 1


def test_a_request_becomes_a_task_with_its_evaluation_where_it_starts():
    known = find(TRAIN[0].id)
    made = task_of(known.intent, known.start_url)
    assert (made.eval, made.sites, made.intent, made.start_url) == (known.eval, known.sites, known.intent, known.start_url)
    assert task_of(known.intent, "http://elsewhere.miniweb/") is None and task_of("Boil an egg", known.start_url) is None
    with pytest.raises(RequestRefused, match="no miniweb task 'Boil an egg'"):
        solution_of("Boil an egg")


def test_suites_of_miniweb_can_score_new_requests_and_others_cannot():
    assert load_suite("miniweb").task_of is load_suite("miniweb-short-chromium").task_of is task_of
    assert load_suite("miniwob").task_of is None
