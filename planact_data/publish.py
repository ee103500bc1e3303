"""Push the rows of a recipe to the Hugging Face Hub as a dataset, after every text in them was searched for secrets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planact.hub import check_secrets, publishable, push_files

BATCH = 256  # rows of a parquet file in memory at once


def push_rows(folder: Path, repo: str, *, public: bool = False, dry_run: bool = False, message: str = "Update") -> list[str]:
    """Bring the dataset `repo` to what is in `folder`. Returns what was done, or would be. Raises PublishError."""
    files = publishable(folder)
    check_secrets(folder, files, READERS)
    push = push_files(files, repo, "dataset", public=public, dry_run=dry_run, message=message)
    return push.lines(folder, files, done=not dry_run)


def parquet_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Every text of a parquet file with its row and column."""
    import pyarrow.parquet as parquet

    row = 0
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            for record in batch.to_pylist():
                yield from ((f"row {row}, column {column}", "\n".join(_texts(value))) for column, value in record.items())
                row += 1


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


READERS = {".parquet": parquet_texts}
