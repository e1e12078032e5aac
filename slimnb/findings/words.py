"""How numbers are said in a report. Signs are typographic nowhere, so that text can be searched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimnb.analysis.comparison import Comparison, Side
from slimnb.evaluation.gold import GoldChange
from slimnb.stats import PairedDifference
from slimnb.store.runs import RunFolder
from slimnb.units import points_between


def change(paired: PairedDifference) -> str:
    """+1.2 (+0.3 to +2.1)"""
    return points_between(paired.difference, paired.low, paired.high)


def bits(gold: GoldChange) -> str:
    """A gain in bits per byte, so that up is better, as with a score: +0.120 (+0.100 to +0.140)"""
    return f"{-gold.value:+.3f} ({-gold.high:+.3f} to {-gold.low:+.3f})"


def score(side: Side) -> str:
    """142/240, or 140, 142 and 139/240 for three seeds."""
    return f"{join([str(one.k) for one in side.scores])}/{side.scores[0].n}"


def gain(one: Comparison) -> str:
    return f"{score(one.first)} to {score(one.second)}, {change(one.paired)} points"


def seeds(runs: Sequence[RunFolder]) -> str:
    numbers = [str(run.config.seed) for run in runs]
    return f"seed{'s' if len(numbers) > 1 else ''} {join(numbers)}"


def join(parts: Iterable[str], last: str = "and") -> str:
    """a, b and c"""
    parts = list(parts)
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def code(name: str) -> str:
    return f"`{name}`"
