"""The ladder: success of each row with its 95 % interval, as an SVG picture."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from planact_eval.metrics import Summary
from planact_eval.table import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PAPER, RULE = "#1b1f24", "#fefefe", "#8d96a1"  # used for nothing else, so that `themed` can find the first two
BARS = ("#3b76d4", "#e0813a", "#3a9d7c", "#a065c4", "#c2566b", "#8a8f3c")  # one per column; readable on white and on dark
WIDTH, BAR, AXIS = 8.6, 0.42, 0.75  # inches: the picture, each bar with its gap, and the axis below
CURVE = 4.2  # inches: the height of a curve
GAP = 0.5  # bars, between two labels
MARK = {"marker": "D", "color": "#ffffff", "markeredgecolor": INK, "markersize": 6, "linestyle": "none"}
STYLE = {"svg.hashsalt": "planact", "svg.fonttype": "none", "font.family": ["DejaVu Sans"], "font.size": 11}


def ladder(rows: Sequence[Row]) -> str:
    """Horizontal bars from the first row down, coloured by column; a diamond is the paper's number. Equal rows give equal text."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, AXIS + BAR * (1 + _heights(rows)[-1])), facecolor=PAPER, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor="none")
        _draw_bars(axes, rows)
        _draw_frame(axes, rows)
        _draw_legend(figure, rows)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return out.getvalue()


def steps(points: Sequence[tuple[int, Summary]], label: str) -> str:
    """Success against training step, with its 95 % interval as a band; `label` names the model."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, CURVE), facecolor=PAPER, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor="none")
        xs = [step for step, _ in points]
        low, rate, high = ([100 * getattr(summary, name) for _, summary in points] for name in ("low", "rate", "high"))
        axes.fill_between(xs, low, high, color=BARS[0], alpha=0.2, linewidth=0)
        axes.plot(xs, rate, color=BARS[0], marker="o", linewidth=2)
        axes.set_ylim(0, 100)
        axes.set_xticks(xs, [str(x) for x in xs], color=INK)
        axes.set_yticks(range(0, 101, 20), [f"{y}%" for y in range(0, 101, 20)], color=INK)
        axes.set_xlabel(f"training step of {label}", color=INK, fontsize=10, parse_math=False)
        axes.set_ylabel("tasks solved, with 95% interval", color=INK, fontsize=10)
        axes.grid(color=RULE, alpha=0.3, linewidth=0.8)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("bottom", "left"))
            spine.set_color(RULE)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return out.getvalue()


def themed(svg: str) -> str:
    """The picture as an element for an HTML page: ink in the colour of the text around it, no background."""
    return svg[svg.index("<svg") :].replace(INK, "currentColor").replace(PAPER, "none")


def _draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(row.column for row in rows))
    for y, row in zip(_heights(rows), rows, strict=True):
        rate, low, high = (100 * value for value in (row.summary.rate, row.summary.low, row.summary.high))
        axes.barh(y, rate, height=0.62, color=BARS[columns.index(row.column) % len(BARS)])
        reach = [[max(0.0, rate - low)], [max(0.0, high - rate)]]  # rounding may put a bound a hair inside the rate
        axes.errorbar(rate, y, xerr=reach, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3.5)
        axes.text(max(high, row.paper or 0) + 1.5, y, f"{rate:.1f}%", va="center", color=INK, fontweight="bold")
        if row.paper is not None:
            axes.plot(row.paper, y, **MARK)


def _heights(rows: Sequence[Row]) -> list[float]:
    """Where each bar lies, from 0 down; a gap stands before each new label when labels have several bars."""
    grouped = any(row.label == before.label for before, row in pairwise(rows))
    gaps = [0.0, *(GAP if grouped and row.label != before.label else 0.0 for before, row in pairwise(rows))]
    return [y + sum(gaps[: y + 1]) for y in range(len(rows))]


def _draw_frame(axes: Axes, rows: Sequence[Row]) -> None:
    heights = _heights(rows)
    of_label: dict[str, list[float]] = {}
    for y, row in zip(heights, rows, strict=True):
        of_label.setdefault(row.label, []).append(y)
    names = ["\n".join(textwrap.wrap(label, 32)) for label in of_label]
    axes.set_yticks([sum(ys) / len(ys) for ys in of_label.values()], names, color=INK)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)  # a "$" in a label is a dollar
    axes.set_ylim(heights[-1] + 0.6, -0.6)
    axes.set_xlim(0, 108)  # room for the value behind a bar of 100
    axes.set_xticks(range(0, 101, 20), [f"{x}%" for x in range(0, 101, 20)], color=INK)
    axes.set_xlabel("tasks solved, with 95% interval", color=INK, fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", color=RULE)
    axes.grid(axis="x", color=RULE, alpha=0.3, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(RULE)


def _draw_legend(figure: Figure, rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    columns = list(dict.fromkeys(row.column for row in rows))
    handles = [Patch(color=BARS[i % len(BARS)], label=column) for i, column in enumerate(columns) if column]
    handles += [Line2D([], [], **MARK, label="paper")] if any(row.paper is not None for row in rows) else []
    if handles:
        legend = figure.legend(handles=handles, loc="outside upper right", ncols=4, frameon=False, labelcolor=INK, fontsize=10)
        for text in legend.get_texts():
            text.set_parse_math(False)
