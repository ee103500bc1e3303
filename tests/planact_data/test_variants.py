"""Variants of seed pairs: in which order they are asked for, and when a seed is given up."""

import re
from collections import Counter

import pytest

from planact.llm import ScriptedLLM
from planact.store import RunStore
from planact.teaching.failures import FailureClass
from planact.teaching.variants import SYSTEM, Variant, render_variant
from planact.types import Observation, Plan, PlanStep
from planact_data.desk import Desk
from planact_data.leaks import Gate
from planact_data.pairs import Pair
from planact_data.variants import MAX_IDLE, Seed, _batches, _blocks, write_variants

CONCERN = FailureClass("Lamps", "The agent finds none.")


def seeds(**sites):
    """So many seeds by site."""
    return [Seed(pair(f"Find lamp {site}-{n}00", site), CONCERN) for site, count in sites.items() for n in range(1, count + 1)]


def pair(intent, site="shop"):
    page = Observation(f"text of {site}", "page 'Lamp shop'", f"http://{site}/", "Lamp shop")
    return Pair(f"seed/{intent.removeprefix('Find lamp ')}", intent, page, plan(intent), site, "seed")


def plan(intent):
    return Plan((PlanStep("The lamp shop has a search.", f"Search as asked: {intent}"),))


class Writer:
    """A teacher that numbers its variants, repeats those of one seed, and finds everything feasible."""

    def __init__(self, stubborn=""):
        self.stubborn, self.asked = stubborn, []
        self.model = ScriptedLLM(self.reply)

    def reply(self, messages):
        user = messages[1]["content"]
        if messages[0]["content"] != SYSTEM:
            return "\n".join(f"## Pair {n + 1}\nGood.\n[YES]" for n in range(user.count("## Pair")))
        seed, number = re.search(r"User Query: (.*)", user)[1], int(re.search(r"Write variant (\d+)", user)[1])
        self.asked.append((seed, number, re.findall(r"^- (.*)$", user, re.M)))
        intent = (
            seed if self.stubborn and seed.endswith(self.stubborn) else f"{seed}{number}, please, before the day number {number}00 ends"
        )
        return render_variant(Variant(intent, plan(intent)))


async def run(path, found, target, writer):
    with RunStore.open(path / "run.sqlite", {}) as store:
        desk = Desk(store, 1, 1)
        return await write_variants(found, [one.pair for one in found], target, writer.model, desk, Gate([], 0.9), 7)


def test_blocks_are_of_one_site_and_sites_come_in_turn():
    blocks = _blocks(seeds(b=25, a=11), 1)
    assert [(block[0].pair.site, len(block)) for block in blocks] == [("a", 10), ("b", 10), ("a", 1), ("b", 10), ("b", 5)]
    assert all(len({one.pair.site for one in block}) == 1 for block in blocks)
    orders = [[one.pair.id for block in _blocks(seeds(a=11), seed) for one in block] for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2]) != orders[0]


async def test_every_seed_has_its_turn_before_any_has_a_second_one(tmp_path):
    writer = Writer()
    pairs, counts = await run(tmp_path, seeds(shop=12), 30, writer)
    assert [number for _, number, _ in writer.asked[:30]] == [1] * 12 + [2] * 12 + [3] * 6
    assert len(pairs) == 30 and counts["accepted by class"] == {"shop": {"Lamps": 30}}
    assert pairs[0].id == f"targeted/{pairs[0].parent}/1" and pairs[-1].id.endswith("/3")
    second = next(earlier for _, number, earlier in writer.asked if number == 2)
    assert len(second) == 1 and second[0] in {one.intent for one in pairs}
    assert counts["variants asked for"] == 30 + sum(counts["rejected"].values()) == len(writer.asked)


async def test_a_seed_that_brings_nothing_is_given_up(tmp_path):
    writer = Writer(stubborn="lamp shop-100")
    pairs, counts = await run(tmp_path, seeds(shop=2), 6, writer)
    asked = Counter(seed for seed, _, _ in writer.asked)
    assert asked["Find lamp shop-100"] == MAX_IDLE and asked["Find lamp shop-200"] >= 6
    assert len(pairs) == 6 and {one.parent for one in pairs} == {"seed/shop-200"} and counts["rejected"]["near-duplicate"] == MAX_IDLE


@pytest.mark.parametrize(
    "missing, accepted, dropped, batches",
    [
        (25, 0, 0, 3),  # 25 / 10
        (25, 10, 10, 5),  # every second one is accepted
        (25, 0, 40, 13),  # one in five is counted on
        (1, 99, 1, 1),
    ],
)
def test_a_wave_is_as_large_as_what_is_missing_calls_for(missing, accepted, dropped, batches):
    assert _batches(missing, accepted, dropped) == batches
