"""New tasks with trajectories: what is asked, what is kept and what is dropped, and that more is only a continuation."""

import asyncio
import random
import shutil
from contextlib import ExitStack
from dataclasses import replace

import pytest

from planact.llm import ScriptedLLM
from planact.recipe import Agent, RecipeError
from planact.store import RunStore
from planact.teaching.queries import SEEDS, SYSTEM, parse_queries
from planact.types import Outcome, Task
from planact_data.desk import Desk
from planact_data.leaks import Gate
from planact_data.models import Models
from planact_data.synthesis import FEASIBILITY, MAX_IDLE, QUERY, VERDICT, synthesize
from planact_data.trajectories import KIND, load_trajectories, roll_out
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.suites import load_suite

SUITE = load_suite("miniweb-short")
AGENT = Agent(prompts="compact", observation="short")
SEED_TASKS = random.Random(3).sample(SUITE.tasks("train"), 30)
HELD_OUT = (*SUITE.tasks("test"), *SUITE.tasks("validation"))


class Counted:
    """A model and the messages of each call."""

    def __init__(self, model):
        self.model, self.name, self.calls = model, model.name, []

    async def complete(self, messages, **settings):
        self.calls.append(list(messages))
        return await self.model.complete(messages, **settings)


def teacher(error_rate=0.0):
    return Counted(ScriptedTeacher("short", "webrl", error_rate, 1))


def played_by(model, in_flight=4):
    return Models(model, model, model, model, model, in_flight, in_flight)


async def run(store, recipe, models, suite=SUITE, tasks=SEED_TASKS, gate=None, imported=()):
    desk = Desk(store, recipe.seed, models.questions)
    gate = gate or Gate(HELD_OUT, recipe.data.near_duplicate)
    return await synthesize(tasks, suite, recipe, models, desk, store, gate, imported)


@pytest.fixture(scope="module")
def rolled_out(tmp_path_factory):
    """The file of a store that holds the seeds' trajectories."""
    path = tmp_path_factory.mktemp("seeds") / "run.sqlite"
    with RunStore.open(path, {}) as store:
        asyncio.run(roll_out(SEED_TASKS, SUITE, AGENT, ScriptedTeacher("short", "webrl"), store, 1, 8))
    return path


@pytest.fixture
def opened(rolled_out, tmp_path):
    """opened("name") is a store of the test's own with the seeds' trajectories."""
    with ExitStack() as stores:
        yield lambda name="run": stores.enter_context(RunStore.open(shutil.copy(rolled_out, tmp_path / f"{name}.sqlite"), {}))


def same(one, other):
    """The trajectories without the seconds that they took."""

    def key(t):
        return t.task_id, t.task_hash, t.intent, [(turn.response, turn.observation) for turn in t.turns], t.outcome

    return list(map(key, one)) == list(map(key, other))


async def test_solved_trajectories_of_new_requests_come_out(opened, recipe):
    store = opened()
    kept, counts = await run(store, recipe(synthetic=20), played_by(teacher()))
    assert len(kept) == 20 == len({t.intent for t in kept}) and all(t.outcome.success for t in kept)
    known = {task.intent for split in ("test", "validation") for task in SUITE.tasks(split)} | {task.intent for task in SEED_TASKS}
    assert not known & {t.intent for t in kept}
    assert {t.turns[0].observation.url for t in kept} == {f"http://{site}.miniweb/" for site in ("shop", "forum", "code")}
    assert all(t.task_id.startswith("synthetic.") for t in kept)
    written = counts["requests written"]
    assert written == 20 + counts["solved beyond what was wanted"] + sum(counts["rejected"].values()) and written <= 30 * counts["rounds"]


async def test_imported_episodes_are_seeds_where_the_suite_has_no_training_tasks(opened, recipe):
    """As with WebArena-Lite: the same seeds, brought by a file. One that does not tell its site is none."""
    store = opened()
    imported = load_trajectories(SEED_TASKS, store)
    lost = replace(imported[0], turns=(replace(imported[0].turns[0], observation=replace(imported[0].turns[0].observation, url="")),))
    models = played_by(teacher())
    kept, _ = await run(store, recipe(synthetic=10), models, tasks=[], imported=[*imported, replace(lost, intent="Lost", task_id="x")])
    assert len(kept) == 10 and {t.turns[0].observation.url for t in kept} <= {
        f"http://{site}.miniweb/" for site in ("shop", "forum", "code")
    }
    assert not {t.intent for t in imported} & {t.intent for t in kept}  # a seed is not written anew
    asked = [call[-1]["content"] for call in models.teacher.calls if call[0]["content"] == SYSTEM]
    assert asked and not any("Lost" in question for question in asked)


async def test_more_is_a_continuation_and_the_same_again_costs_nothing(opened, recipe):
    """Once 5, then 25, then 25 again in one store; 25 at once, one call at a time, in another."""
    store, models = opened("first"), played_by(teacher(0.2))
    few, _ = await run(store, recipe(synthetic=5), models)
    many, counts = await run(store, recipe(synthetic=25), models)
    paid = len(models.teacher.calls)
    again, counts_again = await run(store, recipe(synthetic=25), models)
    assert (len(few), len(many), counts["rounds"]) == (5, 25, 2) and same(few, many[:5])
    assert same(many, again) and counts == counts_again and len(models.teacher.calls) == paid
    elsewhere, counts_elsewhere = await run(opened("second"), recipe(synthetic=25), played_by(teacher(0.2), in_flight=1))
    assert same(many, elsewhere) and counts == counts_elsewhere


async def test_every_mistake_is_counted_and_verdicts_stay_readable(opened, recipe):
    store = opened()
    kept, counts = await run(store, recipe(synthetic=25), played_by(teacher(0.4)))
    assert counts["requests written"] == counts["solved beyond what was wanted"] + len(kept) + sum(counts["rejected"].values())
    reasons = set(counts["rejected"])
    assert {"near-duplicate", "not feasible", "not solved (answered)", "unscored (answered)"} <= reasons
    assert any("test request" in reason for reason in reasons)
    verdicts = dict(store.items(VERDICT))
    tried = store.keys(KIND) - {task.id for task in SEED_TASKS}
    assert set(verdicts) == {f"{task_id}/environment" for task_id in tried}
    assert {f"{t.task_id}/environment" for t in kept} <= {key for key, one in verdicts.items() if not one["rejected"]}
    lost = next(one for one in verdicts.values() if one["rejected"] == "unscored (answered)")
    assert lost["outcome"]["reason"] == "the task has no evaluation" and "Nimbus" in lost["intent"]


@pytest.mark.parametrize("how", ["judge", "orm"])
async def test_a_judge_or_a_reward_model_in_the_place_of_the_environment(opened, recipe, how):
    """Wrong verdicts keep failures and drop successes: what the environment said is another matter."""
    store, model = opened(), teacher(0.2)
    blind = replace(SUITE, task_of=None)
    kept, counts = await run(store, recipe(synthetic=25, outcome_filter=how), played_by(model), blind)
    assert len(kept) == 25 and {(t.outcome.scorer, t.outcome.success) for t in kept} == {(how, True)}
    judged = 25 + counts["solved beyond what was wanted"] + counts["rejected"]["not solved (answered)"]
    assert store.count(how) == store.count(VERDICT) == judged
    assert all(store.get(t.task_id, KIND)["outcome"]["success"] is None for t in kept)  # without an evaluation
    paid = len(model.calls)
    again, _ = await run(store, recipe(synthetic=25, outcome_filter=how), played_by(model), blind)
    assert same(kept, again) and len(model.calls) == paid


async def test_an_unreadable_judge_has_a_reason_of_its_own(opened, recipe):
    models = replace(played_by(teacher()), judge=ScriptedLLM(lambda messages: "Hm."))
    kept, counts = await run(opened(), recipe(synthetic=5, outcome_filter="judge"), models)
    assert kept == [] and counts["rejected"]["unscored (the judge's answer cannot be used: format)"] > 20


async def test_a_suite_that_cannot_score_new_requests_says_what_to_set(opened, recipe):
    with pytest.raises(RecipeError, match="miniweb-short cannot score new requests; set data.outcome_filter to judge or orm"):
        await run(opened(), recipe(synthetic=5), played_by(teacher()), replace(SUITE, task_of=None))


async def test_a_teacher_without_ideas_is_given_up_after_a_few_rounds(opened, recipe, capsys):
    def answer(messages):
        assert messages[0]["content"] == SYSTEM
        return "\n".join(f"{n}. {task.intent.upper()}" for n, task in enumerate(SEED_TASKS[:4], 1))

    model = ScriptedLLM(answer)
    kept, counts = await run(opened(), recipe(synthetic=5), played_by(model))
    assert kept == [] and counts["rounds"] == MAX_IDLE and len(model.calls) == 3 * MAX_IDLE  # three sites
    assert counts["rejected"] == {"near-duplicate": 4 * 3 * MAX_IDLE}
    assert "WARNING: 0 of 5 synthetic trajectories: the last 3 rounds brought none" in capsys.readouterr().err


async def test_answers_without_requests_are_counted_apart(opened, recipe):
    _, counts = await run(opened(), recipe(synthetic=5), played_by(ScriptedLLM(lambda messages: "No idea.")))
    assert counts["answers without requests"] == {"format": 9} and counts["requests written"] == 0  # three sites, three rounds


async def test_each_question_shows_five_seeds_of_one_site_with_its_page(opened, recipe):
    model = teacher()
    store = opened()
    await run(store, recipe(synthetic=5), played_by(model))
    asked = [messages[1]["content"] for messages in model.calls if messages[0]["content"] == SYSTEM]
    pages = {t.intent: t.turns[0].observation for t in load_trajectories(SEED_TASKS, store)}
    for user in asked:
        seeds = parse_queries(user.partition("## Requests\n")[2])
        assert len(set(seeds)) == SEEDS and {pages[seed].url for seed in seeds} == {pages[seeds[0]].url}
        assert user.startswith(f"## First Page\n{pages[seeds[0]].outline}\n\n")
    assert len(asked) == 3 == store.count(QUERY) and store.count(FEASIBILITY) > 20


async def test_without_a_seed_that_saw_a_page_nothing_is_asked(tmp_path, recipe, agent, capsys):
    lost = Task("lost", "miniweb", "train", ("shop",), "Find the lamp", "http://nowhere.miniweb/", "t")
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        await roll_out([lost], SUITE, agent, ScriptedLLM([]), store, 1, 1)
        (trajectory,) = load_trajectories([lost], store)
        assert trajectory.outcome == Outcome(None, reason="the environment failed") and not trajectory.turns
        kept, counts = await run(store, recipe(synthetic=5), played_by(ScriptedLLM([])), tasks=[lost])
    assert kept == [] and counts["rounds"] == 0 and "no seed task has a first page" in capsys.readouterr().err
