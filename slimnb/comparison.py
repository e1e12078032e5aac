"""Two runs on the same items: what changed, and whether they may be compared at all. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slimnb.errors import SlimnbError
from slimnb.records import Score
from slimnb.runs import RunFolder
from slimnb.stats import PairedDifference, paired_difference


@dataclass(frozen=True)
class Comparison:
    """A run against another one on one benchmark; differences are second minus first."""

    benchmark: str
    metric: str
    first: Score
    second: Score
    paired: PairedDifference


def compare(first: RunFolder, second: RunFolder, benchmark: str) -> Comparison:
    """Compare two runs item by item on a benchmark's primary metric.

    Raises:
        SlimnbError: they started from different weights or were asked different things, so that a difference between
            their scores would not be the training's; or one was not scored on the benchmark.
    """
    names = f"{first.record.id} and {second.record.id}"
    if first.record.lineage != second.record.lineage:
        raise SlimnbError(
            f"{names} cannot be compared: they start from different weights ({_lineage(first)} and {_lineage(second)})"
        )
    for run in (first, second):
        if benchmark not in run.record.scores:
            raise SlimnbError(f"run {run.record.id} was not scored on {benchmark}")
    one, two = first.record.scores[benchmark], second.record.scores[benchmark]
    if (one.prompts_sha256, one.primary) != (two.prompts_sha256, two.primary):
        raise SlimnbError(f"{names} cannot be compared on {benchmark}: they were asked different items or prompts")
    column = f"correct_{one.primary}"
    answers = first.items(benchmark)[["id", column]].merge(second.items(benchmark)[["id", column]], on="id")
    paired = paired_difference(answers[f"{column}_x"].to_numpy(), answers[f"{column}_y"].to_numpy())
    return Comparison(benchmark, one.primary, one.score, two.score, paired)


def config_difference(first: RunFolder, second: RunFolder) -> dict[str, tuple[Any, Any]]:
    """Dotted field -> (first's value, second's value) for every field in which two configurations differ."""
    one, two = (_flat(run.config.model_dump(mode="json")) for run in (first, second))
    return {key: (one.get(key), two.get(key)) for key in sorted({*one, *two}) if one.get(key) != two.get(key)}


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _lineage(run: RunFolder) -> str:
    lineage = run.record.lineage
    return f"{lineage.model} {lineage.dtype} {lineage.weights_sha256[:12]}" if lineage else "unknown"
