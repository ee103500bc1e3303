"""A table of results as Markdown, CSV and aligned plain text; planact_eval/latex.py has it for a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from planact_eval.markdown import escape, one_line
from planact_eval.metrics import Summary

INTERVALS = (
    "95% Wilson: the score interval, which takes episodes for independent. "
    "95% bootstrap: percentiles when whole task templates are drawn again."
)


@dataclass(frozen=True)
class Benchmark:
    """What the rows of one table are measured on."""

    suite: str
    version: str
    split: str
    scorer: str

    def __str__(self) -> str:
        return f"{self.suite} {self.version} {self.split}, scorer {self.scorer}"


@dataclass(frozen=True)
class Row:
    """One cell of an ablation grid, or one evaluated recipe."""

    label: str
    column: str  # empty when the grid has no columns
    paper: float | None  # the paper's success rate in percent; None: not reported
    summary: Summary | None  # None: not evaluated
    missing: str = ""  # why it is not evaluated

    @property
    def key(self) -> str:
        """The name of the row among all rows."""
        return f"{self.label} / {self.column}" if self.column else self.label

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's, in percentage points."""
        return None if self.paper is None or self.summary is None else 100 * self.summary.rate - self.paper


def evaluated(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.summary is not None]


def heading(rows: Sequence[Row], measured: Benchmark) -> str:
    """What was measured, e.g. "miniweb 0.1.0 test (n=112, scorer miniweb)"."""
    sizes = _sizes(rows)
    n = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0]) if sizes else "0"
    return f"{measured.suite} {measured.version} {measured.split} (n={n}, scorer {measured.scorer})"


def plain_text(rows: Sequence[Row], heading: str) -> str:
    """The table for a terminal, columns aligned: words left, numbers right."""
    lines = _grid(rows, heading)
    left = text_columns(rows)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in [*text, *footer(rows)]) + "\n"


def markdown(rows: Sequence[Row], heading: str) -> str:
    """The table for a README or a card."""
    lines = [[escape(cell) for cell in line] for line in _grid(rows, heading)]
    left = text_columns(rows)
    rule = ["---" if i < left else "---:" for i in range(len(lines[0]))]
    text = "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
    notes = "".join(f"\n{escape(note)}\n" for note in [INTERVALS, *footer(rows)])
    return text + "\n" + notes


def to_csv(rows: Sequence[Row], measured: Benchmark) -> str:
    """Every number of every row; rates are 0 to 1, `paper` and `difference` are percent, an unknown number is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    benchmark = [measured.suite, measured.version, measured.split, measured.scorer]
    trials = [f"pass_hat_{k}" for k in range(1, _trials(rows) + 1)]
    names = ["label", "column", "suite", "suite_version", "split", "scorer", "paper", "difference"]
    writer.writerow([*names, *_NUMBERS, *_GROUNDING, *trials, "missing"])
    for row in rows:
        s = row.summary
        numbers = [getattr(s, name) for name in _NUMBERS] if s else [None] * len(_NUMBERS)
        grounded = [s.grounding.get(name.removeprefix("grounding_")) if s else None for name in _GROUNDING]
        passed = [s.pass_hat.get(name.removeprefix("pass_hat_")) if s else None for name in trials]
        figures = [_number(value) for value in [row.paper, row.difference, *numbers, *grounded, *passed]]
        writer.writerow([row.label, row.column, *benchmark, *figures, one_line(row.missing)])
    return out.getvalue()


def header(rows: Sequence[Row], costs: bool = True) -> list[str]:
    """The column titles after the label: those that say something about these rows."""
    found = [row.summary for row in evaluated(rows)]
    has_paper, trials = any(row.paper is not None for row in rows), _trials(rows)
    return [
        *(["column"] if _has_columns(rows) else []),
        *(["n"] if len(_sizes(rows)) > 1 else []),
        *("success", "95% Wilson", "95% bootstrap"),
        *(["paper", "difference"] if has_paper else []),
        *([f"pass^{trials}"] if trials > 1 else []),
        *(["broke"] if any(s.error for s in found) else []),
        *(["unscored"] if any(s.unscored for s in found) else []),
        *(("turns", "replans", "plan tokens", "act tokens") if costs else ()),
    ]


def cells(row: Row, rows: Sequence[Row], costs: bool = True) -> list[str]:
    """The row's texts under `header(rows, costs)`."""
    paper = {"column": row.column, "paper": "-" if row.paper is None else f"{row.paper:.2f}%"}  # as the paper prints it
    texts = {"success": "missing"} if row.summary is None else _texts(row.summary, _trials(rows))
    difference = {} if row.difference is None else {"difference": f"{row.difference:+.1f}"}
    return [(paper | difference | texts).get(title, "-") for title in header(rows, costs)]


def footer(rows: Sequence[Row]) -> list[str]:
    """A line for each row that is missing, or has episodes that broke or were not scored; these count as planned, never as solved."""
    notes = []
    for row in rows:
        s = row.summary
        if s is None:
            notes.append(one_line(f"{row.key}: not evaluated: {row.missing}"))
            continue
        counts = {"broke (environment or model error)": s.error, "not scored": s.unscored}
        found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        scored = s.success + s.failure
        of_scored = f"; of the {scored} scored, {s.success / scored:.1%} succeeded" if scored else ""
        if found:
            notes.append(f"{one_line(row.key)}: {found} of {s.planned}{of_scored}")
    return notes


def text_columns(rows: Sequence[Row]) -> int:
    """How many columns, the label's included, hold words."""
    return 2 if _has_columns(rows) else 1


_NUMBERS = (
    "planned",
    "success",
    "failure",
    "error",
    "unscored",
    "rate",
    "low",
    "high",
    "boot_low",
    "boot_high",
    "turns",
    "replans",
    "plan_tokens",
    "act_tokens",
    "model_calls",
    "seconds",
    "call_seconds",
    "usd",
    "plan_validity",
    "repeated",
)
_GROUNDING = ("grounding_exists", "grounding_role", "grounding_element")


def _texts(s: Summary, trials: int) -> dict[str, str]:
    passed = s.pass_hat.get(str(trials))
    return {
        "n": str(s.planned),
        "success": f"{s.rate:.1%}",
        "95% Wilson": f"[{100 * s.low:.1f}, {100 * s.high:.1f}]",
        "95% bootstrap": f"[{100 * s.boot_low:.1f}, {100 * s.boot_high:.1f}]",
        f"pass^{trials}": "-" if passed is None else f"{passed:.1%}",
        "broke": str(s.error),
        "unscored": str(s.unscored),
        "turns": f"{s.turns:.1f}",
        "replans": f"{s.replans:.1f}",
        "plan tokens": f"{s.plan_tokens:.0f}",
        "act tokens": f"{s.act_tokens:.0f}",
    }


def _grid(rows: Sequence[Row], heading: str) -> list[list[str]]:
    lines = [[heading, *header(rows)], *([row.label, *cells(row, rows)] for row in rows)]
    return [[one_line(cell) for cell in line] for line in lines]


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({row.summary.planned for row in evaluated(rows)})


def _trials(rows: Sequence[Row]) -> int:
    """The repeats of the row that has most."""
    return max((len(row.summary.pass_hat) for row in evaluated(rows)), default=0)


def _has_columns(rows: Sequence[Row]) -> bool:
    return any(row.column for row in rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"
