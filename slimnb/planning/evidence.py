"""What saved runs say of a fine-tuning that has not been done: gains, losses elsewhere, costs. Imports no torch.

Nothing is fitted here. A number is one that a run measured, with the run's id; where no run comes near, it says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimnb.config import Method
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_json
from slimnb.io.places import DEMO, MEASURED
from slimnb.units import points, points_between

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True)
class Evidence:
    """A saved run as run.json and config.json tell it, read without the statistics that `slimnb compare` needs."""

    id: str
    method: str
    model: str
    training_set: str | None
    lineage: Any
    scores: dict[str, tuple[int, int]]
    """Benchmark -> right and asked, by the benchmark's primary metric."""
    peak_bytes: int | None
    seconds: float | None


def read_evidence(*studies: Path) -> list[Evidence]:
    """The completed runs of studies' directories, or of those that ship; what cannot be read is left out."""
    found = []
    for path in [path for study in studies or (DEMO, MEASURED) for path in sorted(study.glob("*/run.json"))]:
        with suppress(SlimnbError, KeyError, TypeError, AttributeError):
            record, config = read_json(path), read_json(path.with_name("config.json"))
            if record["status"] == "completed":
                found.append(_evidence(record, config))
    return found


def _evidence(record: dict[str, Any], config: dict[str, Any]) -> Evidence:
    scores = {}
    for benchmark, result in record["scores"].items():
        score = result["metrics"][result["primary"]]
        scores[benchmark] = (score["k"], score["n"])
    costs, training = record.get("costs") or {}, config.get("training") or {}
    return Evidence(
        id=record["id"], method=record["method"], model=config["model"], training_set=training.get("data"),
        lineage=record.get("lineage"), scores=scores, peak_bytes=costs.get("train_peak_bytes"),
        seconds=costs.get("train_seconds"),
    )  # fmt: skip


def measured_of(method: Method, model: str, runs: list[Evidence]) -> tuple[str, ...]:
    """What saved runs of a method showed, in sentences with their ids; that there are none, where there are none."""
    chosen = [run for run in runs if run.method == method and run.training_set]
    of = model_to_learn_from(model, [run.model for run in chosen])
    same = [run for run in chosen if run.model == of]
    said = [sentence for run in same if (sentence := _sentence(run, runs))]
    if not said:
        return (f"Evidence: no saved run of method {method} is here to say what to expect.",)
    shown = [f"Evidence: {said[0]}", *said[1:MOST]]
    if of != model:
        shown.append(f"That is {of}, not {model}: it shows what may happen, not how much of it.")
    if len(said) > MOST:
        shown.append(f"{len(said) - MOST} more runs of {method} lie beside them (`slimnb advise` puts them together).")
    return tuple(shown)


def model_to_learn_from(model: str, models: Sequence[str]) -> str:
    """The model itself where runs are of it, else the one that most runs are of.

    One, and not several: a gain of one model is no expectation of another's.

    Args:
        models: those of the runs that there are, one a run.
    """
    return model if model in models else max(sorted({*models}), key=models.count, default=model)


MOST = 2
"""Runs that a plan names."""


def _sentence(run: Evidence, runs: list[Evidence]) -> str | None:
    bases = [one for one in runs if one.method == "base" and one.lineage == run.lineage]
    told = "; ".join(max((list(_changes(base, run)) for base in bases), key=len, default=[]))
    return f"{run.id}, trained on {run.training_set}, changed right answers so: {told}." if told else None


def _changes(base: Evidence, run: Evidence) -> Iterator[str]:
    for name, (right, asked) in run.scores.items():
        before, as_many = base.scores.get(name, (0, 0))
        if asked == as_many:
            yield f"{name} {before} to {right} of {asked}"


@dataclass(frozen=True)
class Expectation:
    """What to expect on one benchmark, in proportions of right answers against the untouched model."""

    benchmark: str
    kind: str
    """same: a run was trained on this set; others: runs trained on other sets; none: nothing is known."""
    low: float | None
    high: float | None
    """Of 95% intervals: the same run's, or from the lowest to the highest of others'."""
    runs: tuple[str, ...]
    said: str


def rows_of(gains: pd.DataFrame, method: Method) -> list[Row]:
    """The rows of analysis.gains.gains_frame that have a change, of a method's first configuration on each set."""
    rows: list[Row] = [{str(name): value for name, value in row.items()} for row in gains.to_dict("records")]
    return [row for row in rows if row["method"] == method and row["variant"] == "" and row["refused"] is None]


def expect(rows: list[Row], train_on: str, benchmark: str, nearness: Mapping[str, float | None]) -> Expectation:
    """What runs say of a benchmark after training on `train_on`.

    Args:
        rows: of one method; see `rows_of`.
        nearness: training set -> how near it is to the benchmark by words; `train_on` and the runs' own.
    """
    rows = [row for row in rows if row["benchmark"] == benchmark]
    if not rows:
        return Expectation(benchmark, "none", None, None, (), "not known, no saved run of this method was scored on it")
    same = [row for row in rows if row["training_set"] == train_on]
    chosen = same or rows
    told = "; ".join(
        f"{_interval(row)} after {row['training_set']}{_near(nearness.get(row['training_set']))}"
        + ("" if row["seeds"] == 1 else f", {row['seeds']} seeds")
        for row in chosen
    )  # fmt: skip
    ids = tuple(row["run"] for row in chosen)
    low, high = min(row["low"] for row in chosen), max(row["high"] for row in chosen)
    if same:
        return Expectation(
            benchmark, "same", low, high, ids, f"{told}: {', '.join(ids)}, trained on this set, all or part of it"
        )
    own = _near(nearness.get(train_on)) or ", whose nearness is not known"
    return Expectation(benchmark, "others", low, high, ids, f"{told}; none after {train_on}{own}")


def elsewhere(rows: list[Row], train_on: str) -> str:
    """What became of benchmarks that runs were not trained for: of runs on the same rows, else of all."""
    rows = [row for row in rows if not row["target"]]
    rows = [row for row in rows if row["training_set"] == train_on] or rows
    if not rows:
        return "not known, no saved run of this method was scored on what it was not trained for"
    lost = sum(bool(row["resolved"]) and row["difference"] < 0 for row in rows)
    worst = min(rows, key=lambda row: row["difference"])
    mean = sum(row["difference"] for row in rows) / len(rows)
    return (
        f"of {len(rows)} comparisons on what was not trained for, {lost} show a resolved loss; on average "
        f"{points(mean)}, at worst {_interval(worst)} on {worst['benchmark']} "
        f"({', '.join(dict.fromkeys(row['run'] for row in rows))})"
    )


def _interval(row: Row) -> str:
    return points_between(row["difference"], row["low"], row["high"])


def _near(value: float | None) -> str:
    return "" if value is None else f" (nearness by words {value:.2f})"
