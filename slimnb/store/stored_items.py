"""The items that a run stored, taken as hostile: what no evaluation writes would be counted as something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from slimnb.errors import SlimnbError

TEXTS = ("id", "subject", "text", "prompt_sha256")


def check_items(items: pd.DataFrame, count: int, path: Path) -> None:
    """
    Args:
        items: all of its columns, or some.
        count: what run.json says.

    Raises:
        SlimnbError: more or fewer items than are counted, or a column of something else.
    """
    if len(items) != count:
        raise SlimnbError(f"{path}: {len(items):,} items, where run.json counts {count:,}")
    for name in items.columns:
        if name.startswith("correct_") and items[name].dtype != bool:
            raise SlimnbError(f"{path}: column {name} does not say right or wrong")
        if name in TEXTS and not all(isinstance(one, str) for one in items[name]):
            raise SlimnbError(f"{path}: column {name} is not text")
    if "log_likelihoods" in items and not all(map(_numbers, items["log_likelihoods"])):
        raise SlimnbError(f"{path}: log_likelihoods are not lists of numbers")


def _numbers(row: object) -> bool:
    return isinstance(row, np.ndarray) and row.ndim == 1 and row.dtype.kind in "fi" and bool(np.isfinite(row).all())
