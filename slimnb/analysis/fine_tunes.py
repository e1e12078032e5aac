"""Fine-tunes: the runs of one configuration, which differ in the seed alone, held against their base. Imports no torch.

A report, the dashboard and advice read them from here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from slimnb.analysis.comparison import Comparison, compare_pair
from slimnb.analysis.guard import config_difference
from slimnb.analysis.pairing import NO_BASE, base_of, scored_on, seeds_together
from slimnb.config import METHODS
from slimnb.evaluation.gold import GoldChange, gold_change
from slimnb.store.runs import RunFolder
from slimnb.training.training_sets import made_for


@dataclass(frozen=True)
class FineTune:
    """The runs of one configuration, which differ in the seed alone, and their base."""

    runs: tuple[RunFolder, ...]
    """In the order of their seeds."""
    base: RunFolder | None
    usual: RunFolder | None = None
    """A run of the usual configuration for the method and training set, where this one is another."""

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

    @cached_property
    def variant(self) -> str:
        """In what the configuration differs from the usual one, e.g. `rank 4`; empty for that."""
        return _difference(self.usual, self.runs[0]) if self.usual else ""

    @property
    def name(self) -> str:
        return f"{self.method} on {self.training_set}" + (f", {self.variant}" if self.variant else "")

    @cached_property
    def _compared(self) -> tuple[dict[str, Comparison], dict[str, str]]:
        scored = scored_on(self.runs)
        if self.base is None:
            return {}, dict.fromkeys(scored, NO_BASE)
        done, refused = compare_pair(self.base, self.runs, scored)
        return {change.benchmark: change for change in done}, refused

    @property
    def changes(self) -> dict[str, Comparison]:
        """Benchmark -> the change against base, Holm-corrected over the benchmarks."""
        return self._compared[0]

    @property
    def refused(self) -> dict[str, str]:
        """Benchmark -> why there is no change."""
        return self._compared[1]

    @cached_property
    def gold(self) -> dict[str, GoldChange]:
        """Benchmark -> the change in bits per byte of the right answers, where every run has stored what it takes."""
        known = {name: gold_of([self.base], self.runs, name) for name in self.changes} if self.base else {}
        return {name: change for name, change in known.items() if change is not None}


def fine_tunes(runs: Sequence[RunFolder]) -> list[FineTune]:
    """All fine-tunes among the runs, in an order that the runs alone give.

    By method; sets made for a benchmark first, in the order of benchmarks; the usual recipe before its variants. Usual
    is the recipe of a method on most training sets, with most seeds, and of equals the same for LoRA and QLoRA. A seed
    that is not complete is left out where another is: it may have no score yet on some benchmark.
    """
    bases = [run for run in runs if run.is_base]
    trained = sorted((run for run in runs if run.config.training), key=lambda run: (run.config.seed, run.record.id))
    sets = [[run for run in seeds if run.record.status == "completed"] or seeds for seeds in seeds_together(trained)]
    tuned = [FineTune(tuple(seeds), base_of(seeds[0], bases)) for seeds in sets]
    return sorted(_beside_the_usual(tuned), key=_place)


def of_the_same_seeds(one: FineTune, other: FineTune) -> tuple[FineTune, FineTune]:
    """Both with the seeds that both have; unchanged where they have none in common."""
    shared = {run.config.seed for run in one.runs} & {run.config.seed for run in other.runs}
    if not shared:
        return one, other
    first, second = (tuple(run for run in tuned.runs if run.config.seed in shared) for tuned in (one, other))
    return replace(one, runs=first), replace(other, runs=second)


GOLD = ["id", "gold", "log_likelihoods", "answer_bytes", "gold_log_likelihood", "gold_bytes"]


def gold_of(first: Sequence[RunFolder], second: Sequence[RunFolder], benchmark: str) -> GoldChange | None:
    """The change in bits per byte of a benchmark's right answers; None where a run has not stored what it takes."""
    before, after = ([run.items(benchmark, GOLD) for run in side] for side in (first, second))
    return gold_change(before, after)


_OF_THE_DATA = {"data", "limit", "columns", "epochs", "steps", "label_tokens", "max_length"}


def _recipe(run: RunFolder) -> str:
    """What a method's fine-tunes share over training sets: all but the data, how much of it, and what is scored."""
    scored = dict.fromkeys(("seed", "benchmarks", "limit", "limits"), True)
    return run.config.model_dump_json(exclude={**scored, "training": _OF_THE_DATA})  # pyright: ignore[reportArgumentType]


def _of_any_method(run: RunFolder) -> str:
    """What LoRA and QLoRA of one recipe share, on one training set."""
    return run.config.model_dump_json(exclude={"seed", "method", "four_bit"})


def _beside_the_usual(tuned: list[FineTune]) -> Iterator[FineTune]:
    recipes = [_recipe(one.runs[0]) for one in tuned]
    sets: dict[str, set[str]] = {}
    for one, recipe in zip(tuned, recipes, strict=True):
        sets.setdefault(recipe, set()).add(one.data)
    by_spread = sorted(
        zip(tuned, recipes, strict=True),
        key=lambda pair: (-len(sets[pair[1]]), -len(pair[0].runs), _of_any_method(pair[0].runs[0])),
    )
    usual: dict[tuple[str, str], FineTune] = {}
    for one, _ in by_spread:
        usual.setdefault((one.method, one.data), one)
    for one in tuned:
        main = usual[one.method, one.data]
        yield one if one is main else replace(one, usual=main.runs[0])


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
    return methods.index(tuned.method), target, tuned.training_set, tuned.usual is not None, run.record.id
