"""What a fine-tune still knows of what it was not trained for. Imports no torch.

Of each benchmark that the training set was not made for: the items lost and won against the fine-tune's own base, and
one number, the share of the base's right items that are still right. Neither of two simpler numbers would do. The new
score over the old one hides what was lost behind what was won. The share of the score above chance that is left divides
by nearly nothing where the base is near chance, which is where a small model often is.

The share that is still right has a fault of its own: some right answers of multiple choice were guesses, and training
can make a guess fall anew. So beside it stands what it would be if every guess fell anew and nothing that
was known were lost, and the net change, which guesses do not move on average. Only the net change says "lost".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from slimnb.analysis.comparison import Comparison
from slimnb.analysis.fine_tunes import fine_tunes
from slimnb.stats import paired_over_seeds, wilson
from slimnb.store.records import BenchmarkResult
from slimnb.store.runs import RunFolder


@dataclass(frozen=True)
class Retention:
    """One fine-tune, its seeds together, on one benchmark that it was not trained for. Shares are between 0 and 1."""

    change: Comparison
    """The fine-tune against its base: the net change, its interval, the items won (fixed) and lost (broken)."""
    right: int
    """Items that the base answers right."""
    kept: float | None
    """Share of them that is still right, on average over the seeds; None where the base has none right."""
    low: float | None
    high: float | None
    """95% interval of `kept` for other items: Wilson's, or as `paired_over_seeds` gives it for several seeds or
    subjects."""
    by_luck: float | None
    """What `kept` would be if the base's guesses all fell anew and nothing that it knew were lost; None where the base
    has none right."""
    at_chance: bool
    """The base's score is not told from guessing: its 95% interval holds chance, so there is nothing to lose."""

    @property
    def verdict(self) -> str:
        """The finding in one sentence."""
        change, paired = self.change, self.change.paired
        what = f"{change.second.name} on {change.benchmark}"
        if self.kept is None or self.low is None or self.high is None:
            return f"{what}: the base has none of {paired.n} right, so nothing could be lost"
        said = (
            f"{what}: {100 * self.kept:.1f}% (95% {100 * self.low:.1f} to {100 * self.high:.1f}) of the base's "
            f"{self.right} right items are still right; {paired.broken} lost, {paired.fixed} won of {paired.n}"
            + (" (less and more often right over the seeds)" if len(change.second.runs) > 1 else "")
        )
        if change.resolved:
            return f"{said}; a net {'loss' if paired.difference < 0 else 'gain'} is resolved"
        if self.at_chance:
            return f"{said}; the base is not told from guessing, so this is no loss of knowledge"
        return f"{said}; a net loss is not resolved"


def retention(runs: Sequence[RunFolder]) -> tuple[list[Retention], list[str]]:
    """Every fine-tune among the runs on every benchmark that its training set was not made for.

    Seeds of one configuration are taken together, and each is held against a base of its own lineage among the runs.
    p-values are Holm-corrected over all benchmarks of one fine-tune.

    Returns:
        What was found, and why anything was left out: no base of the same lineage, other prompts, ...
    """
    found, refused = [], []
    for tuned in fine_tunes(runs):
        if tuned.base is None:
            refused += [f"{tuned.runs[0].record.id}: {reason}" for reason in dict.fromkeys(tuned.refused.values())]
            continue
        changes = [change for name, change in tuned.changes.items() if name != tuned.target]
        found += [retained(tuned.base, tuned.runs, change) for change in changes]
        refused += [reason for name, reason in tuned.refused.items() if name != tuned.target]
    return found, refused


def retained(base: RunFolder, tuned: Sequence[RunFolder], change: Comparison) -> Retention:
    """What `change`, the comparison of a fine-tune's seeds with its base on a benchmark, says of retention."""
    column = f"correct_{change.metric}"
    items = base.items(change.benchmark, ["subject", column])
    was = items[column].to_numpy(dtype=bool)
    now = np.stack([run.items(change.benchmark, [column])[column].to_numpy(dtype=bool) for run in tuned])[:, was]
    result = base.record.scores[change.benchmark]
    kept, low, high = _kept(now, items["subject"].to_numpy()[was] if "subject" in items else None)
    return Retention(
        change=change, right=int(was.sum()), kept=kept, low=low, high=high, by_luck=_by_luck(result),
        at_chance=result.chance is not None and result.score.low <= result.chance,
    )  # fmt: skip


def _kept(now: np.ndarray, subjects: np.ndarray | None) -> tuple[float, float, float] | tuple[None, None, None]:
    """Share and interval of the boolean answers [seeds, items that the base had right]."""
    seeds, right = now.shape
    if not right:
        return None, None, None
    kept = float(now.mean())
    clusters = subjects if subjects is not None and len(set(subjects)) > 1 else None
    if seeds == 1 and clusters is None:
        return kept, *wilson(int(now.sum()), right)
    lost = paired_over_seeds(np.ones((1, right), dtype=bool), now, clusters)
    return kept, max(0.0, 1 + lost.low), min(1.0, 1 + lost.high)


def _by_luck(result: BenchmarkResult) -> float | None:
    """Of a score p with chance c, (p - c) / (1 - c) is known and c of the rest is guessed right, then and anew."""
    chance = result.chance or 0.0
    known = max(0.0, (result.score.value - chance) / (1 - chance))
    guessed = (1 - known) * chance
    return (known + guessed * chance) / (known + guessed) if result.score.k else None
