"""Tables: alignment, which columns are there, and numbers that a spreadsheet reads."""

import csv
import io

import pytest

from planact_eval.intervals import wilson
from planact_eval.metrics import Summary
from planact_eval.table import INTERVALS, Benchmark, Row, footer, heading, markdown, plain_text, to_csv

MEANS = {"turns": 5.4, "replans": 0.0, "plan_tokens": 0.0, "act_tokens": 1843.2, "model_calls": 5.4, "seconds": 1.5}
MINIWEB = Benchmark("miniweb", "0.1.0", "test", "typed")


def summary(success=69, planned=112, error=0, unscored=0, **changes):
    low, high = wilson(success, planned)
    failure = planned - success - error - unscored
    counts = (planned, success, failure, error, unscored, success / planned, low, high)
    return Summary(
        *counts,
        **(MEANS | {"usd": 0.0, "plan_validity": None, "boot_low": 0.5, "boot_high": 0.75} | changes),
        stop_reasons={"answered": planned},
        by_template={"t": (success, planned)},
    )


def row(label, column="", paper=None, **changes):
    return Row(label, column, paper, summary(**changes))


LADDER = [
    row("No Planner (ReAct)"),
    row("Dynamic replanning", success=99, replans=4.25, plan_tokens=12345.6, act_tokens=900, plan_validity=1.0),
]
MISSING = Row("Later", "", 40.0, None, "the planner is not\ntrained")


def test_plain_text_is_aligned():
    text = plain_text(LADDER, heading(LADDER, MINIWEB))
    # 69 / 112 = 61.6 %, 99 / 112 = 88.4 %
    assert text.splitlines() == [
        "miniweb 0.1.0 test (n=112, scorer typed)  success    95% Wilson  95% bootstrap  turns  replans  plan tokens  act tokens",
        "No Planner (ReAct)                          61.6%  [52.4, 70.1]   [50.0, 75.0]    5.4      0.0            0        1843",
        "Dynamic replanning                          88.4%  [81.1, 93.1]   [50.0, 75.0]    5.4      4.2        12346         900",
    ]


def test_columns_appear_when_they_say_something():
    rows = [row("A", "base", paper=9.85), row("A", "tuned", success=50, planned=100), row("B", "base")]
    first, *body = plain_text(rows, "x").splitlines()
    titles = "x column n success 95% Wilson 95% bootstrap paper difference turns replans plan tokens act tokens"
    assert " ".join(first.split()) == titles
    assert [line.split()[:3] for line in body] == [["A", "base", "112"], ["A", "tuned", "100"], ["B", "base", "112"]]
    assert "  9.85%       +51.8  " in body[0]  # the paper's as the paper prints it; 100 · 69 / 112 - 9.85 = 51.76
    assert " - " in body[1]
    assert heading(rows, MINIWEB) == "miniweb 0.1.0 test (n=100 to 112, scorer typed)"
    assert [r.key for r in rows] == ["A / base", "A / tuned", "B / base"]


def test_repeats_broken_and_unscored_episodes_get_columns():
    trials = {"1": 0.5, "2": 0.25}
    rows = [row("A", pass_hat=trials), row("B", success=60, planned=112, error=3, unscored=2, pass_hat={"1": 0.5})]
    first, a, b = (line.split() for line in plain_text(rows, "x").splitlines()[:3])
    assert first[6:9] == ["pass^2", "broke", "unscored"]
    assert (a[6:9], b[6:9]) == (["25.0%", "0", "0"], ["-", "3", "2"])


def test_broken_and_unscored_episodes_are_told_below():
    rows = [row("A"), row("B", success=60, planned=100, error=3, unscored=2)]
    # 60 of the 100 - 3 - 2 = 95 scored: 63.2 %
    note = "B: 3 broke (environment or model error), 2 not scored of 100; of the 95 scored, 63.2% succeeded"
    assert footer(rows) == [note]
    assert plain_text(rows, "x").splitlines()[-1] == note
    assert markdown(rows, "x").splitlines()[-3:] == [INTERVALS, "", note]
    assert footer([row("all broke", success=0, planned=4, error=4)]) == ["all broke: 4 broke (environment or model error) of 4"]


def test_what_is_not_evaluated_is_shown_as_missing():
    rows = [row("Now", paper=60.0), MISSING]
    _, _, later, note = plain_text(rows, heading(rows, MINIWEB)).splitlines()
    assert later.split() == ["Later", "missing", "-", "-", "40.00%", "-", "-", "-", "-", "-"]
    assert note == "Later: not evaluated: the planner is not trained"
    assert MISSING.difference is None and rows[0].difference == pytest.approx(1.607, abs=1e-3)
    now, later = csv.DictReader(io.StringIO(to_csv(rows, MINIWEB)))
    assert (later["paper"], later["success"], later["rate"], later["missing"]) == ("40", "", "", "the planner is not trained")
    assert now["missing"] == ""
    assert heading([MISSING], MINIWEB) == "miniweb 0.1.0 test (n=0, scorer typed)"


def test_markdown():
    lines = markdown([row("a|b <i>", "c", paper=50)], "head\nline").splitlines()
    assert lines[0].startswith("| head line | column | success |")
    assert lines[1].startswith("| --- | --- | ---: |")
    assert lines[2].startswith("| a\\|b &lt;i> | c | 61.6% | [52.4, 70.1] | [50.0, 75.0] | 50.00% | +11.6 |")
    assert len({line.count("|") - line.count("\\|") for line in lines[:3]}) == 1


def test_csv_holds_every_number():
    grounded = {"exists": 0.5, "role": None, "element": 0.25}
    rows = [row('say "hi", twice', paper=57.58, usd=None, act_tokens=1234567.0, grounding=grounded, pass_hat={"1": 0.5, "2": 0.25})]
    (record,) = csv.DictReader(io.StringIO(to_csv(rows, MINIWEB)))
    assert record["label"] == 'say "hi", twice'
    assert (record["suite"], record["suite_version"], record["split"], record["scorer"]) == ("miniweb", "0.1.0", "test", "typed")
    assert (record["planned"], record["success"], record["failure"], record["error"]) == ("112", "69", "43", "0")
    assert float(record["rate"]) == pytest.approx(69 / 112)
    assert float(record["difference"]) == pytest.approx(100 * 69 / 112 - 57.58)
    assert (record["boot_low"], record["boot_high"]) == ("0.5", "0.75")
    assert (record["usd"], record["plan_validity"], record["paper"], record["act_tokens"]) == ("", "", "57.58", "1234567")
    assert (record["grounding_exists"], record["grounding_role"], record["grounding_element"]) == ("0.5", "", "0.25")
    assert (record["pass_hat_1"], record["pass_hat_2"]) == ("0.5", "0.25")


def test_a_label_cannot_steer_the_terminal():
    text = plain_text([row("evil\x1b[2J\nsecond line\u202e")], "x")
    assert text.splitlines()[1].startswith("evil[2J second line  ")
