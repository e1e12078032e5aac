"""Data frames from run folders, for figures, notebooks and the dashboard. Imports no torch.

One row is a score, a change, an optimizer step or a run's cost. Frames hold proportions, bytes and seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from slimnb.analysis.comparison import Comparison, compare_pair
from slimnb.analysis.pairing import base_of
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json
from slimnb.store.runs import RunFolder

_IDENTITY = ["run", "method", "training_set", "benchmark", "refused"]
_CHANGE = ["n", "difference", "low", "high", "fixed", "broken", "adjusted_p", "resolved", "verdict", "notes"]


def scores_frame(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row run x benchmark: the primary metric's k of n, with its 95% interval."""
    rows = []
    for run in runs:
        for benchmark, result in run.record.scores.items():
            named = {"benchmark": benchmark, "metric": result.primary, "chance": result.chance}
            rows.append(identity(run) | named | asdict(result.score))
    return pd.DataFrame(rows)


def pair_frame(first: RunFolder, second: RunFolder) -> pd.DataFrame:
    """One row a benchmark of either run: the change from first to second, or in `refused` why there is none."""
    benchmarks = list(dict.fromkeys([*first.record.scores, *second.record.scores]))
    done, refused = compare_pair(first, second, benchmarks)
    found = {one.benchmark: _change(one) for one in done}
    rows = [
        {**identity(second), "benchmark": benchmark, "refused": refused.get(benchmark), **found.get(benchmark, {})}
        for benchmark in benchmarks
    ]
    return pd.DataFrame(rows).reindex(columns=[*_IDENTITY, *_CHANGE])


def comparisons_frame(done: Sequence[Comparison], runs: Sequence[RunFolder]) -> pd.DataFrame:
    """`compare_all`'s comparisons as rows like `pair_frame`'s, and how many `seeds`, which go by their first run."""
    known = {run.record.id: run for run in runs}
    rows = [
        {**identity(known[one.second.runs[0]]), "benchmark": one.benchmark, "refused": None, **_change(one),
         "seeds": len(one.second.runs)}
        for one in done
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=[*_IDENTITY, *_CHANGE, "seeds"])


def differences_frame(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """`pair_frame` of each trained run against a base run, if it can be one of the same starting weights."""
    bases = [run for run in runs if run.is_base]
    frames = []
    for run in runs:
        if run.config.method != "base" and run.record.scores and bases:
            frames.append(pair_frame(base_of(run, bases) or bases[0], run))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def curves_frame(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row run x optimizer step; runs that trained nothing have none."""
    logs = []
    for run in runs:
        log = run.metrics()
        if {"step", "loss"} <= set(log.columns):
            if {"tokens", "seconds"} <= set(log.columns):
                took = log["seconds"].diff().fillna(log["seconds"])
                log["tokens_per_second"] = log["tokens"] / took.where(took > 0)
            logs.append(log.assign(**identity(run)))
    return pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()


def cost_frame(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """`scores_frame` and what each run took. Peak memory is training's, or scoring's where nothing was trained.

    saved_bytes are the tensors that a run leaves to keep: an adapter's in float32, after full fine-tuning all weights.
    """
    rows = []
    for run in runs:
        costs, training = run.record.costs, run.config.training
        spent = costs.model_dump() | {"peak_bytes": costs.train_peak_bytes or costs.eval_peak_bytes, "batch_size": None}
        spent |= {"batch_size": training.batch_size} if training else {}
        spent |= {"train_seconds": 0.0, "trainable_parameters": 0} if run.is_base else {}
        spent["saved_bytes"] = _saved_bytes(run)
        rows += [row | spent for row in scores_frame([run]).to_dict("records")]
    return pd.DataFrame(rows)


def predictions_frame(measured: Path) -> pd.DataFrame:
    """One row a training whose peak memory was predicted and measured: what `tests/perf/memory.py` writes.

    Those of `tiny` are left out: its peak is what the predictions take a process to need.

    Returns:
        model, method, length, rows, checkpointing, predicted_bytes, measured_bytes.

    Raises:
        SlimnbError: the file cannot be read, or is another one.
    """
    columns = ["model", "method", "length", "rows", "checkpointing", "predicted_bytes", "measured_bytes"]
    fields = read_json(measured)
    cells = fields.get("cells") if isinstance(fields, dict) else None
    if not isinstance(cells, list) or any(not isinstance(cell, dict) for cell in cells):
        raise SlimnbError(f"{measured}: not a file of predicted and measured memory")
    both = [cell for cell in cells if {*columns} <= {*cell} and cell["model"] != "tiny"]
    return pd.DataFrame([{name: cell[name] for name in columns} for cell in both], columns=pd.Index(columns))


def pareto(costs: Sequence[float], scores: Sequence[float]) -> list[bool]:
    """Which are on the Pareto front: no other costs as little and scores as high, and is better in one of the two."""
    front, best = set(), float("-inf")
    for point in sorted(set(zip(costs, scores, strict=True)), key=lambda point: (point[0], -point[1])):
        if point[1] > best:
            front.add(point)
            best = point[1]
    return [point in front for point in zip(costs, scores, strict=True)]


def identity(run: RunFolder) -> dict[str, str | None]:
    """The columns by which figures tell runs apart."""
    training = run.config.training
    return {"run": run.path.name, "method": run.config.method, "training_set": training.data if training else None}


def _saved_bytes(run: RunFolder) -> int | None:
    costs, lora = run.record.costs, run.config.lora
    if run.config.method == "base":
        return 0 if run.is_base else None  # merged weights and imported adapters cost what is not known here
    if lora is None:
        return costs.weights_bytes
    doubled = 2 if lora.init == "pissa" else 1  # saved as the difference from where it began: see slimnb.models.pissa
    return costs.trainable_parameters and 4 * doubled * costs.trainable_parameters


def _change(one: Comparison) -> dict[str, Any]:
    named = {"adjusted_p": one.adjusted_p, "resolved": one.resolved, "verdict": one.verdict, "notes": one.warnings}
    return vars(one.paired) | named
