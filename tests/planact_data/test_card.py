"""The dataset card: front matter that the Hub reads, and every count in words."""

import yaml

from planact_data.card import write_card

MANIFEST = {
    "rows": {
        "act": {"rows": 31, "duplicates dropped": 4, "trajectories without replans": 0, "hash": "a"},
        "plan": {"rows": 7, "duplicates dropped": 0, "trajectories without replans": 0, "hash": "b"},
    },
    "settings": {"suite": "miniweb", "suite_version": "9.8.7", "tasks": 10, "seed": 3, "grammar": "webrl"},
    "counts": {
        "training tasks": 1000,
        "match a held-out intent": 2,
        "tried": 10,
        "trajectories kept": 7,
        "trajectories rejected": {"not solved (answered)": 2, "unscored (model_error)": 1},
        "plans rejected": 5,
    },
    "teacher": {"plan repairs": 6, "prompt tokens": 12345},
}


def card(tmp_path, **changes):
    write_card(tmp_path, MANIFEST | changes)
    _, front, text = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def test_front_matter(tmp_path):
    front, _ = card(tmp_path)
    assert front["configs"] == [  # in the order of the kinds, whatever was built first
        {"config_name": "plan", "data_files": "plan.parquet"},
        {"config_name": "act", "data_files": "act.parquet"},
    ]
    assert "plan-and-act" in front["tags"] and front["license"]


def test_rows_and_duplicates(tmp_path):
    _, text = card(tmp_path)
    assert text.startswith("\n# Plan-and-Act rows from miniweb 9.8.7\n")
    assert "| `plan` | request and first page → plan | 7 | 0 |" in text
    assert "| `act` | task, first plan, past actions and current page → next action | 31 | 4 |" in text
    assert "`react`" not in text


def test_what_was_dropped_and_why(tmp_path):
    _, text = card(tmp_path)
    section = text.split("## What was dropped and why\n\n")[1].split("\n\n")[0]
    assert section.splitlines() == [
        "- training tasks: 1000",
        "- match a held-out intent: 2",
        "- tried: 10",
        "- trajectories kept: 7",
        "- trajectories rejected:",
        "  - not solved (answered): 2",
        "  - unscored (model_error): 1",
        "- plans rejected: 5",
    ]
    assert "## Teacher\n\n- plan repairs: 6\n- prompt tokens: 12345\n" in text
    assert "- seed: 3\n- grammar: webrl\n" in text


def test_nothing_rejected_is_said(tmp_path):
    _, text = card(tmp_path, counts={"trajectories rejected": {}})
    assert "- trajectories rejected:\n  - none\n" in text
