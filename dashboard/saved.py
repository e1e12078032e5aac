"""A run folder that is trusted in nothing: what a page shows may come from a stranger's disk.

No link is followed out of the runs directory, no path is built from a name in a file, and a file that is too large, is
no file, or holds something else than it should is an error with its reason. So one damaged run takes no page down.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slimnb.alignment import Alignment, read_alignment
from slimnb.alignment.record import FILE as ALIGNMENT
from slimnb.anatomy import Anatomy, read_anatomy
from slimnb.anatomy.record import FILE as ANATOMY
from slimnb.errors import SlimnbError
from slimnb.figures import CURVES
from slimnb.store.planned import FILE as PLANNED
from slimnb.store.planned import read_planned
from slimnb.store.records import MOST, Contamination
from slimnb.store.runs import RunFolder

LARGEST_RECORD = 4_000_000
"""Bytes of a JSON file; a run's largest has some ten thousand."""
LARGEST_LOG = 40_000_000
"""Bytes of a training log: more than a hundred thousand steps."""
LARGEST_TABLE = 200_000_000
"""Bytes of a benchmark's items."""
MOST_MATRICES = 10_000

RECORDS = ("run.json", "config.json")

Stamp = tuple[tuple[int, int, int] | None, ...]


class SavedRun(RunFolder):
    """A run whose files are checked before and after they are read; every fault is a SlimnbError."""

    stamp: Stamp = ()
    """Another one is another state of the files; whoever watches them sets it."""

    @classmethod
    def read(cls, path: Path) -> SavedRun:
        for name in RECORDS:
            if not _plain(f"{path}/{name}", LARGEST_RECORD):
                _there(path / name, path.parent.parent, LARGEST_RECORD)  # reading says what is missing
        run = super().read(path)
        assert isinstance(run, cls)
        if abs(run.config.seed) >= MOST:
            raise SlimnbError(f"{path}: its seed is larger than what fits a table")
        return run

    @cached_property
    def words(self) -> str:
        """What a search looks in: the run's name and its configuration as `field=value`, in small letters."""
        fields = self.config.model_dump_json().replace('":', "=").replace('"', "")
        return f"{self.path.name} {fields}".lower()

    def items(self, benchmark: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        if benchmark not in self.record.scores:
            raise SlimnbError(f"run {self.record.id} was not scored on {benchmark}")
        self._checked(LARGEST_TABLE, "eval", benchmark, "items.parquet")
        return super().items(benchmark, columns)

    def metrics(self) -> pd.DataFrame:
        path = self._checked(LARGEST_LOG, "metrics.jsonl")
        try:
            log = super().metrics()
            if "step" in log:
                known = [name for name in ("step", "tokens", "seconds", *CURVES) if name in log]
                numbers: Any = log[known].apply(pd.to_numeric)
                return numbers.astype(float).replace([np.inf, -np.inf], np.nan)
        except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise SlimnbError(f"{path}: cannot be read ({error})") from error
        if len(log):
            raise SlimnbError(f"{path}: not a training log")
        return log

    def environment(self) -> dict[str, Any]:
        self._checked(LARGEST_RECORD, "environment.json")
        return super().environment()

    def contamination(self, benchmark: str) -> Contamination | None:
        self._checked(LARGEST_RECORD, "eval", benchmark, "contamination.json")
        return super().contamination(benchmark)

    def anatomy(self) -> Anatomy | None:
        """What `slimnb anatomy` stored; None where it was not called."""
        path = self._checked(LARGEST_LOG, ANATOMY)
        found = read_anatomy(self.path)
        numbers = (len(found.matrices), *(matrix.layer for matrix in found.matrices)) if found else ()
        if any(abs(number) > MOST_MATRICES for number in numbers):
            raise SlimnbError(f"{path}: more matrices or layers than any model has")
        return found

    def _checked(self, largest: int, *parts: str) -> Path:
        path = self.path.joinpath(*parts)
        _there(path, self.path.parent.parent, largest)
        return path


def stored_alignment(study: Path) -> Alignment | None:
    """What `slimnb alignment` stored with a study; None where it was not called.

    Raises:
        SlimnbError: it leads out of the runs directory, is too large, or is no such file.
    """
    return read_alignment(study) if _there(study / ALIGNMENT, study.parent, LARGEST_RECORD) else None


def stored_plan(study: Path) -> tuple[str, ...]:
    """The ids of the runs that a study is to have; none where no grid was run.

    Raises:
        SlimnbError: study.json leads out of the runs directory, is too large, or is no such file.
    """
    return read_planned(study) if _there(study / PLANNED, study.parent, LARGEST_RECORD) else ()


def stamp_of(folder: Path | str) -> Stamp:
    """Changes whenever a run's record does: files are replaced, and written in an order that ends with run.json."""
    return tuple(changed(f"{folder}/{name}") for name in RECORDS)


def _plain(place: str, largest: int) -> bool:
    """Whether this is a file and no link, in a folder that was looked at: what thousands of records are."""
    try:
        found = os.lstat(place)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= largest


def _there(path: Path, root: Path, largest: int) -> bool:
    """Whether there is anything of this name. That root/STUDY/RUN lies in root is known already.

    Raises:
        SlimnbError: there is, but no file, none under root, or one that is too large.
    """
    if not os.path.lexists(path):
        return False
    try:
        found = path.stat()
        if not path.resolve(strict=True).is_relative_to(root.resolve()):
            raise SlimnbError(f"{path}: leads out of the runs directory and is not followed")
    except (OSError, ValueError, RuntimeError) as error:  # gone since, or a link to nowhere or to itself
        raise SlimnbError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(found.st_mode):
        raise SlimnbError(f"{path}: not a file")
    if found.st_size > largest:
        raise SlimnbError(f"{path}: {found.st_size / 1e6:.0f} MB is more than the {largest / 1e6:.0f} MB that are read")
    return True


def changed(place: Path | str) -> tuple[int, int, int] | None:
    """Another value is another state of the file; None where there is none."""
    try:
        found = os.stat(place)  # noqa: PTH116 - a Path takes longer than the look
    except (OSError, ValueError):
        return None  # gone since it was listed, or never there: reading says so
    return found.st_mtime_ns, found.st_size, found.st_ino
