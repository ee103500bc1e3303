"""Markdown that a terminal shows as well: tables with aligned columns, and text that cannot break them."""

from __future__ import annotations

from collections.abc import Sequence


def table(lines: Sequence[Sequence[str]], words: int = 1) -> str:
    """`lines` begin with the header; the first `words` columns are put left, the others right."""
    cells = [[escaped(cell) for cell in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(cells[0]))]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    put = [str.ljust if i < words else str.rjust for i in range(len(widths))]
    padded = [[align(cell, width) for align, cell, width in zip(put, line, widths, strict=True)] for line in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]]) + "\n"


def escaped(text: str, most: int = 200) -> str:
    """One line of at most `most` characters, for a cell."""
    line = one_line(text)
    line = line if len(line) <= most else line[: most - 3] + "..."
    return escape(line)


def one_line(text: str) -> str:
    """Without control characters, which a terminal would obey."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def escape(text: str) -> str:
    """Text that a table's cell shows as it is."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
