"""Kinds of failures of a whole run: by rules alone, by a judge behind an endpoint, and what is kept of it."""

import asyncio
import json
import re
import shutil
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import pytest

from planact.failures import CERTAIN, explain
from planact.llm import BudgetExceeded, Completion, ScriptedLLM
from planact.recipe import RecipeError
from planact.store import StoreError, read_run
from planact.types import FailureInfo, Usage, to_dict
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_eval.asking import majority, reopened
from planact_eval.failure_judge import KIND, explain_run, read_votes
from planact_eval.failure_prompt import SYSTEM, render_failure
from tests.openai_server import OpenAIServer
from tests.planact_eval.saved_runs import MINIWEB, save_run

REACT = Path(__file__).parents[2] / "recipes/tiny/react.yaml"
PRICES = ["endpoints.judge.usd_per_m_prompt=1", "endpoints.judge.usd_per_m_completion=1", "endpoints.judge.max_in_flight=1"]


def player(task):
    """The teacher with many mistakes; prose on some tasks, which the rules are certain about."""
    return ScriptedLLM(lambda messages: "Sure!") if task.template.startswith("code") else ScriptedTeacher("short", "webrl", 0.9, seed=1)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    return folder, save_run(folder, REACT, (*MINIWEB, "eval.limit=24"), player)[1]


@pytest.fixture
def run(played, tmp_path):
    """A copy of the run, and why its episodes failed by rules."""
    folder, trajectories = played
    return shutil.copytree(folder, tmp_path / "run"), {key: why for key, t in trajectories.items() if (why := explain(t))}


@asynccontextmanager
async def judge(reply):
    """The `--set` values for a server that answers as `reply(messages)` says, and the questions that it was asked."""
    model = ScriptedLLM(reply)
    server = OpenAIServer(SimpleNamespace(teacher="", seed=0, fault_rate=0.0, latency=0.0, no_batches=True))
    server.teacher = model
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    try:
        yield [f"endpoints.judge.base_url={url}", "endpoints.judge.model=wise"], model.calls
    finally:
        listening.close()


def says(kind, why="action 2 shows it"):
    return lambda messages: render_failure(FailureInfo(kind, why))


def written(folder):
    return {one["key"]: one for one in json.loads((folder / "failures.json").read_text())["failures"]}


def kept(folder):
    with read_run(folder / "run.sqlite") as store:
        return dict(store.items(KIND))


def test_without_a_judge_the_rules_speak_and_the_store_stays_as_it_was(run):
    folder, rules = run
    before = (folder / "run.sqlite").read_bytes()
    text = explain_run(folder)
    found = written(folder)
    assert {key: (one["kind"], one["message"]) for key, one in found.items()} == {key: (w.kind, w.message) for key, w in rules.items()}
    assert {one["source"] for one in found.values()} == {"rules"} and f"0 told by a judge, {len(rules)} by rules" in text
    assert (folder / "run.sqlite").read_bytes() == before and kept(folder) == {}
    kinds = {one.kind for one in rules.values()}
    assert "format" in kinds and kinds - {"format"}  # the sample has both what is certain and what is guessed


def test_the_table_counts_every_failure_once_by_site_and_by_template(run):
    folder, rules = run
    lines = explain_run(folder).splitlines()
    header, *rest = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert header[0] == "site" and header[-1] == "all" and set(header[1:-1]) == {why.kind for why in rules.values()}
    sites = rest[1 : next(n for n, line in enumerate(rest) if line[0] == "all") + 1]
    columns = list(zip(*[[int(cell) for cell in line[1:]] for line in sites], strict=True))
    assert all(sum(column[:-1]) == column[-1] for column in columns) and columns[-1][-1] == len(rules)
    templates = rest[len(sites) + 3 :]  # behind their rule and header
    assert templates[0][0].startswith("code.") and sum(int(line[-1]) for line in templates[:-1]) == len(rules)
    assert "| evidence " in (folder / "failures.md").read_text()


async def test_the_judge_is_asked_about_guesses_only_and_never_twice(run):
    folder, rules = run
    guessed = {key for key, why in rules.items() if why.kind not in CERTAIN}
    async with judge(says("grounding")) as (changes, calls):
        text = await asyncio.to_thread(explain_run, folder, "guesses", 1, changes)
        assert len(calls) == len(guessed) and {messages[0]["content"] for messages in calls} == {SYSTEM}
        again = await asyncio.to_thread(explain_run, folder, "guesses", 1, changes)
        assert again == text and len(calls) == len(guessed)
    found = written(folder)
    assert {key for key, one in found.items() if one["source"] == "judge"} == guessed == set(kept(folder))
    assert all(found[key]["kind"] == "grounding" and found[key]["rule"] == rules[key].kind for key in guessed)
    stored = kept(folder)[min(guessed)]
    assert set(stored) == {"kind", "message", "source", "votes", "of", "model", "prompt_hash", "usage"}
    assert (stored["model"], stored["votes"], stored["message"]) == ("wise", ["grounding"], "action 2 shows it")
    assert explain_run(folder) == text  # what was said stays, when nobody is asked


async def test_all_means_every_failure_of_the_agent(run):
    folder, rules = run
    async with judge(says("loop")) as (changes, calls):
        await asyncio.to_thread(explain_run, folder, "all", 1, changes)
    assert len(calls) == len(rules) and {one["kind"] for one in written(folder).values()} == {"loop"}


async def test_most_votes_decide_and_other_votes_are_asked_anew(run):
    folder, _ = run
    kinds = cycle(["planning", "loop", "planning"])
    async with judge(lambda messages: render_failure(FailureInfo(next(kinds), "it shows"))) as (changes, calls):
        await asyncio.to_thread(explain_run, folder, "guesses", 3, [*changes, "endpoints.judge.max_in_flight=1"])
    found = kept(folder)
    assert len(calls) == 3 * len(found) and all(one["votes"] == ["planning", "loop", "planning"] for one in found.values())
    assert {one["kind"] for one in found.values()} == {"planning"}
    async with judge(says("loop")) as (changes, calls):
        await asyncio.to_thread(explain_run, folder, "guesses", 1, changes)
    assert len(calls) == len(found) and {one["kind"] for one in kept(folder).values()} == {"loop"}


def reply(text):
    return Completion(text, Usage())


def test_a_tie_and_unreadable_votes_are_unknown():
    loop, planning = (reply(render_failure(FailureInfo(kind, "x"))) for kind in ("loop", "planning"))
    assert majority(["a", "b", "a", None]) == "a" and majority(["a", "b"]) is None and majority([None, None]) is None
    tie = read_votes([loop, planning])
    assert tie["kind"] == "unknown" and tie["votes"] == ["loop", "planning"] and tie["message"].endswith(": loop, planning")
    assert read_votes([None, reply("I am not sure.")])["message"].endswith(": unreadable, unreadable")
    assert read_votes([reply("No."), loop, None])["kind"] == "loop"


async def test_a_judge_that_does_not_know_leaves_the_rules_their_word(run):
    folder, rules = run
    async with judge(lambda messages: "I am not sure.") as (changes, calls):
        text = await asyncio.to_thread(explain_run, folder, "guesses", 1, changes)
    assert f"; of {len(calls)} answers of the judge {len(calls)} were not clear" in text
    assert {one["kind"] for one in kept(folder).values()} == {"unknown"}
    assert {key: one["kind"] for key, one in written(folder).items()} == {key: why.kind for key, why in rules.items()}


async def test_what_was_said_of_an_episode_that_was_replaced_does_not_count(run):
    folder, _ = run
    async with judge(says("grounding")) as (changes, calls):
        await asyncio.to_thread(explain_run, folder, "guesses", 1, changes)
        key = min(kept(folder))
        with reopened(folder) as store:
            store.put(key, store.get(key, "trajectory") | {"seconds": 99.0}, "trajectory", replace=True)
        explain_run(folder)
        assert written(folder)[key]["source"] == "rules"
        asked = len(calls)
        await asyncio.to_thread(explain_run, folder, "guesses", 1, changes)
        assert len(calls) == asked + 1 and written(folder)[key]["source"] == "judge"


async def test_the_runs_limit_of_dollars_holds_and_more_money_goes_on(run):
    folder, rules = run
    guessed = [key for key, why in rules.items() if why.kind not in CERTAIN]
    async with judge(says("grounding")) as (changes, calls):
        with pytest.raises(BudgetExceeded, match=r"max_usd=0.001"):
            await asyncio.to_thread(explain_run, folder, "guesses", 1, [*changes, *PRICES, "eval.max_usd=0.001"])
        first = set(kept(folder))
        assert 0 < len(first) < len(guessed)
        await asyncio.to_thread(explain_run, folder, "guesses", 1, [*changes, *PRICES, "eval.max_usd=1"])
    assert len(calls) == len(guessed) == len(kept(folder)) and first < set(kept(folder))


def test_a_run_without_a_judge_says_what_to_set(run):
    with pytest.raises(RecipeError, match=r"names no endpoints.judge; add it with --set endpoints.judge.base_url=... "):
        explain_run(run[0], "guesses")
    with pytest.raises(StoreError, match="is no run folder"):
        explain_run(run[0] / "nothing")


async def test_hostile_evidence_cannot_break_the_table(run):
    folder, _ = run
    async with judge(says("loop", "a | b <script>alert(1)</script> \x1b[2J")) as (changes, _):
        await asyncio.to_thread(explain_run, folder, "guesses", 1, changes)
    report = (folder / "failures.md").read_text()
    assert "<script" not in report and "\x1b" not in report
    listing = report[report.index("| episode ") :].splitlines()
    assert len(listing) > 2 and {len(re.findall(r"(?<!\\)\|", line)) for line in listing} == {5}  # four cells each


def test_nothing_fails_in_a_run_that_is_solved(played, tmp_path):
    folder, trajectories = played
    copy = shutil.copytree(folder, tmp_path / "run")
    with reopened(copy) as store:
        for key, t in trajectories.items():
            solved = to_dict(t) | {"outcome": {"success": True, "scorer": "miniweb", "reason": "", "judgements": []}}
            store.put(key, solved, "trajectory", replace=True)
    assert explain_run(copy, "guesses").startswith("No episode failed.") and written(copy) == {}
