"""Plots: what they say, that labels stay text, and that equal rows give equal bytes."""

import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from planact.failures import KINDS, UNSCORED
from planact_eval import plot, plot_curves, plot_parts
from planact_eval.report import plots
from planact_eval.table import Row
from tests.planact_eval.test_table import summary

LABEL = "cheap & $x^2$ <b>"
PARTS = {
    "by_site": {"shop": (9, 10), "forum+shop": (1, 10)},
    "by_horizon": {"1-4": (10, 12), "13+": (0, 8)},
    "pass_hat": {"1": 0.62, "2": 0.4},
    "failures": {"planning": 40, "environment": 3},
}
ROWS = [
    Row(LABEL, "base", 9.85, summary(**PARTS, plan_tokens=2000.0, usd=1.5)),
    Row(LABEL, "tuned", None, summary(99, **PARTS)),
    Row("later", "base", 50.0, None, "not trained"),
]
DRAWN = {
    "ladder": plot.ladder,
    "costs": plot_curves.costs,
    "sites": plot_parts.by_site,
    "horizon": plot_parts.by_horizon,
    "trials": plot_parts.by_trials,
    "failures": plot_parts.failures,
}


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("}text")]


@pytest.mark.parametrize("name", DRAWN)
def test_equal_rows_give_equal_bytes_in_any_order_of_formats(name):
    one, two = DRAWN[name](ROWS), DRAWN[name](ROWS)
    svg, png = plot.svg(one), plot.png(one)
    assert (plot.png(two), plot.svg(two)) == (png, svg)
    assert png.startswith(b"\x89PNG") and svg.startswith("<?xml") and "<dc:date>" not in svg


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ladder", [LABEL, "base", "tuned", "paper", "61.6%", "88.4%", "later", "not evaluated"]),
        ("costs", [LABEL, "base", "tuned", "planner tokens / episode", "all tokens / episode", "USD / episode"]),
        ("sites", [LABEL, "base", "tuned", "shop", "forum+shop", plot.PERCENT]),
        ("horizon", [LABEL, "1-4", "13+", "actions that the task needs"]),
        ("trials", [LABEL, "1", "2", "k"]),
        ("failures", [LABEL, "base", "tuned", "planning", "environment", "40", "not evaluated"]),
    ],
)
def test_a_plot_says_whose_numbers_it_shows(name, said):
    found = texts(plot.svg(DRAWN[name](ROWS)))
    assert not [text for text in said if text not in found], found


def test_rows_without_columns_share_a_panel_as_long_as_the_colours_last():
    few = [replace(row, label=f"row {i}", column="") for i, row in enumerate(ROWS[:2])]
    many = [replace(few[0], label=f"row {i}") for i in range(len(plot.BARS) + 1)]
    assert [len(plot_parts.by_site(rows).axes) for rows in (few, many)] == [1, 9]  # 7 panels lie in three rows of three


def test_costs_without_a_planner_or_a_price_show_all_tokens_alone():
    figure = plot_curves.costs([replace(row, summary=summary(usd=None)) for row in ROWS[:2]])
    assert [axes.get_xlabel() for axes in figure.axes] == ["all tokens / episode"]


def test_every_kind_of_failure_has_a_colour_of_its_own():
    assert len({plot_parts._color(kind) for kind in (*KINDS, *UNSCORED)}) == len(KINDS) + len(UNSCORED)


def test_shares_of_failures_are_of_the_planned_episodes():
    axes = plot_parts.failures(ROWS[:1]).axes[0]
    # 40 and 3 of 112: 35.71 % and 2.68 %
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([35.714, 2.679], abs=1e-3)
    assert axes.patches[1].get_x() == pytest.approx(35.714, abs=1e-3)


def test_only_plots_that_say_something_are_drawn():
    assert list(plots(ROWS)) == ["ladder", "costs", "sites", "horizon", "trials", "failures"]
    assert list(plots([Row("a", "", None, summary(by_site={"shop": (69, 112)}))])) == ["ladder"]


def test_a_picture_in_a_page_takes_the_colour_of_the_text():
    inline = plot.themed(plot.svg(plot.ladder(ROWS)))
    assert inline.startswith("<svg") and plot.INK not in inline and plot.PAPER not in inline and "currentColor" in inline
    assert '<g id="' not in inline  # several pictures stand in one page


def test_steps_are_named():
    found = texts(plot.svg(plot_curves.steps([(20, summary()), (100, summary(99))], "planner-$0$")))
    assert {"20", "100", "training step of planner-$0$", "0%", "100%"} <= set(found)
