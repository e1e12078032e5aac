"""The run folder: what a run leaves behind, written atomically, found and read again. Imports no torch.

RUNS/STUDY/RUN_ID/
  run.json            status, lineage, scores, costs; `completed` is written last
  config.json         the resolved configuration, never changed after the start
  environment.json    versions, hardware, commit, hashes of weights and data
  metrics.jsonl       one line an optimizer step
  eval/BENCHMARK/     items.parquet (one row an item, no text of it), result.json, contamination.json
  progress.json       how far a study's run is, only while it runs
  lock                who works on the run; it counts only while that process holds it (slimnb.io.lock)
  adapter/ or model/  what was trained: a PEFT directory, or all weights after full fine-tuning
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from slimnb.config import RunConfig, load_run_config
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json, validated
from slimnb.io.files import atomic_path, remove, write_json
from slimnb.io.lock import Lock
from slimnb.store.ownership import LOCK, record_now, take_up
from slimnb.store.records import BenchmarkResult, Contamination, Costs, RunRecord, Status
from slimnb.store.stored_items import read_items
from slimnb.store.training_log import open_log, read_log

HEARTBEAT_SECONDS = 10.0


class RunFolder:
    """One run's directory. Use `create` for a new run and `read` for one that is there."""

    def __init__(self, path: Path, config: RunConfig, record: RunRecord, lock: Lock | None = None):
        self.path = path
        self.config = config
        self.record = record
        self.writes = True
        self._lock = lock
        self._saving = threading.Lock()

    @classmethod
    def create(cls, root: Path, study: str, config: RunConfig) -> RunFolder:
        """Start a run's folder under root/study, or take up an unfinished attempt with what is whole of it.

        The run is locked from here until `finish`, or until this process ends.

        Raises:
            SlimnbError: the run is complete, another process works on it (the message says which), or the place
                cannot be written.
        """
        if Path(study).name != study or study in ("", ".."):
            raise SlimnbError(f"{study}: a study's name is one directory's, without slashes")
        path = root / study / config.run_id
        lock, earlier = take_up(path)
        now = time.time()
        record = RunRecord(
            id=config.run_id, study=study, method=config.method, started=now, heartbeat=now,
            process=os.getpid(), host=socket.gethostname(),
        )  # fmt: skip
        if earlier:
            record = record.model_copy(
                update={"costs": earlier.costs, "scores": earlier.scores, "attempts": earlier.attempts + 1}
            )
        folder = cls(path, config, record, lock)
        try:
            write_json(path / "config.json", config.model_dump(mode="json"))
            folder.save()
        except BaseException:
            lock.release(leave_file=True)
            raise
        return folder

    @classmethod
    def join(cls, root: Path, study: str, config: RunConfig) -> RunFolder:
        """The folder that another process of the same run created: read, and never written by this one."""
        folder = cls.read(root / study / config.run_id)
        folder.writes = False
        return folder

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Load a run.

        Raises:
            SlimnbError: a file is missing, damaged, or of a newer slimnb.
        """
        record = record_now(path)
        return cls(path, load_run_config(path / "config.json"), record)

    @property
    def is_base(self) -> bool:
        """Whether the untouched model was scored: no adapter that was imported with its results, no merged weights."""
        merged = self.record.lineage is not None and self.record.lineage.merged_from is not None
        return self.config.method == self.record.method == "base" and not merged

    def save(self) -> None:
        if not self.writes:
            return
        with self._saving:  # the heartbeat's thread saves too
            write_json(self.path / "run.json", self.record.model_dump(mode="json"))

    def beat(self) -> None:
        """Say that the run is alive."""
        self.record.heartbeat = time.time()
        self.save()

    def finish(self, status: Status, error: str | None = None) -> None:
        """Write the run's end. Called last, so that `completed` means that all other files are whole."""
        self.record.status = status
        self.record.error = error
        self.record.heartbeat = time.time()
        self.record.finished = max(self.record.heartbeat, self.record.started)  # a clock may be set back
        saved = False
        try:
            self.save()
            saved = True
        finally:
            if self._lock is not None:
                self._lock.release(leave_file=not saved)

    def forget(self) -> None:
        """Remove all that an earlier attempt has made."""
        self.record.scores, self.record.costs = {}, Costs()
        if not self.writes:
            return
        for part in self.path.iterdir():
            if part.name not in ("run.json", "config.json", LOCK):
                remove(part)

    def write_environment(self, found: dict[str, Any]) -> None:
        if self.writes:
            write_json(self.path / "environment.json", found)

    def write_items(self, benchmark: str, items: pd.DataFrame, result: BenchmarkResult) -> None:
        """Keep a benchmark's items and result, in the folder and in the record."""
        self.record.scores[benchmark] = BenchmarkResult.model_validate(result.model_dump())
        if not self.writes:
            return
        place = self.path / "eval" / benchmark
        write_parquet(place / "items.parquet", items)
        write_json(place / "result.json", result.model_dump(mode="json"))

    def write_contamination(self, found: dict[str, Contamination]) -> None:
        """Keep what the training set shares with each benchmark, beside the scores it casts doubt on."""
        for benchmark, contamination in found.items() if self.writes else ():
            write_json(self.path / "eval" / benchmark / "contamination.json", contamination.model_dump(mode="json"))

    def contamination(self, benchmark: str) -> Contamination | None:
        """What the training set shares with a benchmark; None where nothing was trained or nothing was looked at."""
        path = self.path / "eval" / benchmark / "contamination.json"
        return validated(Contamination, read_json(path), str(path)) if path.exists() else None

    def items(self, benchmark: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row an item; see slimnb.evaluation.evaluate for the columns.

        Args:
            columns: only these, as far as the file has them; None for all.

        Raises:
            SlimnbError: the run has no such benchmark or the file is damaged.
        """
        if benchmark not in self.record.scores:
            raise SlimnbError(f"run {self.record.id} was not scored on {benchmark}")
        path = self.path / "eval" / benchmark / "items.parquet"
        return read_items(path, self.record.scores[benchmark].items, columns)

    def metrics(self) -> pd.DataFrame:
        """The training log, one row an optimizer step; empty for a run that trained nothing."""
        return read_log(self.path / "metrics.jsonl")

    def metrics_log(self) -> AbstractContextManager[Callable[[dict[str, Any]], None]]:
        """A function that appends one step's figures; see slimnb.store.training_log."""
        return open_log(self.path / "metrics.jsonl") if self.writes else nullcontext(lambda figures: None)

    def environment(self) -> dict[str, Any]:
        path = self.path / "environment.json"
        found = read_json(path) if path.exists() else {}
        if not isinstance(found, dict) or not isinstance(found.get("packages") or {}, dict):
            raise SlimnbError(f"{path}: not a description of an environment")
        return found


@dataclass(frozen=True)
class BrokenRun:
    """A folder that looks like a run but cannot be read."""

    path: Path
    reason: str


# With a wildcard in its last part a pattern finds a link that leads nowhere, too: a broken run, and not none.
_RECORDS, _RECORDS_OF_A_STUDY = "*/*/run.jso[n]", "*/run.jso[n]"


def scan(root: Path) -> tuple[list[RunFolder], list[BrokenRun]]:
    """Every run under root/STUDY/RUN_ID, oldest first, and what could not be read with its reason."""
    return _scan(root, _RECORDS)


def scan_study(directory: Path) -> tuple[list[RunFolder], list[BrokenRun]]:
    """The same of one study's directory, RUNS/STUDY."""
    return _scan(directory, _RECORDS_OF_A_STUDY)


def _scan(directory: Path, pattern: str) -> tuple[list[RunFolder], list[BrokenRun]]:
    found, broken = [], []
    if not directory.is_dir():
        return [], []
    for path in sorted(directory.glob(pattern)):
        try:
            found.append(RunFolder.read(path.parent))
        except SlimnbError as error:
            broken.append(BrokenRun(path.parent, str(error)))
    return sorted(found, key=lambda run: run.record.started), broken


def find(root: Path, name: str) -> RunFolder:
    """A run by its id or its directory.

    Raises:
        SlimnbError: there is none, or several studies have one of that id.
    """
    if Path(name).is_dir():
        return RunFolder.read(Path(name))
    matches = [path.parent for path in root.glob("*/*/run.json") if path.parent.name == name]
    if not matches:
        raise SlimnbError(f"no run {name} under {root}: `slimnb runs` lists the runs there")
    if len(matches) > 1:
        places = ", ".join(str(path) for path in matches)
        raise SlimnbError(f"several studies have a run {name}: give its directory, one of {places}")
    return RunFolder.read(matches[0])


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)
