"""metrics.jsonl: one line an optimizer step, flushed as it is written. Imports no torch."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pandas as pd

from slimnb.errors import SlimnbError
from slimnb.io.files import append_json_line, atomic_path


def read_log(path: Path) -> pd.DataFrame:
    """One row an optimizer step; empty where there is no log. A last line cut short by a kill is left out."""
    rows = []
    if path.exists():
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SlimnbError(f"{path}: cannot be read ({error})") from error
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                break
            if not isinstance(row, dict):
                raise SlimnbError(f"{path}: not a training log")
            rows.append(row)
    return pd.DataFrame(rows)


@contextmanager
def open_log(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give a function that appends one step's figures.

    A step that is there already, because the run was killed after its last checkpoint, is replaced with all that
    follow it.
    """
    stream: IO[str] | None = None

    def append(figures: dict[str, Any]) -> None:
        nonlocal stream
        if stream is None:
            kept = [row for row in read_log(path).to_dict("records") if row["step"] < figures["step"]]
            with atomic_path(path) as temporary:
                temporary.write_text("".join(json.dumps(_with_null(row)) + "\n" for row in kept), encoding="utf-8")
            stream = path.open("a", encoding="utf-8")
        append_json_line(stream, figures)

    try:
        yield append
    finally:
        if stream is not None:
            stream.close()


def _with_null(row: dict[Any, Any]) -> dict[str, Any]:
    """pandas reads null as NaN, which JSON has not."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}
