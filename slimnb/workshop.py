"""What the notebooks share: their mode, the runs they speak of, a prediction beside what was measured."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from slimnb.anatomy.record import Anatomy, read_anatomy
from slimnb.config import METHODS, Method
from slimnb.data.load import data_directory
from slimnb.errors import SlimnbError
from slimnb.findings.study import Study, read_study
from slimnb.io.places import DEFAULT_RUNS, DEMO, MEASURED, PROJECT
from slimnb.machine.progress import reported_to
from slimnb.store.runs import RunFolder
from slimnb.study.grid import StudyConfig, load_study

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
REFERENCE = PROJECT / "data" / "studies" / "reference.yaml"
"""The study of the paper's questions on the real benchmarks. It takes hours."""
REPRODUCTION = "reproduction"
"""The study of the same runs as this machine carries them out: never mixed with those that ship."""
_LENGTHS = {"epochs", "steps", "label_tokens"}


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
        there = [RunFolder.read(path.parent) for path in sorted(DEMO.glob("*/run.json"))]
        found = {run.config.method: run for run in there if "workshop_math" in run.record.scores}
    else:
        planned = load_study(STUDIES[mode])
        grids = tuple(grid.model_copy(update={"methods": wanted}) for grid in planned.grids)
        found = {run.config.method: run for run in _carried_out(planned.model_copy(update={"grids": grids}))}
    if missing := [method for method in wanted if method not in found]:
        raise SlimnbError(f"{DEMO}: no run of method {', '.join(missing)} on the workshop's benchmarks")
    return {method: found[method] for method in METHODS if method in wanted}


def another(method: Method, train_on: str | None = None, **options: Any) -> RunFolder:
    """One run more, like the quick study's but for what is given: carried out here, if it is not there already.

    Args:
        options: anything that a study's options take: rank, learning_rate, steps, ...

    Raises:
        SlimnbError: an option is wrong, or the run was tried and is not complete.
    """
    planned = load_study(STUDIES["quick"])
    grid = planned.grids[0]
    kept = {name: value for name, value in grid.options.items() if not (name in _LENGTHS and _LENGTHS & {*options})}
    changed = {"methods": (method,), "train_on": (train_on,) if train_on else grid.train_on, "options": kept | options}
    return _carried_out(planned.model_copy(update={"grids": (grid.model_copy(update=changed),)}))[0]


def study(mode: Mode) -> Study:
    """The reference study as far as it is measured: its base, and its fine-tunes with their seeds together.

    It takes hours. So only `full` carries out here what is missing, the predicted alignment first; the other modes
    read what ships with the project.

    Raises:
        SlimnbError: no run of it is complete.
    """
    if mode != "full":
        return read_study(MEASURED)
    from slimnb.study import run_study

    planned = load_study(REFERENCE).model_copy(update={"name": REPRODUCTION})
    _foretell(planned)
    for _ in run_study(planned, RUNS, data_directory()):
        pass  # what failed is named among what is missing
    return read_study(RUNS / REPRODUCTION)


def anatomies(mode: Mode) -> dict[RunFolder, Anatomy]:
    """In replay those that are stored with the shipped runs; else that of this machine's LoRA run, computed now.

    Raises:
        SlimnbError: none is stored.
    """
    if mode == "replay":
        shipped = list(runs(mode).values())
        with suppress(SlimnbError):  # as far as the reference study is measured
            shipped += study(mode).runs
        found = {run: one for run in shipped if (one := read_anatomy(run.path))}
    else:
        from slimnb.anatomy.examine import anatomy_of

        with tempfile.TemporaryDirectory() as place, reported_to(Path(place) / "progress.json"):  # no bars
            found = {run: anatomy_of(run) for run in runs(mode, "lora").values()}
    if not found:
        raise SlimnbError("no run here has its anatomy stored: `slimnb anatomy RUN` makes it where the adapter is")
    return found


def progress(study: Study) -> Any:
    """How much of the reference study there is, and what is missing, as Markdown."""
    from IPython.display import Markdown

    planned = load_study(REFERENCE).runs()
    there = {run.record.id for run in study.runs}
    waiting = Counter(
        f"{config.method} on {config.training.data}" if config.training else config.method
        for config in planned
        if config.run_id not in there
    )
    said = f"**{len(planned) - waiting.total()} of {len(planned)} runs** of the reference study are measured."
    if waiting:
        missing = ", ".join(name if count == 1 else f"{name} ({count})" for name, count in waiting.items())
        said += f" Not measured yet: {missing}. What is said below is of the measured ones only."
    return Markdown(said)


def compare(predicted: float | None, measured: float | None, unit: str = "") -> Any:
    """A learner's number beside the measured one, as Markdown; None or NaN where nothing is measured yet."""
    from IPython.display import Markdown

    said = "You wrote no prediction" if predicted is None else f"You predicted **{predicted:,.4g}{unit}**"
    if measured is None or math.isnan(measured):
        return Markdown(f"{said}; this is **not measured** yet.")
    return Markdown(f"{said}; it is **{measured:,.4g}{unit}**.")


def _carried_out(planned: StudyConfig) -> list[RunFolder]:
    from slimnb.study import run_study

    found = []
    for cell in run_study(planned, RUNS, data_directory()):
        if cell.status != "completed":
            raise SlimnbError(f"{cell.path}: {cell.status}" + (f": {cell.error}" if cell.error else ""))
        found.append(RunFolder.read(cell.path))
    return found


def _foretell(planned: StudyConfig) -> None:
    """Store how near the study's training sets are to its benchmarks, unless that is known."""
    from slimnb.alignment import read_alignment, write_alignment

    if read_alignment(RUNS / planned.name) is None:
        from slimnb.alignment.measure import align

        configs = planned.runs()
        sets = dict.fromkeys(config.training.data for config in configs if config.training)
        benchmarks = dict.fromkeys(name for config in configs for name in config.benchmarks)
        write_alignment(RUNS / planned.name, align(configs[0].model, [*sets], [*benchmarks], data=data_directory()))
