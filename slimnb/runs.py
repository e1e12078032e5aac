"""The run folder: what a run leaves behind, written atomically, found and read again. Imports no torch.

RUNS/STUDY/RUN_ID/
  run.json            status, lineage, scores, costs; `completed` is written last
  config.json         the resolved configuration, never changed after the start
  environment.json    versions, hardware, commit, hashes of weights and data
  metrics.jsonl       one line an optimizer step
  eval/BENCHMARK/     items.parquet (one row an item, no benchmark text) and result.json
  adapter/ or model/  what was trained: a PEFT directory, or all weights after full fine-tuning
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd
import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from slimnb.config import RunConfig, explain, load_run_config
from slimnb.errors import SlimnbError
from slimnb.files import atomic_path, write_json
from slimnb.stats import wilson

SCHEMA_VERSION = 1
HEARTBEAT_SECONDS = 10.0
STALE_AFTER_SECONDS = 120.0
DEFAULT_RUNS = Path("data/runs")

Status = Literal["running", "completed", "failed", "out_of_memory", "cancelled", "interrupted"]


class Record(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Score(Record):
    """k right answers of n items, with Wilson's 95% interval. Proportions between 0 and 1."""

    value: float
    k: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, k: int, n: int) -> Score:
        low, high = wilson(k, n)
        return cls(value=k / n, k=k, n=n, low=low, high=high)

    @model_validator(mode="after")
    def _a_count_can_give_it(self) -> Self:
        if not 0 <= self.k <= self.n or self.n == 0 or abs(self.value - self.k / self.n) > 1e-9:
            raise ValueError(f"no count gives this score: value {self.value}, {self.k} of {self.n}")
        return self


class BenchmarkResult(Record):
    """What eval/BENCHMARK/result.json holds."""

    metrics: dict[str, Score]
    primary: str
    """The metric that tables show."""
    shots: int
    items: int
    seconds: float
    prompts_sha256: str
    """Hash over every prompt in order: equal hashes were asked the same things."""
    chance: float | None = None
    """What guessing scores; None for generated answers."""
    hit_limit: Score | None = None
    """Generations that ran into the token limit; None for multiple choice."""
    subjects: dict[str, Score] = {}
    """The primary metric by subject, where a benchmark has several."""

    @property
    def score(self) -> Score:
        return self.metrics[self.primary]


class Lineage(Record):
    """The checkpoint a run started from. Scores are compared only where these agree."""

    model: str
    weights_sha256: str
    dtype: str


class Costs(Record):
    """What a run took. None where it does not apply or could not be measured."""

    train_seconds: float | None = None
    train_peak_bytes: int | None = None
    """Highest resident memory of the process (CPU) or allocated memory (CUDA) while training."""
    eval_seconds: float | None = None
    eval_peak_bytes: int | None = None
    weights_bytes: int | None = None
    """Bytes of the model's weights as they lie in memory, adapters included."""
    total_parameters: int | None = None
    trainable_parameters: int | None = None
    steps: int | None = None
    examples: int | None = None
    """Examples seen, epochs counted."""
    tokens: int | None = None
    label_tokens: int | None = None
    examples_left_out: int | None = None
    """Training rows longer than the length limit."""


class RunRecord(Record):
    """What run.json holds."""

    schema_version: int = SCHEMA_VERSION
    id: str
    study: str
    method: str
    status: Status = "running"
    started: float
    heartbeat: float
    finished: float | None = None
    process: int | None = None
    host: str | None = None
    lineage: Lineage | None = None
    scores: dict[str, BenchmarkResult] = {}
    costs: Costs = Field(default_factory=Costs)
    error: str | None = None


class RunFolder:
    """One run's directory. Use `create` for a new run and `read` for one that is there."""

    def __init__(self, path: Path, config: RunConfig, record: RunRecord):
        self.path = path
        self.config = config
        self.record = record
        self._saving = threading.Lock()

    @classmethod
    def create(cls, root: Path, study: str, config: RunConfig) -> RunFolder:
        """Start a run's folder under root/study; an unfinished attempt's files make room.

        Raises:
            SlimnbError: the run is complete or running, or the place cannot be written.
        """
        path = root / study / config.run_id
        if path.exists():
            _clear_unfinished(path)
        now = time.time()
        record = RunRecord(
            id=config.run_id, study=study, method=config.method, started=now, heartbeat=now,
            process=os.getpid(), host=socket.gethostname(),
        )  # fmt: skip
        folder = cls(path, config, record)
        write_json(path / "config.json", config.model_dump(mode="json"))
        folder.save()
        return folder

    @classmethod
    def read(cls, path: Path) -> RunFolder:
        """Load a run.

        Raises:
            SlimnbError: a file is missing, damaged, or of a newer slimnb.
        """
        fields = read_json(path / "run.json")
        if not isinstance(fields, dict):
            raise SlimnbError(f"{path / 'run.json'}: not a run's record")
        version = fields.get("schema_version")
        if not isinstance(version, int) or isinstance(version, bool):
            raise SlimnbError(f"{path / 'run.json'}: schema_version must be a whole number, not {version!r}")
        if version > SCHEMA_VERSION:
            raise SlimnbError(
                f"{path / 'run.json'}: written by a newer slimnb (schema {version}, this one reads {SCHEMA_VERSION}): "
                "upgrade slimnb"
            )
        try:
            record = RunRecord.model_validate(fields)
        except ValidationError as error:
            raise SlimnbError(f"{path / 'run.json'}: {explain(error)}") from error
        if record.status == "running" and not _alive(record):
            record.status = "interrupted"
        return cls(path, load_run_config(path / "config.json"), record)

    def save(self) -> None:
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
        self.record.finished = self.record.heartbeat = time.time()
        self.save()

    def write_items(self, benchmark: str, items: pd.DataFrame, result: BenchmarkResult) -> None:
        place = self.path / "eval" / benchmark
        write_parquet(place / "items.parquet", items)
        write_json(place / "result.json", result.model_dump(mode="json"))

    def items(self, benchmark: str) -> pd.DataFrame:
        """One row an item; see slimnb.evaluate for the columns.

        Raises:
            SlimnbError: the run has no such benchmark or the file is damaged.
        """
        if benchmark not in self.record.scores:
            raise SlimnbError(f"run {self.record.id} was not scored on {benchmark}")
        path = self.path / "eval" / benchmark / "items.parquet"
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise SlimnbError(f"{path}: cannot be read ({error})") from error

    def metrics(self) -> pd.DataFrame:
        """The training log, one row an optimizer step; empty for a run that trained nothing.

        A last line cut short by a kill is left out.
        """
        path = self.path / "metrics.jsonl"
        rows = []
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                try:
                    rows.append(json.loads(line))
                except json.JSONDecodeError:
                    break
        return pd.DataFrame(rows)

    def environment(self) -> dict[str, Any]:
        path = self.path / "environment.json"
        return read_json(path) if path.exists() else {}


@dataclass(frozen=True)
class BrokenRun:
    """A folder that looks like a run but cannot be read."""

    path: Path
    reason: str


def scan(root: Path) -> tuple[list[RunFolder], list[BrokenRun]]:
    """Every run under root/STUDY/RUN_ID, oldest first, and what could not be read with its reason."""
    found, broken = [], []
    if not root.is_dir():
        return [], []
    for path in sorted(root.glob("*/*/run.json")):
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


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SlimnbError(f"{path}: cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SlimnbError(f"{path}: not valid JSON ({error})") from error


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)


def _alive(record: RunRecord) -> bool:
    """Whether the process that wrote `running` still does: by its process on this host, else by its heartbeat."""
    if record.host == socket.gethostname() and record.process is not None:
        return psutil.pid_exists(record.process)
    return time.time() - record.heartbeat < STALE_AFTER_SECONDS


def _clear_unfinished(path: Path) -> None:
    """Make room for a new attempt. A complete or running run is never touched."""
    try:
        status = RunFolder.read(path).record.status
    except SlimnbError:
        status = "interrupted"  # killed before its first file was whole
    if status == "completed":
        raise SlimnbError(f"{path}: this run is complete; give another --name to run it again")
    if status == "running":
        raise SlimnbError(f"{path}: this run is being worked on by another process")
    shutil.rmtree(path)
