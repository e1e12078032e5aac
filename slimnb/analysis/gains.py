"""Gains as a matrix, training set x benchmark, and what was gained on the target against what was lost elsewhere.

As data frames, for slimnb.figures, notebooks and the dashboard. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import pandas as pd

from slimnb.alignment.record import Alignment
from slimnb.analysis.comparison import NO_BASE, base_of, compare_pair, config_difference, scored_on, seeds_together
from slimnb.analysis.frames import identity
from slimnb.analysis.retention import Retention, retained
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
        from the first one of its method and training set ("" for that one); benchmark; target, whether the training
        set was made for it; refused, why there is no change. Where there is one: n, difference, low, high, adjusted_p,
        resolved, fixed, broken; where it is not the target: right, kept, kept_low, kept_high, by_luck, at_chance and
        verdict, as `slimnb.analysis.retention.Retention` has them.
    """
    rows, firsts = [], {}
    for tuned in seeds_together([run for run in runs if run.config.training]):
        one = tuned[0]
        data = one.config.training.data if one.config.training else ""
        variant = _variant(firsts.setdefault((one.config.method, data), one), one)
        named = identity(one) | {"seeds": len(tuned), "variant": variant}
        base = base_of(one, runs)
        scored = scored_on(tuned)
        done, refused = compare_pair(base, tuned, scored) if base else ([], dict.fromkeys(scored, NO_BASE))
        found = {change.benchmark: change for change in done}
        for benchmark in scored:
            target, change = made_for(data) == benchmark, found.get(benchmark)
            row = named | {"benchmark": benchmark, "target": target, "refused": refused.get(benchmark)}
            if base and change:
                row |= {name: getattr(change.paired, name) for name in _CHANGE}
                row |= {"adjusted_p": change.adjusted_p, "resolved": change.resolved}
                row |= {} if target else _retained(retained(base, tuned, change))
            rows.append(row)
    return pd.DataFrame(rows).reindex(columns=_COLUMNS)


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


def _variant(first: RunFolder, other: RunFolder) -> str:
    """In what a fine-tune differs from the first on the same data, e.g. "rank 4, targets attention"."""
    if other is first:
        return ""
    differing = config_difference(first, other).items()
    said = {field.split(".")[-1].replace("_", " "): value for field, (_, value) in differing if field != "seed"}
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in said.items()
    )
