"""The reliability diagram: what share of the episodes was solved, against the probability that was told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planact_eval.agreement import Bin
from planact_eval.plot import BARS, INK, RULE, draw, frame, literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEIGHT = 4.6  # inches


def reliability_diagram(bins: Sequence[Bin], model: str) -> Figure:
    """A bar for each bin that has episodes, with their number over it; on the diagonal a probability is what it says."""

    def paint(figure: Figure) -> None:
        axes = figure.add_subplot(facecolor="none")
        axes.plot([0, 1], [0, 1], color=RULE, linestyle="--", linewidth=1.2, zorder=4, label="what it says is so")
        for one in bins:
            if one.count:
                middle, width = (one.low + one.high) / 2, one.high - one.low
                axes.bar(middle, one.solved, width=0.92 * width, color=BARS[0], alpha=0.85, zorder=2)
                axes.plot(one.told, one.solved, marker="D", color="#ffffff", markeredgecolor=INK, markersize=6, zorder=5)
                axes.text(middle, one.solved + 0.035, f"n={one.count}", ha="center", color=INK, fontsize=9)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.1)
        axes.set_xticks([n / 10 for n in range(11)])
        axes.set_xlabel("probability of YES that was told (diamond: mean of the bar)", color=INK, fontsize=10)
        axes.set_ylabel("share of the episodes solved", color=INK, fontsize=10)
        title = f"Outcome reward model {model[:60]}, {sum(one.count for one in bins)} episodes"
        literal([axes.set_title(title, color=INK, fontsize=11, loc="left")])
        axes.grid(axis="y", color=RULE, alpha=0.3, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper left", labelcolor=INK, fontsize=9)
        frame(axes, "bottom", "left")

    return draw(HEIGHT, paint)
