"""Intervals and paired tests over counts. Imports no torch; statsmodels and scipy do the statistics.

Everything is a proportion between -1 and 1 (0.02 is two points), and a difference is always second minus first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm, t
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

DRAWS = 10_000


def wilson(k: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of the proportion k / n, as (low, high) between 0 and 1.

    Source: Wilson (1927), recommended over the Wald interval by Brown, Cai and DasGupta (2001).

    Args:
        k: a count, or the mean of several.

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
    """Items that the first model got wrong and the second right; over seeds, more often right."""
    broken: int
    """Items that the first model got right and the second wrong; over seeds, less often right."""
    difference: float
    """Second minus first, as a proportion."""
    low: float
    high: float
    p_value: float
    """Of no difference: exact McNemar test; over seeds the exact sign-flip test, which is the same for one seed."""
    error: float
    """Standard error of the difference for other items, two more as in the interval; over clusters the cluster-robust
    one where that is larger."""
    seed_spread: tuple[float | None, float | None] = (None, None)
    """Standard deviation between the scores of the first's and of the second's seeds; None for one seed."""


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compare two boolean arrays [n] of right answers, item by item.

    The test is McNemar's (1947), exact. The interval is a percentile bootstrap over items (Efron 1979) of the n items
    and two more, one fixed and one broken: Laplace's smoothing, as in Bonett and Price's adjusted Wald interval
    (2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data").
    What 95 % intervals cover, simulated at n = 100, 412 and 1,319, true differences of 0 to 10 points, and 2 to 40 %
    of items changed: this one 94 to 97 % where 20 items or more are expected to change, up to 98 % from 10 on, and
    with fewer 95 to 100 % (too wide) or, where all change one way, 92 % at worst. The plain bootstrap covers as
    little as 78 %, having no width where nothing changed; BCa 77 %; half an item each instead of one 88 %. Bonett
    and Price's closed form, 93 to 100 %, holds as well as this one.

    `clusters`, labels [n] such as MMLU's subjects, allow for items that go right and wrong together: the
    cluster-robust standard error of the mean change (Miller 2024, "Adding Error Bars to Evals", arXiv 2411.00640;
    times G / (G - 1) in its square) with Student's t of G - 1 degrees of freedom. The wider interval and the larger
    p-value of this and of the above are kept, since a few clusters can agree by luck: alone it covers 85 % where
    little changes. Four clusters of equal size cover 96 % or more, at a price: t(3) is 3.18 where the normal has
    1.96. Four of very unequal size (250, 90, 52, 20) cover 88 % where changes follow the clusters, and so say the
    least doubt there is. However many: clusters that are no random choice say nothing of any others.

    Raises:
        ValueError: the arrays are empty or differ in length, or there are fewer than two clusters.
    """
    first, second = _paired(first, second)
    fixed, broken = int((~first & second).sum()), int((first & ~second).sum())
    test: Any = mcnemar([[int((first & second).sum()), broken], [fixed, int((~first & ~second).sum())]], exact=True)
    return _difference(second.astype(int) - first, 1, float(test.pvalue), clusters, confidence, seed)


def paired_over_seeds(
    first: np.ndarray,
    second: np.ndarray,
    clusters: np.ndarray | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Compare boolean arrays [seeds_a, n] and [seeds_b, n] of right answers to the same n items.

    Seeds are averaged within an item before anything else: three seeds are three answers to the same items, not
    three times the items, and three identical seeds give what one gives. Then as `paired_difference`, whose
    `clusters`, `confidence` and `seed` these are. The interval speaks for other items and these seeds; what another
    seed might do is in `seed_spread`. The test is Fisher's sign-flip test (1935, "The Design of Experiments", section
    21) of the item means, exact: McNemar's for one seed. In simulations at n = 100, 412 and 1,319 it rejected a true
    null in at most 5.5 % (8 % where two of 100 items broke wholly and many rose a little), the paired t test there
    in 11 %. The interval covers 94 % or more, up to 100 % where little changes and it is two or three times too wide.

    Raises:
        ValueError: the arrays are not of two dimensions, are empty or differ in items; or too few clusters.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or not (first.size and second.size):
        raise ValueError(f"arrays must be [seeds, n] with the same n above 0, not {first.shape} and {second.shape}")
    # Whole numbers, so that equal changes are equal: an item's mean difference times seeds_a times seeds_b.
    changes = len(first) * second.sum(axis=0) - len(second) * first.sum(axis=0)
    spread = (_spread(first), _spread(second))
    return _difference(changes, len(first) * len(second), _sign_flip(changes), clusters, confidence, seed, spread)


@dataclass(frozen=True)
class Equivalence:
    """Whether two models differ by less than a margin that was named before looking."""

    margin: float
    low: float
    high: float
    """`low` to `high` is the interval at confidence 1 - 2 alpha: inside the margin on both sides is equivalent."""
    p_value: float | None
    """The larger one of the two one-sided tests; None where the interval alone was looked at."""
    equivalent: bool


def equivalence(first: np.ndarray, second: np.ndarray, margin: float = 0.02, alpha: float = 0.05) -> Equivalence:
    """Test whether two boolean arrays [n] differ by less than `margin` (a proportion): "no difference" shown.

    Two one-sided tests (Schuirmann 1987), each Tango's score test for paired proportions (1998, "Equivalence test
    and confidence interval for the difference in proportions for the paired-sample design", equations 24 to 26),
    with half an item taken off as continuity correction. With it the true error rate at alpha = 5 % is at most 4.8 %
    for n = 100 to 1,319, margins of 1 to 10 points and up to 50 % of items changed (enumerated); without it 5.8 %,
    and Bonett and Price's Wald interval would reach 9 %. A margin of 2 points is beyond what 100 items can show;
    of two equal models of which 5 % of items change, 412 items show it in 5 % of cases and 1,319 in 86 %.

    Raises:
        ValueError: the arrays are empty or differ in length; or not 0 < margin < 1 and 0 < alpha < 0.5.
    """
    first, second = _paired(first, second)
    if not (0 < margin < 1 and 0 < alpha < 0.5):
        raise ValueError(f"no margin between 0 and 1 and alpha between 0 and 0.5: {margin} and {alpha}")
    n, fixed, broken = len(first), int((~first & second).sum()), int((first & ~second).sum())
    sides = [_tango(fixed, broken, n, -margin), _tango(broken, fixed, n, -margin)]
    p_value = max(float(norm.sf(above / error)) for above, error in sides)
    low, high = _tango_low(fixed, broken, n, alpha), -_tango_low(broken, fixed, n, alpha)
    return Equivalence(margin=margin, low=low, high=high, p_value=p_value, equivalent=p_value <= alpha)


def holm(p_values: Sequence[float] | np.ndarray) -> list[float]:
    """p-values adjusted for their number by Holm's step-down method (1979), in the order given.

    Those at most alpha may be called findings, and the chance that any of these is none stays at most alpha.

    Raises:
        ValueError: something is not between 0 and 1.
    """
    p_values = np.asarray(p_values, dtype=float)
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1, not {p_values}")
    # statsmodels' multipletests collects all garbage at each call, a tenth of a second and more beside a loaded model.
    order, adjusted = np.argsort(p_values), np.empty_like(p_values)
    tests = np.arange(len(p_values), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(tests * p_values[order]))
    return adjusted.tolist()


def smallest_difference(n: int, discordant: float, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """The smallest true difference that exact McNemar on n items finds with probability `power`, as a proportion.

    `discordant` is the share of items on which the two models would differ: a guess, or a pilot's. None where even
    all of them pointing one way would not be found. Solved for in the exact test's power (Duffy 1984, "Asymptotic
    and exact power for the McNemar test"), since the usual formula, Connor's (1987), describes the test without
    its exactness and promises up to 4 % less at n = 100.

    Raises:
        ValueError: n is not positive, discordant not between 0 and 1, or not 0 < alpha < power < 1.
    """
    if n <= 0 or not 0 <= discordant <= 1 or not 0 < alpha < power < 1:
        raise ValueError(f"no test has n={n}, discordant={discordant}, power={power}, alpha={alpha}")
    # How many items change: those counts that are not all but impossible.
    changed = np.arange(int(binom.ppf(1e-12, n, discordant)), int(binom.isf(1e-12, n, discordant)) + 1)
    weights = binom.pmf(changed, n, discordant)
    # Of so many changed items, as many broken ones still reject; -1 where none do.
    most = binom.ppf(alpha / 2, changed, 0.5)
    most -= binom.cdf(most, changed, 0.5) > alpha / 2

    def spare(difference: float) -> float:
        return float(weights @ binom.cdf(most, changed, (1 - difference / discordant) / 2)) - power

    if discordant == 0 or spare(discordant) < 0:
        return None
    return float(brentq(spare, 0, discordant))  # pyright: ignore[reportArgumentType]


def _paired(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if first.ndim != 1 or second.ndim != 1 or len(first) != len(second) or not len(first):
        raise ValueError(f"paired arrays must be [n], of one length above 0, not {len(first)} and {len(second)}")
    return first, second


def _difference(
    changes: np.ndarray,
    unit: int,
    p_value: float,
    clusters: np.ndarray | None,
    confidence: float,
    seed: int,
    seed_spread: tuple[float | None, float | None] = (None, None),
) -> PairedDifference:
    """From whole changes [n] between -unit (always right, then never) and unit."""
    n = len(changes)
    difference = float(changes.sum() / (n * unit))
    # Resampling n + 2 items is drawing how often each kind of change occurs.
    kinds, counts = np.unique(np.append(changes, (-unit, unit)), return_counts=True)
    draws = np.random.default_rng(seed).multinomial(n, counts / (n + 2), size=DRAWS) @ kinds
    low, high = np.quantile(draws, (0.5 - confidence / 2, 0.5 + confidence / 2)) / (n * unit)
    error = float(np.append(changes, (-unit, unit)).std() / unit / sqrt(n))
    if clusters is not None:
        half, clustered, robust = _clustered(changes / unit, clusters, confidence)
        error = max(error, robust)
        low, high = max(-1.0, min(low, difference - half)), min(1.0, max(high, difference + half))
        p_value = max(p_value, clustered)
    return PairedDifference(
        n=n,
        fixed=int((changes > 0).sum()),
        broken=int((changes < 0).sum()),
        difference=difference,
        low=float(low),
        high=float(high),
        p_value=p_value,
        error=error,
        seed_spread=seed_spread,
    )


def _clustered(changes: np.ndarray, clusters: np.ndarray, confidence: float) -> tuple[float, float, float]:
    """The mean's cluster-robust interval, as half its width, the p-value that it is 0, and the standard error."""
    clusters = np.asarray(clusters)
    if clusters.shape != changes.shape:
        raise ValueError(f"{len(changes)} items must have as many cluster labels, not {clusters.shape}")
    labels, where = np.unique(clusters, return_inverse=True)
    groups = len(labels)
    if groups < 2:
        raise ValueError("one cluster says nothing of how clusters differ")
    totals = np.bincount(where, weights=changes - changes.mean())
    error = sqrt(groups / (groups - 1) * (totals**2).sum()) / len(changes)
    # Clusters that agree to the last digit would divide by 0: they add no doubt, and the item test's p-value is kept.
    p_value = 2 * t.sf(abs(changes.mean()) / max(error, 1e-12), groups - 1)
    return float(t.ppf(0.5 + confidence / 2, groups - 1) * error), float(p_value), error


def _sign_flip(changes: np.ndarray) -> float:
    """The exact share of all 2^n ways to give the whole changes [n] a sign that are as far from 0 in sum."""
    sizes, counts = np.unique(np.abs(changes[changes != 0]), return_counts=True)
    total = int(sizes @ counts)
    # The sum of those with a plus is a sum of binomials: multiply their characteristic functions and transform back.
    turn = np.exp(-2j * np.pi * np.arange(total // 2 + 1) / (total + 1))
    law = np.ones_like(turn)
    for size, count in zip(sizes, counts, strict=True):
        law *= ((1 + turn**size) / 2) ** count
    tail = np.fft.irfft(law, total + 1)[: (total - abs(int(changes.sum()))) // 2 + 1].sum()
    return float(np.clip(2 * tail, 0, 1))


def _spread(right: np.ndarray) -> float | None:
    return float(right.mean(axis=1).std(ddof=1)) if len(right) > 1 else None


def _tango(up: int, down: int, n: int, difference: float, correction: float = 0.5) -> tuple[float, float]:
    """How far up - down is above a true `difference`, in items, and its standard error if that is the truth."""
    b = (2 * n - up + down) * difference - up - down
    c = -down * difference * (1 - difference)
    share_down = (sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)  # its likeliest value, given the difference
    variance = n * (2 * share_down + difference * (1 - difference))
    return up - down - n * difference - correction, sqrt(max(0.0, variance))


def _tango_low(up: int, down: int, n: int, alpha: float, correction: float = 0.5) -> float:
    """The smallest difference that the one-sided test does not reject at alpha."""
    errors = float(norm.isf(alpha))

    def spare(difference: float) -> float:
        above, error = _tango(up, down, n, difference, correction)
        return above - errors * error

    highest = (up - down - correction) / n
    return float(brentq(spare, -1, highest)) if spare(-1) > 0 else -1.0  # pyright: ignore[reportArgumentType]
