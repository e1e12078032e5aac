"""One run of a study in a process of its own, so that its peak memory is its own and its crash takes nothing along.

The process is `slimnb study work`. Its configuration is the first line of its standard input, and the end of that
input tells it to stop: a pipe is closed whenever its other end's process is gone, by Ctrl-C, by kill -9, or with a
cluster's worker, so no run is left working for nobody.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from slimnb.config import RunConfig
from slimnb.errors import OUT_OF_MEMORY_ADVICE
from slimnb.store.runs import RunFolder
from slimnb.study.state import Cell, look

COMMAND = (sys.executable, "-m", "slimnb", "study", "work")
POLL_SECONDS = 0.2
STOP_SECONDS = 20.0
"""What a run that is told to stop may take to end its step and say `cancelled` before it is killed."""
MOST_LINES = 50
"""Of what a run printed, that are kept."""
_KERNEL_COUNTS = Path("/proc/vmstat")


@dataclass(frozen=True)
class Task:
    """All that another process, or another machine on the same shared directory, needs to carry out a run."""

    config: RunConfig
    root: Path
    study: str
    data: Path | None
    directory: Path
    """Where the study was started: names of files in the configuration are relative to it."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables to set beside those that are there."""

    @property
    def path(self) -> Path:
        return self.root / self.study / self.config.run_id


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and what its process printed, a line each."""

    cell: Cell
    said: tuple[str, ...] = ()


def carry_out(task: Task, stopped: Callable[[], bool] = lambda: False) -> Outcome:
    """Carry out a run, or go on with it, and give what its folder says at the end.

    A run that another process works on is waited for: it may be one that is just stopping. So is one that another
    process has begun meanwhile: until it has imported all that it needs there is no folder to tell of it. A run that
    fails raises nothing.

    Args:
        stopped: asked again and again; once true, the run is told to stop.
    """
    while True:
        while (cell := look(task.config, task.path)).status == "running" and not stopped():
            time.sleep(POLL_SECONDS)
        if cell.status in ("completed", "misplaced") or stopped():
            return Outcome(cell)
        if not os.access(task.directory, os.X_OK):
            return Outcome(replace(cell, status="failed", error=_no_directory(task.directory)))
        outcome = _attempt(task, stopped)
        if outcome.cell.status != "running":
            return outcome


def _attempt(task: Task, stopped: Callable[[], bool]) -> Outcome:
    """A process for the run, up to its end; its cell is `running` where another process has the run."""
    command = [*COMMAND, "--runs", str(task.root), "--name", task.study]
    if task.data is not None:
        command += ["--data", str(task.data)]
    environment = os.environ | {"COLUMNS": "1000"} | task.environment  # a message of a run's is one line
    killed_before = _killed_for_memory()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
            cwd=task.directory, env=environment, start_new_session=True,  # a terminal's Ctrl-C is ours to pass on
        ) as process:  # fmt: skip
            try:
                _tell(process, task.config.model_dump_json())
                while process.poll() is None and not stopped():
                    time.sleep(POLL_SECONDS)
            finally:
                _end(process)
        output.seek(0)
        said = tuple(line for line in output.read().splitlines() if line.strip())[-MOST_LINES:]
    cell = look(task.config, task.path)
    if process.returncode == -signal.SIGKILL and _killed_for_memory() > killed_before:
        cell = note_out_of_memory(cell, "the system")
    return Outcome(_with_reason(cell, process.returncode, said), said)


def start_of_work() -> str:
    """Called in the run's own process: its configuration as JSON; from now on the end of standard input interrupts it.

    Interrupts are taken even where they were ignored when the process started, as in a shell's background, or blocked.
    """
    config = sys.stdin.readline()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    main = threading.main_thread()

    def watch() -> None:
        while os.read(0, 1):
            pass
        if main.ident is not None and main.is_alive():
            signal.pthread_kill(main.ident, signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
    return config


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # dead already; its status says how
        process.stdin.write(line + "\n")
        process.stdin.flush()


def _end(process: subprocess.Popen[str]) -> None:
    """See a process end, told to if it has not."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _no_directory(directory: Path) -> str:
    return (
        f"{directory}: the study was started in this directory, which is not on {socket.gethostname()} or cannot be "
        "entered there; start it in one that lies on a shared file system, for names of files are relative to it"
    )


def _with_reason(cell: Cell, returncode: int, said: tuple[str, ...]) -> Cell:
    """What the folder cannot know: why a process that made none ended, or by which signal."""
    if cell.status == "missing" and returncode:
        reasons = [line.removeprefix("Error: ") for line in said if line.startswith("Error: ")]
        return replace(cell, status="failed", error=" ".join(reasons or said[-1:]) or f"exit status {returncode}")
    if cell.status == "interrupted" and returncode < 0:
        return replace(cell, error=f"its process was ended by {signal.Signals(-returncode).name}")
    return cell


def _killed_for_memory() -> int:
    """Processes that the kernel has killed for want of memory since it started (Linux); 0 where it does not tell."""
    try:
        counts = dict(line.split() for line in _KERNEL_COUNTS.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(counts.get("oom_kill", 0))


def note_out_of_memory(cell: Cell, killer: str) -> Cell:
    """Have a run's folder say why its process was ended from outside, as far as it has one."""
    if cell.status in ("interrupted", "cancelled"):
        folder = RunFolder.read(cell.path)
        folder.finish("out_of_memory", f"killed by {killer} for want of memory. {OUT_OF_MEMORY_ADVICE}")
    return look(cell.config, cell.path)
