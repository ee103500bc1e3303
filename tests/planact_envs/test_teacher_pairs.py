"""The scripted teacher as a writer and judge of pairs: right without an error rate, and each planted mistake is one that is caught."""

import re

import pytest

from planact.llm import RequestRefused
from planact.teaching.expansion import WANTED, expansion_messages, parse_expansion
from planact.teaching.feasibility import feasibility_messages, parse_verdicts
from planact_data.distinct import Distinct
from planact_data.leaks import Gate
from planact_data.pair_checks import broken_rule
from planact_data.pairs import Pair, site_of
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.sites import HOME
from planact_envs.miniweb.tasks import all_tasks
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.knowledge import requests
from planact_envs.miniweb.teacher.pairs import MISTAKES, NOTHING, plan_of

TASKS = all_tasks().values()
TRAIN = [task for task in TASKS if task.split == "train"]
HELD_OUT = [task for task in TASKS if task.split != "train"]


@pytest.fixture(params=HOME)
async def seeds(request):
    """Five training tasks of a site that are far apart in the list, so that several templates are among them."""
    env = MiniwebEnv("short")
    tasks = [task for task in TRAIN if task.start_url == HOME[request.param]]
    page = await env.reset(tasks[0])
    await env.close()
    five = [tasks[n * len(tasks) // 5] for n in range(5)]
    return [Pair(f"seed/{task.id}", task.intent, page, plan_of(task.intent), site_of(page.url), "seed") for task in five]


async def answer(seeds, number=1, error_rate=0.0, **options):
    teacher = ScriptedTeacher("short", "webrl", error_rate)
    return (await teacher.complete(expansion_messages(seeds, number), max_tokens=8192, **options)).text


async def test_it_writes_ten_pairs_of_the_kinds_that_it_is_shown(seeds):
    kinds, written = {requests()[seed.intent].template.name for seed in seeds}, set()
    for number in range(1, 9):
        expansion = parse_expansion(await answer(seeds, number), 5)
        assert len(expansion.pairs) == WANTED and not expansion.malformed
        for pair in expansion.pairs:
            known = requests()[pair.intent]
            assert pair.plan == plan_of(pair.intent) and broken_rule(pair.intent, pair.plan, seeds[pair.example - 1].page) == ""
            assert site_of(HOME[known.template.sites[0]]) == seeds[0].site
            written.add(known.template.name)
    assert written == kinds


async def test_the_same_examples_under_another_number_bring_other_pairs(seeds):
    assert await answer(seeds, 1) == await answer(seeds, 1) != await answer(seeds, 2)


async def test_it_happens_on_held_out_requests_which_the_gate_refuses(seeds):
    gate, intents, refused = Gate(HELD_OUT, 0.9), {task.intent for task in HELD_OUT}, 0
    for number in range(1, 41):
        for pair in parse_expansion(await answer(seeds, number), 5).pairs:
            if pair.intent in intents:
                refused += 1
                assert "request" in gate.refusal(pair.intent, pair.plan)
    assert 2 <= refused <= 30  # in 30 % of 40 answers one of ten


def why_dropped(text, seeds):
    """What the checks of the data engine say of an answer's pairs, with what only a judge can tell as "infeasible"."""
    expansion, distinct = parse_expansion(text, 5), Distinct(1.0)
    reasons = [*expansion.malformed]
    for seed in seeds:
        distinct.is_new(seed.id, seed.intent)
    for n, pair in enumerate(expansion.pairs):
        rule = broken_rule(pair.intent, pair.plan, seeds[pair.example - 1].page)
        new = distinct.is_new(str(n), pair.intent)
        reasons += filter(None, [rule or ("" if new else "duplicate") or ("" if pair.intent in requests() else "infeasible")])
    return reasons


async def test_every_planted_mistake_is_caught(seeds):
    found = set()
    for number in range(1, 61):
        reasons = why_dropped(await answer(seeds, number, error_rate=1.0), seeds)
        assert reasons  # of ten pairs one is wrong, and that is noticed; another may be there twice
        found |= {*reasons}
    assert found == {"unreadable plan", "no such page", "value from nowhere", "scrolling", "duplicate", "infeasible"}
    assert len(MISTAKES) == len(found)


async def test_a_repaired_answer_is_right(seeds):
    messages = expansion_messages(seeds, 1)
    complaint = [{"role": "assistant", "content": "..."}, {"role": "user", "content": "That answer cannot be used."}]
    text = (await ScriptedTeacher("short", "webrl", 1.0).complete([*messages, *complaint], max_tokens=8192)).text
    assert set(why_dropped(text, seeds)) <= {"duplicate"}


def unmet(pair):
    """The pair about something that miniweb does not have."""
    value = re.search(r"'([^']+)'", pair.intent)[1]
    return Pair(pair.id, pair.intent.replace(value, NOTHING), pair.page, pair.plan, pair.site, pair.source)


async def test_it_tells_pairs_that_miniweb_can_meet(seeds):
    messages = feasibility_messages([*seeds, *map(unmet, seeds)])
    text = (await ScriptedTeacher("short", "webrl").complete(messages, max_tokens=4096)).text
    assert [verdict.usable for verdict in parse_verdicts(text, 10)] == [True] * 5 + [False] * 5


async def test_a_wrong_verdict_is_one_of_those_in_an_answer(seeds):
    messages = feasibility_messages(seeds)
    for seed in range(5):
        text = (await ScriptedTeacher("short", "webrl", 1.0).complete(messages, max_tokens=4096, seed=seed)).text
        assert [verdict.usable for verdict in parse_verdicts(text, 5)].count(False) == 1


async def test_examples_that_are_none_of_miniwebs_are_refused(seeds):
    stranger = Pair("seed/x", "Boil an egg", seeds[0].page, seeds[0].plan, seeds[0].site, "seed")
    with pytest.raises(RequestRefused, match="no miniweb task 'Boil an egg'"):
        await answer([*seeds[:4], stranger])
