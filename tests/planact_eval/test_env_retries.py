"""An episode whose environment breaks is played again in a fresh world, and what broke is kept beside it."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from planact.env import EnvError
from planact.recipe import load_recipe
from planact.store import read_run
from planact.types import Judgement, Outcome, StopReason, Trajectory, Usage, from_dict, to_dict
from planact_envs.miniweb.env import MiniwebEnv
from planact_envs.suites import Suite, load_suite
from planact_eval.planned import eval_settings, models_of, planned_episodes
from planact_eval.ray_backend import Worker
from planact_eval.runner import REPLACED, broke, evaluate
from tests.openai_server import serving

BREAKS: Counter[str] = Counter()  # task id -> times that its world breaks yet


class FragileEnv(MiniwebEnv):
    """Breaks in the first action, which has been paid for by then."""

    async def step(self, action):
        if BREAKS[self.task.id]:
            BREAKS[self.task.id] -= 1
            raise EnvError("the browser is gone")
        return await super().step(action)


@asynccontextmanager
async def open_world(world):
    yield lambda: FragileEnv(world.form)


def fragile() -> Suite:
    return replace(load_suite("miniweb-short"), open=open_world)


def shared() -> Suite:
    return replace(fragile(), isolated=False)


@pytest.fixture(scope="module")
def url():
    with serving("--teacher", "miniweb-short") as address:
        yield address


@pytest.fixture
def recipe_with(url, tmp_path):
    def make(*changes):
        file = tmp_path / "recipe.yaml"
        file.write_text(f"""
            {{name: fragile, seed: 0, base_model: none,
             agent: {{planner: none, executor: base, prompts: compact, observation: short, max_turns: 10}},
             endpoints: {{executor: {{base_url: {url}, model: teacher, usd_per_m_prompt: 1, usd_per_m_completion: 1}}}},
             eval: {{suite: "{__name__}:fragile", limit: 6, serving: endpoint, max_usd: 1}}}}""")
        return load_recipe(file, changes)

    yield make
    BREAKS.clear()


def replaced_in(folder):
    with read_run(folder / "run.sqlite") as store:
        return {key: from_dict(Trajectory, value) for key, value in store.items(REPLACED)}


def acting(recipe):
    """Planned tasks that take an action before the answer."""
    suite = fragile()
    return [e.task.id for e in planned_episodes(recipe, suite) if len(suite.oracle(e.task)) >= 2]


def test_an_episode_whose_world_breaks_once_is_played_again_and_nothing_else_changes(recipe_with, tmp_path, capfd):
    recipe = recipe_with()
    _, whole, undisturbed = evaluate(recipe, tmp_path / "undisturbed")
    struck = acting(recipe)[:2]
    BREAKS.update(struck)
    folder, summary, trajectories = evaluate(recipe, tmp_path / "struck")
    assert (summary.planned, summary.success, summary.error) == (6, 6, 0) and BREAKS.total() == 0
    assert [t.answer for t in trajectories] == [t.answer for t in undisturbed] and summary.turns == whole.turns
    broken = replaced_in(folder)
    assert sorted(t.task_id for t in broken.values()) == sorted(struck)
    for key, trajectory in broken.items():
        assert key.startswith(trajectory.task_id) and trajectory.stop_reason == StopReason.ENV_ERROR
        assert len(trajectory.turns) == 1 and trajectory.outcome.success is None and trajectory.executor_usage.usd > 0
    assert capfd.readouterr().err.count("was played again, because its environment broke: the browser is gone") == 2


def test_one_whose_world_breaks_each_time_ends_broken_and_is_counted_once(recipe_with, tmp_path):
    recipe = recipe_with("eval.env_retries=2")
    struck = acting(recipe)[0]
    BREAKS[struck] = 4
    folder, summary, _ = evaluate(recipe, tmp_path)
    assert (summary.planned, summary.success, summary.error) == (6, 5, 1) and BREAKS[struck] == 1  # once and two more times
    assert len(replaced_in(folder)) == 2
    _, summary, _ = evaluate(recipe, tmp_path, retry_errors=True)  # breaks once more, and then no more
    assert (summary.planned, summary.success) == (6, 6) and len(replaced_in(folder)) == 4


def test_no_retries_leave_the_break_as_it_is(recipe_with, tmp_path):
    recipe = recipe_with("eval.env_retries=0")
    BREAKS[acting(recipe)[0]] = 1
    folder, summary, _ = evaluate(recipe, tmp_path)
    assert (summary.success, summary.error) == (5, 1) and replaced_in(folder) == {}


def test_an_episode_that_others_could_see_is_not_played_again(recipe_with, tmp_path):
    """What it did on sites that are shared stays done."""
    recipe = recipe_with(f"eval.suite={__name__}:shared")
    BREAKS[acting(recipe)[0]] = 1
    folder, summary, _ = evaluate(recipe, tmp_path)
    assert (summary.success, summary.error) == (5, 1) and replaced_in(folder) == {}
    assert fragile().isolated and load_suite("miniwob").isolated


def test_an_episode_that_its_judge_failed_is_run_again_on_request_and_one_that_it_could_not_judge_is_not():
    failed = Judgement("ask", "judge", "0" * 16, "HTTP 503: overloaded", None, failed=True)
    unclear = Judgement("ask", "judge", "0" * 16, "I cannot tell.", None, Usage(10, 4, 1))
    ended = Trajectory("t", "h", "Say it.", (), StopReason.ANSWERED, Outcome(None, judgements=(unclear,)))
    assert not broke(to_dict(ended)) and not broke(to_dict(replace(ended, outcome=Outcome(False, judgements=(failed,)))))
    assert broke(to_dict(replace(ended, outcome=Outcome(None, judgements=(unclear, failed)))))
    assert broke(to_dict(replace(ended, stop_reason=StopReason.ENV_ERROR, outcome=Outcome(None))))


def test_retries_are_no_setting_of_the_results(recipe_with):
    one, other = recipe_with(), recipe_with("eval.env_retries=5")
    assert eval_settings(one, fragile(), models_of(one, None)) == eval_settings(other, fragile(), models_of(other, None))


def test_a_worker_of_ray_sends_what_broke_too(recipe_with, tmp_path):
    recipe = recipe_with("eval.max_usd=null")
    suite, roles = fragile(), models_of(recipe, tmp_path)

    async def play():
        worker = Worker(recipe.to_yaml(), roles, eval_settings(recipe, suite, roles))
        await worker.open()
        episode = next(e for e in planned_episodes(recipe, suite) if e.task.id == acting(recipe)[0])
        BREAKS[episode.task.id] = 1
        found = await worker.play(to_dict(episode.task), 0)
        await worker.close()
        return found

    found = asyncio.run(play())
    assert from_dict(Trajectory, found["trajectory"]).outcome.success
    assert [from_dict(Trajectory, each).error for each in found["broken"]] == ["the browser is gone"]
