"""Judges held to the environment's outcomes: what is asked, what is reported, and how good a judge of known quality looks."""

import json
import shutil
from pathlib import Path

import pytest

from planact.llm import Completion
from planact.recipe import RecipeError
from planact.store import read_run
from planact.types import Usage, to_dict
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_eval.agreement import Bin
from planact_eval.asking import reopened
from planact_eval.calibration import calibrate, read_probability, read_verdicts
from planact_eval.plot import svg
from planact_eval.plot_reliability import reliability_diagram
from tests.openai_server import serving, stats
from tests.planact_eval.saved_runs import MINIWEB, save_run

REPO = Path(__file__).parents[2]
TASKS = 28


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    player = ScriptedTeacher("short", "webrl", error_rate=0.6, seed=1)
    return folder, save_run(folder, REPO / "recipes/tiny/react.yaml", (*MINIWEB, f"eval.limit={TASKS}"), lambda task: player)[1]


@pytest.fixture
def run(played, tmp_path):
    return shutil.copytree(played[0], tmp_path / "run")


@pytest.fixture(scope="module")
def right():
    """The URL of the scripted teacher, which is never wrong."""
    with serving("--teacher", "miniweb-short", program=str(REPO / "tests/openai_server.py")) as url:
        yield url


@pytest.fixture(scope="module")
def careless():
    """The same teacher with three of ten answers wrong."""
    with serving("--teacher", "miniweb-short", "--error-rate", "0.3", program=str(REPO / "tests/openai_server.py")) as url:
        yield url


def at(url, *roles):
    return [change for role in roles for change in (f"endpoints.{role}.base_url={url}", f"endpoints.{role}.model=teacher")]


def worth(folder):
    return json.loads((folder / "calibration.json").read_text())["worth"]


def test_a_judge_that_knows_the_oracle_agrees_and_is_asked_once(run, played, right):
    solved = sum(t.outcome.success for t in played[1].values())
    assert 5 < solved < TASKS - 5
    before = stats(right).get("paid", 0)
    text = calibrate(run, changes=at(right, "judge", "orm"))
    assert stats(right)["paid"] == before + 2 * TASKS
    for role in ("judge", "orm"):
        found = worth(run)[role]["all"]
        assert (found["episodes"], found["solved"], found["unread"]) == (TASKS, solved, 0)
        # The teacher calls solved what the oracle would have done; one episode came there by a way of its own.
        assert (found["precision"], found["accuracy"]) == (1, pytest.approx((TASKS - 1) / TASKS))
        assert found["recall"] == pytest.approx((solved - 1) / solved) and 0.9 < found["kappa"] < 1
    orm = worth(run)["orm"]["all"]
    assert orm["brier"] == pytest.approx((0.01 * (TASKS - 1) + 0.81) / TASKS)  # it is sure at 0.9, of the opposite once
    # NO is told at 0.1 for all that it calls not solved, of which one was; YES at 0.9 for the others, which all were.
    lost = TASKS - solved + 1
    assert orm["calibration_error"] == pytest.approx((lost * abs(1 / lost - 0.1) + (solved - 1) * 0.1) / TASKS)
    assert calibrate(run, changes=at(right, "judge", "orm")) == text and stats(right)["paid"] == before + 2 * TASKS
    assert "0.9 to 1.0" in text and (run / "calibration.md").read_text().startswith("# Judges of run\n")
    assert (run / "reliability.png").read_bytes().startswith(b"\x89PNG") and "<svg" in (run / "reliability.svg").read_text()


def test_a_careless_judge_is_found_out(run, careless):
    calibrate(run, changes=at(careless, "judge", "orm"))
    for role in ("judge", "orm"):
        found = worth(run)[role]["all"]
        assert 0.4 < found["accuracy"] < 0.95 and found["kappa"] < 0.9
    orm = worth(run)["orm"]["all"]
    wrong = 1 - orm["accuracy"]
    assert orm["brier"] == pytest.approx(0.01 * (1 - wrong) + 0.81 * wrong)  # 0.9² where it is sure of the opposite
    assert sum(one["count"] for one in orm["bins"]) == TASKS and orm["calibration_error"] > 0.02


def test_sites_add_up_to_all(run, right):
    calibrate(run, changes=at(right, "orm"))
    found = worth(run)
    assert list(found) == ["orm"]
    sites = [one for site, one in found["orm"].items() if site != "all"]
    assert len(sites) > 1 and sum(one["episodes"] for one in sites) == TASKS


def test_votes_of_one_judge_are_stored_and_a_majority_is_better_than_one(run, careless):
    calibrate(run, changes=at(careless, "judge"))
    alone = worth(run)["judge"]["all"]["accuracy"]
    calibrate(run, votes=7, changes=at(careless, "judge"))
    assert worth(run)["judge"]["all"]["accuracy"] > alone  # of 7 votes that err in 0.3, a majority errs in 0.126
    with read_run(run / "run.sqlite") as store:
        stored = dict(store.items("judge verdict"))
    assert len(stored) == TASKS and {len(one["votes"]) for one in stored.values()} == {7}
    assert all(one["prompt_hash"] and one["usage"]["calls"] == 7 for one in stored.values())


def reply(text, logprobs=None):
    return Completion(text, Usage(), top_logprobs=logprobs)


def test_a_tie_and_an_unreadable_answer_are_no_verdict():
    yes, no = reply("Verdict: solved"), reply("Verdict: not solved")
    assert read_verdicts([yes, no]) == {"verdict": None, "votes": [True, False]}
    assert read_verdicts([yes, reply("Perhaps."), None]) == {"verdict": True, "votes": [True, None, None]}
    assert read_verdicts([no, no, yes])["verdict"] is False
    assert read_probability([reply("YES", {"YES": -0.1, "NO": -0.1})]) == {"p_yes": 0.5, "votes": [0.5]}
    assert read_probability([reply("Well", {"Well": 0.0})])["p_yes"] is None and read_probability([None])["p_yes"] is None


def test_what_cannot_be_read_is_counted_and_left_out(run, played):
    with serving(program=str(REPO / "tests/openai_server.py")) as url:  # it answers "ok"
        calibrate(run, changes=at(url, "judge", "orm"))
    for role in ("judge", "orm"):
        found = worth(run)[role]["all"]
        assert (found["episodes"], found["unread"], found["accuracy"], found["f1"]) == (TASKS, TASKS, None, None)
    assert worth(run)["orm"]["all"]["brier"] is None


def test_only_episodes_that_the_environment_scored_count(run, played, right):
    key = next(iter(played[1]))
    judgement = {"check": "x", "model": "m", "prompt_hash": "h", "response": "r", "verdict": True, "usage": to_dict(Usage())}
    unscored = {"success": None, "scorer": "", "reason": "", "judgements": []}
    with reopened(run) as store:
        for number, (name, t) in enumerate(played[1].items()):
            outcome = {**to_dict(t)["outcome"], "judgements": [judgement]} if number else unscored
            store.put(name, to_dict(t) | {"outcome": outcome}, "trajectory", replace=True)
    with pytest.raises(RecipeError, match="no episode that the environment scored"):
        calibrate(run, changes=at(right, "judge"))
    with reopened(run) as store:
        store.put(key, to_dict(played[1][key]), "trajectory", replace=True)
    calibrate(run, changes=at(right, "judge"))
    assert worth(run)["judge"]["all"]["episodes"] == 1


def test_a_run_without_judges_says_what_to_name(run):
    with pytest.raises(RecipeError, match=r"nobody to calibrate: name endpoints.judge or endpoints.orm"):
        calibrate(run)


def test_the_diagram_shows_every_bin_that_has_episodes():
    bins = [Bin(n / 10, (n + 1) / 10, n % 3, n / 10 + 0.05 if n % 3 else None, 0.5 if n % 3 else None) for n in range(10)]
    drawn = svg(reliability_diagram(bins, "orm $x$"))
    assert drawn.count("n=1") == 3 and drawn.count("n=2") == 3 and "n=0" not in drawn and "orm $x$" in drawn
    assert drawn == svg(reliability_diagram(bins, "orm $x$"))
