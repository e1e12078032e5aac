"""Intervals and paired tests over counts. Imports no torch; statsmodels and scipy do the statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of the proportion k / n, as (low, high) between 0 and 1.

    Source: Wilson (1927), recommended over the Wald interval by Brown, Cai and DasGupta (2001).

    Raises:
        ValueError: n is not positive or k is not between 0 and n.
    """
    if n <= 0 or not 0 <= k <= n:
        raise ValueError(f"{k} of {n} is no score")
    low, high = np.array(proportion_confint(k, n, alpha=1 - confidence, method="wilson"))
    return max(0.0, float(low)), min(1.0, float(high))


@dataclass(frozen=True)
class PairedDifference:
    """Two models on the same n items: what changed, and whether chance could have done it."""

    n: int
    fixed: int
    """Items that the first model got wrong and the second right."""
    broken: int
    """Items that the first model got right and the second wrong."""
    difference: float
    """Second minus first, as a proportion."""
    low: float
    high: float
    p_value: float
    """Exact McNemar test of no difference."""


def paired_difference(first: np.ndarray, second: np.ndarray, confidence: float = 0.95) -> PairedDifference:
    """Compare two boolean arrays [n] of right answers, item by item.

    The interval is Bonett and Price's adjusted Wald interval for paired proportions (2012, "Adjusted Wald
    confidence interval for a difference of binomial proportions based on paired data"): it stays honest where
    few items change, or none, where a bootstrap would give an interval of width 0. The estimate itself is the
    plain difference.

    Raises:
        ValueError: the arrays are empty or differ in length.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    n = len(first)
    if n == 0 or len(second) != n:
        raise ValueError(f"paired arrays must have the same length above 0, not {n} and {len(second)}")
    fixed = int((~first & second).sum())
    broken = int((first & ~second).sum())
    p_fixed, p_broken = (fixed + 1) / (n + 2), (broken + 1) / (n + 2)
    half = norm.ppf(0.5 + confidence / 2) * np.sqrt((p_fixed + p_broken - (p_fixed - p_broken) ** 2) / (n + 2))
    centre = p_fixed - p_broken
    table = [[int((first & second).sum()), broken], [fixed, int((~first & ~second).sum())]]
    test: Any = mcnemar(table, exact=True)
    return PairedDifference(
        n=n,
        fixed=fixed,
        broken=broken,
        difference=(fixed - broken) / n,
        low=max(-1.0, float(centre - half)),
        high=min(1.0, float(centre + half)),
        p_value=float(test.pvalue),
    )
