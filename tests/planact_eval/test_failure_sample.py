"""The labelled sample of failures: what it holds, that it can be made again, and that rules and a judge are held to it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from planact.failures import KINDS, UNKNOWN
from tests.openai_server import serving

REPO = Path(__file__).parents[2]
FOLDER = REPO / "docs/failure_sample"
LOGGED = {"development": (0.86, 0.82), "held out": (0.76, 0.70), "held out again": (0.90, 0.86), "all": (0.83, 0.78)}  # accuracy, kappa
MARGIN = 0.06  # a rule may lose an episode of the smallest part before somebody has to look


def run(*command):
    return subprocess.run([sys.executable, *command], cwd=REPO, capture_output=True, text=True, timeout=300, check=True).stdout


def read():
    return [json.loads(line) for line in (FOLDER / "episodes.jsonl").read_text().splitlines()]


def test_every_episode_has_a_label_and_every_kind_of_the_agents_failures_is_there():
    rows, labels = read(), json.loads((FOLDER / "labels.json").read_text())
    assert {row["id"] for row in rows} == set(labels) and len(rows) == len(labels)
    assert {kind for kind, _ in labels.values()} == set(KINDS) - {UNKNOWN} and all(why for _, why in labels.values())
    assert not any(row["trajectory"]["outcome"]["success"] or row["trajectory"]["outcome"].get("reason") for row in rows)  # no references


def test_the_rules_agree_with_the_labels_as_well_as_the_log_says():
    measured = json.loads(run("benchmarks/failure_sample.py", "--json"))
    for part, (accuracy, kappa) in LOGGED.items():
        assert measured[part]["accuracy"] >= accuracy - MARGIN and measured[part]["kappa"] >= kappa - MARGIN
    assert sum(measured[part]["n"] for part in LOGGED) == 2 * measured["all"]["n"] == 2 * len(read())


def test_a_judge_that_cannot_be_read_agrees_with_nothing():
    with serving(program=str(REPO / "tests/openai_server.py")) as url:  # it answers "ok"
        measured = json.loads(run("benchmarks/failure_sample.py", "--base-url", url, "--json"))
    assert measured["all"]["accuracy"] == 0 and sum(row[KINDS.index(UNKNOWN)] for row in measured["all"]["confusion"]) == len(read())


@pytest.mark.slow
def test_the_scripted_agents_play_the_same_episodes_again(tmp_path):
    run("benchmarks/failure_agents.py", "--out", str(tmp_path / "again.jsonl"))
    again = {row["id"] for row in map(json.loads, (tmp_path / "again.jsonl").read_text().splitlines())}
    assert again == {row["id"] for row in read() if not row["agent"].startswith("tiny-")} and len(again) > 90
