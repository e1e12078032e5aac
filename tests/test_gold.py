"""Bits per byte of the right answers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from slimnb.benchmarks import get_benchmark
from slimnb.errors import SlimnbError
from slimnb.evaluation.evaluate import evaluate
from slimnb.evaluation.gold import bits_per_byte, gold_change

LN2 = math.log(2)


def choices(shift: float = 0.0, n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Two answers of 4 and 2 bytes, the second right, at 2 + shift bits."""
    noise = np.random.default_rng(seed).normal(size=n)
    return pd.DataFrame(
        {
            "id": [f"s:{i}" for i in range(n)],
            "gold": "1",
            "log_likelihoods": [[-9.0, -(2 + shift + 0.1 * x) * LN2] for x in noise],
            "answer_bytes": [[4, 2]] * n,
        }
    )


def test_bits_are_those_of_the_right_answer() -> None:
    items = choices().head(1).assign(log_likelihoods=[[-9.0, -3 * LN2]])
    assert bits_per_byte(items) == pytest.approx(1.5)


def test_without_likelihoods_there_are_none() -> None:
    imported = pd.DataFrame({"id": ["s:1"], "gold": ["4"], "text": ["4"], "gold_log_likelihood": [None]})
    assert bits_per_byte(imported) is None
    assert gold_change([imported], [imported]) is None


def test_a_change_is_paired_and_seeds_are_averaged_within_an_item() -> None:
    change = gold_change([choices()], [choices(-0.5, seed=1), choices(-0.3).sample(frac=1, random_state=1)])
    assert change is not None
    assert change.value == pytest.approx(-0.2, abs=0.02)
    assert -0.25 < change.low < change.value < change.high < -0.15
    assert change.n == 40


def test_other_items_are_refused() -> None:
    with pytest.raises(SlimnbError, match="same items"):
        gold_change([choices(n=3)], [choices(n=4)])


def test_a_solutions_likelihood_is_the_models_own(tiny: Any, tmp_path: Path) -> None:
    benchmark = get_benchmark("workshop_math")
    questions = benchmark.load(None, 2, 6)
    items, result = evaluate(tiny, benchmark, questions)
    for item, row in zip(questions.items, items.to_dict("records"), strict=True):
        prompt = tiny.tokenizer(item.prompt)["input_ids"]
        ids = tiny.tokenizer(f"{item.prompt} {item.gold}")["input_ids"]
        with torch.inference_mode():
            logits = tiny.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        wanted = sum(float(logits[i - 1, ids[i]]) for i in range(len(prompt), len(ids)))
        assert row["gold_log_likelihood"] == pytest.approx(wanted, abs=1e-3)
        assert row["gold_bytes"] == len(item.gold.encode())
    assert result.gold_bits_per_byte == pytest.approx(
        -items["gold_log_likelihood"].sum() / LN2 / items["gold_bytes"].sum()
    )
