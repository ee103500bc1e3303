"""Plan expansion: what is accepted, in which order, and when it ends."""

import asyncio
import re
from itertools import pairwise

import pytest

from planact.llm import ScriptedLLM
from planact.store import RunStore
from planact.teaching import expansion, feasibility
from planact.teaching.annotation import annotated_plan
from planact.teaching.expansion import NewPair, render_expansion
from planact.teaching.feasibility import Verdict, render_verdicts
from planact.types import Observation, Plan, PlanStep
from planact_data import pair_checks
from planact_data.desk import Desk
from planact_data.expansion import KIND, MAX_IDLE, expand
from planact_data.leaks import Gate
from planact_data.pairs import Pair, site_of
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.tasks import solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.knowledge import requests
from planact_envs.miniweb.teacher.pairs import plan_of
from planact_envs.miniweb.teacher.planning import annotate
from planact_envs.suites import load_suite

SUITE = load_suite("miniweb-short")
HELD_OUT = (*SUITE.tasks("test"), *SUITE.tasks("validation"))


@pytest.fixture(scope="module")
def seeds():
    """60 training tasks of miniweb-short as pairs, 20 of each of its three sites."""

    async def make():
        env, pairs = MiniwebEnv("short"), []
        for site in ("shop", "forum", "code"):
            tasks = [task for task in SUITE.tasks("train") if task.sites == (site,)][:: len(SUITE.tasks("train")) // 60][:20]
            page = await env.reset(tasks[0])
            for task in tasks:
                plan = annotated_plan(annotate(solution(task), 0))
                pairs.append(Pair(f"seed/{task.id}", task.intent, page, plan, site_of(page.url), "seed"))
        await env.close()
        return pairs

    return asyncio.run(make())


class Unsteady:
    """The scripted teacher, whose answers take their time: they come back in another order than they were asked for."""

    name = "unsteady"

    def __init__(self, error_rate=0.0):
        self.teacher, self.calls = ScriptedTeacher("short", "webrl", error_rate, seed=1), 0

    async def complete(self, messages, **options):
        self.calls += 1
        for _ in range(len(messages[1]["content"]) % 13):
            await asyncio.sleep(0)
        return await self.teacher.complete(messages, **options)


async def run(folder, seeds, target, teacher, in_flight=4, held_out=HELD_OUT):
    with RunStore.open(folder / "run.sqlite", {}) as store:
        return await expand(seeds, target, teacher, Desk(store, 1, in_flight), Gate(held_out, 0.9), seed=1)


async def test_new_pairs_are_right_whatever_the_teacher_does_wrong(tmp_path, seeds):
    """A third of the answers have a planted mistake, a third of the verdicts a wrong one."""
    pairs, counts = await run(tmp_path, seeds, 150, Unsteady(error_rate=0.3))
    assert len(pairs) == 150 == counts["pairs accepted"] == sum(counts["accepted by site"].values())
    assert counts["pairs written"] == 10 * counts["batches"] == 150 + sum(counts["rejected"].values())
    parents = {pair.id: pair for pair in seeds}
    for pair in pairs:
        parent = parents[pair.parent]
        assert re.fullmatch(rf"expansion/{parent.site}/\d+/([1-9]|10)", pair.id)
        assert (pair.page, pair.site, pair.source) == (parent.page, parent.site, "expansion")
    wrong = [pair for pair in pairs if pair.intent not in requests() or plan_of(pair.intent) != pair.plan]
    assert len(wrong) <= 1  # a verdict can be wrong about a request that cannot be met; no other mistake gets by
    intents = {pair.intent for pair in pairs}
    assert len(intents) == 150 and not intents & {pair.intent for pair in (*seeds, *HELD_OUT)}
    assert {"not feasible", "near-duplicate", "unreadable plan", "no such page"} <= counts["rejected"].keys()
    assert any("test request" in reason for reason in counts["rejected"])


async def test_the_result_does_not_depend_on_who_answers_first_or_on_what_is_stored(tmp_path, seeds):
    one_by_one = await run(tmp_path / "a", seeds, 60, Unsteady(0.2), in_flight=1)
    many = await run(tmp_path / "b", seeds, 60, Unsteady(0.2), in_flight=16)
    again = Unsteady(0.2)
    assert many == one_by_one == await run(tmp_path / "b", seeds, 60, again, in_flight=16)
    assert again.calls == 0


async def test_a_larger_target_begins_with_the_pairs_of_a_smaller_one(tmp_path, seeds):
    small, _ = await run(tmp_path, seeds, 25, Unsteady(0.2))
    large, _ = await run(tmp_path, seeds, 90, Unsteady(0.2))
    assert large[:25] == small and len(large) == 90


async def test_sites_take_turns(tmp_path, seeds):
    pairs, counts = await run(tmp_path, seeds, 60, Unsteady())
    batches = list(dict.fromkeys(pair.id.rpartition("/")[0] for pair in pairs))
    order = [(int(number), site) for _, site, number in (batch.split("/") for batch in batches)]
    assert order == sorted(order) and set(counts["accepted by site"]) == {pair.site for pair in seeds}


SHOP = Observation("", "textbox 'Search products'", "http://shop.x/", "The Shop")


def pair_about(thing):
    return f"Buy '{thing}'.", Plan((PlanStep("The page can search products.", f"Buy '{thing}'."),))


def seed_about(thing, page=SHOP):
    intent, plan = pair_about(thing)
    return Pair(f"seed/{thing}", intent, page, plan, site_of(page.url), "seed")


def lamps(count):
    return [seed_about(f"Lamp {n}") for n in range(count)]


def answering(write, judge=lambda user: True):
    """A teacher that writes the things that `write` names after a prompt, and says of all pairs what `judge` says."""

    def reply(messages):
        system, user = (message["content"] for message in messages[:2])
        if system == feasibility.SYSTEM:
            return render_verdicts([Verdict("", judge(user))] * user.count("User Query: "))
        assert system == expansion.SYSTEM
        things = write(user)
        return render_expansion([NewPair(intent, 1, plan) for intent, plan in map(pair_about, things)])

    return ScriptedLLM(reply)


def ten_things(user):
    """Things that no other list has."""
    number = int(re.search(r"This is list (\d+) ", user)[1])
    return [f"{word} {number * 7919} {word[::-1]}" for word in ("oak", "elm", "fir", "yew", "ash", "bay", "fig", "gum", "tea", "nut")]


async def test_no_more_is_asked_than_needed_when_all_pairs_are_good(tmp_path):
    teacher = answering(ten_things)
    pairs, counts = await run(tmp_path, lamps(3), 45, teacher, held_out=())
    # 45 pairs are 5 lists of 10, each with one question for verdicts
    assert (counts["batches"], len(teacher.calls)) == (5, 10) and len(pairs) == 45 and counts["rejected"] == {"not needed": 5}


async def test_waves_are_as_large_as_the_last_one_calls_for(tmp_path):
    """Each list has 5 good pairs: 10 lists bring 50 of 100, 10 more the rest."""
    teacher = answering(lambda user: [*ten_things(user)[:5], *["Lamp 1"] * 5])
    pairs, counts = await run(tmp_path, lamps(5), 100, teacher, held_out=())
    assert len(pairs) == 100 and counts["batches"] == 20 and counts["rejected"] == {"near-duplicate": 100}


@pytest.mark.parametrize(
    "write, judge, reason",
    [
        (lambda user: ["Lamp 1"] * 10, lambda user: True, "near-duplicate"),
        (ten_things, lambda user: False, "not feasible"),
    ],
)
async def test_a_site_that_brings_nothing_new_is_given_up_with_a_warning(tmp_path, capsys, write, judge, reason):
    pairs, counts = await run(tmp_path, lamps(2), 30, answering(write, judge), held_out=())
    # waves of 3, 6, 12 batches: 21 are the first 20 and one more
    assert pairs == [] and counts["batches"] == 21 and counts["rejected"] == {reason: 210} and MAX_IDLE == 20
    assert "WARNING: 0 of 30 expansion pairs: the last 20 batches of each site brought none (shop.x)" in capsys.readouterr().err


async def test_a_site_that_is_given_up_does_not_hold_up_another(tmp_path, capsys):
    """The shop always writes the same, the forum never does: all but the first of the shop's come from the forum."""
    forum = Observation("", "textbox 'Search products'", "http://forum.x/", "The Forum")
    teacher = answering(lambda user: ten_things(user) if "Lamp 9" in user else ["Candle holder"])
    both = [*lamps(2), seed_about("Lamp 9", forum)]
    small, _ = await run(tmp_path, both, 201, teacher, held_out=())
    large, counts = await run(tmp_path, both, 401, teacher, held_out=())
    assert counts["accepted by site"] == {"forum.x": 400, "shop.x": 1} and large[:201] == small
    shop = counts["batches"] - 40
    assert MAX_IDLE <= shop - 1 <= 2 * MAX_IDLE  # those of the wave in which it was given up come on top
    assert "WARNING" not in capsys.readouterr().err


async def test_what_a_site_writes_after_it_was_given_up_is_not_taken(tmp_path):
    """Or it would depend on the size of a wave: the shop's lists from the 25th on are new, and 60 lists are asked for at once."""
    forum = Observation("", "textbox 'Search products'", "http://forum.x/", "The Forum")

    def write(user):
        late = int(re.search(r"This is list (\d+) ", user)[1]) >= 25
        return ten_things(user) if "Lamp 9" in user or late else ["Candle holder"]

    _, counts = await run(tmp_path, [*lamps(2), seed_about("Lamp 9", forum)], 600, answering(write), held_out=())
    assert counts["accepted by site"] == {"forum.x": 599, "shop.x": 1}
    # 30 lists of the shop: one brings a pair, 23 the same again, 6 come too late; the forum's last list has one pair too many
    assert counts["rejected"] == {"near-duplicate": 23, "not needed": 61}


async def test_answers_that_cannot_be_read_are_counted_and_end_too(tmp_path, capsys):
    pairs, counts = await run(tmp_path, lamps(2), 10, ScriptedLLM(lambda messages: "I would rather not."), held_out=())
    assert pairs == [] and counts["answers without pairs"] == {"format": counts["batches"]} and counts["pairs written"] == 0
    assert "WARNING" in capsys.readouterr().err


async def test_without_seeds_nothing_is_asked(tmp_path, capsys):
    teacher = ScriptedLLM([])
    assert (await run(tmp_path, [], 10, teacher))[0] == [] == teacher.calls
    assert "there is no seed pair" in capsys.readouterr().err


async def test_each_batch_draws_seeds_of_its_own(tmp_path, seeds):
    asked = []

    def reply(messages):
        if messages[0]["content"] == expansion.SYSTEM:
            asked.append(re.findall(r"^User Query: (.*)$", messages[1]["content"], re.M))
        return "nothing"

    await run(tmp_path, seeds[:20], 30, ScriptedLLM(reply), in_flight=1)
    first = asked[::3]  # each is asked three times: twice for repair
    assert all(len(set(shown)) == 5 for shown in first) and all(a != b for a, b in pairwise(first))


async def test_kinds_of_questions_have_stores_of_their_own(tmp_path, seeds):
    await run(tmp_path, seeds, 10, Unsteady())
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        assert store.count(KIND) >= 1 and store.count(pair_checks.KIND) >= 1
