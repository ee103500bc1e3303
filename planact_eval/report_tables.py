"""The report's tables beside the results: where rows come from, how their agents worked, and how episodes failed and ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from planact.failures import KINDS, UNSCORED
from planact_eval.episode_view import ENDINGS
from planact_eval.metrics import HORIZONS, Counts, Summary
from planact_eval.table import Row, evaluated


@dataclass(frozen=True)
class Table:
    titles: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]  # (row key, texts under the titles)


@dataclass(frozen=True)
class Heat:
    """Solved and planned episodes of each part (a site, a template), by row."""

    part: str  # what it is by, in words
    columns: tuple[str, ...]  # row keys
    lines: tuple[tuple[str, tuple[tuple[int, int] | None, ...]], ...]  # (part, its counts); None: the row has no such task


def costs(rows: Sequence[Row], recipes: Mapping[str, str]) -> Table:
    """Counts, calls, time and dollars; `recipes` are their names by `Row.key`."""
    titles = (
        "recipe",
        "solved",
        "failed",
        "broke",
        "not scored",
        "calls / episode",
        "seconds / call",
        "seconds / episode",
        "USD with judge",
    )
    lines = []
    for row, s in _summaries(rows):
        counts = (str(s.success), str(s.failure), str(s.error), str(s.unscored))
        time = (_number(s.call_seconds, ".2f"), f"{s.seconds:.1f}")
        usd = "unknown" if s.usd is None else f"{s.usd:.2f}"
        lines.append((row.key, (recipes[row.key], *counts, f"{s.model_calls:.1f}", *time, usd)))
    return Table(titles, tuple(lines))


def behaviour(rows: Sequence[Row]) -> Table:
    """Plan validity, grounding, repetition, and the turns of solved and failed episodes."""
    titles = ("readable plans", "element exists", "right kind", "right element", "repeated actions", "turns if solved", "turns if failed")
    lines = []
    for row, s in _summaries(rows):
        plans = "no planner" if s.plan_validity is None else f"{s.plan_validity:.1%}"
        grounded = (_number(s.grounding.get(name), ".1%") for name in ("exists", "role", "element"))
        turns = (_number(s.turns_by_verdict.get(name), ".1f") for name in ("success", "failure"))
        lines.append((row.key, (plans, *grounded, _number(s.repeated, ".1%"), *turns)))
    return Table(titles, tuple(lines))


def failures(rows: Sequence[Row]) -> Table:
    """Episodes by kind of failure (planact.failures)."""
    return _counts(rows, "failures", {kind: kind for kind in (*KINDS, *UNSCORED)})


def endings(rows: Sequence[Row]) -> Table:
    """Episodes by stop reason."""
    return _counts(rows, "stop_reasons", {str(reason): words for reason, words in ENDINGS.items()})


def trials(rows: Sequence[Row]) -> Table:
    """pass^k; without lines when no row has repeats."""
    most = max((len(s.pass_hat) for _, s in _summaries(rows)), default=0)
    ks = [str(k) for k in range(1, most + 1)] if most > 1 else []
    lines = tuple((row.key, tuple(_number(s.pass_hat.get(k), ".1%") for k in ks)) for row, s in _summaries(rows))
    return Table(tuple(f"k = {k}" for k in ks), lines if ks else ())


def heats(rows: Sequence[Row]) -> dict[str, Heat]:
    """Success by site, horizon and template; the first two by the name of their plot (planact_eval.report)."""
    order = [name for _, name in HORIZONS]
    horizons = sorted({name for _, s in _summaries(rows) for name in s.by_horizon}, key=order.index)
    by_site, by_horizon, by_template = (
        {row.key: getattr(s, field) for row, s in _summaries(rows)} for field in ("by_site", "by_horizon", "by_template")
    )
    return {
        "sites": _heat("site", by_site),
        "horizon": _heat("number of actions that the task needs", by_horizon, horizons),
        "templates": _heat("task template", by_template),
    }


def _heat(part: str, counts: Mapping[str, Counts], names: Sequence[str] = ()) -> Heat:
    names = names or list(dict.fromkeys(name for of_row in counts.values() for name in of_row))
    return Heat(part, tuple(counts), tuple((name, tuple(of_row.get(name) for of_row in counts.values())) for name in names))


def _counts(rows: Sequence[Row], field: str, words: Mapping[str, str]) -> Table:
    """The counts in a field of the summaries, those that occur, in the order of `words`."""
    found = [(row.key, getattr(s, field)) for row, s in _summaries(rows)]
    names = [name for name in words if any(counts.get(name) for _, counts in found)]
    return Table(tuple(words[n] for n in names), tuple((key, tuple(str(counts.get(n, 0)) for n in names)) for key, counts in found))


def _summaries(rows: Sequence[Row]) -> list[tuple[Row, Summary]]:
    return [(row, row.summary) for row in evaluated(rows)]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
