"""Attempts at validation tasks: which evaluations are read, which are refused, and what happens without one."""

from dataclasses import replace

import pytest

from planact.failures import explain
from planact.llm import Completion
from planact.recipe import Agent, Data, Endpoint, Eval, Recipe, RecipeError
from planact.store import RunStore
from planact.types import Action, FailureInfo, Observation, Op, Outcome, Plan, StopReason, Trajectory, Turn, Usage, to_dict
from planact_data.attempts import FAILURE, KIND, read_evaluation, validation_attempts
from planact_data.models import Models
from planact_data.targeting import failures_by_site
from planact_data.trajectories import KIND as TRAJECTORY
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.suites import load_suite
from planact_eval.asking import identity
from planact_eval.failure_judge import KIND as JUDGED
from planact_eval.failure_judge import read_votes
from planact_eval.failure_prompt import render_failure
from planact_eval.planned import eval_settings
from planact_eval.runner import KIND as EVALUATED

SUITE = load_suite("miniweb-short")
TASKS = SUITE.tasks("validation")
SETTINGS = {"suite": "miniweb-short", "suite_version": SUITE.version, "split": "validation", "seed": 1}
PAGE = Observation("page", "page", "http://shop.miniweb/")


def attempt(task):
    turn = Turn(0, Plan(), PAGE, "", Action(Op.STOP))
    return Trajectory(task.id, task.hash, task.intent, (turn,), StopReason.ANSWERED, Outcome(False))


def evaluation(path, settings=SETTINGS, tasks=TASKS, trajectory=attempt):
    with RunStore.open(path, settings) as run:
        for task in tasks:
            run.put(task.id, to_dict(trajectory(task)), TRAJECTORY)
    return path


def test_a_validation_run_is_read_in_the_order_of_the_split(tmp_path):
    path = evaluation(tmp_path / "run.sqlite", tasks=TASKS[5:2:-1])
    assert read_evaluation(path, SUITE, TASKS) == [attempt(task) for task in TASKS[3:6]]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"split": "test"}, "is an evaluation on the test split; name the run.sqlite"),
        ({"split": "train"}, "is an evaluation on the train split"),
        ({"split": None}, "is not the store of an evaluation"),  # such as the data builder's
        ({"suite": "miniweb"}, "is an evaluation on miniweb, not on miniweb-short"),
    ],
)
def test_another_split_or_suite_is_refused(tmp_path, changes, words):
    path = evaluation(tmp_path / "run.sqlite", {key: value for key, value in (SETTINGS | changes).items() if value})
    with pytest.raises(RecipeError, match=words) as caught:
        read_evaluation(path, SUITE, TASKS)
    assert str(path) in str(caught.value) and "eval.split=validation" in str(caught.value)


def test_test_tasks_are_refused_whatever_the_settings_say(tmp_path):
    test = SUITE.tasks("test")[0]
    with pytest.raises(RecipeError, match=f"holds '{test.id}', which is no validation task of miniweb-short"):
        read_evaluation(evaluation(tmp_path / "a.sqlite", tasks=[TASKS[0], test]), SUITE, TASKS)
    renamed = evaluation(tmp_path / "b.sqlite", tasks=TASKS[:1], trajectory=lambda task: replace(attempt(test), task_id=task.id))
    with pytest.raises(RecipeError, match=f"another task under the name '{TASKS[0].id}'"):
        read_evaluation(renamed, SUITE, TASKS)


def test_a_run_of_another_version_is_refused(tmp_path):
    path = tmp_path / "run.sqlite"
    with RunStore.open(path, SETTINGS) as run:
        run.put(TASKS[0].id, to_dict(attempt(TASKS[0])) | {"colour": "red"}, TRAJECTORY)
    with pytest.raises(RecipeError, match="another version of the loop .Trajectory has no field colour"):
        read_evaluation(path, SUITE, TASKS)


def test_what_is_no_store_is_named(tmp_path):
    with pytest.raises(RecipeError, match="data.failures_of: there is no run store at"):
        read_evaluation(tmp_path / "nothing.sqlite", SUITE, TASKS)
    (tmp_path / "text").write_text("hello")
    with pytest.raises(RecipeError, match="data.failures_of: "):
        read_evaluation(tmp_path / "text", SUITE, TASKS)


def recipe(**data):
    agent = Agent(prompts="compact", observation="short")
    return Recipe(name="t", seed=1, base_model="none", agent=agent, data=Data(suite="miniweb-short", targeted=1, **data))


async def test_without_an_evaluation_the_actor_is_tried_once(tmp_path):
    actor = ScriptedTeacher("short", "webrl")
    models = Models(actor, actor, actor, actor, actor, 4, 4)
    suite = replace(SUITE, tasks=lambda split: {"validation": TASKS[:4]}[split])  # no other split is looked at
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        tried = await validation_attempts(recipe(), suite, models, store)
        assert [one.task_id for one, _ in tried] == [task.id for task in TASKS[:4]]
        assert all(one.outcome.success and why is None for one, why in tried)
        assert store.count(KIND) == 4 and store.count(TRAJECTORY) == 0  # never among those that rows are made of
        again = await validation_attempts(recipe(), suite, replace(models, actor=None), store)
        assert again == tried


async def test_an_evaluation_is_taken_instead_of_the_actor(tmp_path):
    path = evaluation(tmp_path / "eval.sqlite", tasks=TASKS[:2])
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        found = await validation_attempts(recipe(failures_of=str(path)), SUITE, None, store)
    assert found == [(attempt(task), explain(attempt(task))) for task in TASKS[:2]]


async def test_what_a_judge_said_goes_before_the_rules(tmp_path):
    """What `planact_eval` stores of a judge is what is read here. It counts for the very episode that it is about, when the judge knew."""
    path = evaluation(tmp_path / "eval.sqlite", tasks=TASKS[:4])
    replies = {kind: read_votes([Completion(render_failure(FailureInfo(kind, "it shows")), Usage())]) for kind in ("loop", "unknown")}
    with RunStore.open(path, SETTINGS) as run:
        of = [identity(run.get(task.id, TRAJECTORY)) for task in TASKS[:4]]
        run.put(TASKS[0].id, replies["loop"] | {"of": of[0]}, JUDGED)
        run.put(TASKS[1].id, replies["unknown"] | {"of": of[1]}, JUDGED)
        run.put(TASKS[2].id, replies["loop"] | {"of": of[3]}, JUDGED)  # the episode was run again since
    with RunStore.open(tmp_path / "run.sqlite", {}) as store:
        found = await validation_attempts(recipe(failures_of=str(path)), SUITE, None, store)
    rules = [explain(attempt(task)) for task in TASKS[:4]]
    assert JUDGED == FAILURE and rules[0].kind != "loop"
    assert [why for _, why in found] == [FailureInfo("loop", "it shows"), *rules[1:]]
    assert failures_by_site(found)[1]["failures by kind"]["loop"] == 1


def test_the_settings_of_a_real_evaluation_are_understood(tmp_path):
    """What `planact_eval` writes is what is read here; the rooms share no code."""
    endpoints = {"executor": Endpoint(base_url="http://localhost:8000/v1", model="m")}
    agent, roles = Agent(planner="none", executor="base"), {"executor": "m"}
    for split in ("validation", "test"):
        made = Recipe(
            name="t", seed=1, base_model="m", agent=agent, endpoints=endpoints, eval=Eval("miniweb-short", split, serving="endpoint")
        )
        path = evaluation(tmp_path / split, eval_settings(made, SUITE, roles), SUITE.tasks(split)[:1])
        if split == "validation":
            assert len(read_evaluation(path, SUITE, TASKS)) == 1 and EVALUATED == TRAJECTORY
        else:
            with pytest.raises(RecipeError, match="on the test split"):
                read_evaluation(path, SUITE, TASKS)
