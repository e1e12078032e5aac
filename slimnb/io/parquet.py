"""Parquet files of text from strangers: a few bytes may stand for gigabytes, so what they unpack to is counted."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from slimnb.errors import SlimnbError
from slimnb.io.documents import regular_file

UNPACKED, TIMES = 200_000_000, 1000
"""Bytes that any file may unpack to, and how many for each of its own: rows of few different texts pack well."""
ROW, VALUE = 500, 50
"""Bytes that a row, and a value in a list, take besides their text."""

Records = Callable[[list[str]], Iterator[tuple[int, Any]]]


def open_parquet(path: Path) -> tuple[list[str], Records]:
    """A file's columns, and a function from those that are wanted to (number from 1, fields) of each row.

    Raises:
        SlimnbError: it is not Parquet, a wanted column holds no text, or (while it is read) it is damaged or unpacks
            to far more than it is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    unreadable = (pa.ArrowException, OSError, ValueError, OverflowError, LookupError, TypeError, RuntimeError)
    regular_file(path)
    try:
        with pq.ParquetFile(path) as file:
            schema, layout = file.schema_arrow, file.metadata
            leaves = [file.schema.column(i).path for i in range(len(file.schema))]
        names = schema.names
        most = max(UNPACKED, TIMES * path.stat().st_size)
    except unreadable as error:
        raise SlimnbError(f"{path}: cannot be read as Parquet ({error!s:.300})") from error

    def records(wanted: list[str]) -> Iterator[tuple[int, Any]]:
        for column in wanted:
            kind = schema.field(column).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not (pa.types.is_nested(kind) or str(kind) in ("string", "large_string", "string_view", "null")):
                raise SlimnbError(f"{path}: column {column!r} holds {kind}, where text is needed: cast it to string")
        starts = tuple(f"{column}." for column in wanted)
        inside = [place for place, leaf in enumerate(leaves) if leaf in wanted or leaf.startswith(starts)]
        nested = [place for place in inside if leaves[place] not in wanted]
        if _promised(layout) + VALUE * (_values(path, nested) if nested else 0) > most:
            raise SlimnbError(f"{path}: unpacks to more than {TIMES} times its size: not read")
        number = taken = 0
        try:
            # A text that occurs often stays one text until its row is made.
            with pq.ParquetFile(path, read_dictionary=[leaves[place] for place in inside]) as file:
                for batch in file.iter_batches(batch_size=1024, columns=wanted):
                    for cells in zip(*(batch.column(name) for name in wanted), strict=True):
                        record = {name: cell.as_py() for name, cell in zip(wanted, cells, strict=True)}
                        taken += ROW + sum(map(_size, record.values()))
                        number += 1
                        if taken > most:
                            raise SlimnbError(f"{path}: unpacks to more than {TIMES} times its size, at row {number}")
                        yield number, record
        except unreadable as error:
            raise SlimnbError(f"{path}: cannot be read beyond row {number} ({error!s:.300})") from error

    return names, records


def _promised(layout: Any) -> int:
    """Bytes that the file itself says it unpacks to, some texts counted once that occur often."""
    return ROW * layout.num_rows + sum(
        layout.row_group(place).total_byte_size for place in range(layout.num_row_groups)
    )


_COUNT = """
import sys
import pyarrow.parquet as pq
layout = pq.read_metadata(sys.argv[1])
groups = [layout.row_group(place) for place in range(layout.num_row_groups)]
print(sum(group.column(int(place)).num_values for group in groups for place in sys.argv[2:]))
"""


def _values(path: Path, places: list[int]) -> int:
    """How many values columns of lists hold.

    Looked up by another process: where a column's statistics contradict its schema, Arrow ends the one that asks.
    """
    words = [sys.executable, "-P", "-c", _COUNT, str(path.resolve()), *map(str, places)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["no reason given"])[-1].strip()
        raise SlimnbError(f"{path}: cannot be read as Parquet ({told:.300})")
    return int(done.stdout)


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    return sum(map(_size, value)) + VALUE * len(value) if isinstance(value, list | tuple) else 0
