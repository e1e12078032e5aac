"""The runs of a grid, what is on disk of each, and which of them a `slimnb study run` leaves alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slimnb.config import RunConfig
from slimnb.errors import SlimnbError
from slimnb.store.ownership import NewerSchemaError, record_now
from slimnb.store.runs import RunFolder
from slimnb.study.grid import StudyConfig


@dataclass(frozen=True)
class Cell:
    """One run of a grid: its configuration and, once started, its folder."""

    config: RunConfig
    path: Path
    status: str
    """A run's status, or `missing`; `broken` where its folder cannot be read, `misplaced` where that holds another."""
    error: str | None = None
    retry_helps: bool = True
    """Of a `broken` one: whether `--retry` may carry it out anew."""


def cells(study: StudyConfig, root: Path) -> list[Cell]:
    """The grid's runs in order, each once, with what is on disk of it."""
    configs = {config.run_id: config for config in study.runs()}
    return [look(config, root / study.name / run_id) for run_id, config in configs.items()]


def look(config: RunConfig, path: Path) -> Cell:
    """A run as its folder tells it now."""
    if not (path / "run.json").exists():  # no folder, or killed before its first file was whole
        return Cell(config, path, "missing")
    try:
        folder = RunFolder.read(path)
    except SlimnbError as error:
        if _may_be_replaced(path):
            return Cell(config, path, "broken", str(error))
        helps = f"the rest may be whole, so --retry leaves it alone: move {path} away to carry the run out anew"
        return Cell(config, path, "broken", f"{error}; {helps}", retry_helps=False)
    if folder.config != config:
        error = f"{path / 'config.json'}: another configuration than the folder's name stands for; move it away"
        return Cell(config, path, "misplaced", error)
    return Cell(config, path, folder.record.status, folder.record.error)


def why_left(cell: Cell, retry: bool) -> str | None:
    """Why a run is not carried out; None where it is.

    What was stopped from outside (`cancelled`, `interrupted`) goes on where it stood. What ended by itself (`failed`,
    `out_of_memory`) would most likely end so again, and a `broken` folder may hold what someone wants back: these wait
    for a person's word.
    """
    if cell.status == "completed":
        return "complete already"
    if cell.status == "misplaced" or not cell.retry_helps:
        return f"left as it is: {cell.error}"
    if cell.status in ("failed", "out_of_memory", "broken") and not retry:
        return f"left as it is ({cell.status}: {cell.error}); --retry tries it again"
    return None


def _may_be_replaced(path: Path) -> bool:
    """Whether an attempt takes up a folder that cannot be read, as slimnb.store.ownership decides it: not one that is
    complete or a newer slimnb's, nor one of which nobody can tell now."""
    try:
        return record_now(path).status != "completed"
    except NewerSchemaError:
        return False
    except SlimnbError as error:
        return not isinstance(error.__cause__, OSError)
