"""Success against what it costs (tokens, dollars), and against training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from planact_eval.metrics import Summary
from planact_eval.plot import BARS, INK, PERCENT, RULE, draw, frame, legend_above, wrapped
from planact_eval.table import Row, evaluated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE = 4.2  # inches: the height of a curve
LINE = 0.2  # inches: of a legend
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
Cost = tuple[str, Callable[[Summary], float | None]]
COSTS: tuple[Cost, ...] = (
    ("planner tokens / episode", lambda s: s.plan_tokens),
    ("all tokens / episode", lambda s: s.plan_tokens + s.act_tokens),
    ("USD / episode", lambda s: None if s.usd is None else s.usd / s.planned),
)


def costs(rows: Sequence[Row]) -> Figure:
    """Success against tokens of the planner, of both, and dollars, as far as there are any; columns have colours, labels have shapes."""
    rows = evaluated(rows)
    shown = [cost for cost in COSTS if any(cost[1](row.summary) for row in rows)] or [COSTS[1]]
    columns, labels = (list(dict.fromkeys(getattr(row, part) for row in rows)) for part in ("column", "label"))

    def look(row: Row) -> dict[str, str]:
        by_label = labels.index(row.label)
        color = columns.index(row.column) if any(columns) else by_label
        return {"color": BARS[color % len(BARS)], "marker": SHAPES[by_label % len(SHAPES)]}

    def paint(figure: Figure) -> None:
        grid = figure.subplots(1, len(shown), sharey=True, squeeze=False)
        for axes, (words, cost) in zip(grid.flat, shown, strict=True):
            for row in rows:
                _cost_point(axes, cost(row.summary), row.summary, look(row))
            _cost_frame(axes, words)
        grid.flat[0].set_ylabel(PERCENT, color=INK, fontsize=10)
        legend_above(figure, _legend(rows, look, any(columns)), ncols=2 if any(columns) else 3)

    return draw(CURVE + LINE * len(labels), paint)


def steps(points: Sequence[tuple[int, Summary]], label: str) -> Figure:
    """Success against training step, with its 95 % interval as a band; `label` names the model."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(facecolor="none")
        xs = [step for step, _ in points]
        low, rate, high = ([100 * getattr(summary, name) for _, summary in points] for name in ("low", "rate", "high"))
        axes.fill_between(xs, low, high, color=BARS[0], alpha=0.2, linewidth=0)
        axes.plot(xs, rate, color=BARS[0], marker="o", linewidth=2)
        axes.set_xticks(xs, [str(x) for x in xs], color=INK, **({"rotation": 60} if len(xs) > 10 else {}))
        axes.set_xlabel(f"training step of {label}", color=INK, fontsize=10, parse_math=False)
        axes.set_ylabel(PERCENT, color=INK, fontsize=10)
        _percent_beside(axes)

    return draw(CURVE, paint)


def _cost_point(axes: Axes, x: float | None, s: Summary, look: dict[str, str]) -> None:
    if x is not None:
        rate, low, high = (100 * value for value in (s.rate, s.low, s.high))
        reach = [[max(0.0, rate - low)], [max(0.0, high - rate)]]
        axes.errorbar(x, rate, yerr=reach, fmt=look["marker"], color=look["color"], markersize=7, elinewidth=1, capsize=2.5, alpha=0.9)


def _cost_frame(axes: Axes, words: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_facecolor("none")
    most = axes.dataLim.xmax or 1
    axes.set_xlim(-0.05 * most, 1.08 * most)
    axes.xaxis.set_major_locator(MaxNLocator(5, min_n_ticks=3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
    axes.tick_params(axis="x", labelcolor=INK, labelsize=9)
    axes.set_xlabel(words, color=INK, fontsize=10)
    _percent_beside(axes)


def _percent_beside(axes: Axes) -> None:
    axes.set_ylim(-3, 103)
    axes.set_yticks(range(0, 101, 20), [f"{y}%" for y in range(0, 101, 20)], color=INK)
    axes.tick_params(color=RULE)
    axes.grid(color=RULE, alpha=0.3, linewidth=0.8)
    axes.set_axisbelow(True)
    frame(axes, "bottom", "left")


def _legend(rows: Sequence[Row], look: Callable[[Row], dict[str, str]], has_columns: bool) -> list[object]:
    """Without columns one mark for each label; with them grey shapes for the labels, then a colour for each column."""
    from matplotlib.lines import Line2D

    first = {row.label: row for row in reversed(rows)}
    names = [(label, first[label]) for label in dict.fromkeys(row.label for row in rows)]
    colors = {label: RULE if has_columns else look(row)["color"] for label, row in names}
    marks = [
        Line2D([], [], linestyle="none", markersize=7, label=wrapped(label), marker=look(row)["marker"], color=colors[label])
        for label, row in names
    ]
    of_column = {row.column: look(row)["color"] for row in rows} if has_columns else {}
    return marks + [Line2D([], [], linewidth=5, color=color, label=wrapped(column)) for column, color in of_column.items()]
