"""What of a grid is not complete, carried out by whatever executor there is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, Self

from slimnb.store.planned import write_planned
from slimnb.study.board import Board
from slimnb.study.grid import StudyConfig
from slimnb.study.local import Local
from slimnb.study.state import Cell, cells, why_left
from slimnb.study.work import Outcome, Task

REFRESH_SECONDS = 0.5
_OURS = ("SLIMNB_", "HF_")
"""Beginnings of the variables that a run on another machine gets as well."""


class Executor(Protocol):
    """Where runs are carried out: slimnb.study.local or slimnb.study.on_ray."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None:
        """Tell what still runs to stop, and wait for it."""

    def submit(self, task: Task) -> None: ...

    @property
    def busy(self) -> bool: ...

    def ended(self, seconds: float) -> list[Outcome]: ...


class Stopped(KeyboardInterrupt):
    """A person (SIGINT) or a system (SIGTERM) wants the study to stop."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def run_study(
    study: StudyConfig,
    root: Path,
    data: Path | None = None,
    *,
    executor: Executor | None = None,
    retry: bool = False,
) -> Iterator[Cell]:
    """Carry out what is not complete and give each cell as it ends; what is left alone comes first.

    A run that fails stops no other. However this process ends, nothing that is whole is lost: call it again.

    Args:
        executor: where; None for this machine, one run at a time.
        retry: also what failed, ran out of memory, or left a folder that cannot be read.

    Raises:
        Stopped: by SIGINT or SIGTERM, once every run has stopped; folders say `cancelled` or `interrupted`.
    """
    root, directory = root.resolve(), Path.cwd()
    environment = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
    todo = cells(study, root)
    write_planned(root / study.name, [cell.config.run_id for cell in todo])
    with _stopped_by_signals(), Board(study.name, todo) as board, executor or Local() as pool:
        try:
            for cell in todo:
                if reason := why_left(cell, retry):
                    board.left(cell, reason)
                    yield cell
                else:
                    pool.submit(Task(cell.config, root, study.name, data and data.resolve(), directory, environment))
            while pool.busy:
                for outcome in pool.ended(REFRESH_SECONDS):
                    board.ended(outcome)
                    yield outcome.cell
                board.refresh()
        except KeyboardInterrupt:
            board.say("stopping: each run ends its step and keeps what is whole")
            raise


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped, once: while all is being stopped a second one changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: object) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
