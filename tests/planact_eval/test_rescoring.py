"""Saved episodes of miniweb scored again: the same verdict as live, WebArena's scorers beside it, and where they disagree."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from planact.actions import render_action
from planact.llm import ModelError, ScriptedLLM
from planact.recipe import RecipeError, load_recipe
from planact.store import RunStore, read_run
from planact.types import Action, Judgement, Op, Outcome, StopReason, Trajectory, content_hash, to_dict
from planact_envs.evidence import KIND, MAX_BYTES
from planact_envs.miniweb.tasks import solution
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_envs.observation import read_elements
from planact_envs.suites import load_suite
from planact_eval.planned import eval_settings
from planact_eval.rescoring import KnownJudge, disagreements, known_answers, offline_scorer, rescore, tables, tally
from tests.openai_server import serving, stats
from tests.planact_eval.saved_runs import MINIWEB, save_run

REACT = Path(__file__).parents[2] / "recipes/tiny/react.yaml"
SCORERS = ["miniweb", "vab", "browsergym", "webarena", "plan-and-act-released"]
TASKS = 28  # one of each template
MEDDLED = "shop.price.000"


class Meddler:
    """Puts something on the wish list, which nobody asked for, and then answers as the oracle does."""

    name = "meddler"

    def __init__(self, task):
        self.answer = next(move.text for move in solution(task).moves if move.op == Op.STOP)

    async def complete(self, messages, **settings):
        turns = sum(message["role"] == "assistant" for message in messages)
        if turns == 0:
            action = Action(Op.GOTO, text="http://shop.miniweb/product/TV-914")
        elif turns == 1:
            button = next(e for e in read_elements(messages[-1]["content"], "short") if e.name == "Add to wish list")
            action = Action(Op.CLICK, button.id)
        else:
            action = Action(Op.STOP, text=self.answer)
        return await ScriptedLLM([render_action(action, "webrl")]).complete(messages, **settings)


def player(task):
    if task.id == MEDDLED:
        return Meddler(task)
    if task.template == "code.release":  # the numbers of the version in the wrong order
        parts = task.eval["reference_answers"]["exact_match"].split(".")
        return ScriptedLLM([f'exit(message="{".".join(reversed(parts))}")'])
    return ScriptedTeacher("short", "webrl", error_rate=0.5, seed=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, and its trajectories by key."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    return folder, save_run(folder, REACT, (*MINIWEB, f"eval.limit={TASKS}"), player)[1]


@pytest.fixture(scope="module")
def rescored(run):
    """What the user reads, and the outcomes that were written, by scorer and episode."""
    text = rescore(run[0], SCORERS)
    return text, {name: json.loads((run[0] / f"rescored/{name}.json").read_text())["outcomes"] for name in SCORERS}


def evidence_in(folder):
    with read_run(folder / "run.sqlite") as store:
        return dict(store.items(KIND))


def test_every_episode_leaves_evidence_of_a_few_kilobytes(run):
    found = evidence_in(run[0])
    assert set(found) == set(run[1]) and not any(one["left_out"] for one in found.values())
    sizes = sorted(len(json.dumps(one)) for one in found.values())
    assert sizes[0] > 500 and sizes[-1] < 100_000 < MAX_BYTES
    assert found[MEDDLED]["database"]["shop_wish"]["added"]


def test_miniwebs_own_scorer_gives_offline_the_verdicts_and_reasons_that_it_gave_live(run, rescored):
    live = {key: (t.outcome.success, t.outcome.reason) for key, t in run[1].items()}
    assert {key: (one["success"], one["reason"]) for key, one in rescored[1]["miniweb"].items()} == live
    assert len(live) == TASKS and 5 < sum(success for success, _ in live.values()) < 24  # both verdicts are there


def test_a_side_effect_fails_for_miniweb_alone(run, rescored):
    _, outcomes = rescored
    assert {name: outcomes[name][MEDDLED]["success"] for name in SCORERS} == dict.fromkeys(SCORERS, True) | {"miniweb": False}
    assert "shop_wish added: unexpected" in outcomes["miniweb"][MEDDLED]["reason"]


def test_an_answer_in_the_wrong_order_passes_for_the_released_runner_alone(rescored):
    lax = next(key for key in rescored[1]["vab"] if key.startswith("code.release."))
    passed = {name: rescored[1][name][lax]["success"] for name in SCORERS}
    assert passed == dict.fromkeys(SCORERS, False) | {"plan-and-act-released": True}


def test_the_report_names_the_episodes_that_scorers_disagree_about_with_their_reasons(run, rescored):
    text, _ = rescored
    report = (run[0] / "rescored/disagreements.md").read_text()
    for written in (text, report):
        assert "| miniweb (the run) " in written and "unscored by either" in written
        assert f"| {MEDDLED} " in written and "| code.release." in written and "shop_wish added: unexpected" in written


def test_scoring_again_touches_nothing_of_the_run_and_gives_the_same_again(run, rescored, tmp_path):
    copy = shutil.copytree(run[0], tmp_path / "run")
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    for path in (copy / "rescored").iterdir():
        path.unlink()
    rescore(copy, SCORERS)
    assert {name: (copy / name).read_bytes() for name in before} == before
    for path in (run[0] / "rescored").glob("*.json"):
        assert (copy / "rescored" / path.name).read_bytes() == path.read_bytes()


def change(folder, tmp_path, act):
    """A copy of the run whose store `act` has written to."""
    copy = shutil.copytree(folder, tmp_path / "changed")
    with read_run(copy / "run.sqlite") as store:
        settings = store.fingerprint
    with RunStore.open(copy / "run.sqlite", settings) as store:
        act(store)
    return copy


def test_what_was_not_saved_leaves_a_task_unscored_and_says_what_is_missing(run, tmp_path):
    needs_page = next(t.id for t in load_suite("miniweb-short").tasks("test") if t.eval["eval_types"] == ["program_html"])

    def forget(store):
        for key, one in evidence_in(run[0]).items():
            store.put(key, one | {"pages": {}} if key == needs_page else {}, KIND, replace=True)

    copy = change(run[0], tmp_path, forget)
    rescore(copy, ["miniweb", "vab"])
    outcomes = {name: json.loads((copy / f"rescored/{name}.json").read_text())["outcomes"] for name in ("miniweb", "vab")}
    for name in ("miniweb", "vab"):
        assert outcomes[name][needs_page]["success"] is None
        assert "which was not saved" in outcomes[name][needs_page]["reason"]
    # Without any evidence, as in a run of an older version, the trajectory still has the answer.
    assert outcomes["vab"][MEDDLED]["success"] is True and outcomes["miniweb"][MEDDLED]["success"] is None
    assert "changes of the database, which were not saved" in outcomes["miniweb"][MEDDLED]["reason"]


def test_a_broken_episode_stays_unscored_and_in_the_denominator(run, tmp_path):
    def breaks(store):
        store.put(MEDDLED, store.get(MEDDLED, "trajectory") | {"stop_reason": "env_error"}, "trajectory", replace=True)

    copy = change(run[0], tmp_path, breaks)
    rescore(copy, ["vab"])
    written = json.loads((copy / "rescored/vab.json").read_text())
    assert written["outcomes"][MEDDLED] == {
        "success": None, "scorer": "vab", "reason": "the episode broke: env_error", "judgements": []
    }  # fmt: skip
    assert written["counts"]["planned"] == TASKS and written["counts"]["unscored"] == 1


def test_an_unfinished_run_and_an_unknown_scorer_are_refused(run, tmp_path):
    with pytest.raises(RecipeError, match="miniweb-short has no scorer 'vbb' that works on saved episodes; those that do are miniweb, vab"):
        rescore(run[0], ["vbb"])
    copy = shutil.copytree(run[0], tmp_path / "run")
    recipe = (copy / "recipe.yaml").read_text()
    assert "repeats: 1" in recipe
    (copy / "recipe.yaml").write_text(recipe.replace("repeats: 1", "repeats: 2"))
    with pytest.raises(RecipeError, match="28 of 56 episodes of .* have not been run; finish it first"):
        rescore(copy, ["vab"])


def test_counts_and_pairs_by_hand():
    made = {
        "one": {"a": Outcome(True), "b": Outcome(True), "c": Outcome(False), "d": Outcome(None)},
        "other": {"a": Outcome(True), "b": Outcome(False), "c": Outcome(False), "d": Outcome(True)},
    }
    t = tally(made["one"])
    assert (t.planned, t.success, t.failure, t.unscored, t.rate) == (4, 2, 1, 1, 0.5)  # 2 of 4 planned, not of 3 scored
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables(made).splitlines() if line.startswith("| one ")]
    assert cells[0][:5] == ["one", "4", "2", "1", "1"]
    assert cells[2] == ["one", "other", "1", "1", "0", "1", "1"]
    assert disagreements(made) == ["b"]  # d: one of them says nothing


# ---- the judge -----------------------------------------------------------------------------------------------------------------------


async def test_a_judge_is_not_asked_again_what_the_run_has_paid_for():
    messages = [{"role": "user", "content": "same?"}]
    before = [Judgement("fuzzy_match", "j", content_hash(messages), "correct", True), Judgement("x", "j", "h", "an error", None)]
    model = ScriptedLLM(["incorrect"], name="j")
    judge = KnownJudge("j", known_answers(before, "j"), model)
    assert (await judge.complete(messages, max_tokens=9)).text == "correct" and not model.calls
    assert (await judge.complete([{"role": "user", "content": "else?"}], max_tokens=9)).text == "incorrect"
    assert known_answers(before, "another") == {} and "h" not in known_answers(before, "j")
    with pytest.raises(ModelError, match="--no-judge"):
        await KnownJudge("j", {}, None).complete(messages, max_tokens=9)


def test_a_suite_without_offline_scorers_is_refused():
    with pytest.raises(RecipeError, match="it has none that does"):
        offline_scorer(SimpleNamespace(name="toy", offline=dict), "vab")


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """The folder of a WebArena run with an answer that only a judge can score, and the address of its judge, which says "ok"."""
    spec = {"eval_types": ["string_match"], "reference_answers": {"fuzzy_match": ["two"]}, "reference_url": "", "program_html": []}
    entry = {"task_id": 1, "sites": ["map"], "intent": "How many?", "start_url": "__MAP__", "intent_template_id": 1, "eval": spec}
    (tmp_path / "tasks.json").write_text(json.dumps([entry]))
    monkeypatch.setenv("PLANACT_WEBARENA_LITE_TASKS", str(tmp_path / "tasks.json"))
    with serving() as url:
        recipe = load_recipe(
            REACT.parents[1] / "webarena-lite/react-endpoint.yaml", [f"endpoints.judge.base_url={url}", "endpoints.judge.api_key_env=''"]
        )
        suite = load_suite("webarena-lite")
        (task,) = suite.tasks("test")
        ended = Trajectory(task.id, task.hash, task.intent, (), StopReason.ANSWERED, Outcome(None, "vab"), answer="a pair")
        with RunStore.open(tmp_path / "run.sqlite", eval_settings(recipe, suite, {"executor": "m"})) as store:
            (tmp_path / "recipe.yaml").write_text(recipe.to_yaml())
            store.put(task.id, to_dict(ended), "trajectory")
            store.put(task.id, {"url": "http://map/", "sites": {"map": "http://map"}}, KIND)
        yield tmp_path, url


def vab_of(folder):
    [outcome] = json.loads((folder / "rescored/vab.json").read_text())["outcomes"].values()
    return outcome


def test_a_judge_is_asked_once_however_often_a_run_is_scored_and_never_when_that_is_not_wanted(asked):
    folder, url = asked
    rescore(folder, ["vab"], ask_judge=False)
    assert stats(url).get("paid", 0) == 0 and "needs a judge model" in vab_of(folder)["reason"]
    for _ in range(2):
        rescore(folder, ["vab", "plan-and-act-released"])  # whose question is the same
        assert stats(url)["paid"] == 1
    assert vab_of(folder)["success"] is None and vab_of(folder)["judgements"][0]["response"] == "ok"
