"""A study's directory, read for its report: fine-tunes with their seeds together, each held against its own base."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from slimnb.alignment.record import Alignment, read_alignment
from slimnb.analysis.fine_tunes import FineTune, fine_tunes
from slimnb.analysis.guard import trained_on
from slimnb.errors import SlimnbError
from slimnb.store.planned import read_planned
from slimnb.store.records import BenchmarkResult
from slimnb.store.runs import RunFolder


@dataclass(frozen=True)
class Study:
    """What a report is written from. Everything is in an order that the runs alone give."""

    name: str
    bases: tuple[RunFolder, ...]
    fine_tunes: tuple[FineTune, ...]
    alignment: Alignment | None
    missing: tuple[str, ...] = field(default=())
    """Runs that are not complete and other gaps, a sentence each."""

    @property
    def runs(self) -> list[RunFolder]:
        return [*self.bases, *(run for tuned in self.fine_tunes for run in tuned.runs)]

    @cached_property
    def benchmarks(self) -> dict[str, BenchmarkResult]:
        """Name -> the base's result, in the order of the configuration."""
        return {name: result for base in reversed(self.bases) for name, result in base.record.scores.items()}

    def usual(self, *methods: str) -> list[FineTune]:
        """The fine-tunes of the study's usual recipe by method, one a training set."""
        return [tuned for tuned in self.fine_tunes if tuned.method in methods and tuned.usual is None]

    def on(self, method: str, data: str) -> FineTune | None:
        return next((tuned for tuned in self.usual(method) if tuned.data == data), None)


def read_study(directory: Path) -> Study:
    """Read the runs of a study's directory, RUNS/STUDY.

    Raises:
        SlimnbError: there is no completed run, or alignment.json or study.json is damaged.
    """
    (runs, missing), planned = _completed(directory), read_planned(directory)
    if not runs:
        raise SlimnbError("\n  ".join([f"{directory}: no completed run to report on", *missing]))
    weights = Counter(run.record.lineage.weights_sha256 for run in runs if run.record.lineage)
    usual = weights.most_common(1)[0][0] if weights else None
    others = [run for run in runs if run.record.lineage is None or run.record.lineage.weights_sha256 != usual]
    missing += [f"{run.record.id} starts from other weights and is left out" for run in others]
    runs = [run for run in runs if run not in others]
    tuned = fine_tunes(runs)
    bases = tuple(run for run in runs if run.is_base)
    for one in tuned:
        name = "" if one.base else f"{one.name}: "
        missing += dict.fromkeys(f"{name}{reason}" for reason in one.refused.values())
    missing += [f"{one.name}: its seeds were trained on other rows of that name, and are taken together all the same"
                for one in tuned if len(trained_on(one.runs)) > 1]  # fmt: skip
    there = {path.parent.name for path in directory.glob("*/run.json")}
    if absent := [name for name in planned if name not in there]:
        missing.append(f"{len(absent)} of the study's {len(planned)} runs are not here: {', '.join(absent)}")
    alignment = read_alignment(directory)
    if alignment and (reason := _of_something_else(alignment, tuned, usual)):
        missing.append(f"alignment.json is left out: {reason}")
        alignment = None
    return Study(directory.name, bases, tuple(tuned), alignment, tuple(missing))


def _of_something_else(alignment: Alignment, tuned: list[FineTune], weights: str | None) -> str | None:
    """Why an alignment foretells nothing of these runs; None where it was computed for them."""
    if alignment.weights_sha256 != weights:
        return f"it was computed with other weights ({alignment.model}, {alignment.weights_sha256[:12]})"
    for one in tuned:
        sample = alignment.training_sets.get(one.data)
        if sample and trained_on(one.runs) - {sample.data_sha256}:
            return f"{one.data} had other rows when it was computed"
    return None


def _completed(directory: Path) -> tuple[list[RunFolder], list[str]]:
    runs, missing = [], []
    for path in sorted(directory.glob("*/run.json")):
        try:
            run = RunFolder.read(path.parent)
        except SlimnbError as error:
            missing.append(f"{path.parent.name} cannot be read ({error})")
            continue
        if run.record.status == "completed":
            runs.append(run)
        else:
            reason = f": {run.record.error}" if run.record.error else ""
            missing.append(f"{run.record.id} is not complete ({run.record.status}{reason})")
    return runs, missing
