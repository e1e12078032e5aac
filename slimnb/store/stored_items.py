"""The items that a run stored, taken as hostile: what no evaluation writes would be counted as something else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from slimnb.errors import SlimnbError

MOST_ITEMS = 200_000
"""Rows of a benchmark; HellaSwag's 10,042 are the most that slimnb knows."""
TEXTS = ("id", "subject", "text", "prompt_sha256")


def read_items(path: Path, count: int, columns: Sequence[str] | None) -> pd.DataFrame:
    """One row an item.

    Args:
        count: of the items, as run.json says.
        columns: only these, as far as the file has them; None for all.

    Raises:
        SlimnbError: the file is damaged, has more or fewer items than are counted, or a column of something else.
    """
    try:
        with pq.ParquetFile(path) as file:
            if (rows := file.metadata.num_rows) > MOST_ITEMS:
                raise SlimnbError(f"{path}: {rows:,} items are more than any benchmark has")
            if rows != count:
                raise SlimnbError(f"{path}: {rows:,} items, where run.json counts {count:,}")
            known = [name for name in columns if name in file.schema_arrow.names] if columns is not None else None
            table = file.read(known, use_threads=False)  # small: threads take longer to start
        table.validate(full=True)  # texts may be none
        items = table.to_pandas()
    except (OSError, ValueError, TypeError, OverflowError, LookupError, RuntimeError, pa.ArrowException) as error:
        raise SlimnbError(f"{path}: cannot be read ({error})") from error
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name.startswith("correct_") and (column.null_count or not pa.types.is_boolean(column.type)):
            raise SlimnbError(f"{path}: column {name} does not say right or wrong")
        if name in TEXTS and (column.null_count or str(column.type) not in ("string", "large_string")):
            raise SlimnbError(f"{path}: column {name} is not text")
    if "log_likelihoods" in items and not all(map(_numbers, items["log_likelihoods"])):
        raise SlimnbError(f"{path}: log_likelihoods are not lists of numbers")
    return items


def _numbers(row: object) -> bool:
    return isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype.kind in "fi" and bool(np.isfinite(row).all())
