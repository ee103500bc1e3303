"""Chromium's processes killed and its pages hung in the middle of a whole evaluation: the run ends, what broke is told and played
again, and the rest is as if nothing had been."""

import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from signal import SIGKILL

import pytest

from planact.recipe import load_recipe
from planact.store import read_run
from planact.types import StopReason, Trajectory, from_dict
from planact_envs.chromium import launch
from planact_envs.miniweb.chromium_env import ChromiumMiniwebEnv
from planact_envs.suites import Suite, load_suite
from planact_eval.planned import planned_episodes
from planact_eval.runner import REPLACED, evaluate, longest_first
from tests.openai_server import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]  # the deadlines of pages are the wall clock's, so a busy machine breaks episodes
IN_FLIGHT = 4
BLOWS: dict[str, str] = {}  # task id -> what happens to it, once
LOOP = "() => setTimeout(() => { while (true); }, 0)"


class StruckEnv(ChromiumMiniwebEnv):
    """An episode of BLOWS is struck before its first action, or before it is scored."""

    async def step(self, action):
        await self.strike(("renderer", "browser", "loop", "never"))
        return await super().step(action)

    async def score(self, answer):
        await self.strike(("browser at the end",))
        return await super().score(answer)

    async def strike(self, kinds):
        blow = BLOWS.get(self.task.id)
        if blow not in kinds:
            return
        del BLOWS[self.task.id]
        page = self.session.page
        match blow:
            case "renderer":
                await self.crash()
            case "loop":
                await page.evaluate(LOOP)
            case "never":
                self.session.gate.served["never.test"] = SILENT.getsockname()
                await page.evaluate("() => setTimeout(() => (location = 'http://never.test/'), 0)")
            case _:
                os.killpg(await launch._process_group(await self.running()), SIGKILL)

    async def crash(self):
        """Chromium ends the process of this page and no other one."""
        from playwright.async_api import Error

        with suppress(Error, TimeoutError):
            await asyncio.wait_for(self.session.tab.cdp.send("Page.crash"), 1)


SILENT = socket.socket()  # takes connections and never answers


def struck() -> Suite:
    suite = load_suite("miniweb-short-chromium")

    @asynccontextmanager
    async def open_(world):
        async with suite.open(world) as make_env:
            yield partial(StruckEnv, *make_env.args)

    return replace(suite, open=open_)


@pytest.fixture(scope="module")
def url():
    SILENT.bind(("127.0.0.1", 0))
    SILENT.listen(100)
    with serving("--teacher", "miniweb-short") as address:
        yield address
    SILENT.close()


@pytest.fixture
def marked(monkeypatch, tmp_path):
    """Processes that are started from now on are told by a variable of their environment. Gives those that run."""
    mark = f"PLANACT_TEST_MARK={tmp_path.name}".encode()
    monkeypatch.setenv(*mark.decode().split("="))

    def running():
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes() and "State:\tZ" not in (process / "status").read_text():
                    found.append((process / "cmdline").read_text().replace("\0", " ")[:80])
        return found

    return running


def recipe_for(url, file, tasks, *changes):
    file.write_text(f"""
        {{name: struck, seed: 0, base_model: none,
         agent: {{planner: none, executor: base, prompts: compact, observation: short, max_turns: 10}},
         endpoints: {{executor: {{base_url: {url}, model: teacher, timeout: 60}}}},
         eval: {{suite: "{__name__}:struck", limit: {tasks}, serving: endpoint, episodes_in_flight: {IN_FLIGHT}}}}}""")
    return load_recipe(file, changes)


def long_tasks(recipe):
    """Planned tasks with two actions or more before the answer, in the order in which they are started."""
    suite = struck()
    return [e.task.id for e in longest_first(planned_episodes(recipe, suite), suite) if len(suite.oracle(e.task) or ()) >= 3]


@pytest.fixture(autouse=True)
def no_blows():
    yield
    BLOWS.clear()


def strike(recipe, blows):
    """Mark episodes that are not in flight together. Gives the task whose page is to crash."""
    candidates = long_tasks(recipe)
    BLOWS.update(zip(candidates[:: len(candidates) // len(blows)], blows))
    return next(task for task, blow in BLOWS.items() if blow == "renderer")


def said_by(trajectory):
    return [turn.observation.error for turn in trajectory.turns]


def test_killed_processes_break_no_episode_for_good(url, tmp_path, marked):
    """In 5 % of the episodes. What was in flight in a killed browser is played again in another."""
    recipe = recipe_for(url, tmp_path / "recipe.yaml", tasks := 60)
    crashed = strike(recipe, ["renderer", "browser", "browser at the end"])
    folder, summary, trajectories = evaluate(recipe, tmp_path)
    assert BLOWS == {} and marked() == []  # all were struck, and no process is left
    with read_run(folder / "run.sqlite") as store:
        replaced = [from_dict(Trajectory, value) for _, value in store.items(REPLACED)]
    print(f"{tasks} episodes: {len(replaced)} were played again ({[t.error[:60] for t in replaced]}), {summary.success} solved")
    # One browser is shared by the episodes in flight; a page's process is not.
    assert 1 <= len(replaced) <= 2 * IN_FLIGHT and any("browser" in t.error for t in replaced)
    assert (summary.planned, summary.error, summary.unscored) == (tasks, 0, 0)
    assert summary.failure <= 1  # that of the page that crashed at most: it is opened again, and what was typed is gone
    if crashed not in {t.task_id for t in replaced}:
        assert any("the page crashed and was opened again" in error for t in trajectories if t.task_id == crashed for error in said_by(t))


def test_killed_processes_break_the_episodes_in_flight_and_no_other_ones(url, tmp_path, marked):
    recipe = recipe_for(url, tmp_path / "recipe.yaml", tasks := 8, "eval.env_retries=0")
    strike(recipe, ["renderer", "browser at the end"])
    _, summary, trajectories = evaluate(recipe, tmp_path)
    assert BLOWS == {} and marked() == []
    broken = [t for t in trajectories if t.stop_reason == StopReason.ENV_ERROR]
    assert 1 <= len(broken) <= IN_FLIGHT and summary.planned == tasks == len(broken) + summary.success + summary.failure
    assert all(t.outcome.success is None and t.error for t in broken) and any("browser" in t.error for t in broken)
    _, summary, retried = evaluate(recipe, tmp_path, retry_errors=True)
    assert summary.error == 0 and summary.success >= tasks - 1 and marked() == []
    assert [b for a, b in zip(trajectories, retried, strict=True) if a not in broken] == [t for t in trajectories if t not in broken]


@pytest.mark.parametrize("blow, limit, seconds", [("loop", None, 7), ("never", None, 35), ("loop", 3, 15), ("never", 3, 15)])
def test_a_hung_page_ends_at_its_deadline(url, tmp_path, marked, blow, limit, seconds):
    """With a limit of time for the episode, that one is kept too, and the page is scored where it stands."""
    recipe = recipe_for(url, tmp_path / "recipe.yaml", 4, f"agent.max_episode_seconds={limit or 'null'}", "eval.episodes_in_flight=1")
    BLOWS[hung := long_tasks(recipe)[0]] = blow
    started = time.monotonic()
    _, summary, trajectories = evaluate(recipe, tmp_path)
    elapsed = time.monotonic() - started
    end = next(t for t in trajectories if t.task_id == hung)
    errors = [turn.observation.error for turn in end.turns[1:]] + [end.final.error]
    print(f"{blow}: {end.seconds:.1f} s of {elapsed:.1f} s, {end.stop_reason}, {[e for e in errors if e]}")
    assert BLOWS == {} and marked() == [] and summary.planned == 4
    assert end.seconds < 2 * seconds + 15  # the deadline, twice, and what a busy machine adds
    if limit is None:
        assert summary.error == 0 and summary.success >= 3
        assert any(("did not respond for 5 s" if blow == "loop" else "did not answer within 30 s") in error for error in errors)
    else:
        assert end.stop_reason in (StopReason.TIME_LIMIT, StopReason.ENV_ERROR)
