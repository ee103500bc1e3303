"""The report of a table: numbers, plot, where rows differ, and a few whole episodes to read, as one HTML file.

Page texts and model answers are hostile: everything is escaped, no script runs, nothing is loaded, no address is a link.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from planact.types import Trajectory
from planact_eval import table
from planact_eval.episode_view import ENDINGS, episode_view, templates
from planact_eval.metrics import verdict
from planact_eval.plot import ladder, themed
from planact_eval.table import Row

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
    subtitle: str,
    rows: Sequence[Row],
    episodes: Mapping[str, Sequence[Trajectory]],
    recipes: Mapping[str, str],
    facts: Mapping[str, str],
) -> Path:
    """Write table.md, table.csv, ladder.svg and report.html into `folder`; returns the path of report.html.

    `subtitle` says what was measured (`table.heading`). `episodes` and `recipes` (the recipe's name) are by `Row.key`.
    `facts` are shown as they are, e.g. {"suite": "miniweb 0.1.0", "scorer": "miniweb", "date": "2026-01-31"}: the same
    input gives the same bytes. Raises KeyError when a row has no episodes or no recipe.
    """
    svg = ladder(rows)
    page = templates().get_template("report.html.jinja")
    html = page.render(
        title=title,
        subtitle=subtitle,
        facts=facts,
        rows=rows,
        recipes={row.key: recipes[row.key] for row in rows},
        header=table.header(rows),
        cells={row.key: table.cells(row, rows) for row in rows},
        footer=table.footer(rows),
        plot=Markup(themed(svg)),  # made by matplotlib, which escapes the labels
        templates=list(dict.fromkeys(name for row in rows for name in row.summary.by_template)),
        endings={reason: words for reason, words in ENDINGS.items() if any(row.summary.stop_reasons.get(reason) for row in rows)},
        picks=[_pick_view(pick) for pick in pick_episodes({row.key: episodes[row.key] for row in rows})],
    )
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"table.md": table.markdown(rows, subtitle), "table.csv": table.to_csv(rows), "ladder.svg": svg, "report.html": html}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "report.html"


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
