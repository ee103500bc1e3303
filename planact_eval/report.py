"""The report of a table: numbers, plot, where rows differ, and a few whole episodes to read, as one HTML file.

Page texts and model answers are hostile: everything is escaped, no script runs, nothing is loaded, no address is a link.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from planact.actions import describe_action
from planact.types import FINAL_OPS, Observation, Plan, PlanStep, StopReason, Trajectory, Turn
from planact_eval import table
from planact_eval.metrics import planner_was_asked, tokens, verdict
from planact_eval.plot import ladder, themed
from planact_eval.table import Row

MAX_EPISODES = 8
MAX_PAIRS = 3
MAX_TEXT = 20_000  # characters shown of one page or answer

ENDINGS = {
    StopReason.ANSWERED: "the executor stopped with an answer",
    StopReason.INFEASIBLE: "the executor declared the task infeasible",
    StopReason.MAX_TURNS: "the turn limit was reached",
    StopReason.INVALID_ACTIONS: "too many unreadable or impossible actions in a row",
    StopReason.REPEATED_ACTION: "the same action on the same page too often",
    StopReason.TOKEN_BUDGET: "the episode's token limit was reached",
    StopReason.TIME_LIMIT: "the episode's time limit was reached",
    StopReason.ENV_ERROR: "the environment broke",
    StopReason.MODEL_ERROR: "the model's endpoint failed",
}


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
    page = _jinja().get_template("report.html.jinja")
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
    return {"why": pick.why, "intent": first.intent, "task": first.task_id, "episodes": [_episode_view(k, t) for k, t in pick.episodes]}


def _episode_view(key: str, trajectory: Trajectory) -> dict:
    """What the template shows of one episode."""
    planned = any(planner_was_asked(turn) for turn in trajectory.turns)
    return {
        "row": key,
        "trajectory": trajectory,
        "verdict": verdict(trajectory),
        "ending": ENDINGS[trajectory.stop_reason],
        "plan_tokens": tokens(trajectory.planner_usage) if planned else None,
        "act_tokens": tokens(trajectory.executor_usage),
        "turns": [_turn_view(trajectory, i) for i in range(len(trajectory.turns))],
    }


def _turn_view(trajectory: Trajectory, i: int) -> dict:
    turn = trajectory.turns[i]
    before = trajectory.turns[i - 1].plan if i else Plan()
    kind, words = _result(trajectory, i)
    return {
        "turn": turn,
        "planner": _planner_view(turn, before) if planner_was_asked(turn) else None,
        "page": _cut(turn.observation.text),
        "response": _cut(turn.response),
        "action": describe_action(turn.action) if turn.action else "",
        "result": kind,
        "result_words": words,
    }


def _planner_view(turn: Turn, before: Plan) -> dict:
    """The planner's work of a turn: its plan, each step marked against the plan before."""
    steps, removed = plan_changes(before, turn.plan)
    changed = turn.plan != before
    return {
        "what": "no readable plan" if not turn.replanned else "plan" if not before else "new plan" if changed else "same plan again",
        "steps": steps if turn.replanned and changed else [],
        "removed": removed if turn.replanned else [],
        "first": not before,
        "raw": _cut(turn.plan_response),
        "failure": turn.plan_failure.message if turn.plan_failure else "",
    }


def plan_changes(before: Plan, after: Plan) -> tuple[list[tuple[str, PlanStep]], list[PlanStep]]:
    """The steps of `after`, each marked "kept" or "new", and the steps of `before` that are gone."""
    old, new = [s.step for s in before.steps], [s.step for s in after.steps]
    return [("kept" if s.step in old else "new", s) for s in after.steps], [s for s in before.steps if s.step not in new]


def _result(trajectory: Trajectory, i: int) -> tuple[str, str]:
    """What the action of turn `i` led to: ("end" | "error" | "same" | "page", words)."""
    turn, last = trajectory.turns[i], i + 1 == len(trajectory.turns)
    if turn.action and turn.action.op in FINAL_OPS:
        return "end", "the episode ends here"
    page = trajectory.final if last else trajectory.turns[i + 1].observation
    if page is None or (last and trajectory.stop_reason == StopReason.ENV_ERROR):
        return "error", trajectory.error or "nothing was recorded"
    if page.error:
        return "error", page.error
    if page.text == turn.observation.text and page.url == turn.observation.url:
        return "same", "the page did not change"
    return "page", page_name(page)


def page_name(page: Observation) -> str:
    return f"{page.title} ({page.url})" if page.title else page.url


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}\n[{len(text) - MAX_TEXT} more characters are not shown]"


def visible(value: object) -> object:
    """A text with control, invisible and direction-changing characters spelled out; anything else as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(c if c in "\n\t" or unicodedata.category(c)[0] != "C" else f"\\u{ord(c):04x}" for c in value)


def _jinja() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["page_name"] = page_name
    return environment
