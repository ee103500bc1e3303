"""Plots of the parts of each row: success by site and by horizon, pass^k, and why episodes failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

from planact.failures import KINDS, UNSCORED
from planact_eval.intervals import wilson
from planact_eval.metrics import HORIZONS, Summary
from planact_eval.plot import (
    AXIS,
    BAR,
    BARS,
    INK,
    PERCENT,
    RULE,
    draw,
    frame,
    grouped,
    heights,
    legend_above,
    literal,
    percent_below,
    wrapped,
)
from planact_eval.table import Row, evaluated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float, float]  # rate, low, high; 0 to 1
ACROSS, PANEL = 3, 2.7  # panels beside each other, and the inches of each downwards
NARROW, LINE = 30, 90  # characters in a line of a panel's title, and across the whole picture
UNTOLD = "#3d444d"  # a failure of the agent of unknown kind
BROKEN = ("#6f7883", "#a3abb5", "#cdd3d9")  # grey: no failure of the agent


def by_site(rows: Sequence[Row]) -> Figure:
    """Success on each site; a task of two sites is under "site+site"."""
    names = list(dict.fromkeys(name for row in evaluated(rows) for name in row.summary.by_site))
    return _panels(rows, names, lambda s: _rates(s.by_site), (PERCENT, ""), joined=False)


def by_horizon(rows: Sequence[Row]) -> Figure:
    """Success by the number of actions that the oracle needs."""
    names = [name for _, name in HORIZONS if any(name in row.summary.by_horizon for row in evaluated(rows))]
    return _panels(rows, names, lambda s: _rates(s.by_horizon), (PERCENT, "actions that the task needs"), joined=True)


def by_trials(rows: Sequence[Row]) -> Figure:
    """pass^k: the share of tasks that k episodes all solve."""
    most = max(len(row.summary.pass_hat) for row in evaluated(rows))
    names = [str(k) for k in range(1, most + 1)]
    words = ("tasks that k episodes all solve (pass^k)", "k")
    return _panels(rows, names, lambda s: {k: (rate, rate, rate) for k, rate in s.pass_hat.items()}, words, joined=True)


def failures(rows: Sequence[Row]) -> Figure:
    """Of each row's planned episodes, the shares that failed in each way; what is left of 100 % was solved."""
    kinds = [kind for kind in (*KINDS, *UNSCORED) if any(row.summary.failures.get(kind) for row in evaluated(rows))]
    ys = heights(rows, gap=1.1)

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(facecolor="none")
        for y, row in zip(ys, rows, strict=True):
            _stack(axes, y, row, kinds)
        _name_bars(axes, ys, rows)
        percent_below(axes, ys[-1], "episodes that were not solved, by kind of failure; grey: broken or not scored", 100)
        axes.set_ylim(ys[-1] + 0.6, -1.6 if grouped(rows) else -0.6)
        _name_kinds(figure, kinds)

    return draw(AXIS + 0.4 + BAR * (2 + ys[-1]), paint)


def _rates(counts: Mapping[str, tuple[int, int]]) -> dict[str, Point]:
    return {name: (solved / n, *wilson(solved, n)) for name, (solved, n) in counts.items()}


def _panels(
    rows: Sequence[Row], names: Sequence[str], points: Callable[[Summary], Mapping[str, Point]], words: tuple[str, str], joined: bool
) -> Figure:
    """One panel for each label with a colour for each column; rows without columns share one panel as long as the colours last.

    `words` stand beside and below.
    """
    rows = evaluated(rows)
    labels = list(dict.fromkeys(row.label for row in rows))
    alone = not any(row.column for row in rows) and len(labels) <= len(BARS)
    of_panel = [[row for row in rows if alone or row.label == label] for label in ([""] if alone else labels)]
    series = list(dict.fromkeys(row.label if alone else row.column for row in rows))
    across = min(ACROSS, len(of_panel))
    down = ceil(len(of_panel) / across)

    def paint(figure: Figure) -> None:
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(of_panel) :]:
            axes.set_visible(False)
        for i, (axes, of_label) in enumerate(zip(grid.flat, of_panel, strict=False)):
            for row in of_label:
                at = series.index(row.label if alone else row.column)
                _points(axes, names, points(row.summary), at, len(series), joined)
            _panel_frame(axes, "" if alone else of_label[0].label)
            _name_parts(axes, names, across, last=i + across >= len(of_panel))
        figure.supylabel(words[0], color=INK, fontsize=10)
        figure.supxlabel(words[1], color=INK, fontsize=10)
        _name_series(figure, series)

    return draw(AXIS + PANEL * down + (0.7 if alone else 0.3), paint)


def _points(axes: Axes, names: Sequence[str], points: Mapping[str, Point], at: int, of: int, joined: bool) -> None:
    """The points of one series, side by side with those of the others."""
    color, aside = BARS[at % len(BARS)], (at - (of - 1) / 2) * min(0.16, 0.7 / of)
    xs = [i + aside for i, name in enumerate(names) if name in points]
    found = [[100 * value for value in points[name]] for name in names if name in points]
    if joined:
        axes.plot(xs, [rate for rate, _, _ in found], color=color, linewidth=1.2, alpha=0.6)
    reach = [[max(0.0, rate - low) for rate, low, _ in found], [max(0.0, high - rate) for rate, _, high in found]]
    axes.errorbar(xs, [rate for rate, _, _ in found], yerr=reach, fmt="o", color=color, markersize=5, elinewidth=1.2, capsize=2.5)


def _panel_frame(axes: Axes, title: str) -> None:
    axes.set_facecolor("none")
    axes.set_title(wrapped(title, NARROW), color=INK, fontsize=10, loc="left", parse_math=False)
    axes.set_ylim(-3, 103)
    axes.set_yticks(range(0, 101, 20), [f"{y}%" for y in range(0, 101, 20)], color=INK, fontsize=9)
    axes.grid(axis="y", color=RULE, alpha=0.3, linewidth=0.8)
    axes.tick_params(color=RULE)
    axes.set_axisbelow(True)
    frame(axes, "bottom", "left")


def _name_parts(axes: Axes, names: Sequence[str], across: int, last: bool) -> None:
    """Below the last panel of each column; slanted where they are too long to stand side by side."""
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if across * sum(len(name) + 2 for name in names) > LINE else {}
    axes.set_xticks(range(len(names)), names, color=INK, fontsize=9, **slanted)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.tick_params(labelbottom=last)
    literal(axes.get_xticklabels())


def _name_series(figure: Figure, series: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], color=BARS[i % len(BARS)], marker="o", linestyle="none", label=wrapped(name)) for i, name in enumerate(series)]
    legend_above(figure, marks if any(series) else [], ncols=3)


def _stack(axes: Axes, y: float, row: Row, kinds: Sequence[str]) -> None:
    if row.summary is None:
        axes.text(1, y, "not evaluated", va="center", color=RULE, fontstyle="italic")
        return
    left = 0.0
    for kind in kinds:
        count = row.summary.failures.get(kind, 0)
        share = 100 * count / row.summary.planned
        axes.barh(y, share, left=left, height=0.66, color=_color(kind))
        if share >= 4:  # room for the number
            axes.text(left + share / 2, y, str(count), va="center", ha="center", color="#ffffff", fontsize=9)
        left += share


def _name_bars(axes: Axes, ys: Sequence[float], rows: Sequence[Row]) -> None:
    """Beside each bar its column, and above its group the label; without columns the label stands beside the bar."""
    names = [row.column if grouped(rows) else row.key for row in rows]
    axes.set_yticks(ys, [wrapped(name) for name in names], color=INK)
    literal(axes.get_yticklabels())
    if grouped(rows):
        tops = {row.label: y for y, row in reversed(list(zip(ys, rows, strict=True)))}
        literal([axes.text(0, y - 0.75, label, va="center", color=INK, fontweight="bold", fontsize=10) for label, y in tops.items()])


def _name_kinds(figure: Figure, kinds: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    legend_above(figure, [Patch(color=_color(kind), label=kind) for kind in kinds], ncols=5)


def _color(kind: str) -> str:
    return dict(zip((*KINDS, *UNSCORED), (*BARS, UNTOLD, *BROKEN), strict=True))[kind]
