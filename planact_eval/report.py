"""The report of a table: numbers, plot, where rows differ, and a few whole episodes to read, as one HTML file.

Page texts and model answers are hostile: everything is escaped, no script runs, nothing is loaded, no address is a link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from planact.types import Trajectory
from planact_eval import plot, plot_curves, plot_parts, report_tables, table
from planact_eval.episode_view import episode_view, templates
from planact_eval.latex import latex
from planact_eval.metrics import verdict
from planact_eval.table import Benchmark, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOTS = "plots"  # folder
DRAWN = ("ladder", "costs", "sites", "horizon", "trials", "failures")
MAX_EPISODES = 8
MAX_PAIRS = 3


@dataclass(frozen=True)
class Pick:
    """Episodes of one task to read, in the order of the rows."""

    why: str
    episodes: tuple[tuple[str, Trajectory], ...]  # (row key, episode)


def write_report(
    folder: Path,
    title: str,
    measured: Benchmark,
    rows: Sequence[Row],
    episodes: Mapping[str, Sequence[Trajectory]],
    recipes: Mapping[str, str],
    facts: Mapping[str, str],
) -> Path:
    """Write table.md, table.csv, table.tex, report.html and plots/ into `folder`; returns the path of report.html.

    `episodes` and `recipes` (the recipe's name) are by `Row.key`. `facts` are shown as they are, e.g. {"date": "2026-01-31"}:
    the same input gives the same bytes. Raises KeyError when an evaluated row has no episodes or no recipe.
    """
    heading = table.heading(rows, measured)
    figures = plots(rows)
    for old in (folder / PLOTS / f"{name}.{form}" for name in DRAWN for form in ("svg", "png")):
        old.unlink(missing_ok=True)  # an earlier report may have drawn more
    pictures = write_plots(folder / PLOTS, figures)
    html = (
        templates()
        .get_template("report.html.jinja")
        .render(
            title=title,
            subtitle=heading,
            facts=facts,
            rows=rows,
            header=table.header(rows),
            cells={row.key: table.cells(row, rows) for row in rows},
            intervals=table.INTERVALS,
            footer=table.footer(rows),
            plots={name: Markup(plot.themed(svg)) for name, svg in pictures.items()},  # made by matplotlib, which escapes the labels
            costs=report_tables.costs(rows, recipes),
            behaviour=report_tables.behaviour(rows),
            failures=report_tables.failures(rows),
            endings=report_tables.endings(rows),
            trials=report_tables.trials(rows),
            heats=report_tables.heats(rows),
            picks=[_pick_view(pick) for pick in pick_episodes({row.key: episodes[row.key] for row in table.evaluated(rows)})],
        )
    )
    texts = {"table.md": table.markdown(rows, heading), "table.csv": table.to_csv(rows, measured), "table.tex": latex(rows, heading)}
    for name, text in (texts | {"report.html": html}).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "report.html"


def plots(rows: Sequence[Row]) -> dict[str, Figure]:
    """Those of `DRAWN` that say something about these rows."""
    found = [row.summary for row in table.evaluated(rows)]
    drawn = {"ladder": plot.ladder}
    if len(found) > 1:
        drawn["costs"] = plot_curves.costs
    if any(len(s.by_site) > 1 for s in found):
        drawn["sites"] = plot_parts.by_site
    if any(len(s.by_horizon) > 1 for s in found):
        drawn["horizon"] = plot_parts.by_horizon
    if any(len(s.pass_hat) > 1 for s in found):
        drawn["trials"] = plot_parts.by_trials
    if any(s.failures for s in found):
        drawn["failures"] = plot_parts.failures
    return {name: draw(rows) for name, draw in drawn.items()}


def write_plots(folder: Path, figures: Mapping[str, Figure]) -> dict[str, str]:
    """Write each figure as SVG and PNG. Returns the SVGs."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {name: plot.svg(figure) for name, figure in figures.items()}
    for name, svg in pictures.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
        (folder / f"{name}.png").write_bytes(plot.png(figures[name]))
    return pictures


def pick_episodes(episodes: Mapping[str, Sequence[Trajectory]]) -> tuple[Pick, ...]:
    """What to read first, at most `MAX_EPISODES` episodes; `episodes` are by row, the most complete agent last.

    Pairs of one task that two rows judge differently, then a failure, a success and a broken episode of the last row that
    has one. Of several, the one of middle length.
    """
    picks, used = [], set()
    for why, one, other in _pairs(episodes):
        if len(picks) < MAX_PAIRS and one[1].task_id not in used:
            picks.append(Pick(why, (one, other)))
            used.add(one[1].task_id)
    for wanted, why in (("failure", "A failure"), ("success", "A success"), ("error", "A broken episode"), ("unscored", "Not scored")):
        for key, all_of_row in reversed(episodes.items()):
            found = [t for t in all_of_row if verdict(t) == wanted and t.task_id not in used]
            if found and sum(len(p.episodes) for p in picks) < MAX_EPISODES:
                picks.append(Pick(f"{why} of {key}", ((key, _middle(found)),)))
                used.add(picks[-1].episodes[0][1].task_id)
                break
    return tuple(picks)


def _pairs(episodes: Mapping[str, Sequence[Trajectory]]) -> Iterator[tuple[str, tuple[str, Trajectory], tuple[str, Trajectory]]]:
    """For each two rows, the last ones first: a task that only the later one solves, then one that only the earlier one solves."""
    keys = list(episodes)
    for j in reversed(range(1, len(keys))):
        for i in reversed(range(j)):
            earlier, later = ({t.task_id: t for t in episodes[keys[k]]} for k in (i, j))
            for solver, loser, solved, lost in ((j, i, later, earlier), (i, j, earlier, later)):
                failed = {task_id for task_id, t in lost.items() if verdict(t) == "failure"}
                found = [t for t in solved.values() if verdict(t) == "success" and t.task_id in failed]
                if found:
                    task_id = _middle(found).task_id
                    why = f"Solved by {keys[solver]}, not by {keys[loser]}"
                    yield why, (keys[i], earlier[task_id]), (keys[j], later[task_id])


def _middle(found: Sequence[Trajectory]) -> Trajectory:
    ranked = sorted(found, key=lambda t: (len(t.turns), t.task_id))
    return ranked[(len(ranked) - 1) // 2]


def _pick_view(pick: Pick) -> dict:
    first = pick.episodes[0][1]
    return {"why": pick.why, "intent": first.intent, "task": first.task_id, "episodes": [episode_view(k, t) for k, t in pick.episodes]}
