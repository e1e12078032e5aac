"""An item's answer and a benchmark's scores, graded as `slimnb.evaluate` grades them and held against lm-eval's own.

Imports no torch.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from slimnb.benchmarks import Benchmark, ChoiceItem, OpenItem
from slimnb.benchmarks.gsm8k import Gsm8k, normalize
from slimnb.errors import SlimnbError
from slimnb.interop.formats import FILTERS, ChoiceSample, Results, TextSample, metric_keys
from slimnb.io.documents import short
from slimnb.store.records import Score

TOLERANCE = 1e-6
"""By which a logged score may differ from k / n."""


def chosen(benchmark: Benchmark, item: Any, line: tuple[str, ChoiceSample]) -> dict[str, Any]:
    """An item of multiple choice as a row of slimnb's; without the item, by what slimnb's export says of it.

    Raises:
        SlimnbError: lm-eval graded it otherwise.
    """
    where, sample = line
    first = [repeats[0] for repeats in sample.resps]
    likelihoods = np.array([likelihood for likelihood, _ in first])
    best = int(likelihoods.argmax())
    if item is not None:
        gold, answer_bytes = item.gold, [len(choice.encode()) for choice in item.choices]
        by_length = int((likelihoods / [max(1, len(choice)) for choice in item.choices]).argmax())
        prediction = by_length if benchmark.primary == "acc_norm" else best
        right = {"acc": best == gold, "acc_norm": by_length == gold}
    else:
        assert sample.slimnb is not None
        gold, prediction, answer_bytes = sample.slimnb.gold, sample.slimnb.prediction, sample.slimnb.answer_bytes
        right = {"acc": best == gold, "acc_norm": bool(sample.acc_norm)}  # the answers' characters are not known
        told = len(answer_bytes), prediction == gold, benchmark.primary != "acc" or prediction == best
        if told != (len(first), right[benchmark.primary], True) or max(gold, prediction) >= len(first):
            raise SlimnbError(f"{where}: what slimnb's export says of the item is not what its answers give")
    for metric in benchmark.metrics:
        _check_grade(where, metric, getattr(sample, metric), right[metric])
    return {
        **_identity(item, sample),
        "gold": gold,
        "prediction": prediction,
        **{f"correct_{metric}": right[metric] for metric in benchmark.metrics},
        "log_likelihoods": likelihoods.tolist(),
        "answer_tokens": None,
        "answer_bytes": answer_bytes,
        "truncated": None,
        "is_greedy": [greedy for _, greedy in first],
    }


def generated(benchmark: Gsm8k, item: Any, lines: list[tuple[str, TextSample]]) -> dict[str, Any]:
    """A generated answer as a row of slimnb's; `lines` in the order of FILTERS.

    Raises:
        SlimnbError: lm-eval extracted or graded otherwise.
    """
    _, sample = lines[0]
    text = sample.resps[0][0]
    gold = item.gold if item is not None else sample.slimnb.gold if sample.slimnb else ""
    right, extracted = benchmark.grade(text, gold), {}
    for (metric, extract), (where, line) in zip(FILTERS.items(), lines, strict=True):
        extracted[metric] = extract(text)
        if (line.resps[0][0], line.filtered_resps[0]) != (text, extracted[metric]):
            raise SlimnbError(
                f"{where}: {short(line.filtered_resps[0])} is not what {metric} extracts, which is "
                f"{short(extracted[metric])}"
            )
        _check_grade(where, metric, line.exact_match, right[metric])
    return {
        **_identity(item, sample),
        "gold": normalize(gold),
        "prediction": normalize(extracted["strict-match"]),
        **{f"correct_{metric}": right[metric] for metric in benchmark.metrics},
        "text": text,
        **{f"extracted_{metric}": extracted[metric] for metric in FILTERS},
        **dict.fromkeys(("tokens", "hit_limit", "truncated", "gold_log_likelihood", "gold_bytes")),  # not logged
    }


def _identity(item: ChoiceItem | OpenItem | None, sample: ChoiceSample | TextSample) -> dict[str, Any]:
    if item is not None:
        named = {"id": item.id, "subject": item.subject, "prompt_sha256": sha256(item.prompt)[:16]}
    else:
        assert sample.slimnb is not None
        named = {name: getattr(sample.slimnb, name) for name in ("id", "subject", "prompt_sha256")}
    return named | {name: getattr(sample, name) for name in ("doc_id", "doc_hash", "prompt_hash", "target_hash")}


def _check_grade(where: str, metric: str, logged: float | None, right: bool) -> None:
    if logged is not None and logged != right:
        raise SlimnbError(f"{where}: graded {logged:g} on {metric}, but its answer gives {int(right)}")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def share_right(items: pd.DataFrame, metric: str) -> Score:
    return Score.of(int(items[f"correct_{metric}"].to_numpy(dtype=bool).sum()), len(items))


def check_scores(benchmark: Benchmark, task: str, rows: list[dict[str, Any]], results: Results, file: Path) -> None:
    counts, n = results.counts.get(task), len(rows)
    if counts and counts.effective != n:
        raise SlimnbError(f"{file}: {task} was scored on {counts.effective} items, but its samples hold {n}")
    for metric, key in metric_keys(benchmark).items():
        logged, k = results.results.get(task, {}).get(key), sum(row[f"correct_{metric}"] for row in rows)
        share = logged if isinstance(logged, int | float) and 0 <= logged <= 1 else math.nan
        if not abs(share - k / n) <= TOLERANCE:
            given = f"{k / n:.6f} ({k} of {n})"
            raise SlimnbError(f"{file}: {task} has {key} {short(logged)}, but its samples give {given}")
