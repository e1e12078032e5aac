"""How much scores move when nothing changed: an A/A comparison of evaluations of one model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd


def measure_noise(
    ask: Callable[..., tuple[pd.DataFrame, Any]], first: pd.DataFrame, metrics: tuple[str, ...], repeat: int
) -> dict[str, Any]:
    """Evaluate again, `repeat` times in all in the same way and once in smaller batches.

    Args:
        ask: evaluates as the first time, with other `token_budget` and `slots` if they are given.

    Returns:
        `identical`, a list, and `other_batches`: what differs from the first time (see `evaluation_noise`).
    """
    return {
        "identical": [evaluation_noise(first, ask()[0], metrics) for _ in range(repeat - 1)],
        "other_batches": evaluation_noise(first, ask(token_budget=512, slots=8)[0], metrics),
    }


def evaluation_noise(first: pd.DataFrame, second: pd.DataFrame, metrics: tuple[str, ...]) -> dict[str, Any]:
    """What differs between two evaluations of the same items, in the same order.

    Returns:
        items: how many there are; flipped: metric -> items that are right in one and wrong in the other; change:
        metric -> second score minus first, as a proportion; largest_log_likelihood_difference: in nats, over all
        answers (None for generated answers); texts_differ: generated texts that are not the same (None for choices).
    """
    flipped, change = {}, {}
    for metric in metrics:
        one, two = (frame[f"correct_{metric}"].to_numpy() for frame in (first, second))
        flipped[metric] = int((one != two).sum())
        change[metric] = float(two.mean() - one.mean())
    largest = texts = None
    if "log_likelihoods" in first:
        pairs = zip(first["log_likelihoods"], second["log_likelihoods"], strict=True)
        largest = max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs)
    if "text" in first:
        texts = int((first["text"].to_numpy() != second["text"].to_numpy()).sum())
    return {
        "items": len(first), "flipped": flipped, "change": change,
        "largest_log_likelihood_difference": largest, "texts_differ": texts,
    }  # fmt: skip
