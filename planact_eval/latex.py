r"""A table of results as a LaTeX `table` with booktabs rules, for a paper: \usepackage{booktabs}, then \input{table}."""

from __future__ import annotations

from collections.abc import Sequence

from planact_eval.markdown import one_line
from planact_eval.table import INTERVALS, Row, cells, footer, header, text_columns

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",  # a shorthand in some languages of babel
    "`": r"\textasciigrave{}",
}


def latex(rows: Sequence[Row], caption: str) -> str:
    """The results without turns and tokens, so that the table fits a page; a label stands at the first of its rows.

    `caption` says what was measured (`table.heading`). Letters beyond Latin ones need XeLaTeX or LuaLaTeX.
    """
    titles = header(rows, costs=False)
    columns = "l" * text_columns(rows) + "r" * (1 + len(titles) - text_columns(rows))
    notes = " ".join([INTERVALS, *(f"{note}." for note in footer(rows))])
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            r"\small",
            rf"\caption{{{escape(caption)}. {escape(notes)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _line(["", *("" if title == "column" else title for title in titles)]),
            r"\midrule",
            *_body(rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape(text: str) -> str:
    """Text that LaTeX prints as it is: no command, no mathematics, no comment, one line, no control characters."""
    printable = one_line(text)
    return "".join(_SPECIAL.get(c, c) for c in printable)


def _body(rows: Sequence[Row]) -> list[str]:
    lines, before = [], None
    for row in rows:
        if before is not None and row.label != before and row.column:
            lines.append(r"\addlinespace")
        lines.append(_line([row.label if row.label != before else "", *cells(row, rows, costs=False)]))
        before = row.label
    return lines


def _line(texts: Sequence[str]) -> str:
    r"""The first cell is in braces: after `\\` a `[` or `*` would be an argument of it."""
    first, *others = map(escape, texts)
    return " & ".join([f"{{{first}}}", *others]) + r" \\"
