"""How well predicted alignment foretells measured gains: rank correlations, with one training set left out, and
against predictors that need no measurement at all.

A cell is a training set x benchmark: LoRA's gain against base, and each predictor's number.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import ConstantInputWarning, spearmanr

from slimnb.findings.study import Study

DRAWS = 2000
FEWEST_CELLS = 4
"""Cells below which a rank correlation says nothing at all."""
SAME_NAME, SAME_FORM = "same name", "made for it"
TRIVIAL = {
    SAME_NAME: "1 where the training set is called as the benchmark is, else 0",
    SAME_FORM: "1 where the training set asks in the benchmark's form (slimnb.training.training_sets), else 0",
}

Cell = tuple[str, str]
"""Training set and benchmark."""


@dataclass(frozen=True)
class Judgement:
    """One predictor against the measured gains of its cells."""

    predictor: str
    cells: int
    correlation: float | None
    """Spearman's, over all cells; None where the predictor says the same of all."""
    low: float | None
    high: float | None
    """95% of a bootstrap over training sets, whose cells go together."""
    within: float | None
    """Mean over the benchmarks of the correlation among one benchmark's training sets."""
    left_out: tuple[float, float] | None
    """Lowest and highest correlation with one training set left out."""
    error: float | None
    """Mean absolute error, in the gain's unit, of a line fitted to the other training sets' cells."""


def gains(study: Study) -> dict[Cell, float]:
    """LoRA's change of the main metric, as a proportion."""
    return {
        (one.data, name): found.paired.difference for one in study.usual("lora") for name, found in one.changes.items()
    }


def gains_in_bits(study: Study) -> dict[Cell, float]:
    """Bits per byte by which the right answers became likelier under LoRA."""
    return {(one.data, name): -found.value for one in study.usual("lora") for name, found in one.gold.items()}


def predictions(study: Study) -> dict[str, dict[Cell, float]]:
    """Predictor -> cell -> number: the trivial ones and those stored with the study."""
    cells = list(gains(study))
    found: dict[str, dict[Cell, float]] = {
        SAME_NAME: {cell: float(cell[0].removesuffix("_train") == cell[1]) for cell in cells},
        SAME_FORM: {(one.data, name): float(one.target == name) for one in study.usual("lora") for name in one.changes},
    }
    for name, predictor in study.alignment.predictors.items() if study.alignment else ():
        known = {cell: predictor.values.get(cell[0], {}).get(cell[1]) for cell in cells}
        found[name] = {cell: number for cell, number in known.items() if number is not None}
    return found


def judge(predictor: str, numbers: Mapping[Cell, float], measured: Mapping[Cell, float]) -> Judgement | None:
    """Hold a predictor against the gains of the cells that have both; None where there are too few."""
    cells = sorted(cell for cell in measured if cell in numbers)
    sets = sorted({training_set for training_set, _ in cells})
    if len(cells) < FEWEST_CELLS or len(sets) < 2:
        return None
    x, y = (np.array([side[cell] for cell in cells]) for side in (numbers, measured))
    of_set = {name: np.array([cell[0] == name for cell in cells]) for name in sets}
    columns = [np.array([cell[1] == name for cell in cells]) for name in sorted({name for _, name in cells})]
    within = [found for column in columns if (found := rank_correlation(x[column], y[column])) is not None]
    without = [found for own in of_set.values() if (found := rank_correlation(x[~own], y[~own])) is not None]
    low, high = _interval(x, y, list(of_set.values()))
    return Judgement(
        predictor=predictor, cells=len(cells), correlation=rank_correlation(x, y), low=low, high=high,
        within=float(np.mean(within)) if within else None,
        left_out=(min(without), max(without)) if without else None,
        error=_error_left_out(x, y, list(of_set.values())),
    )  # fmt: skip


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's, with ties; None for fewer than three cells or where one side is all the same."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        found: Any = spearmanr(x, y)
    return float(found.statistic)


def ceiling(measured: Mapping[Cell, float], errors: Mapping[Cell, float], seed: int = 0) -> float | None:
    """The rank correlation of the gains with themselves as other items would have measured them.

    Simulated: each gain and its standard error as a normal distribution. Beyond it no predictor can be expected to
    come, and it flatters: measured gains are spread wider than true ones.
    """
    cells = sorted(measured)
    if len(cells) < FEWEST_CELLS:
        return None
    y, spread = (np.array([side[cell] for cell in cells]) for side in (measured, errors))
    draws = np.random.default_rng(seed).normal(y, spread, size=(200, len(cells)))
    found = [value for draw in draws if (value := rank_correlation(y, draw)) is not None]
    return float(np.mean(found)) if found else None


def _interval(x: np.ndarray, y: np.ndarray, sets: list[np.ndarray], seed: int = 0) -> tuple[float | None, float | None]:
    places = [np.flatnonzero(own) for own in sets]
    random = np.random.default_rng(seed)
    drawn = Counter(tuple(sorted(one)) for one in random.integers(len(sets), size=(DRAWS, len(sets))).tolist())
    found = []
    for some, times in drawn.items():  # few sets are drawn alike again and again
        chosen = np.concatenate([places[i] for i in some])
        if len(set(some)) > 1 and (value := rank_correlation(x[chosen], y[chosen])) is not None:
            found += [value] * times
    if len(sets) < 3 or not found:
        return None, None
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _error_left_out(x: np.ndarray, y: np.ndarray, sets: list[np.ndarray]) -> float | None:
    """With fewer than three sets the line would be one set's."""
    if len(sets) < 3:
        return None
    errors = []
    for own in sets:
        slope, middle = 0.0, float(y[~own].mean())
        if np.ptp(x[~own]):
            slope, middle = np.polyfit(x[~own], y[~own], 1)
        errors += np.abs(slope * x[own] + middle - y[own]).tolist()
    return float(np.mean(errors))
