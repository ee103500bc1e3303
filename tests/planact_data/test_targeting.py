"""Targeted augmentation: from failed validation tasks to variants, and that nothing of those tasks gets into a pair."""

import random
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from planact.env import EnvError
from planact.failures import explain
from planact.llm import ScriptedLLM
from planact.recipe import Agent, Data, Recipe
from planact.store import RunStore
from planact.teaching import AnswerError
from planact.teaching.failures import CLASSES_SYSTEM, CLASSIFY_SYSTEM, FailureClass, render_classes, render_classification
from planact.teaching.feasibility import SYSTEM as VERDICTS
from planact.teaching.variants import SYSTEM as VARIANT
from planact.teaching.variants import Variant, render_variant
from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, PlanStep, StopReason, Trajectory, Turn, to_dict
from planact_data.attempts import KIND as ATTEMPT
from planact_data.desk import Desk
from planact_data.leaks import Gate
from planact_data.models import Models
from planact_data.pairs import Pair, site_of
from planact_data.targeting import _without_values, augment, failures_by_site
from planact_data.variants import MAX_IDLE
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.miniweb.teacher.pairs import plan_of
from planact_envs.suites import load_suite

SUITE = load_suite("miniweb-short")
AGENT = Agent(prompts="compact", observation="short")
VALIDATION = SUITE.tasks("validation")
SHOP = Observation("page 'Shop'", "page 'Shop'\ntextbox 'Search products'\nlink 'Cart'", "http://shop.miniweb/", "Shop")


def seed(task):
    return Pair(f"seed/{task.id}", task.intent, replace(SHOP, url=task.start_url), plan_of(task.intent), site_of(task.start_url), "seed")


SEEDS = [seed(task) for task in random.Random(2).sample(SUITE.tasks("train"), 60)]


def attempt(task, success=False, stop=StopReason.ANSWERED, url=None):
    turns = (Turn(0, Plan(), replace(SHOP, url=url or task.start_url), "", Action(Op.STOP)),)
    return Trajectory(task.id, task.hash, task.intent, turns, stop, Outcome(success, reason="expected 'secret'"))


class Counted:
    """A model, and what it was asked."""

    name = "counted"

    def __init__(self, model):
        self.model, self.calls = model, []

    async def complete(self, messages, **settings):
        self.calls.append(list(messages))
        return await self.model.complete(messages, **settings)


def teacher(error_rate=0.0):
    return Counted(ScriptedTeacher("short", "webrl", error_rate, 1))


class Down(MiniwebEnv):
    async def reset(self, task):
        raise EnvError("the site is down")


@asynccontextmanager
async def open_down(world):
    yield lambda: Down(world.form)


async def run(path, model, target=20, in_flight=4, seeds=SEEDS, attempts=None, gate=None, suite=SUITE):
    """The pairs and counts of one run; `attempts` are put into the store first."""
    recipe = Recipe(name="t", seed=1, base_model="none", agent=AGENT, data=Data(suite="miniweb-short", targeted=target))
    gate = gate or Gate((*SUITE.tasks("test"), *VALIDATION), 0.9)
    with ExitStack() as stack:
        store = stack.enter_context(RunStore.open(path, {}))
        for one in attempts or ():
            store.put(one.task_id, to_dict(one), ATTEMPT)
        models = Models(model, model, model, model, model, in_flight, in_flight)
        return await augment(seeds, seeds, recipe, suite, models, Desk(store, 1, in_flight), gate, store)


FAILED = [attempt(task, success=n % 3 == 0) for n, task in enumerate(VALIDATION)]


async def test_variants_are_of_the_kinds_that_failed(tmp_path):
    pairs, counts = await run(tmp_path / "run.sqlite", teacher(), attempts=FAILED)
    assert len(pairs) == 20 == counts["pairs accepted"] == counts["pairs wanted"]
    assert len({pair.intent for pair in (*pairs, *SEEDS)}) == 20 + len(SEEDS)
    seeds = {pair.id: pair for pair in SEEDS}
    for pair in pairs:
        parent = seeds[pair.parent]
        assert pair.source == "targeted" and pair.id.startswith(f"targeted/{parent.id}/")
        assert (pair.page, pair.site) == (parent.page, parent.site)
        assert pair.plan == plan_of(pair.intent) and pair.plan != parent.plan
        template = parent.id.removeprefix("seed/").rpartition(".")[0]
        assert pair.labels == {"failure class": template.replace(".", " ").replace("_", " ")}
        assert any(one.task_id.startswith(f"{template}.") and not one.outcome.success for one in FAILED)


async def test_mistakes_are_dropped_and_counted(tmp_path):
    gate = Gate((*SUITE.tasks("test"), *VALIDATION), 0.9)
    pairs, counts = await run(tmp_path / "run.sqlite", teacher(0.5), target=60, attempts=FAILED, gate=gate)
    assert len(pairs) == 60 and counts["variants asked for"] == 60 + sum(counts["rejected"].values())
    assert {"near-duplicate", "not feasible"} < set(counts["rejected"])
    assert any(reason.startswith("repeats a") for reason in counts["rejected"])
    fresh = Gate((*SUITE.tasks("test"), *VALIDATION), 0.9)
    assert not any(fresh.refusal(pair.intent, pair.plan) for pair in pairs)
    assert {pair.intent for pair in pairs} <= {one.intent for one in gate.nearest if not one.refused}
    assert counts["validation tasks tried"] == len(FAILED) == counts["solved"] + sum(counts["failures by kind"].values())
    assert sum(sum(found.values()) for found in counts["seed pairs by class"].values()) <= len(SEEDS)
    assert sum(sum(found.values()) for found in counts["accepted by class"].values()) == 60


async def test_the_same_pairs_come_in_any_order_and_more_are_a_continuation(tmp_path):
    one = await run(tmp_path / "a.sqlite", teacher(0.3), in_flight=1, attempts=FAILED)
    other = await run(tmp_path / "b.sqlite", teacher(0.3), in_flight=16, attempts=FAILED)
    assert one == other
    more, _ = await run(tmp_path / "a.sqlite", teacher(0.3), target=45, attempts=FAILED)
    assert more[:20] == one[0] and len(more) == 45


async def test_a_finished_run_asks_nothing(tmp_path):
    model = teacher(0.3)
    first = await run(tmp_path / "run.sqlite", model, attempts=FAILED)
    assert len(model.calls) > 100
    model.calls.clear()
    assert await run(tmp_path / "run.sqlite", model) == first and model.calls == []


async def test_the_actor_is_tried_when_there_is_no_evaluation(tmp_path):
    pairs, counts = await run(tmp_path / "run.sqlite", teacher(0.5), target=5)
    assert counts["validation tasks tried"] == len(VALIDATION) and counts["solved"] < len(VALIDATION) and len(pairs) == 5


async def test_without_failures_nothing_is_made(tmp_path, capsys):
    model = teacher()
    pairs, counts = await run(tmp_path / "run.sqlite", model, attempts=[attempt(task, True) for task in VALIDATION])
    assert pairs == [] and model.calls == [] and counts["solved"] == len(VALIDATION)
    assert "WARNING: 0 of 20 targeted pairs: no validation task failed" in capsys.readouterr().err


async def test_a_site_without_seeds_and_broken_episodes_call_for_nothing(tmp_path, capsys):
    strange = [attempt(VALIDATION[0], url="http://elsewhere.miniweb/"), attempt(VALIDATION[1], True)]
    pairs, counts = await run(tmp_path / "run.sqlite", teacher(), attempts=strange, suite=replace(SUITE, open=open_down))
    assert pairs == [] and counts["not scored"] == {"environment": len(VALIDATION) - 2}
    assert counts["sites without classes"] == {"no seed pair": 1} and counts["failures by site"] == {"elsewhere.miniweb": 1}
    assert "named no class" in capsys.readouterr().err


class Thief:
    """A teacher whose variants are what failed on validation: as it was asked, shortened, and with the answer in the plan."""

    name = "thief"

    def __init__(self, stolen):
        self.stolen, self.asked = stolen, 0

    async def complete(self, messages, **settings):
        return await ScriptedLLM([self.answer(messages)]).complete(messages, max_tokens=1)

    def answer(self, messages):
        if messages[0]["content"] == CLASSES_SYSTEM:
            return render_classes([FailureClass("All tasks", "They fail.")])
        if messages[0]["content"] == CLASSIFY_SYSTEM:
            return render_classification("It is one.", 0)
        if messages[0]["content"] == VERDICTS:
            return "\n".join(f"## Pair {n + 1}\nGood.\n[YES]" for n in range(messages[1]["content"].count("## Pair")))
        assert messages[0]["content"] == VARIANT
        intent, answer = self.stolen[self.asked % len(self.stolen)]
        self.asked += 1
        steps = (
            PlanStep("The page Shop has a search.", f"Search for what is asked: {intent}"),
            PlanStep("It is open.", f"Report {answer}."),
        )
        return render_variant(Variant(intent, Plan(steps)))


async def test_a_teacher_that_copies_what_failed_gets_nothing_through(tmp_path, capsys):
    price = next(task for task in VALIDATION if task.intent.startswith("What is the price of the product"))
    product, answer = price.params["product"], price.eval["reference_answers"]["exact_match"]
    seeds = [one for one in SEEDS if one.site == "shop.miniweb"]
    copies = (price.intent, f"{price.intent} Quickly!", f"Price of '{product}'")
    stolen = [*((copy, "the price") for copy in copies), (f"How expensive would '{product}' be for me?", answer)]
    attempts = [attempt(task, task is not price) for task in VALIDATION]
    pairs, counts = await run(tmp_path / "run.sqlite", Thief(stolen), seeds=seeds, attempts=attempts, in_flight=1)
    assert pairs == [] and counts["variants asked for"] == MAX_IDLE * len(seeds)  # then each seed is given up
    reasons = ("repeats", "shortens", "extends", "states the answer of")
    assert set(counts["rejected"]) == {f"{reason} a validation request" for reason in reasons}
    assert "brought none; raise data.tasks" in capsys.readouterr().err


def test_failures_are_sorted_by_the_site_that_they_began_on():
    shop, forum = VALIDATION[0], next(task for task in VALIDATION if task.start_url == "http://forum.miniweb/")
    attempts = [attempt(forum), attempt(shop, True), attempt(shop), replace(attempt(forum), turns=())]
    found, counts = failures_by_site([(one, explain(one)) for one in attempts])
    assert {site: [one.task_id for one, _ in failed] for site, failed in found.items()} == {
        "forum.miniweb": [forum.id],
        site_of(shop.start_url): [shop.id],
    }
    assert counts["validation tasks tried"] == 4 and counts["solved"] == 1


@pytest.mark.parametrize(
    "name, description, named",
    [
        ("Prices", "The agent reports the price of another product.", ""),
        ("Prices", "It is asked for the price of Ceramic Wheel.", "Ceramic Wheel"),
        ("The ceramic wheel", "It fails.", "Ceramic Wheel"),
        ("Orders", "Such as order '1245', which it does not find.", "1245"),
        ("Orders", "In 5 of 12450 tasks it stops early.", ""),  # 5 is too short to tell anything
    ],
)
def test_classes_say_nothing_of_one_request(name, description, named):
    shown = [
        (replace(attempt(VALIDATION[0]), intent=i), FailureInfo("planning", "")) for i in ("Buy 5 of 'Ceramic Wheel'", "Open order '1245'")
    ]
    if not named:
        assert _without_values([FailureClass(name, description)], shown)
        return
    with pytest.raises(AnswerError, match=f"the classes name '{named}'"):
        _without_values([FailureClass(name, description)], shown)


async def test_the_teacher_never_sees_a_reference_answer(tmp_path):
    model = teacher()
    await run(tmp_path / "run.sqlite", model, attempts=FAILED)
    shown = [messages[1]["content"] for messages in model.calls if messages[0]["content"] == CLASSES_SYSTEM]
    assert shown and not any("secret" in text for text in shown)
