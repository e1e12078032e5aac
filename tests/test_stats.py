"""Intervals and paired tests, against published numbers, other implementations and simulation."""

from collections.abc import Callable
from dataclasses import astuple
from math import inf, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm, permutation_test, ttest_1samp
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar

from slimnb.stats import (
    PairedDifference,
    _tango,
    _tango_low,
    equivalence,
    holm,
    paired_difference,
    paired_over_seeds,
    smallest_difference,
    wilson,
)

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
TABLES = st.tuples(*[st.integers(0, 60)] * 4).filter(any)
SEEDS = st.integers(0, 2**32 - 1)


def answers(both: int, fixed: int, broken: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, fixed, broken, neither)
    return np.repeat([True, False, True, False], counts), np.repeat([True, True, False, False], counts)


def changed(n: int, fixed: int, broken: int) -> tuple[np.ndarray, np.ndarray]:
    return answers(0, fixed, broken, n - fixed - broken)


def simulated(
    measure: Callable[[np.ndarray, np.ndarray], Any],
    holds: Callable[[Any], bool],
    n: int,
    discordant: float,
    true: float,
) -> float:
    """The share of 2,000 draws of n items for which something holds, the true difference and discordance given."""
    shares = ((discordant + true) / 2, (discordant - true) / 2, 1 - discordant)
    draws = np.random.default_rng(0).multinomial(n, shares, size=2000)
    tables, times = np.unique(draws[:, :2], axis=0, return_counts=True)  # the same table need not be measured twice
    return float(np.average([holds(measure(*changed(n, *table))) for table in tables], weights=times))


# Newcombe (1998), "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, table I,
# method 3 (score without continuity correction).
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_newcombes_table(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


@given(COUNTS)
def test_wilson_is_scipys(count: tuple[int, int]) -> None:
    expected = binomtest(*count).proportion_ci(method="wilson")
    assert wilson(*count) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(COUNTS)
def test_wilson_holds_the_score_and_stays_within_0_and_1(count: tuple[int, int]) -> None:
    k, n = count
    low, high = wilson(k, n)
    assert 0 <= low <= k / n + 1e-12 and k / n - 1e-12 <= high <= 1
    assert high - low > 0  # never certain, even at 0 of n


@given(COUNTS)
def test_wilson_is_symmetric_in_right_and_wrong(count: tuple[int, int]) -> None:
    k, n = count
    low, high = wilson(k, n)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))


@given(COUNTS)
def test_more_confidence_gives_a_wider_interval(count: tuple[int, int]) -> None:
    low, high = wilson(*count)
    lower, higher = wilson(*count, confidence=0.99)
    assert lower <= low + 1e-12 and higher >= high - 1e-12 and higher - lower > high - low


@pytest.mark.parametrize(("k", "n"), [(0, 0), (1, 0), (-1, 5), (6, 5), (0, -1)])
def test_what_is_no_count_is_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{k} of {n}"):
        wilson(k, n)


def test_a_paired_difference_counts_what_was_fixed_and_what_was_broken() -> None:
    change = paired_difference(*answers(both=40, fixed=20, broken=10, neither=30))
    assert (change.n, change.fixed, change.broken, change.difference) == (100, 20, 10, pytest.approx(0.10))
    # By hand, Bonett and Price (2012): (21 - 11)/102 -+ 1.95996 sqrt((32/102 - (10/102)^2) / 102) = .0980 -+ .1070,
    # which the bootstrap with the same smoothing meets to within an item.
    assert (change.low, change.high) == pytest.approx((-0.0090, 0.2051), abs=0.01)
    assert change.seed_spread == (None, None)


# Fagerland, Lydersen and Laake (2017), "Statistical Analysis of Contingency Tables", chapter 8: complete response
# before and after consolidation therapy (Cavo et al. 2012). Their difference is first minus second.
def test_a_published_table_gives_the_published_p_value_and_interval() -> None:
    change = paired_difference(*answers(both=59, fixed=16, broken=6, neither=80))
    assert change.p_value == pytest.approx(0.052479, abs=5e-7)
    assert (change.low, change.high) == pytest.approx((0.0032, 0.1195), abs=1 / 161)  # Bonett and Price's


@given(TABLES)
def test_the_exact_mcnemar_test_is_the_binomial_test_of_the_changed_items(table: tuple[int, int, int, int]) -> None:
    _, fixed, broken, _ = table
    expected = binomtest(fixed, fixed + broken, 0.5).pvalue if fixed + broken else 1.0
    assert paired_difference(*answers(*table)).p_value == pytest.approx(expected)


@given(TABLES)
def test_a_paired_interval_holds_the_estimate_and_turns_round_with_the_models(table: tuple[int, int, int, int]) -> None:
    first, second = answers(*table)
    change, back = paired_difference(first, second), paired_difference(second, first)
    assert -1 <= change.low <= change.difference <= change.high <= 1
    assert change.low < change.high  # honest where nothing changed, too
    assert back.difference == -change.difference
    # Other draws, so the same only to within what 10,000 draws leave open: a few items.
    assert (back.low, back.high) == pytest.approx((-change.high, -change.low), abs=4 / change.n)
    assert (back.fixed, back.broken) == (change.broken, change.fixed)
    assert change == paired_difference(first, second)


@given(TABLES, st.sampled_from([0.8, 0.95]))
def test_a_paired_interval_is_the_smoothed_bootstraps_as_computed_exactly(
    table: tuple[int, int, int, int], confidence: float
) -> None:
    n, (_, fixed, broken, _) = sum(table), table
    up, down, size = (fixed + 1) / (n + 2), (broken + 1) / (n + 2), 2 * n + 1
    turn = np.exp(-2j * np.pi * np.arange(size) / size)
    law = np.cumsum(np.fft.fftshift(np.fft.ifft((up * turn + down / turn + 1 - up - down) ** n).real))  # of -n to n
    change = paired_difference(*answers(*table), confidence=confidence)
    for end, level in ((change.low, 0.5 - confidence / 2), (change.high, 0.5 + confidence / 2)):
        place = end * n + n  # may lie between two numbers of items
        assert law[max(0, int(np.ceil(place - 1e-6)) - 1)] - law[0] <= level + 0.02
        assert law[int(np.ceil(place - 1e-6))] >= level - 0.02


# Where few items change the interval is known to be wider than it need be, as Bonett and Price's is.
@pytest.mark.parametrize(
    ("n", "discordant", "true", "most"),
    [
        (100, 0.30, 0.0, 0.97), (100, 0.20, 0.10, 0.97), (100, 0.04, 0.02, 1.0), (412, 0.10, 0.02, 0.97),
        (412, 0.05, 0.05, 0.97), (1319, 0.02, 0.0, 0.97), (1319, 0.05, 0.02, 0.97), (1319, 0.10, 0.10, 0.97),
    ],
)  # fmt: skip
def test_the_paired_interval_covers_the_true_difference_as_often_as_it_says(
    n: int, discordant: float, true: float, most: float
) -> None:
    covers = simulated(paired_difference, lambda change: change.low <= true <= change.high, n, discordant, true)
    assert 0.93 <= covers <= most


# Of 2,000 draws, 5 % is 4 to 6 %.
@pytest.mark.parametrize(("n", "discordant"), [(100, 0.02), (100, 0.20), (412, 0.05), (1319, 0.02)])
def test_mcnemar_finds_a_difference_where_there_is_none_in_at_most_5_percent(n: int, discordant: float) -> None:
    assert simulated(paired_difference, lambda change: change.p_value <= 0.05, n, discordant, 0.0) <= 0.06


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], []), ([True], [True, False])])
def test_arrays_that_do_not_pair_are_refused(first: list[bool], second: list[bool]) -> None:
    with pytest.raises(ValueError, match=f"{len(first)} and {len(second)}"):
        paired_difference(np.array(first), np.array(second))
    with pytest.raises(ValueError, match=f"{len(first)} and {len(second)}"):
        equivalence(np.array(first), np.array(second))


def test_a_table_of_seeds_is_no_array_of_items() -> None:
    with pytest.raises(ValueError, match="paired arrays"):
        paired_difference(np.ones((3, 5), bool), np.ones((3, 5), bool))


def test_clusters_by_hand() -> None:
    change = paired_difference(*changed(40, 10, 0), clusters=np.repeat(["law", "art", "sums", "love"], 10))
    # Mean .25; the clusters' residuals sum to 7.5, -2.5, -2.5, -2.5: error sqrt(4/3 * 75) / 40 = .25, t = 1 with 3
    # degrees of freedom, whose 97.5 % point is 3.182.
    assert (change.low, change.high) == pytest.approx((0.25 - 3.18245 * 0.25, 1.0), abs=1e-5)
    assert change.p_value == pytest.approx(0.3910, abs=5e-5)
    assert change.difference == 0.25 and paired_difference(*changed(40, 10, 0)).p_value < 0.002


@given(SEEDS, st.integers(2, 12), st.sampled_from([0.9, 0.95]))
@settings(max_examples=50)
def test_clusters_give_statsmodels_robust_interval_where_it_is_the_wider(
    seed: int, groups: int, confidence: float
) -> None:
    random = np.random.default_rng(seed)
    labels = np.append(np.arange(groups), random.integers(0, groups, 80))
    first, second = random.random((2, len(labels))) < 0.2 + 0.6 * random.random(groups)[labels]
    fit = OLS(second.astype(int) - first, np.ones(len(labels))).fit(
        cov_type="cluster", cov_kwds={"groups": labels}, use_t=True
    )
    assume(fit.bse[0] > 1e-9)
    plain = paired_difference(first, second, confidence=confidence)
    robust = paired_difference(first, second, clusters=labels, confidence=confidence)
    low, high = fit.conf_int(1 - confidence)[0]
    assert robust.low == pytest.approx(max(-1, min(plain.low, low)))
    assert robust.high == pytest.approx(min(1, max(plain.high, high)))
    assert robust.p_value == pytest.approx(max(plain.p_value, fit.pvalues[0]))


def test_every_item_its_own_cluster_is_students_t() -> None:
    first, second = changed(60, 25, 5)
    outcome = ttest_1samp(second.astype(int) - first, 0)
    ends = outcome.confidence_interval(0.95)
    plain, robust = (paired_difference(first, second, clusters=which) for which in (None, np.arange(60)))
    expected = min(plain.low, ends.low), max(plain.high, ends.high)
    assert (robust.low, robust.high) == pytest.approx(expected)
    assert robust.p_value == pytest.approx(max(plain.p_value, outcome.pvalue))


def test_the_clustered_interval_covers_where_changes_follow_the_clusters_and_the_plain_one_does_not() -> None:
    random, labels, covered = np.random.default_rng(0), np.repeat(np.arange(12), 34), np.zeros(2)
    for _ in range(300):
        shares = random.dirichlet(np.array([0.12, 0.08, 0.8]) * 9, size=12)  # correlation in a cluster: 1/10
        changes = np.concatenate([random.choice([1, -1, 0], 34, p=share) for share in shares])
        pair = changes < 0, changes > 0
        both = [paired_difference(*pair, clusters=which) for which in (None, labels)]
        covered += [one.low <= 0.04 <= one.high for one in both]
    plain, robust = covered / 300
    assert plain < 0.8 and 0.93 <= robust <= 0.98


@pytest.mark.parametrize(("clusters", "match"), [(["a", "a", "a"], "one cluster"), (["a", "b"], "3 items")])
def test_clusters_that_say_nothing_are_refused(clusters: list[str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        paired_difference(*changed(3, 1, 0), clusters=np.array(clusters))


# The trap: three answers to an item are no three items.
@given(TABLES, st.integers(2, 4))
@settings(max_examples=50)
def test_identical_seeds_give_what_one_seed_gives(table: tuple[int, int, int, int], seeds: int) -> None:
    first, second = answers(*table)
    one = paired_difference(first, second)
    several = paired_over_seeds(np.tile(first, (seeds, 1)), np.tile(second, (seeds, 1)))
    assert astuple(several)[:-1] == pytest.approx(astuple(one)[:-1], abs=1e-9)
    assert several.seed_spread == pytest.approx((0.0, 0.0))
    assert paired_over_seeds(first[None], second[None]).seed_spread == (None, None)


def test_seeds_taken_for_items_would_promise_too_much() -> None:
    first, second = changed(412, 50, 30)
    pooled = paired_difference(np.tile(first, 3), np.tile(second, 3))
    honest = paired_over_seeds(np.tile(first, (3, 1)), np.tile(second, (3, 1)))
    assert (pooled.high - pooled.low) * sqrt(3) == pytest.approx(honest.high - honest.low, rel=0.05)
    assert pooled.p_value < 0.001 < 0.03 < honest.p_value


def test_seeds_by_hand() -> None:
    first = np.array([[0, 0, 0, 0], [0, 1, 0, 1]])  # scores 0 and .50, items' means 0, .5, 0, .5
    second = np.array([[1, 1, 1, 0], [1, 1, 1, 0], [0, 1, 0, 0]])  # .75, .75 and .25, means 2/3, 1, 2/3, 0
    change = paired_over_seeds(first, second)
    assert (change.n, change.fixed, change.broken) == (4, 3, 1)
    assert change.difference == pytest.approx((2 / 3 + 1 / 2 + 2 / 3 - 1 / 2) / 4)
    assert change.seed_spread == pytest.approx((0.5 / sqrt(2), 0.5 / sqrt(3)))
    # The changes are 4, 3, 4 and -3 sixths, 8 in sum. Of the 16 ways to sign them two come to 14 and four to 8.
    assert change.p_value == pytest.approx(6 / 16)


@given(SEEDS, st.integers(2, 9), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=50)
def test_the_test_over_seeds_is_scipys_exact_permutation_test(seed: int, n: int, seeds_a: int, seeds_b: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.random((seeds_a, n)) < 0.3, random.random((seeds_b, n)) < 0.7
    whole = seeds_a * second.sum(axis=0) - seeds_b * first.sum(axis=0)
    expected = permutation_test((whole,), np.sum, permutation_type="samples", vectorized=True, n_resamples=inf)
    assert paired_over_seeds(first, second).p_value == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("n", [100, 412, 1319])
def test_over_seeds_the_interval_covers_and_the_test_holds_its_level(n: int) -> None:
    random, changes = np.random.default_rng(n), list[PairedDifference]()
    for _ in range(200):
        chances = random.choice([0.0, 0.5, 1.0], n, p=[0.4, 0.3, 0.3])  # a third of the items is answered by guessing
        changes.append(paired_over_seeds(random.random((3, n)) < chances, random.random((3, n)) < chances))
    assert 0.93 <= np.mean([change.low <= 0 <= change.high for change in changes]) <= 0.995
    assert np.mean([change.p_value <= 0.05 for change in changes]) <= 0.05 + 2.5 * sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(("first", "second"), [((3,), (3,)), ((2, 3), (2, 4)), ((0, 3), (2, 3)), ((2, 0), (2, 0))])
def test_seeds_that_do_not_pair_are_refused(first: tuple[int, ...], second: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="seeds, n"):
        paired_over_seeds(np.ones(first, bool), np.ones(second, bool))


# Tango (1998), section 6.1, table V: two ways to disinfect contact lenses, 43 of 44 fit both and one only the old.
def test_tangos_test_of_tangos_example() -> None:
    above, error = _tango(0, 1, 44, -0.1, correction=0)
    assert above / error == pytest.approx(1.709, abs=5e-4) and norm.sf(above / error) == pytest.approx(0.044, abs=5e-4)
    assert _tango_low(0, 1, 44, 0.05, correction=0) == pytest.approx(-0.096, abs=5e-4)
    # By hand, with the correction: (0 - 1 + 4.4 - .5) / 1.98997 = 1.4573.
    outcome = equivalence(*changed(44, 0, 1), margin=0.1)
    assert outcome.p_value == pytest.approx(norm.sf(1.4573), abs=5e-5) and not outcome.equivalent


# As test_a_published_table above; the R package contingencytables of the book's authors prints the same.
def test_tangos_interval_of_a_published_table() -> None:
    ends = -_tango_low(6, 16, 161, 0.025, correction=0), _tango_low(16, 6, 161, 0.025, correction=0)
    assert ends == pytest.approx((0.1240, 0.0054), abs=5e-5)


@given(TABLES)
def test_tangos_test_of_no_difference_is_mcnemars(table: tuple[int, int, int, int]) -> None:
    both, fixed, broken, neither = table
    assume(fixed + broken)
    above, error = _tango(fixed, broken, sum(table), 0.0, correction=0)
    asymptotic: Any = mcnemar([[both, broken], [fixed, neither]], exact=False, correction=False)
    assert (above / error) ** 2 == pytest.approx(asymptotic.statistic)


@given(TABLES, st.floats(-0.9, 0.9))
@settings(max_examples=50)
def test_tangos_error_is_that_of_the_likeliest_shares(table: tuple[int, int, int, int], true: float) -> None:
    n, (_, fixed, broken, _) = sum(table), table

    def unlikely(down: float) -> float:
        shares = np.array([down + true, down, 1 - true - 2 * down])
        return -float(np.array([fixed, broken, n - fixed - broken]) @ np.log(np.maximum(shares, 1e-300)))

    best = minimize_scalar(unlikely, bounds=(max(0, -true), (1 - true) / 2), options={"xatol": 1e-10}).x
    assert _tango(fixed, broken, n, true)[1] == pytest.approx(sqrt(n * (2 * best + true - true**2)), rel=1e-3, abs=1e-3)


@given(TABLES, st.floats(0.005, 0.5), st.sampled_from([0.025, 0.05, 0.1]))
def test_equivalent_is_an_interval_within_the_margin(
    table: tuple[int, int, int, int], margin: float, alpha: float
) -> None:
    first, second = answers(*table)
    outcome, back = equivalence(first, second, margin, alpha), equivalence(second, first, margin, alpha)
    assert -1 <= outcome.low <= paired_difference(first, second).difference <= outcome.high <= 1
    within = min(outcome.low + margin, margin - outcome.high)
    assert outcome.equivalent == (within > 0) or abs(within) < 1e-9
    assert outcome.equivalent == (outcome.p_value <= alpha)
    assert (back.p_value, back.low, back.high) == pytest.approx((outcome.p_value, -outcome.high, -outcome.low))
    assert equivalence(first, second, margin * 1.5, alpha).p_value <= outcome.p_value


@pytest.mark.parametrize(
    ("n", "discordant", "true"),
    [
        (100, 0.02, 0.02), (100, 0.10, 0.05), (100, 0.20, -0.10), (412, 0.02, 0.02), (412, 0.05, -0.02),
        (412, 0.17, 0.05), (1319, 0.02, -0.02), (1319, 0.08, 0.02), (1319, 0.12, -0.05),
    ],
)  # fmt: skip
def test_models_that_differ_by_the_margin_are_called_equivalent_in_at_most_5_percent(
    n: int, discordant: float, true: float
) -> None:
    rate = simulated(lambda *pair: equivalence(*pair, abs(true)), lambda found: found.equivalent, n, discordant, true)
    assert rate <= 0.06  # of 2,000 draws, 5 % is 4 to 6 %


def test_equal_models_are_called_equivalent_where_the_items_suffice() -> None:
    assert not equivalence(*changed(100, 0, 0)).equivalent  # not even where nothing changed
    assert equivalence(*changed(412, 0, 0)).equivalent
    assert equivalence(*changed(1319, 30, 30)).equivalent


@pytest.mark.parametrize(("margin", "alpha"), [(0.0, 0.05), (-0.1, 0.05), (1.0, 0.05), (0.02, 0.0), (0.02, 0.5)])
def test_what_is_no_margin_is_refused(margin: float, alpha: float) -> None:
    with pytest.raises(ValueError, match=f"{margin} and {alpha}"):
        equivalence(*changed(10, 1, 1), margin, alpha)


def test_holm_by_hand() -> None:
    # Holm (1979): the smallest times 4, the next times 3, the next times 2, and never less than one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4]) == [0.4] and holm([]) == [] and holm(np.array([0.9, 0.8])) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.001, 0.2))
def test_holm_finds_what_stepping_down_finds(p_values: list[float], alpha: float) -> None:
    found, left = set(), sorted(range(len(p_values)), key=p_values.__getitem__)
    while left and p_values[left[0]] * len(left) <= alpha:
        found.add(left.pop(0))
    assert {index for index, p_value in enumerate(holm(p_values)) if p_value <= alpha} == found


@pytest.mark.parametrize("p_values", [[0.1, float("nan")], [-0.1], [1.1]])
def test_what_is_no_p_value_is_refused(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(p_values)


# O'Brien's example (2002) in the manual of G*Power 3.1, chapter 5: odds ratio .25 and 40 % discordant, so shares of
# .08 and .32, are found by 50 pairs with power .839343 at 5 % one-sided, which is 10 % two-sided.
def test_the_smallest_difference_agrees_with_gpower() -> None:
    assert smallest_difference(50, 0.4, power=0.839343, alpha=0.10) == pytest.approx(0.24, abs=1e-5)


@pytest.mark.parametrize(("n", "discordant"), [(100, 0.10), (100, 0.25), (412, 0.05), (1319, 0.02)])
def test_the_smallest_difference_is_found_as_often_as_it_says(n: int, discordant: float) -> None:
    true = smallest_difference(n, discordant)
    assert true is not None
    found = simulated(paired_difference, lambda change: change.p_value <= 0.05, n, discordant, true)
    assert found == pytest.approx(0.8, abs=0.025)  # of 2,000 draws, 80 % is 78 to 82 %


@pytest.mark.parametrize("discordant", [0.05, 0.1, 0.2, 0.4])
@pytest.mark.parametrize("n", [412, 1319, 14042])
def test_the_smallest_difference_is_connors_and_a_little(n: int, discordant: float) -> None:
    # Connor (1987), "Sample size for testing differences in proportions for the paired-sample design", page 209.
    def connor(true: float) -> float:
        return norm.isf(0.025) * sqrt(discordant) + norm.isf(0.2) * sqrt(discordant - true**2) - true * sqrt(n)

    asymptotic = brentq(connor, 1e-9, discordant)
    exact = smallest_difference(n, discordant)
    assert exact is not None and asymptotic <= exact <= 1.04 * asymptotic


@given(st.integers(1, 500), st.just(0.0) | st.floats(1e-6, 1))
@settings(max_examples=50)
def test_the_smallest_difference_is_within_what_changes_and_shrinks_with_more_items(n: int, discordant: float) -> None:
    true, more = smallest_difference(n, discordant), smallest_difference(2 * n, discordant)
    assert true is None or (more is not None and 0 < more < true <= discordant)


@pytest.mark.parametrize(("n", "discordant"), [(1, 1.0), (5, 1.0), (100, 0.0), (100, 0.05), (1319, 0.004)])
def test_what_no_test_finds_has_no_smallest_difference(n: int, discordant: float) -> None:
    assert smallest_difference(n, discordant) is None


def test_a_p_value_of_just_alpha_counts_as_found() -> None:
    assert smallest_difference(5, 1.0, alpha=2 * 0.5**5) is not None  # five of five
    assert smallest_difference(5, 1.0, alpha=2 * 0.5**5 - 1e-9) is None


@pytest.mark.parametrize(
    ("n", "discordant", "power", "alpha"), [(0, 0.1, 0.8, 0.05), (9, -0.1, 0.8, 0.05), (9, 1.1, 0.8, 0.05),
    (9, 0.1, 0.05, 0.05), (9, 0.1, 1.0, 0.05), (9, 0.1, 0.8, 0.0)],
)  # fmt: skip
def test_what_is_no_test_is_refused(n: int, discordant: float, power: float, alpha: float) -> None:
    with pytest.raises(ValueError, match=f"n={n}, discordant={discordant}, power={power}, alpha={alpha}"):
        smallest_difference(n, discordant, power, alpha)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (0, 1)], ids=["none", "all fixed", "all broken"])
def test_no_change_and_nothing_but_change_give_numbers(n: int, fixed: int, broken: int) -> None:
    first, second = changed(n, fixed * n, broken * n)
    seeds = np.tile(first, (2, 1)), np.tile(second, (3, 1))
    changes = [paired_difference(first, second), paired_over_seeds(*seeds)]
    if n > 1:
        halves = np.arange(n) % 2
        changes += [paired_difference(first, second, halves), paired_over_seeds(*seeds, halves)]
    for change in changes:
        assert change.difference == fixed - broken
        assert -1 <= change.low <= change.difference <= change.high <= 1 and change.low < change.high
        assert change.p_value == pytest.approx(2.0 ** (1 - n) if fixed or broken else 1.0, abs=1e-9)
    outcome = equivalence(first, second)
    assert -1 <= outcome.low <= fixed - broken <= outcome.high <= 1 and outcome.low < outcome.high
    assert 0 <= outcome.p_value <= 1
