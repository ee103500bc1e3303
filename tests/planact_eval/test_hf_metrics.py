"""The metrics as modules of Hugging Face evaluate, loaded from their folders as a user does, without a network."""

from pathlib import Path

import pytest

from planact.actions import render_action
from planact.plans import render_plan
from planact.types import Action, Op, Plan, PlanStep
from planact_eval.intervals import cluster_bootstrap, wilson

evaluate = pytest.importorskip("evaluate", reason="Hugging Face evaluate is not installed: pip install -e '.[metrics]' -c constraints.txt")
METRICS = Path(__file__).parents[2] / "planact_eval/hf_metrics"
PAGE = "[1] link 'Home'\n[2] textbox 'Search'\n[3] button 'Go'"


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """`evaluate.load` of one of our folders; its copies and caches are temporary."""
    folder = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluate.config.HF_EVALUATE_OFFLINE", True)
        patch.setattr("evaluate.config.HF_MODULES_CACHE", folder / "modules")
        yield lambda name: evaluate.load(str(METRICS / name), cache_dir=str(folder / "cache"))


def test_every_folder_is_a_metric(load):
    names = sorted(path.name for path in METRICS.iterdir() if path.is_dir() and not path.name.startswith("_"))
    assert names == ["action_grounding", "pass_hat_k", "plan_validity", "success_rate"]
    assert all(load(name).inputs_description.startswith("predictions:") for name in names)


def test_success_rate_counts_what_broke(load):
    verdicts = ["success", "success", "failure", "error", "unscored"]
    found = load("success_rate").compute(predictions=verdicts, references=["a", "a", "a", "b", "b"])
    assert found["success_rate"] == 0.4 and (found["planned"], found["error"], found["unscored"]) == (5, 1, 1)  # 2 of all 5
    assert (found["wilson_low"], found["wilson_high"]) == wilson(2, 5)
    assert (found["bootstrap_low"], found["bootstrap_high"]) == cluster_bootstrap({"a": [1, 1, 0], "b": [0, 0]})
    with pytest.raises(ValueError, match="no verdict is called 'solved'"):
        load("success_rate").compute(predictions=["solved"], references=["a"])


def test_pass_hat_k(load):
    # task a: 2 of 3, C(2, 2) / C(3, 2) = 1/3; task b: 3 of 3: 1; mean 2/3
    solved, tasks = [True, True, False, True, True, True], ["a"] * 3 + ["b"] * 3
    assert load("pass_hat_k").compute(predictions=solved, references=tasks, k=2) == {"pass_hat_2": pytest.approx(2 / 3), "tasks": 2}
    with pytest.raises(ValueError, match=r"pass\^4 needs 4 episodes of every task"):
        load("pass_hat_k").compute(predictions=solved, references=tasks, k=4)


def test_plan_validity(load):
    readable = render_plan(Plan((PlanStep("why", "what"),)))
    assert load("plan_validity").compute(predictions=[readable, "I would click.", ""]) == {
        "plan_validity": pytest.approx(1 / 3),
        "answers": 3,
    }


def test_action_grounding(load):
    actions = [Action(Op.CLICK, "1"), Action(Op.TYPE, "2", "tea"), Action(Op.TYPE, "3", "tea"), Action(Op.CLICK, "9"), Action(Op.STOP)]
    answers = [*(render_action(action, "webrl") for action in actions), "hm"]
    found = load("action_grounding").compute(predictions=answers, references=[PAGE] * len(answers), form="axtree")
    # of four actions on elements 1, 2 and 3 are there; nothing is typed into a button
    assert found == {"exists": 0.75, "role": 0.5, "actions": 4, "unreadable": 1}
