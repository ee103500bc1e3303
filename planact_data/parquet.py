"""Rows into a Parquet file that `datasets` reads, a few hundred at a time: the memory it takes does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from planact_data.rows import Row, features

GROUP = 500  # rows held in memory, and in one row group of the file; ours


def write_parquet(rows: Iterable[Row], path: Path) -> int:
    """Write the rows in their order and return how many there are. `path` is replaced in one step, the same rows give the same bytes."""
    import pyarrow
    import pyarrow.parquet

    schema, number, rest = features().arrow_schema, 0, iter(rows)
    part = path.with_suffix(".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with pyarrow.parquet.ParquetWriter(part, schema) as writer:
        while group := list(islice(rest, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
            number += len(group)
    part.replace(path)
    return number
