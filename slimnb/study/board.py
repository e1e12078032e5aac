"""What a person sees of a study that runs: in a terminal one live table, elsewhere a line when a run starts or ends,
and in a notebook another one of how far it is.

All of it is read from the run folders, so that it is the same for runs of this machine and of a cluster.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Self

from rich.live import Live
from rich.table import Table
from rich.text import Text

from slimnb.errors import SlimnbError
from slimnb.machine.progress import console, read_standing, status_line
from slimnb.store.runs import RunFolder
from slimnb.study.state import Cell
from slimnb.study.timing import Finished, expected_seconds, seconds_left, seconds_taken
from slimnb.study.work import Outcome
from slimnb.units import duration

PROGRESS_FILE = "progress.json"
_STYLES = {"completed": "green", "running": "bold", "failed": "red", "out_of_memory": "red", "broken": "red"}
_CHROME = 8
"""Lines of a table that are not rows, and room for what is printed above it."""


class Board:
    """The runs of a grid as they stand. Made once a study; `refresh` looks at the folders again."""

    def __init__(self, study: str, cells: Sequence[Cell]):
        self._study = study
        self._cells = {cell.config.run_id: cell for cell in cells}
        self._folders: dict[str, RunFolder] = {}
        self._final: set[str] = set()
        self._announced: set[str] = set()
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._line = status_line()

    def __enter__(self) -> Self:
        for name in self._cells:
            self._read(name)
        if self._live:
            self._live.start()
        elif complete := sum(cell.status == "completed" for cell in self._cells.values()):
            self.say(f"{complete} of {len(self._cells)} runs are complete already")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._line:
            self._line("")
        if self._live:
            self._live.stop()

    def say(self, text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def left(self, cell: Cell, reason: str) -> None:
        """A run that is not carried out."""
        self._final.add(cell.config.run_id)
        if cell.status != "completed":
            self.say(f"{self._label(cell)}: {reason}")

    def ended(self, outcome: Outcome) -> None:
        cell = outcome.cell
        name = cell.config.run_id
        self._cells[name] = cell
        self._final.add(name)
        self._read(name)
        for line in outcome.said:
            if not line.startswith("Error: "):  # told with the run's status
                self.say(f"{name}: {line}")
        told = f"{cell.status}: {cell.error}" if cell.error else ", ".join([cell.status, *self._scores(name)])
        self.say(f"{self._label(cell)}: {told}")
        if not self._live:
            self.say(self.headline())

    def refresh(self) -> None:
        for name in self._cells.keys() - self._final:
            self._read(name)
            if self._status(name) == "running" and name not in self._announced:
                self._announced.add(name)
                if not self._live:
                    self.say(f"{self._label(self._cells[name])}: running")
        if self._line:
            self._line("; ".join(self._underway()))
        if self._live:
            self._live.update(self.table(console.height - _CHROME), refresh=True)

    def headline(self) -> str:
        """How many are done, and how long the rest takes."""
        counts = Counter(self._status(name) for name in self._cells)
        told = [f"{counts.pop('completed', 0)} of {len(self._cells)} complete"]
        told += [f"{count} {status}" for status, count in counts.items() if status != "missing"]
        open_runs = [name for name in self._cells.keys() - self._final if self._status(name) != "completed"]
        if open_runs:
            running = [name for name in open_runs if self._status(name) == "running"]
            left = seconds_left(
                [(self._cells[name].config, self._since(name)) for name in running],
                [self._cells[name].config for name in open_runs if name not in running],
                self._finished(),
            )
            told.append("time left not known yet" if left is None else f"about {duration(left)} left")
        return f"Study {self._study}: " + ", ".join(told)

    def table(self, height: int) -> Table:
        """At most so many runs: those that run, then what failed, what ended last, and what comes next."""
        names = list(self._cells)
        order = ("running", "failed", "out_of_memory", "broken", "interrupted", "cancelled")
        rank = {status: place for place, status in enumerate(order)}

        def urgency(name: str) -> tuple[int, float]:
            folder = self._folders.get(name)
            return rank.get(self._status(name), len(order)), -(folder.record.heartbeat if folder else 0.0)

        shown = set(sorted(names, key=urgency)[: max(1, height)])
        table = Table(title=Text(self.headline()), title_justify="left")
        for heading in ("run", "status", "progress", "left", "scores"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "left" else "left")
        finished = self._finished()
        for name in names:
            if name in shown:
                self._add_row(table, name, finished)
        if len(shown) < len(names):
            table.caption = f"{len(names) - len(shown)} more runs"
        return table

    def _underway(self) -> list[str]:
        """How far each run is that is not at its end."""
        finished = self._finished()
        told = []
        for name in self._cells:
            if self._status(name) == "running":
                progress, left = self._standing(name, finished)
                told.append(f"{name}: {progress}" + (f", {left} left" if left else ""))
        return told

    def _standing(self, name: str, finished: Finished) -> tuple[str, str]:
        """What a run does, and the time that it has left; "" where that is not known."""
        standing = read_standing(self._cells[name].path / PROGRESS_FILE)
        expected = expected_seconds(self._cells[name].config, finished)
        left = "" if expected is None else duration(max(0.0, expected - self._since(name)))
        return str(standing) if standing else "loading", left

    def _add_row(self, table: Table, name: str, finished: Finished) -> None:
        status, progress, left = self._status(name), "", ""
        if status == "running":
            progress, left = self._standing(name, finished)
        told = "waiting" if status == "missing" else status
        table.add_row(name, Text(told, _STYLES.get(status, "dim")), progress, left, ", ".join(self._scores(name)))

    def _read(self, name: str) -> None:
        try:
            self._folders[name] = RunFolder.read(self._cells[name].path)
        except SlimnbError:
            self._folders.pop(name, None)

    def _status(self, name: str) -> str:
        """A run's own word; of an ended run, what the executor saw."""
        folder = self._folders.get(name)
        return folder.record.status if folder and name not in self._final else self._cells[name].status

    def _since(self, name: str) -> float:
        return time.time() - self._folders[name].record.started

    def _finished(self) -> Finished:
        complete = [folder for folder in self._folders.values() if folder.record.status == "completed"]
        return [(one.config, seconds) for one in complete if (seconds := seconds_taken(one)) is not None]

    def _scores(self, name: str) -> list[str]:
        folder = self._folders.get(name)
        return [f"{b} {r.score.k}/{r.score.n}" for b, r in folder.record.scores.items()] if folder else []

    def _label(self, cell: Cell) -> str:
        names = list(self._cells)
        return f"[{names.index(cell.config.run_id) + 1}/{len(names)}] {cell.config.run_id}"
