"""A table of results as Markdown, CSV and aligned plain text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from planact_eval.metrics import Summary


@dataclass(frozen=True)
class Row:
    """One cell of an ablation grid, or one evaluated recipe."""

    label: str
    column: str  # empty when the grid has no columns
    paper: float | None  # the paper's success rate in percent; None: not reported
    summary: Summary

    @property
    def key(self) -> str:
        """The name of the row among all rows."""
        return f"{self.label} / {self.column}" if self.column else self.label


def heading(rows: Sequence[Row], suite: str, version: str, split: str, scorer: str) -> str:
    """What was measured, e.g. "miniweb 0.1.0 test (n=112, scorer miniweb)"."""
    sizes = sorted({row.summary.planned for row in rows})
    n = f"{sizes[0]} to {sizes[-1]}" if len(sizes) > 1 else str(sizes[0])
    return f"{suite} {version} {split} (n={n}, scorer {scorer})"


def plain_text(rows: Sequence[Row], heading: str) -> str:
    """The table for a terminal, columns aligned: words left, numbers right."""
    lines = _grid(rows, heading)
    left = _text_columns(rows)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    return "\n".join(line.rstrip() for line in [*text, *footer(rows)]) + "\n"


def markdown(rows: Sequence[Row], heading: str) -> str:
    """The table for a README or a card."""
    lines = [[_escape(cell) for cell in line] for line in _grid(rows, heading)]
    left = _text_columns(rows)
    rule = ["---" if i < left else "---:" for i in range(len(lines[0]))]
    text = "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
    notes = "".join(f"\n{_escape(note)}\n" for note in footer(rows))
    return text + "\n" + notes


def to_csv(rows: Sequence[Row]) -> str:
    """Every number of every row; rates are 0 to 1, `paper` is percent, an unknown number is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["label", "column", "paper", *_NUMBERS])
    for row in rows:
        writer.writerow([row.label, row.column, _number(row.paper), *(_number(getattr(row.summary, name)) for name in _NUMBERS)])
    return out.getvalue()


def header(rows: Sequence[Row]) -> list[str]:
    """The column titles after the label."""
    return [
        *(["column"] if _has_columns(rows) else []),
        *(["n"] if len({row.summary.planned for row in rows}) > 1 else []),
        "success",
        "95% interval",
        *(["paper"] if any(row.paper is not None for row in rows) else []),
        "turns",
        "replans",
        "plan tokens",
        "act tokens",
    ]


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """The row's texts under `header(rows)`."""
    s = row.summary
    texts = {
        "column": row.column,
        "n": str(s.planned),
        "success": f"{s.rate:.1%}",
        "95% interval": f"[{100 * s.low:.1f}, {100 * s.high:.1f}]",
        "paper": "-" if row.paper is None else f"{row.paper:.2f}%",  # as the paper prints it
        "turns": f"{s.turns:.1f}",
        "replans": f"{s.replans:.1f}",
        "plan tokens": f"{s.plan_tokens:.0f}",
        "act tokens": f"{s.act_tokens:.0f}",
    }
    return [texts[title] for title in header(rows)]


def footer(rows: Sequence[Row]) -> list[str]:
    """One line for each row with episodes that broke or were not scored; they count as planned, never as solved."""
    notes = []
    for row in rows:
        s = row.summary
        counts = {"broke (environment or model error)": s.error, "not scored": s.unscored}
        found = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        scored = s.success + s.failure
        of_scored = f"; of the {scored} scored, {s.success / scored:.1%} succeeded" if scored else ""
        if found:
            notes.append(f"{_line(row.key)}: {found} of {s.planned}{of_scored}")
    return notes


_NUMBERS = (
    "planned",
    "success",
    "failure",
    "error",
    "unscored",
    "rate",
    "low",
    "high",
    "turns",
    "replans",
    "plan_tokens",
    "act_tokens",
    "model_calls",
    "seconds",
    "usd",
    "plan_validity",
)


def _grid(rows: Sequence[Row], heading: str) -> list[list[str]]:
    lines = [[heading, *header(rows)], *([row.label, *cells(row, rows)] for row in rows)]
    return [[_line(cell) for cell in line] for line in lines]


def _line(text: str) -> str:
    """On one line and without control characters, which a terminal would obey."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _has_columns(rows: Sequence[Row]) -> bool:
    return any(row.column for row in rows)


def _text_columns(rows: Sequence[Row]) -> int:
    return 2 if _has_columns(rows) else 1


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
