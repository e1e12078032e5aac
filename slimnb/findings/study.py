"""A study's directory, read for its report: fine-tunes with their seeds together, each held against its own base."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from slimnb.alignment.record import Alignment, read_alignment
from slimnb.analysis.comparison import (
    NO_BASE,
    Comparison,
    base_of,
    compare_pair,
    config_difference,
    scored_on,
    seeds_together,
)
from slimnb.config import METHODS
from slimnb.errors import SlimnbError
from slimnb.evaluation.gold import GoldChange, gold_change
from slimnb.store.planned import read_planned
from slimnb.store.records import BenchmarkResult
from slimnb.store.runs import RunFolder
from slimnb.training.training_sets import made_for


@dataclass(frozen=True)
class FineTune:
    """The runs of one configuration, which differ in the seed alone, and their base."""

    runs: tuple[RunFolder, ...]
    base: RunFolder | None
    variant: str = ""
    """In what the configuration differs from the study's usual one for the method, e.g. `rank 4`; empty for that."""

    @property
    def method(self) -> str:
        return self.runs[0].config.method

    @property
    def data(self) -> str:
        """The training set's name or file, as the configuration has it."""
        training = self.runs[0].config.training
        return training.data if training else ""

    @property
    def training_set(self) -> str:
        return Path(self.data).name

    @property
    def target(self) -> str | None:
        """The benchmark that the training set is made for."""
        return made_for(self.data)

    @property
    def name(self) -> str:
        return f"{self.method} on {self.training_set}" + (f", {self.variant}" if self.variant else "")

    @cached_property
    def _compared(self) -> tuple[dict[str, Comparison], list[str]]:
        if self.base is None:
            return {}, [f"{self.name}: {NO_BASE}"]
        done, refused = compare_pair(self.base, self.runs, scored_on([self.base, *self.runs]))
        return {change.benchmark: change for change in done}, list(refused.values())

    @property
    def changes(self) -> dict[str, Comparison]:
        """Benchmark -> the change against base, Holm-corrected over the benchmarks."""
        return self._compared[0]

    @property
    def refused(self) -> list[str]:
        return self._compared[1]

    @cached_property
    def gold(self) -> dict[str, GoldChange]:
        """Benchmark -> the change in bits per byte of the right answers, where every run has stored what it takes."""
        known = {name: gold_of([self.base], self.runs, name) for name in self.changes} if self.base else {}
        return {name: change for name, change in known.items() if change is not None}


GOLD = ["id", "gold", "log_likelihoods", "answer_bytes", "gold_log_likelihood", "gold_bytes"]


def gold_of(first: Sequence[RunFolder], second: Sequence[RunFolder], benchmark: str) -> GoldChange | None:
    """The change in bits per byte of a benchmark's right answers; None where a run has not stored what it takes."""
    before, after = ([run.items(benchmark, GOLD) for run in side] for side in (first, second))
    return gold_change(before, after)


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
        return [tuned for tuned in self.fine_tunes if tuned.method in methods and not tuned.variant]

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
    tuned = [FineTune(tuple(seeds), base_of(seeds[0], runs)) for seeds in _sets(runs)]
    fine_tunes = sorted(_with_variants(tuned), key=_place)
    bases = tuple(run for run in runs if run.config.training is None)
    missing += [reason for one in fine_tunes for reason in one.refused]
    there = {path.parent.name for path in directory.glob("*/run.json")}
    if absent := [name for name in planned if name not in there]:
        missing.append(f"{len(absent)} of the study's {len(planned)} runs are not here: {', '.join(absent)}")
    return Study(directory.name, bases, tuple(fine_tunes), read_alignment(directory), tuple(missing))


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


def _sets(runs: Sequence[RunFolder]) -> Iterable[list[RunFolder]]:
    trained = sorted((run for run in runs if run.config.training), key=lambda run: (run.config.seed, run.record.id))
    return seeds_together(trained)


_OF_THE_DATA = {"data", "limit", "columns", "epochs", "steps", "label_tokens", "max_length"}


def _recipe(run: RunFolder) -> str:
    """What a method's fine-tunes share over training sets: all but the data, how much of it, and what is scored."""
    scored = {"seed": True, "benchmarks": True, "limit": True, "limits": True}
    return run.config.model_dump_json(exclude={**scored, "training": _OF_THE_DATA})  # pyright: ignore[reportArgumentType]


def _with_variants(tuned: list[FineTune]) -> Iterable[FineTune]:
    """Name in what each differs from the usual one: of its method's recipe on most training sets, with most seeds."""
    recipes = [_recipe(one.runs[0]) for one in tuned]
    sets = {recipe: {one.data for one, own in zip(tuned, recipes, strict=True) if own == recipe} for recipe in recipes}
    by_spread = sorted(
        zip(tuned, recipes, strict=True),
        key=lambda pair: (-len(sets[pair[1]]), -len(pair[0].runs), pair[0].runs[0].record.id),
    )
    usual: dict[tuple[str, str], FineTune] = {}
    for one, _ in by_spread:
        usual.setdefault((one.method, one.data), one)
    for one in tuned:
        main = usual[one.method, one.data]
        yield one if one is main else FineTune(one.runs, one.base, _difference(main.runs[0], one.runs[0]))


def _difference(main: RunFolder, other: RunFolder) -> str:
    differing = {name: values for name, values in config_difference(main, other).items() if name != "seed"}
    if {"lora.rank", "lora.alpha"} <= differing.keys():
        (rank, own_rank), (alpha, own_alpha) = differing["lora.rank"], differing["lora.alpha"]
        if alpha * own_rank == own_alpha * rank:  # one choice, the rank, and the scale goes with it
            del differing["lora.alpha"]
    said = {name.rpartition(".")[2].replace("_", " "): value for name, (_, value) in differing.items()}
    return ", ".join(f"{name} {_plain(value)}" for name, value in said.items())


def _plain(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _place(tuned: FineTune) -> tuple[int, int, str, bool, str]:
    """By method; sets made for a benchmark first, in the order of benchmarks; the usual recipe before its variants."""
    methods: list[str] = list(METHODS)
    run = tuned.runs[0]
    scored = list(run.config.benchmarks)
    target = scored.index(tuned.target) if tuned.target in scored else len(scored)
    return methods.index(tuned.method), target, tuned.training_set, bool(tuned.variant), run.record.id
