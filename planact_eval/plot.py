"""What all plots share (canvas, colours, SVG and PNG), and the ladder: success of each row with its 95 % interval."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from planact_eval.table import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

INK, PAPER, RULE = "#1b1f24", "#fefefe", "#8d96a1"  # used for nothing else, so that `themed` can find the first two
BARS = ("#3b76d4", "#e0813a", "#3a9d7c", "#a065c4", "#c2566b", "#8a8f3c")  # one per column; readable on white and on dark
WIDTH, BAR, AXIS = 8.6, 0.42, 0.75  # inches: the picture, each bar with its gap, and the axis below
GAP = 0.5  # bars, between two labels
LABEL = 32  # characters in a line of a label
MARK = {"marker": "D", "color": "#ffffff", "markeredgecolor": INK, "markersize": 6, "linestyle": "none"}
STYLE = {"svg.hashsalt": "planact", "svg.fonttype": "none", "font.family": ["DejaVu Sans"], "font.size": 11}
PERCENT = "tasks solved, with 95% interval"


def draw(height: float, paint: Callable[[Figure], None]) -> Figure:
    """A figure of `height` inches, painted by `paint`."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height), facecolor=PAPER, layout="constrained")
        paint(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, so that no picture depends on which one was made before it
    return figure


def svg(figure: Figure) -> str:
    """Equal figures give equal text."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    with rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(out, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return out.getvalue()


def png(figure: Figure) -> bytes:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    out = io.BytesIO()
    figure.set_dpi(150)
    with rc_context(STYLE):
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})
    figure.set_dpi(100)
    return out.getvalue()


def themed(svg: str) -> str:
    """The picture as an element for an HTML page: ink in the colour of the text around it, and no background.

    Nor ids of groups, which several pictures of a page would share.
    """
    found = re.sub(r'<g id="[^"]*"', "<g", svg[svg.index("<svg") :])
    return found.replace(INK, "currentColor").replace(PAPER, "none")


def ladder(rows: Sequence[Row]) -> Figure:
    """Horizontal bars from the first row down, coloured by column; a diamond is the paper's number."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(facecolor="none")
        _draw_bars(axes, rows)
        _name_labels(axes, rows)
        percent_below(axes, heights(rows)[-1], PERCENT, 108)  # room for the value behind a bar of 100
        _draw_legend(figure, rows)

    return draw(AXIS + BAR * (1 + heights(rows)[-1]), paint)


def heights(rows: Sequence[Row], gap: float = GAP) -> list[float]:
    """Where each bar lies, from 0 down; a gap stands before each new label when labels have several bars."""
    gaps = [0.0, *(gap if grouped(rows) and row.label != before.label else 0.0 for before, row in pairwise(rows))]
    return [y + sum(gaps[: y + 1]) for y in range(len(rows))]


def grouped(rows: Sequence[Row]) -> bool:
    return any(row.label == before.label for before, row in pairwise(rows))


def wrapped(label: str, width: int = LABEL) -> str:
    """On two lines at most, which is what a bar has room for."""
    return "\n".join(textwrap.wrap(label, width, max_lines=2, placeholder=" ...")) or label


def literal(texts: Sequence[Text]) -> None:
    for text in texts:
        text.set_parse_math(False)  # a "$" in a label is a dollar


def percent_below(axes: Axes, lowest: float, words: str, right: float) -> None:
    """The frame of horizontal bars: percent below, the first bar on top."""
    axes.set_ylim(lowest + 0.6, -0.6)
    axes.set_xlim(0, right)
    axes.set_xticks(range(0, 101, 20), [f"{x}%" for x in range(0, 101, 20)], color=INK)
    axes.set_xlabel(words, color=INK, fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", color=RULE)
    axes.grid(axis="x", color=RULE, alpha=0.3, linewidth=0.8)
    axes.set_axisbelow(True)
    frame(axes, "bottom")


def frame(axes: Axes, *shown: str) -> None:
    for side, spine in axes.spines.items():
        spine.set_visible(side in shown)
        spine.set_color(RULE)


def _draw_bars(axes: Axes, rows: Sequence[Row]) -> None:
    columns = list(dict.fromkeys(row.column for row in rows))
    for y, row in zip(heights(rows), rows, strict=True):
        if row.paper is not None:
            axes.plot(row.paper, y, zorder=3, **MARK)
        if row.summary is None:
            axes.text((row.paper or 0) + 1.5, y, "not evaluated", va="center", color=RULE, fontstyle="italic")
            continue
        rate, low, high = (100 * value for value in (row.summary.rate, row.summary.low, row.summary.high))
        axes.barh(y, rate, height=0.62, color=BARS[columns.index(row.column) % len(BARS)])
        reach = [[max(0.0, rate - low)], [max(0.0, high - rate)]]  # rounding may put a bound a hair inside the rate
        axes.errorbar(rate, y, xerr=reach, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3.5)
        axes.text(max(high, row.paper or 0) + 1.5, y, f"{rate:.1f}%", va="center", color=INK, fontweight="bold")


def _name_labels(axes: Axes, rows: Sequence[Row]) -> None:
    of_label: dict[str, list[float]] = {}
    for y, row in zip(heights(rows), rows, strict=True):
        of_label.setdefault(row.label, []).append(y)
    axes.set_yticks([sum(ys) / len(ys) for ys in of_label.values()], [wrapped(label) for label in of_label], color=INK)
    literal(axes.get_yticklabels())


def _draw_legend(figure: Figure, rows: Sequence[Row]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    columns = list(dict.fromkeys(row.column for row in rows))
    handles = [Patch(color=BARS[i % len(BARS)], label=wrapped(column)) for i, column in enumerate(columns) if column]
    handles += [Line2D([], [], **MARK, label="paper")] if any(row.paper is not None for row in rows) else []
    legend_above(figure, handles)


def legend_above(figure: Figure, handles: Sequence[object], ncols: int = 4) -> None:
    if handles:
        legend = figure.legend(handles=list(handles), loc="outside upper right", ncols=ncols, frameon=False, labelcolor=INK, fontsize=10)
        literal(legend.get_texts())
