"""Rows into a Parquet file, a few hundred at a time: the memory that it takes does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from planact_data.rows import Row, features

GROUP = 500  # rows held in memory, and in one row group of the file; ours


def write_parquet(rows: Iterable[Row], path: Path) -> int:
    """Write the rows in their order and return how many there are. `path` is replaced in one step; the same rows give the same bytes."""
    from datasets.arrow_writer import ParquetWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with ParquetWriter(path=str(part), features=features(), writer_batch_size=GROUP) as writer:
        for row in rows:
            writer.write(row)
        number, _ = writer.finalize()
    part.replace(path)
    return number
