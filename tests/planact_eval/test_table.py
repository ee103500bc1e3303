"""Tables: alignment, which columns are there, and numbers that a spreadsheet reads."""

import csv
import io

import pytest

from planact_eval.intervals import wilson
from planact_eval.metrics import Summary
from planact_eval.table import Row, footer, heading, markdown, plain_text, to_csv

MEANS = {"turns": 5.4, "replans": 0.0, "plan_tokens": 0.0, "act_tokens": 1843.2, "model_calls": 5.4, "seconds": 1.5}


def summary(success=69, planned=112, error=0, unscored=0, **changes):
    low, high = wilson(success, planned)
    failure = planned - success - error - unscored
    counts = (planned, success, failure, error, unscored, success / planned, low, high)
    return Summary(
        *counts,
        **(MEANS | {"usd": 0.0, "plan_validity": None} | changes),
        stop_reasons={"answered": planned},
        by_template={"t": (success, planned)},
    )


def row(label, column="", paper=None, **changes):
    return Row(label, column, paper, summary(**changes))


LADDER = [
    row("No Planner (ReAct)"),
    row("Dynamic replanning", success=99, replans=4.25, plan_tokens=12345.6, act_tokens=900, plan_validity=1.0),
]


def test_plain_text_is_aligned():
    text = plain_text(LADDER, heading(LADDER, "miniweb", "0.1.0", "test", "miniweb"))
    # 69 / 112 = 61.6 %, 99 / 112 = 88.4 %
    assert text.splitlines() == [
        "miniweb 0.1.0 test (n=112, scorer miniweb)  success  95% interval  turns  replans  plan tokens  act tokens",
        "No Planner (ReAct)                            61.6%  [52.4, 70.1]    5.4      0.0            0        1843",
        "Dynamic replanning                            88.4%  [81.1, 93.1]    5.4      4.2        12346         900",
    ]


def test_columns_appear_when_they_say_something():
    rows = [row("A", "base", paper=9.85), row("A", "tuned", success=50, planned=100), row("B", "base")]
    first, *body = plain_text(rows, "x").splitlines()
    assert " ".join(first.split()) == "x column n success 95% interval paper turns replans plan tokens act tokens"
    assert [line.split()[:3] for line in body] == [["A", "base", "112"], ["A", "tuned", "100"], ["B", "base", "112"]]
    assert "  9.85%  " in body[0]  # as the paper prints it
    assert " - " in body[1]
    assert heading(rows, "s", "1", "test", "s") == "s 1 test (n=100 to 112, scorer s)"
    assert [r.key for r in rows] == ["A / base", "A / tuned", "B / base"]


def test_broken_and_unscored_episodes_are_told_below():
    rows = [row("A"), row("B", success=60, planned=100, error=3, unscored=2)]
    # 60 of the 100 - 3 - 2 = 95 scored: 63.2 %
    note = "B: 3 broke (environment or model error), 2 not scored of 100; of the 95 scored, 63.2% succeeded"
    assert footer(rows) == [note]
    assert plain_text(rows, "x").splitlines()[-1] == note
    assert markdown(rows, "x").splitlines()[-1] == note
    assert footer([row("all broke", success=0, planned=4, error=4)]) == ["all broke: 4 broke (environment or model error) of 4"]


def test_markdown():
    lines = markdown([row("a|b <i>", "c", paper=50)], "head\nline").splitlines()
    assert lines[0].startswith("| head line | column | success |")
    assert lines[1].startswith("| --- | --- | ---: |")
    assert lines[2].startswith("| a\\|b &lt;i> | c | 61.6% | [52.4, 70.1] | 50.00% |")
    assert len({line.count("|") - line.count("\\|") for line in lines}) == 1


def test_csv_holds_every_number():
    rows = [row('say "hi", twice', paper=57.58, usd=None, act_tokens=1234567.0)]
    (record,) = csv.DictReader(io.StringIO(to_csv(rows)))
    assert record["label"] == 'say "hi", twice'
    assert (record["planned"], record["success"], record["failure"], record["error"]) == ("112", "69", "43", "0")
    assert float(record["rate"]) == pytest.approx(69 / 112)
    assert (record["usd"], record["plan_validity"], record["paper"], record["act_tokens"]) == ("", "", "57.58", "1234567")


def test_a_label_cannot_steer_the_terminal():
    text = plain_text([row("evil\x1b[2J\nsecond line\u202e")], "x")
    assert text.splitlines()[1].startswith("evil[2J second line  ")
