"""The real model on real benchmarks; needs SLIMNB_DATA or ../shared/data. Minutes: `make test-slow`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from slimnb.benchmarks import get_benchmark
from slimnb.evaluation.evaluate import evaluate
from slimnb.models.load import load_model

DATA = Path(os.environ.get("SLIMNB_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data sets are not here: set SLIMNB_DATA"),
]


def test_the_base_model_scores_on_hellaswag_what_is_published() -> None:
    torch.set_num_threads(os.cpu_count() or 1)  # the other tests' tiny models want one thread
    questions = get_benchmark("hellaswag").load(DATA)
    _, result = evaluate(load_model("smollm2-135m"), get_benchmark("hellaswag"), questions)
    score = result.metrics["acc_norm"]
    assert score.low < 0.409 < score.high  # SmolLM2-135M-Instruct's model card
