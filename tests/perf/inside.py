"""Where slimnb's own time goes: the share of the machine's matrix-product rate, and what the rest is lost to."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from slimnb.benchmarks import get_benchmark
from slimnb.evaluation.evaluate import evaluate
from slimnb.models.load import load_model

MODEL = "smollm2-135m"
ROWS = 1536
"""Tokens in the products by which the machine's rate is measured: a batch of slimnb's."""

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm"),
    "attention": ("aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_softmax_backward_data", "aten::masked_fill"),
    "loss": ("aten::_log_softmax", "aten::_log_softmax_backward_data", "aten::nll_loss_forward"),
    "copies and casts": ("aten::copy_", "aten::cat", "aten::index", "aten::fill_"),
}
"""Kinds of operation; what is in none (norms, activations, rotary embedding, Python) is `element-wise and rest`."""


def matrix_rate(dtype: torch.dtype = torch.bfloat16) -> float:
    """FLOP/s of the products of SmolLM2-135M's largest layers (576 x 1536) at ROWS rows: the best of twenty."""
    rows, weight = torch.randn(ROWS, 576).to(dtype), torch.randn(1536, 576).to(dtype)
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(10):
            torch.nn.functional.linear(rows, weight)
        best = min(best, (time.perf_counter() - start) / 10)
    return 2 * ROWS * 576 * 1536 / best


def look(work: Callable[[], Any]) -> dict[str, Any]:
    """Run the work three times: plainly for its time, counted for its operations, profiled for where they go."""
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        work()
    own: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        kind = next((kind for kind, names in KINDS.items() if event.key in names), "element-wise and rest")
        own[kind] += event.self_cpu_time_total
    rate = matrix_rate()
    operations = counter.get_total_flops()
    return {
        "seconds": seconds,
        "flop": operations,
        "flop_per_second": operations / seconds,
        "matrix_flop_per_second": rate,
        "share_of_matrix_rate": operations / seconds / rate,
        "shares_of_time": {kind: value / sum(own.values()) for kind, value in sorted(own.items())},
    }


def evaluation(data: Path) -> dict[str, Any]:
    """Shares of the rate, the items that bfloat16 flips, and float32's scores at three batch budgets."""
    loaded = load_model(MODEL, "bfloat16", device="cpu")
    report: dict[str, Any] = {"roofline": {}, "bfloat16": {}, "budgets": {}}
    cases = [("hellaswag", 0, 200), ("mmlu_cs", 5, 100), ("gsm8k", 5, 16)]
    asked = {name: (get_benchmark(name), get_benchmark(name).load(data, shots, items)) for name, shots, items in cases}
    rounded = {}
    for name, (benchmark, questions) in asked.items():
        report["roofline"][name] = look(lambda b=benchmark, q=questions: evaluate(loaded, b, q))
        rounded[name] = evaluate(loaded, benchmark, questions)[0]
    exact = load_model(MODEL, "float32", device="cpu")
    for name, (benchmark, questions) in asked.items():
        items = evaluate(exact, benchmark, questions)[0]
        report["bfloat16"][name] = _flips(items, rounded[name], benchmark.metrics)
        if name == "hellaswag":
            for budget in (256, 1024, 4096):
                again = evaluate(exact, benchmark, questions, token_budget=budget)[0]
                report["budgets"][str(budget)] = _flips(items, again, benchmark.metrics)
    return report


def _flips(items: pd.DataFrame, others: pd.DataFrame, metrics: tuple[str, ...]) -> dict[str, Any]:
    columns = [f"correct_{metric}" for metric in metrics]
    found: dict[str, Any] = {"items": len(items)}
    found |= {f"flips_{column}": int((items[column] != others[column]).sum()) for column in columns}
    if "log_likelihoods" in items:
        pairs = zip(items["log_likelihoods"], others["log_likelihoods"], strict=True)
        found["largest_difference_nats"] = max(
            abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)
        )
    else:
        found["texts_that_differ"] = int((items["text"] != others["text"]).sum())
    return found
