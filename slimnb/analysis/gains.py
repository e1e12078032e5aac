"""Gains as a matrix, training set x benchmark, and what was gained on the target against what was lost elsewhere; seeds
of one configuration are taken together.

As data frames, for slimnb.figures, notebooks and the dashboard. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import pandas as pd

from slimnb.alignment.record import Alignment
from slimnb.analysis.fine_tunes import fine_tunes
from slimnb.analysis.frames import identity
from slimnb.analysis.pairing import scored_on
from slimnb.analysis.retention import Retention, retained
from slimnb.stats import wilson
from slimnb.store.runs import RunFolder
from slimnb.training.training_sets import made_for

_CHANGE = ["n", "difference", "low", "high", "fixed", "broken"]
_COLUMNS = ["run", "method", "training_set", "seeds", "variant", "benchmark", "target", "refused", *_CHANGE,
            "adjusted_p", "resolved", "right", "kept", "kept_low", "kept_high", "by_luck", "at_chance",
            "verdict"]  # fmt: skip


def gains_frame(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row fine-tune x benchmark: the change against the fine-tune's own base, and what was retained.

    Seeds of one configuration are taken together, p-values are Holm-corrected over the benchmarks of a fine-tune.

    Returns:
        run (that of the first seed), method, training_set, seeds; variant, in what a fine-tune's configuration differs
        from the usual one of its method and training set ("" for that one); benchmark; target, whether the training
        set was made for it; refused, why there is no change. Where there is one: n, difference, low, high, adjusted_p,
        resolved, fixed, broken; where it is not the target: right, kept, kept_low, kept_high, by_luck, at_chance and
        verdict, as `slimnb.analysis.retention.Retention` has them.
    """
    rows = []
    for tuned in fine_tunes(runs):
        named = identity(tuned.runs[0]) | {"seeds": len(tuned.runs), "variant": tuned.variant}
        for benchmark in scored_on(tuned.runs):
            target, change = tuned.target == benchmark, tuned.changes.get(benchmark)
            row = named | {"benchmark": benchmark, "target": target, "refused": tuned.refused.get(benchmark)}
            if tuned.base and change:
                row |= {name: getattr(change.paired, name) for name in _CHANGE}
                row |= {"adjusted_p": change.adjusted_p, "resolved": change.resolved}
                row |= {} if target else _retained(retained(tuned.base, tuned.runs, change))
            rows.append(row)
    return pd.DataFrame(rows).reindex(columns=_COLUMNS)


def mean_scores_frame(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row untrained run or fine-tune x benchmark: the primary metric's mean over seeds, with its 95% interval.

    The interval is Wilson's of the mean count: an item's mean over seeds varies less than one answer to it, so over
    several seeds it is too wide rather than too narrow.

    Returns:
        run, method, training_set, seeds, variant, benchmark, target as in `gains_frame` (an untrained run has none);
        metric, chance; k, the mean count of right answers, n, value, low, high.
    """
    sets = [(one, [one], "") for one in runs if one.config.training is None]
    sets += [(tuned.runs[0], list(tuned.runs), tuned.variant) for tuned in fine_tunes(runs)]
    rows = []
    for first, seeds, variant in sets:
        data = first.config.training.data if first.config.training else ""
        for benchmark in scored_on(seeds):
            results = [run.record.scores[benchmark] for run in seeds]
            n = min(result.score.n for result in results)
            value = sum(result.score.value for result in results) / len(results)
            low, high = wilson(min(value * n, n), n)
            rows.append(
                identity(first)
                | {"seeds": len(seeds), "variant": variant, "benchmark": benchmark,
                   "target": made_for(data) == benchmark, "metric": results[0].primary, "chance": results[0].chance,
                   "k": value * n, "n": n, "value": value, "low": low, "high": high}
            )  # fmt: skip
    return pd.DataFrame(rows)


def plane_frame(gains: pd.DataFrame) -> pd.DataFrame:
    """One row a fine-tune that was made for a benchmark and scored on others: its place in the retention plane.

    Elsewhere counts the mean change over the other benchmarks, each as much as any other. Its interval puts theirs
    together as Zou and Donner do (Statistics in Medicine 27, 2008, p. 1693: squares of the distances to each limit add
    up), since their items are not the same.

    Args:
        gains: of `gains_frame`.

    Returns:
        run, method, training_set, seeds, variant; target, n, gain, gain_low, gain_high; others (how many),
        elsewhere, elsewhere_low, elsewhere_high; each (benchmark -> change).
    """
    rows = []
    known = gains.dropna(subset=["difference"])
    for _, tuned in known.groupby("run", sort=False):
        aim, others = tuned.loc[tuned["target"]], tuned.loc[~tuned["target"].astype(bool)]
        if len(aim) != 1 or others.empty:
            continue
        one, mean = aim.iloc[0], others["difference"].mean()
        below, above = (
            sqrt(((others["difference"] - others[end]) ** 2).sum()) / len(others) for end in ("low", "high")
        )
        rows.append(
            {name: one[name] for name in ("run", "method", "training_set", "seeds", "variant")}
            | {"target": one["benchmark"], "n": one["n"], "gain": one["difference"], "gain_low": one["low"],
               "gain_high": one["high"], "others": len(others), "elsewhere": mean, "elsewhere_low": mean - below,
               "elsewhere_high": mean + above,
               "each": dict(zip(others["benchmark"], others["difference"], strict=True))}
        )  # fmt: skip
    return pd.DataFrame(rows)


def alignment_frame(alignment: Alignment, predictor: str) -> pd.DataFrame:
    """One predictor's numbers: training_set, benchmark, value. Higher is nearer, on the predictor's own scale."""
    values: Mapping[str, Mapping[str, float | None]] = alignment.predictors[predictor].values
    rows: list[dict[str, Any]] = [
        {"training_set": data, "benchmark": benchmark, "value": value}
        for data, by_benchmark in values.items()
        for benchmark, value in by_benchmark.items()
    ]
    return pd.DataFrame(rows, columns=pd.Index(["training_set", "benchmark", "value"]))


def _retained(one: Retention) -> dict[str, Any]:
    named = {"right": one.right, "kept": one.kept, "kept_low": one.low, "kept_high": one.high}
    return named | {"by_luck": one.by_luck, "at_chance": one.at_chance, "verdict": one.verdict}
