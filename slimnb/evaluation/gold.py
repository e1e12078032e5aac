"""How likely a model finds the right answers: what still moves where the count of right ones is at the floor.

Bits per byte, -log2 p(answer | prompt) / bytes of the answer: lower is better, whatever the tokenizer.
Imports no torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from slimnb.errors import SlimnbError


@dataclass(frozen=True)
class GoldChange:
    """The second model's bits per byte less the first's, on the same items; negative where the second is better."""

    first: float
    second: float
    value: float
    low: float
    high: float
    n: int


def gold_bits(items: pd.DataFrame) -> pd.DataFrame | None:
    """Each item's right answer: columns `bits` and `bytes`, indexed by id [n rows].

    None where an item's likelihood is not known: results imported from elsewhere have none for generated answers.
    """
    if "log_likelihoods" in items:
        gold = items["gold"].astype(int)
        nats = [row[i] for row, i in zip(items["log_likelihoods"], gold, strict=True)]
        size = [row[i] for row, i in zip(items["answer_bytes"], gold, strict=True)]
    elif "gold_log_likelihood" in items and items["gold_log_likelihood"].notna().to_numpy().all():
        nats, size = items["gold_log_likelihood"], items["gold_bytes"]
    else:
        return None
    bits = -np.asarray(nats, dtype=float) / math.log(2)
    return pd.DataFrame({"bits": bits, "bytes": np.asarray(size, dtype=float)}, index=pd.Index(items["id"], name="id"))


def bits_per_byte(items: pd.DataFrame) -> float | None:
    """All right answers' bits over all their bytes."""
    found = gold_bits(items)
    bits, size = (0.0, 0.0) if found is None else found.to_numpy().sum(axis=0)
    return float(bits / size) if size else None


def gold_change(first: list[pd.DataFrame], second: list[pd.DataFrame], seed: int = 0) -> GoldChange | None:
    """The change in bits per byte with its 95% interval: a bootstrap over items (BCa, Efron 1987), 2,000 draws.

    Args:
        first, second: the items of each side's seeds; an item's bits are averaged over them before items are drawn.

    Raises:
        SlimnbError: the two sides were not asked the same items.
    """
    sides = [[gold_bits(items) for items in side] for side in (first, second)]
    if any(one is None for side in sides for one in side):
        return None
    known = [[one for one in side if one is not None] for side in sides]
    index = known[0][0].index
    if any(set(one.index) != set(index) for side in known for one in side):
        raise SlimnbError("bits per byte compare on the same items only; these two were asked others")
    before, after = (np.mean([one["bits"].loc[index] for one in side], axis=0) for side in known)
    size = known[0][0]["bytes"].to_numpy()

    def change(bits_before: np.ndarray, bits_after: np.ndarray, sizes: np.ndarray, axis: int = -1) -> np.ndarray:
        return (bits_after - bits_before).sum(axis) / sizes.sum(axis)

    value = float(change(before, after, size))
    low = high = value
    if len(index) > 1 and np.ptp(after - before) > 1e-9:  # a bootstrap of equal changes has no spread to correct
        drawn = bootstrap((before, after, size), change, paired=True, vectorized=True, n_resamples=2000, rng=seed)
        low, high = (float(end) for end in drawn.confidence_interval)
    return GoldChange(float(before.sum() / size.sum()), float(after.sum() / size.sum()), value, low, high, len(index))
