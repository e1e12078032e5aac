"""What the notebooks share: their mode, the runs they speak of, a prediction beside what was measured."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Literal

from slimnb.config import METHODS, Method
from slimnb.data import data_directory
from slimnb.errors import SlimnbError
from slimnb.grid import load_study
from slimnb.places import DEFAULT_RUNS, PROJECT, SHIPPED
from slimnb.runs import RunFolder

# Before a library that warns of it is imported: tqdm misses a widget that nothing here shows.
warnings.filterwarnings("ignore", message="IProgress not found")

Mode = Literal["replay", "quick", "full"]
MODES: tuple[Mode, ...] = ("replay", "quick", "full")
RUNS = PROJECT / DEFAULT_RUNS
STUDIES: dict[Mode, Path] = {
    "quick": PROJECT / "data" / "studies" / "quick.yaml",
    "full": PROJECT / "data" / "studies" / "workshop.yaml",
}
"""Mode -> the study that is carried out in it."""


def mode(wanted: str | None = None) -> Mode:
    """The mode asked for: `wanted`, else SLIMNB_MODE, else replay.

    Only `full` asks the Hub. The other two need nothing that does not come with the project, and set HF_HUB_OFFLINE.

    Raises:
        SlimnbError: there is no such mode.
    """
    name = wanted or os.environ.get("SLIMNB_MODE") or "replay"
    for known in MODES:
        if name == known:
            if known != "full":
                os.environ["HF_HUB_OFFLINE"] = "1"
            return known
    raise SlimnbError(f"no mode is called {name}: there are {', '.join(MODES)}")


def runs(mode: Mode, *methods: Method) -> dict[Method, RunFolder]:
    """The workshop's run of each method, in the fixed order of methods.

    In replay those that ship with the project; else this machine's own, carried out where they are missing.

    Args:
        methods: none for all.

    Raises:
        SlimnbError: a run is missing, or was tried and is not complete.
    """
    wanted = methods or METHODS
    if mode == "replay":
        there = [RunFolder.read(path.parent) for path in sorted(SHIPPED.glob("*/run.json"))]
        found = {run.config.method: run for run in there if "workshop_math" in run.record.scores}
    else:
        found = _carried_out(STUDIES[mode], wanted)
    if missing := [method for method in wanted if method not in found]:
        raise SlimnbError(f"{SHIPPED}: no run of method {', '.join(missing)} on the workshop's benchmarks")
    return {method: found[method] for method in METHODS if method in wanted}


def compare(predicted: float | None, measured: float, unit: str = "") -> Any:
    """A learner's number beside the measured one, as Markdown."""
    from IPython.display import Markdown

    said = "You wrote no prediction" if predicted is None else f"You predicted **{predicted:,.4g}{unit}**"
    return Markdown(f"{said}; measured: **{measured:,.4g}{unit}**.")


def _carried_out(study: Path, methods: tuple[Method, ...]) -> dict[Method, RunFolder]:
    from slimnb.study import run_study

    planned = load_study(study)
    grids = tuple(grid.model_copy(update={"methods": methods}) for grid in planned.grids)
    found = {}
    for cell in run_study(planned.model_copy(update={"grids": grids}), RUNS, data_directory()):
        if cell.status != "completed":
            raise SlimnbError(f"{cell.path}: {cell.status}" + (f": {cell.error}" if cell.error else ""))
        found[cell.config.method] = RunFolder.read(cell.path)
    return found
