"""Evaluation runs every planned task exactly once, whatever happens in between, with a local model or behind an endpoint."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from planact.layout import NotBuilt
from planact.llm import BudgetExceeded, EndpointUnusable
from planact.recipe import RecipeError, load_recipe
from planact.store import StoreError, read_run
from planact.types import StopReason, Task, to_dict
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.suites import Suite, load_suite
from planact_eval.planned import eval_folder, models_of, planned_tasks
from planact_eval.runner import describe, evaluate
from planact_eval.table import Row, plain_text

REPO = Path(__file__).parents[2]
SOON = "endpoints.executor.timeout=0.5"  # s, where no answer comes
NOISE = ("agent.planner=base", "agent.executor=base")  # the random model plays both roles


def folder_of(recipe, runs):
    return eval_folder(recipe, load_suite("miniweb-short"), models_of(recipe, runs), runs)


def stored(recipe, runs):
    with read_run(folder_of(recipe, runs) / "run.sqlite") as store:
        return dict(store.items("trajectory"))


def written(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in ("run.sqlite", "results.json", "recipe.yaml")}


def timeless(trajectories):
    """Without what a clock measured."""
    still = [replace(t, seconds=0.0, turns=tuple(without_seconds(turn) for turn in t.turns)) for t in trajectories]
    return sorted(still, key=lambda t: t.task_id)


def without_seconds(turn):
    return replace(turn, planner=replace(turn.planner, seconds=0.0), executor=replace(turn.executor, seconds=0.0))


@pytest.fixture(scope="module")
def noise(small, tmp_path_factory):
    """The recipe, the runs folder and the result of an evaluation of the random model on six tasks."""
    recipe, runs = small("dynamic-replanning", *NOISE), tmp_path_factory.mktemp("noise")
    return recipe, runs, evaluate(recipe, runs)


def test_every_planned_task_has_one_verdict(noise):
    recipe, runs, (folder, summary, trajectories) = noise
    planned = planned_tasks(recipe, load_suite("miniweb-short"))
    assert [t.task_id for t in trajectories] == [task.id for task in planned] and len(planned) == 6
    assert summary.planned == 6 == summary.success + summary.failure + summary.error + summary.unscored
    assert list(stored(recipe, runs)) != [] and set(stored(recipe, runs)) == {task.id for task in planned}
    # Noise is no action: three unreadable answers in a row end each episode, which fails.
    assert summary.failure == 6 and summary.stop_reasons == {"invalid_actions": 6}
    assert all(len(t.turns) == 3 and t.turns[0].failure for t in trajectories)
    results = json.loads((folder / "results.json").read_text())
    assert results["recipe"] == recipe.name and results["summary"]["planned"] == 6
    assert load_recipe(folder / "recipe.yaml") == recipe


def test_the_results_name_the_scorer_that_the_recipe_left_to_the_suite(noise):
    recipe, _, (folder, _, _) = noise
    assert recipe.eval.scorer is None
    assert json.loads((folder / "results.json").read_text())["settings"]["scorer"] == "miniweb"


def test_a_scorer_that_the_suite_does_not_have_is_refused_before_a_model_is_missed(small, tmp_path):
    with pytest.raises(RecipeError, match="miniweb-short has no scorer 'vab'"):
        evaluate(small("react", "eval.scorer=vab"), tmp_path)  # its executor is not trained


@pytest.mark.browser
@pytest.mark.parametrize("suite, scorer", [("miniweb-chromium", "miniweb"), ("miniwob", "miniwob")])
def test_one_setting_takes_a_recipe_to_another_benchmark(small, tmp_path, suite, scorer):
    if suite == "miniwob":
        pytest.importorskip("browsergym.miniwob", reason="needs the extra browsergym")
    _, summary, trajectories = evaluate(small("react", "agent.executor=base", "eval.limit=2", f"eval.suite={suite}"), tmp_path)
    assert (summary.planned, summary.failure) == (2, 2) and {t.outcome.scorer for t in trajectories} == {scorer}


def test_the_same_evaluation_again_runs_nothing_and_loads_no_model(noise):
    # From the recipe in the run folder, in a process of its own: torch is not even imported.
    _, runs, (folder, summary, _) = noise
    before = written(folder)
    code = (
        "import sys; from pathlib import Path; from planact.recipe import load_recipe; from planact_eval.runner import evaluate\n"
        "_, summary, _ = evaluate(load_recipe(sys.argv[1]), Path(sys.argv[2])); print(summary, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folder / "recipe.yaml", runs], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == f"{summary} False"
    assert written(folder) == before


def test_a_run_killed_before_its_results_were_written_gets_them(noise, tmp_path):
    recipe, runs, (folder, summary, _) = noise
    copy = shutil.copytree(runs, tmp_path / "runs")
    results = copy / folder.relative_to(runs) / "results.json"
    whole = results.read_text()
    results.unlink()
    assert evaluate(recipe, copy)[1] == summary
    assert results.read_text() == whole


@pytest.mark.slow  # test_crash.py kills a faster evaluation at several instants
def test_a_killed_evaluation_loses_no_task_and_runs_none_twice(small, changes, tmp_path):
    more = [*NOISE, "eval.limit=20", "eval.episodes_in_flight=2"]
    recipe, runs = small("dynamic-replanning", *more), tmp_path / "runs"
    config = [f"--set={change}" for change in (*changes, *more)]
    command = [sys.executable, "scripts/evaluate.py", "--config", "recipes/tiny/dynamic-replanning.yaml", "--runs", str(runs), *config]
    process = subprocess.Popen(command, cwd=REPO, stderr=subprocess.PIPE, text=True)
    before = {}
    while len(before) < 3:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
        with contextlib.suppress(StoreError):  # not there yet
            before = stored(recipe, runs)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    before = stored(recipe, runs)
    assert 3 <= len(before) < 20

    _, summary, trajectories = evaluate(recipe, runs)
    after = stored(recipe, runs)
    assert len(after) == len(trajectories) == summary.planned == 20
    assert {key: after[key] for key in before} == before  # what was paid for is not run again
    _, straight, whole = evaluate(recipe, tmp_path / "straight")
    assert timeless(trajectories) == timeless(whole)
    assert plain_text([Row("a", "", None, summary)], "miniweb") == plain_text([Row("a", "", None, straight)], "miniweb")


def toy_suite(*templates):
    tasks = [Task(f"{name}{i}", "toy", "test", (), name, "", name) for i, name in enumerate(templates)]
    return Suite("toy", "1", lambda split: tuple(tasks), ("toy",), None)


@pytest.mark.parametrize(
    "limit, ids",
    [
        (1, "a0"),
        (3, "a0 b3 c5"),  # one of each template before a second of any
        (4, "a0 b3 c5 a1"),
        (5, "a0 b3 c5 a1 b4"),
        (6, "a0 a1 a2 b3 b4 c5"),  # all, in their own order
        (7, "a0 a1 a2 b3 b4 c5"),
        (None, "a0 a1 a2 b3 b4 c5"),
    ],
)
def test_a_limit_is_spread_over_the_templates(small, limit, ids):
    recipe = small("react", f"eval.limit={'null' if limit is None else limit}")
    assert " ".join(task.id for task in planned_tasks(recipe, toy_suite(*"aaabbc"))) == ids


def test_what_changes_a_trajectory_changes_the_folder(small, tmp_path):
    here = folder_of(small("dynamic-replanning", *NOISE), tmp_path)
    assert here.parent == tmp_path / "eval" and here.name.startswith("tiny-dynamic-replanning-")
    for change in ("agent.replan=never", "agent.max_turns=9", "seed=1", "eval.limit=7", "eval.split=validation", "agent.prompts=full"):
        assert folder_of(small("dynamic-replanning", *NOISE, change), tmp_path) != here, change
    for change in ("eval.episodes_in_flight=1", "sft.max_steps=9", "data.tasks=3", "description=other"):
        assert folder_of(small("dynamic-replanning", *NOISE, change), tmp_path) == here, change


def test_other_weights_in_the_same_place_are_another_run(small, base, memorised, tmp_path):
    # The folder's name is the same; what lies in it decides.
    one, two = tmp_path / "one" / "model", tmp_path / "two" / "model"
    shutil.copytree(base, one)
    shutil.copytree(base, two)
    shutil.copy(memorised.folder / "model.safetensors", two)
    same = shutil.copytree(one, tmp_path / "moved" / "model")
    one, two, same = (folder_of(small("react", "agent.executor=base", f"base_model={path}"), tmp_path) for path in (one, two, same))
    assert one != two and one == same  # and the same weights in another place are the same run


def test_a_model_that_is_not_trained_names_the_command(small, runs, tmp_path):
    recipe = small("finetuning")
    with pytest.raises(NotBuilt, match="act, act_dynamic|rows") as caught:
        evaluate(recipe, tmp_path)
    assert caught.value.script == "scripts/build_data.py"
    with pytest.raises(NotBuilt, match="the executor of tiny/finetuning is not trained") as caught:
        evaluate(recipe, runs)
    assert (caught.value.script, caught.value.options) == ("scripts/sft.py", "--role executor")
    assert not (runs / "eval").exists()
    assert [line for line in describe(recipe, runs) if "to train" in line and "not trained" in line] != []


def test_trained_without_a_way_to_train_is_refused(small, tmp_path):
    recipe = replace(small("finetuning"), sft=None)
    with pytest.raises(RecipeError, match="agent.executor of tiny/finetuning is `trained`, but there is no section `sft`"):
        evaluate(recipe, tmp_path)
    assert any("no section `sft`" in line for line in describe(recipe, tmp_path))


def test_describe_counts_what_is_done_and_changes_nothing(noise, small, tmp_path):
    recipe, runs, (folder, _, _) = noise
    assert describe(recipe, runs)[-1] == f"eval      {folder}: 6 of 6 test tasks of miniweb-short 1.0.0 done"
    assert "0 of 6" in describe(small("react", "agent.executor=base"), tmp_path / "new")[-1]
    assert not (tmp_path / "new").exists()


class TeacherServer:
    """An OpenAI-compatible endpoint with the scripted teacher behind it, which knows every task. After `answers` it says 401."""

    def __init__(self, answers=10_000):
        self.left, self.requests, self.hang = answers, 0, False
        self.teacher = ScriptedTeacher("short", "webrl")

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *exc_info):
        self.server.close()

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(line for line in head.decode().lower().split("\r\n") if line.startswith("content-length:"))
                status, answer = await self.answer(json.loads(await reader.readexactly(int(length.split(":")[1]))))
                body = json.dumps(answer).encode()
                head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, request):
        self.requests += 1
        if self.hang:
            await asyncio.sleep(60)
        if self.left == 0:
            return 401, {"error": {"message": "your key has expired", "type": "auth", "code": "invalid_api_key"}}
        self.left -= 1
        reply = await self.teacher.complete(request["messages"], max_tokens=request["max_tokens"])
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply.text}}
        usage = {"prompt_tokens": reply.usage.prompt_tokens, "completion_tokens": reply.usage.completion_tokens}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": request["model"], "choices": [choice]}
        return 200, body | {"usage": usage | {"total_tokens": sum(usage.values())}}


def behind(small, url, *more):
    endpoint = [f"endpoints.executor.base_url={url}", "endpoints.executor.model=teacher"]
    return small("react", "eval.serving=endpoint", "eval.limit=12", *endpoint, *more)


async def test_an_endpoint_that_knows_the_answers_solves_every_task(small, tmp_path):
    async with TeacherServer() as server:
        recipe = behind(small, server.url, "endpoints.executor.usd_per_m_prompt=1", "endpoints.executor.usd_per_m_completion=1")
        folder, summary, trajectories = await asyncio.to_thread(evaluate, recipe, tmp_path)
        assert (summary.planned, summary.success, summary.rate) == (12, 12, 1.0)
        assert server.requests == sum(len(t.turns) for t in trajectories) == round(summary.model_calls * 12)
        assert summary.usd == pytest.approx(12 * summary.act_tokens / 1e6) and summary.replans == 0
        again = await asyncio.to_thread(evaluate, recipe, tmp_path)
    assert again == (folder, summary, trajectories) and server.requests == round(summary.model_calls * 12)


async def test_a_server_that_is_down_costs_no_task_its_place(small, tmp_path):
    async with TeacherServer() as server:
        url = server.url
    recipe = behind(small, url, SOON)  # nobody listens any more
    _, summary, trajectories = await asyncio.to_thread(evaluate, recipe, tmp_path)
    assert (summary.planned, summary.error, summary.success, summary.failure, summary.unscored) == (12, 12, 0, 0, 0)
    assert summary.rate == 0.0
    assert {t.stop_reason for t in trajectories} == {StopReason.MODEL_ERROR} and all(t.outcome.success is None for t in trajectories)
    assert "12 broke" in plain_text([Row("a", "", None, summary)], "miniweb")


async def test_a_refused_key_stops_the_run_and_records_nothing_of_what_was_not_run(small, tmp_path):
    async with TeacherServer(answers=20) as server:
        recipe = behind(small, server.url, "eval.episodes_in_flight=2")
        with pytest.raises(EndpointUnusable, match="401"):
            await asyncio.to_thread(evaluate, recipe, tmp_path)
        before = stored(recipe, tmp_path)
        assert 1 <= len(before) < 12 and all(t["outcome"]["success"] for t in before.values())
        assert not (folder_of(recipe, tmp_path) / "results.json").exists()
        assert server.requests <= 20 + 2  # each episode in flight was refused once, and no other was begun

        server.left = 10_000  # a new key
        _, summary, _ = await asyncio.to_thread(evaluate, recipe, tmp_path)
    assert (summary.planned, summary.success) == (12, 12)
    assert {key: value for key, value in stored(recipe, tmp_path).items() if key in before} == before


async def test_repeats_use_seeds_of_their_own_and_more_of_them_keep_what_was_run(small, tmp_path):
    async with TeacherServer() as server:
        recipe = behind(small, server.url, "eval.limit=3")
        folder, summary, once = await asyncio.to_thread(evaluate, recipe, tmp_path)
        three = behind(small, server.url, "eval.limit=3", "eval.repeats=3")
        again, summary, trajectories = await asyncio.to_thread(evaluate, three, tmp_path)
    assert again == folder and (summary.planned, summary.success) == (9, 9)
    assert trajectories[:3] == once and [t.seed for t in trajectories] == [0] * 3 + [1] * 3 + [2] * 3
    assert [t.task_id for t in trajectories] == [t.task_id for t in once] * 3


async def test_broken_episodes_are_run_again_on_request_and_the_old_ones_are_kept(small, tmp_path):
    async with TeacherServer() as server:
        url = server.url
    recipe = behind(small, url, "eval.limit=2", SOON)  # nobody listens any more
    _, summary, broken = await asyncio.to_thread(evaluate, recipe, tmp_path)
    assert summary.error == 2
    assert (await asyncio.to_thread(evaluate, recipe, tmp_path))[2] == broken  # not unless it is asked for
    _, summary, retried = await asyncio.to_thread(evaluate, recipe, tmp_path, True)
    assert summary.planned == summary.error == 2 and retried != broken
    with read_run(folder_of(recipe, tmp_path) / "run.sqlite") as store:
        replaced = [value for _, value in store.items("replaced trajectory")]  # in the order in which the new ones ended
    assert sorted(replaced, key=lambda one: one["task_id"]) == [to_dict(t) for t in sorted(broken, key=lambda t: t.task_id)]


async def test_a_spent_budget_stops_the_run_and_more_money_goes_on(small, tmp_path):
    async with TeacherServer() as server:
        prices = ["endpoints.executor.usd_per_m_prompt=1", "endpoints.executor.usd_per_m_completion=1", "eval.episodes_in_flight=1"]
        with pytest.raises(BudgetExceeded, match="max_usd=0.005"):
            await asyncio.to_thread(evaluate, behind(small, server.url, *prices, "eval.max_usd=0.005"), tmp_path)
        more = behind(small, server.url, *prices, "eval.max_usd=1")
        before = stored(more, tmp_path)
        _, summary, _ = await asyncio.to_thread(evaluate, more, tmp_path)
        after = stored(more, tmp_path)
    assert 0 < len(before) < 12 == summary.success and {key: after[key] for key in before} == before
    with pytest.raises(RecipeError, match=r"endpoints.executor: max_usd=1 needs the prices"):
        await asyncio.to_thread(evaluate, behind(small, server.url, "eval.max_usd=1", "eval.limit=2"), tmp_path)


async def test_an_episode_that_takes_too_long_is_scored_where_it_stands(small, tmp_path):
    async with TeacherServer() as server:
        server.hang = True
        recipe = behind(small, server.url, "eval.limit=2", "endpoints.executor.timeout=60", "agent.max_episode_seconds=3")
        _, summary, trajectories = await asyncio.to_thread(evaluate, recipe, tmp_path)
    assert summary.failure == 2 and {t.stop_reason for t in trajectories} == {StopReason.TIME_LIMIT}
