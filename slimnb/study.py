"""A grid of runs: what is there already, what is missing, each in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slimnb.config import RunConfig
from slimnb.errors import OUT_OF_MEMORY_ADVICE, SlimnbError
from slimnb.files import write_json
from slimnb.grid import StudyConfig
from slimnb.progress import console
from slimnb.runs import RunFolder

_KERNEL_COUNTS = Path("/proc/vmstat")


@dataclass(frozen=True)
class Cell:
    """One run of a grid: its configuration and, once started, its folder."""

    config: RunConfig
    path: Path
    status: str
    """A run's status, or `missing` or `broken`."""
    error: str | None = None


def cells(study: StudyConfig, root: Path) -> list[Cell]:
    """The grid's runs in order, each with what is on disk of it."""
    return [_look(config, root / study.name / config.run_id) for config in study.runs()]


def _look(config: RunConfig, path: Path) -> Cell:
    if not path.exists():
        return Cell(config, path, "missing")
    try:
        record = RunFolder.read(path).record
    except SlimnbError as error:
        return Cell(config, path, "broken", str(error))
    return Cell(config, path, record.status, record.error)


def run_study(study: StudyConfig, root: Path, data: Path | None = None) -> Iterator[Cell]:
    """Carry out what is not complete, one run after the other, and give each cell as it ends.

    A run that fails does not stop the others. Each runs in a process of its own, so that its peak memory is its own
    and its crash takes nothing along.
    """
    todo = cells(study, root)
    for number, cell in enumerate(todo, start=1):
        label = f"[{number}/{len(todo)}] {cell.config.run_id}"
        if cell.status == "completed":
            console.print(f"{label}: complete already", highlight=False)
        else:
            console.print(label, highlight=False)
            _run_in_process(cell.config, root, study.name, data)
        yield _look(cell.config, cell.path)


def _run_in_process(config: RunConfig, root: Path, study: str, data: Path | None) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "config.json"
        write_json(path, config.model_dump(mode="json"))
        command = [sys.executable, "-m", "slimnb", "run", "--config", str(path), "--runs", str(root), "--name", study,
                   "--quiet"]  # fmt: skip
        if data is not None:
            command += ["--data", str(data)]
        killed_before = _killed_for_memory()
        outcome = subprocess.run(command, check=False)
        if outcome.returncode == -signal.SIGKILL and _killed_for_memory() > killed_before:
            _note_out_of_memory(root / study / config.run_id)


def _killed_for_memory() -> int:
    """Processes that the kernel has killed for want of memory since it started (Linux); 0 where it does not tell."""
    try:
        counts = dict(line.split() for line in _KERNEL_COUNTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counts.get("oom_kill", 0))


def _note_out_of_memory(path: Path) -> None:
    folder = RunFolder.read(path)
    folder.finish("out_of_memory", f"killed by the system for want of memory. {OUT_OF_MEMORY_ADVICE}")
