"""Two runs, or two sets of seeds, on the same items: what changed, and how sure one can be. Imports no torch.

Everywhere two runs meet (command line, notebooks, dashboard) they meet here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from slimnb.analysis.guard import (
    FORMAT_COLUMNS,
    changed_nothing,
    comparability,
    config_difference,
    costs_differ_in,
    format_failures,
)
from slimnb.analysis.pairing import matched, scored_on, seeds_together
from slimnb.errors import SlimnbError
from slimnb.stats import (
    Equivalence,
    PairedDifference,
    equivalence,
    holm,
    paired_difference,
    paired_over_seeds,
    smallest_difference,
)
from slimnb.store.records import Score
from slimnb.store.runs import RunFolder
from slimnb.training.contamination import explain
from slimnb.units import points

MARGIN = 0.02
"""Two scores closer than this, as a proportion, count as equally good unless the user says otherwise."""
ALPHA = 0.05

__all__ = [
    "Comparison",
    "Side",
    "compare",
    "compare_all",
    "compare_pair",
    "config_difference",
    "costs_differ_in",
    "overlap_notes",
]


@dataclass(frozen=True)
class Side:
    """One of the two: a run, or several that differ in their seed alone."""

    name: str
    runs: tuple[str, ...]
    scores: tuple[Score, ...]
    """One a seed."""
    format_failures: tuple[int | None, ...]
    """Right numbers in the wrong form, one a seed; None for multiple choice."""

    @property
    def value(self) -> float:
        """The mean of the seeds' scores."""
        return sum(score.value for score in self.scores) / len(self.scores)


@dataclass(frozen=True)
class Comparison:
    """Second against first on one benchmark's primary metric; differences are second minus first, as proportions."""

    benchmark: str
    metric: str
    first: Side
    second: Side
    paired: PairedDifference
    equivalence: Equivalence
    smallest: float | None
    """The smallest difference that McNemar's test on so many independent items finds with 80% power at the discordance
    seen; items of a few subjects show it more seldom."""
    adjusted_p: float
    """The paired test's p-value (slimnb.stats: McNemar's, of several seeds the sign-flip test's, over subjects at least
    the clustered one) after Holm's correction over the benchmarks compared together."""
    warnings: tuple[str, ...]

    @property
    def resolved(self) -> bool:
        """Whether chance is ruled out, after the correction."""
        return self.adjusted_p < ALPHA

    @property
    def verdict(self) -> str:
        """The comparison in one sentence."""
        paired = self.paired
        interval = f"{points(paired.difference)} points (95% {points(paired.low)} to {points(paired.high)})"
        what = f"{self.benchmark}, {self.second.name} against {self.first.name}"
        if self.resolved:
            return f"{what}: {'better' if paired.difference > 0 else 'worse'} by {interval}, {paired.n} items"
        said = f"{what}: not resolved with {paired.n} items, {interval}"
        if paired.p_value < ALPHA:
            said += f"; alone it would be (p = {paired.p_value:.2g}), among several benchmarks it is not"
        if self.equivalence.equivalent:
            return f"{said}; equally good within {100 * self.equivalence.margin:g} points"
        if self.smallest is not None:
            said += f"; so many independent items show a difference of {100 * self.smallest:.1f} points in 4 cases of 5"
        return said


def compare(
    first: RunFolder | Sequence[RunFolder], second: RunFolder | Sequence[RunFolder], benchmark: str,
    margin: float = MARGIN,
) -> Comparison:  # fmt: skip
    """Compare two runs, or two sets of seeds, item by item on a benchmark's primary metric.

    With several seeds an item's answers are averaged before items are resampled: seeds are not more items.

    Args:
        margin: how far apart two scores may be and still count as equally good, as a proportion.

    Raises:
        SlimnbError: they may not be compared (the reasons are listed), or the second changed nothing at all.
    """
    ones, twos = _seeds(first), _seeds(second)
    warnings: list[str] = []
    for one, two in [(ones[0], run) for run in [*ones[1:], *twos]]:
        found = comparability(one, two, benchmark)
        if found.refused:
            raise SlimnbError(
                f"{one.record.id} and {two.record.id} cannot be compared on {benchmark}: {'; '.join(found.refused)}"
            )
        warnings += [warning for warning in found.weakened if warning not in warnings]
    for run in [*ones, *twos]:
        warnings += [note for note in overlap_notes(run, [benchmark]) if note not in warnings]
    metric = ones[0].record.scores[benchmark].primary
    column = f"correct_{metric}"
    left, right = ([_read(run, benchmark, column) for run in side] for side in (ones, twos))
    for items in [*left[1:], *right]:
        if list(items["id"]) != list(left[0]["id"]):
            raise SlimnbError(f"{benchmark}: the runs' items are not the same")
    was, now = (np.stack([items[column].to_numpy(dtype=bool) for items in side]) for side in (left, right))
    if ones[0].record.method == "base" != twos[0].record.method and (was[0] == now[0]).all():
        _refuse_untouched(ones[0], twos[0], benchmark)
    subjects = left[0].get("subject")
    clusters = subjects.to_numpy() if subjects is not None and subjects.nunique() > 1 else None
    if len(ones) == len(twos) == 1:
        paired = paired_difference(was[0], now[0], clusters)
    else:
        paired = paired_over_seeds(was, now, clusters)
    sides = _side(ones, benchmark, left), _side(twos, benchmark, right)
    for side in sides:
        if any(side.format_failures):
            counts = ", ".join(f"{count} of {paired.n}" for count in side.format_failures)
            warnings.append(f"{side.name}: {counts} answers of {benchmark} have the right number in the wrong form")
    return Comparison(
        benchmark=benchmark,
        metric=metric,
        first=sides[0],
        second=sides[1],
        paired=paired,
        equivalence=_equivalence(was, now, margin, clusters),
        smallest=smallest_difference(paired.n, (paired.fixed + paired.broken) / paired.n),
        adjusted_p=paired.p_value,
        warnings=tuple(warnings),
    )


def compare_all(runs: Sequence[RunFolder], margin: float = MARGIN) -> tuple[list[Comparison], list[str]]:
    """The first run's set of seeds against every other one, and LoRA against QLoRA, on every benchmark they share.

    Holm's correction is over the benchmarks of one pair.

    Returns:
        The comparisons, and the reasons of those that were refused.
    """
    sets = seeds_together(runs)
    pairs = [(sets[0], other) for other in sets[1:]]
    pairs += [(lora, qlora) for lora in sets[1:] for qlora in sets[1:] if matched(lora[0], qlora[0])]
    done, refused = [], []
    for first, second in pairs:
        shared = scored_on([first[0], *second])
        family, reasons = compare_pair(first, second, shared, margin)
        done += family
        refused += reasons.values()
    return done, refused


def compare_pair(
    first: RunFolder | Sequence[RunFolder], second: RunFolder | Sequence[RunFolder], benchmarks: Sequence[str],
    margin: float = MARGIN,
) -> tuple[list[Comparison], dict[str, str]]:  # fmt: skip
    """Two runs, or two sets of seeds, on several benchmarks, Holm-corrected over them.

    Returns:
        The comparisons, and benchmark -> why it was refused.
    """
    family, refused = [], {}
    for benchmark in benchmarks:
        try:
            family.append(compare(first, second, benchmark, margin))
        except SlimnbError as error:
            refused[benchmark] = str(error)
    adjusted = holm([one.paired.p_value for one in family])
    return [replace(one, adjusted_p=p) for one, p in zip(family, adjusted, strict=True)], refused


def _equivalence(first: np.ndarray, second: np.ndarray, margin: float, clusters: np.ndarray | None) -> Equivalence:
    """Of one seed each by the score test; of several by their 90% interval, which is the same two one-sided tests.

    With subjects that interval must lie within the margin as well: items of one may go right and wrong together.
    """
    paired = paired_over_seeds(first, second, clusters, confidence=0.9)
    inside = -margin < paired.low and paired.high < margin
    if not len(first) == len(second) == 1:
        return Equivalence(margin, paired.low, paired.high, None, inside)
    found = equivalence(first[0], second[0], margin)
    if clusters is None:
        return found
    low, high = min(found.low, paired.low), max(found.high, paired.high)
    return Equivalence(margin, low, high, None, found.equivalent and inside)


def overlap_notes(run: RunFolder, benchmarks: Sequence[str]) -> list[str]:
    """What the run's training set has in common with each benchmark, a sentence each; none where nothing was found."""
    notes = []
    for benchmark in benchmarks:
        found = run.contamination(benchmark)
        if run.config.training and found and found.items_13gram:
            notes.append(explain(found, benchmark, Path(run.config.training.data).name))
    return notes


def _refuse_untouched(base: RunFolder, tuned: RunFolder, benchmark: str) -> None:
    if changed_nothing(base.items(benchmark), tuned.items(benchmark)):
        raise SlimnbError(
            f"{tuned.record.id} answers {benchmark} as {base.record.id} does, to the last digit: what was trained was "
            "not applied"
        )


def _read(run: RunFolder, benchmark: str, column: str) -> pd.DataFrame:
    items = run.items(benchmark, list(dict.fromkeys(["id", "subject", column, *FORMAT_COLUMNS])))
    if missing := [name for name in ("id", column) if name not in items]:
        raise SlimnbError(f"{run.path / 'eval' / benchmark / 'items.parquet'}: no column {', '.join(missing)}")
    if not items["id"].is_unique:
        raise SlimnbError(f"{run.path / 'eval' / benchmark / 'items.parquet'}: an item stands there twice")
    return items


def _seeds(side: RunFolder | Sequence[RunFolder]) -> list[RunFolder]:
    return [side] if isinstance(side, RunFolder) else list(side)


def _side(runs: list[RunFolder], benchmark: str, items: list[pd.DataFrame]) -> Side:
    return Side(
        name=_name(runs[0]),
        runs=tuple(run.record.id for run in runs),
        scores=tuple(run.record.scores[benchmark].score for run in runs),
        format_failures=tuple(format_failures(frame) for frame in items),
    )


def _name(run: RunFolder) -> str:
    """The method and what it was trained on; for a merged model that was only scored, where it comes from."""
    if run.config.training:
        return f"{run.record.method} ({Path(run.config.training.data).name})"
    lineage = run.record.lineage
    if lineage and lineage.merged_from:
        return f"merged to {lineage.merged_to} ({lineage.merged_from})"
    return run.record.method
