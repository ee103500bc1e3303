"""Two runs compared episode by episode: real runs of miniweb, and the arithmetic by hand."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from planact.llm import ScriptedLLM
from planact.recipe import RecipeError
from planact.types import Outcome, StopReason, Task, Trajectory, Usage
from planact_envs.miniweb.teacher import ScriptedTeacher
from planact_eval.asking import reopened
from planact_eval.compare import Pair, compare, costs_of, discordant, mcnemar, verdicts_of
from planact_eval.rescoring import rescore
from planact_eval.runner import KIND
from tests.planact_eval.saved_runs import MINIWEB, save_run

REPO = Path(__file__).parents[2]
REACT = REPO / "recipes/tiny/react.yaml"
TASKS = 6


def knows(task):
    return ScriptedTeacher("short", "webrl")


def guesses(task):
    """Solves every other task, and gives up at once on the rest."""
    return knows(task) if sum(map(ord, task.id)) % 2 else ScriptedLLM(['exit(message="no idea")'])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of two runs, and their trajectories by key."""
    found = []
    for name, player, changes in (("knows", knows, ["agent.max_turns=9"]), ("guesses", guesses, [])):
        folder = tmp_path_factory.mktemp("runs") / name
        folder.mkdir()
        found.append((folder, save_run(folder, REACT, (*MINIWEB, f"eval.limit={TASKS}", *changes), player)[1]))
    return found


def cells(text, label):
    [line] = [line for line in text.splitlines() if line.startswith(f"| {label} ")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_two_runs_are_compared_task_by_task(runs):
    (one, first), (other, second) = runs
    text = compare(one, other)
    solved = [key for key in second if second[key].outcome.success]
    lost = [key for key in second if key not in solved]
    assert 0 < len(solved) < TASKS and all(t.outcome.success for t in first.values())
    assert cells(text, "A succeeds") == [str(len(solved)), str(len(lost))] and cells(text, "A fails") == ["0", "0"]
    assert f"McNemar's exact test of {len(lost)} against 0: p = {mcnemar(len(lost), 0):.3g}" in text
    turns = [sum(len(t.turns) for t in found.values()) / TASKS for found in (first, second)]
    assert cells(text, "turns")[:3] == [f"{turns[0]:.1f}", f"{turns[1]:.1f}", f"{turns[1] - turns[0]:+.1f}"]
    for key in lost:
        assert cells(text, key)[1:3] == ["success", "failure"] and cells(text, key)[3] != "-"
    assert "- agent.max_turns: 9 -> 10" in text and text.count("agent.max_turns") == 2  # in the recipes, and in the settings


def test_a_run_beside_itself_differs_in_nothing(runs):
    text = compare(runs[0][0], runs[0][0])
    assert "p = 1." in text and "B minus A: +0.0%" in text and text.count("- nothing") == 2 and "\n\nNone." in text


def test_runs_of_different_benchmarks_and_scorers_are_refused(runs, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    save_run(other, REACT, (*MINIWEB, "eval.limit=1", "eval.split=validation"), guesses)
    with pytest.raises(RecipeError, match="their split is 'test' and 'validation'"):
        compare(runs[0][0], other)
    with pytest.raises(RecipeError, match=r"was not scored by vab again; type: python scripts/rescore.py .* --scorer vab"):
        compare(runs[0][0], runs[1][0], "vab")


def test_verdicts_of_another_scorer_are_compared_when_both_runs_have_them(runs):
    for folder, _ in runs:
        rescore(folder, ["vab"])
    assert "scorer vab: 6 episodes in both" in compare(runs[0][0], runs[1][0], "vab")


def test_verdicts_on_an_episode_that_was_run_again_since_are_refused(runs, tmp_path):
    folder = shutil.copytree(runs[0][0], tmp_path / "again")
    rescore(folder, ["vab"])
    with reopened(folder) as store:
        key, trajectory = next(store.items(KIND))
        store.put(key, trajectory | {"seconds": 1234.5}, KIND, replace=True)
    with pytest.raises(RecipeError, match=r"knows nothing of 1 episodes that were run later; score the run again: python .* --scorer vab"):
        compare(folder, runs[1][0], "vab")


@pytest.mark.parametrize(
    ("only_one", "only_other", "p"),
    [
        (0, 0, 1.0),
        (1, 5, 2 * (1 + 6) / 64),  # C(6,0) + C(6,1) of 2^6
        (6, 0, 2 / 64),
        (3, 3, 1.0),  # 2 (1 + 6 + 15 + 20) / 64 is more than 1
        (2, 8, 2 * (1 + 10 + 45) / 1024),
    ],
)
def test_mcnemars_exact_test_by_hand(only_one, only_other, p):
    assert mcnemar(only_one, only_other) == mcnemar(only_other, only_one) == pytest.approx(p)


def pair(number, template, one, other, tokens=(10, 10)):
    task = Task(f"t{number}", "toy", "test", ("shop",), "Do <it> | now", "", template)
    made = [
        Trajectory(
            task.id, task.hash, "", (), StopReason.ANSWERED, Outcome(success, "s", "a | b" if success is False else ""), seconds=seconds
        )
        for success, seconds in ((one, tokens[0]), (other, tokens[1]))
    ]
    return Pair(task.id, task, *made, tuple(t.outcome for t in made))


def test_what_either_run_left_unscored_is_in_no_figure():
    found = [
        pair(1, "a", True, False),
        pair(2, "a", True, True),
        pair(3, "b", None, True),
        pair(4, "b", False, None),
        pair(5, "b", False, True),
    ]
    text = verdicts_of(found)
    assert cells(text, "A succeeds") == ["1", "1"] and cells(text, "A fails") == ["1", "0"]
    assert "Of 3 episodes that both scored, A solves 2 (66.7%) and B 2 (66.7%)" in text and "2 episodes broke or were not scored" in text
    assert "t3" not in discordant(found)


def test_a_run_without_a_verdict_says_so():
    assert "Of " not in verdicts_of([pair(1, "a", None, True)]) and "1 episodes broke" in verdicts_of([pair(1, "a", None, True)])


def test_costs_are_paired_and_drawn_by_template():
    # Template a: B takes 2 s more twice; template b: 4 s more. All draws are of {a, b}: 2 at least, 4 at most, mean (2+2+4)/3.
    found = [pair(1, "a", True, True, (1, 3)), pair(2, "a", True, True, (5, 7)), pair(3, "b", True, True, (6, 10))]
    assert cells(costs_of(found), "seconds") == ["4.0", "6.7", "+2.7", "[+2.0, +4.0]"]
    assert cells(costs_of(found), "turns") == ["0.0", "0.0", "+0.0", "[+0.0, +0.0]"] and Usage() == found[0].one.planner_usage


def test_text_of_tasks_and_pages_cannot_break_the_tables():
    text = discordant([pair(1, "a", False, True)])
    assert "Do &lt;it> \\| now" in text and "a \\| b" in text
    assert discordant([replace(pair(1, "a", True, True))]).endswith("None.")


def test_the_script_writes_what_it_prints_and_refuses_what_is_no_run(runs, tmp_path):
    command = [sys.executable, "scripts/compare.py", str(runs[0][0])]
    out = tmp_path / "new" / "compared.md"
    done = subprocess.run([*command, str(runs[1][0]), "--out", str(out)], cwd=REPO, capture_output=True, text=True, check=True)
    assert out.read_text() + "\n" == done.stdout and "McNemar" in done.stdout
    done = subprocess.run([*command, str(tmp_path)], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "is no run folder" in done.stderr and "Traceback" not in done.stderr
    assert json.loads((runs[0][0] / "results.json").read_text())["recipe"] == "tiny/react"
