"""Progress bars with time left, on standard error, so that standard output stays clean.

A run of a study shows no bars: it keeps progress.json in its folder, where `slimnb study run` reads how far it is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this: what it prints to looks like a terminal, but cannot go back a line."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


# In a notebook no bars, which would want widgets there, but a line at the end.
console = Console(stderr=True, force_jupyter=False, force_terminal=False if in_notebook() else None)
_REPORT_SECONDS = 1.0
_report: Path | None = None


@dataclass(frozen=True)
class Standing:
    """How far a run's present piece of work is."""

    what: str
    """`training`, or a benchmark's name."""
    done: int = 0
    total: int | None = None
    note: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.done}" + (f"/{self.total}" if self.total else "") + (f" {self.note}").rstrip()


@contextmanager
def reported_to(file: Path) -> Iterator[None]:
    """Within the block `progress_bar` keeps this file in place of a bar; it is gone when the work is done."""
    global _report
    _report = file
    try:
        yield
    finally:
        _report = None
        with suppress(OSError):
            file.unlink(missing_ok=True)


def read_standing(file: Path) -> Standing | None:
    """What `reported_to` keeps; None where nothing is, or nothing that can be read."""
    try:
        return Standing(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """Give a function advance(steps, note="", total=None) that moves the bar; without a terminal, a line at the end.

    Args:
        what: ends in the piece of work, as `RUN_ID: training`.
        total: None where only the work itself finds it out, and tells it by advance.
    """
    if _report is not None:
        yield _reporter(_report, what.rpartition(": ")[2], total)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(what, total=total, note="")

        def advance(steps: int, note: str = "", total: int | None = None) -> None:
            bar.update(task, advance=steps, note=note, total=total)

        yield advance


def status_line() -> Callable[[str], None] | None:
    """A function that shows a text in a notebook's cell, in place of the one before; None elsewhere."""
    if not in_notebook():
        return None
    from IPython.display import DisplayHandle

    handle = DisplayHandle()
    handle.display({"text/plain": ""}, raw=True)
    return lambda text: handle.update({"text/plain": text}, raw=True)


def _reporter(file: Path, what: str, total: int | None) -> Callable[..., None]:
    done, known, written = 0, total, float("-inf")

    def advance(steps: int, note: str = "", total: int | None = None) -> None:
        nonlocal done, known, written
        done, known = done + steps, total or known
        if time.monotonic() - written < _REPORT_SECONDS:
            return
        written = time.monotonic()
        # No sync: it is only looked at, and a run that cannot write there will say so itself.
        beside = file.with_name(f".{file.name}.tmp")
        with suppress(OSError):
            beside.write_text(json.dumps(asdict(Standing(what, done, known, note))), encoding="utf-8")
            beside.replace(file)

    advance(0)
    return advance
