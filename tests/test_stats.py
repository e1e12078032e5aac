"""Intervals and paired tests, against published numbers, other implementations and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from slimnb.stats import paired_difference, wilson

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
TABLES = st.tuples(*[st.integers(0, 60)] * 4).filter(any)


def answers(both: int, fixed: int, broken: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = (both, fixed, broken, neither)
    return np.repeat([True, False, True, False], counts), np.repeat([True, True, False, False], counts)


# Newcombe (1998), "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, table I,
# method 3 (score without continuity correction).
@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_agrees_with_newcombes_table(k: int, n: int, low: float, high: float) -> None:
    assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


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
    # By hand, Bonett and Price (2012): (21 - 11)/102 -+ 1.95996 sqrt((32/102 - (10/102)^2) / 102) = .0980 -+ .1070
    assert (change.low, change.high) == pytest.approx((-0.0090, 0.2051), abs=5e-5)


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
    assert (back.difference, back.low, back.high) == pytest.approx((-change.difference, -change.high, -change.low))
    assert (back.fixed, back.broken) == (change.broken, change.fixed)


# Where few items change the interval is known to be wider than it need be, never narrower.
@pytest.mark.parametrize(
    ("probabilities", "most"), [((0.40, 0.15, 0.10, 0.35), 0.975), ((0.90, 0.03, 0.01, 0.06), 1.0)]
)
def test_the_paired_interval_covers_the_true_difference_as_often_as_it_says(
    probabilities: tuple[float, ...], most: float
) -> None:
    draws = np.random.default_rng(0).multinomial(100, probabilities, size=2000)
    truth = probabilities[1] - probabilities[2]
    changes = [paired_difference(*answers(*draw)) for draw in draws]
    assert 0.93 <= np.mean([change.low <= truth <= change.high for change in changes]) <= most


@pytest.mark.parametrize(("first", "second"), [([], []), ([True], []), ([True], [True, False])])
def test_arrays_that_do_not_pair_are_refused(first: list[bool], second: list[bool]) -> None:
    with pytest.raises(ValueError, match=f"{len(first)} and {len(second)}"):
        paired_difference(np.array(first), np.array(second))
