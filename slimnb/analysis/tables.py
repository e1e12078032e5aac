"""Tables and lists for a terminal, from run folders. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from slimnb.analysis.comparison import Comparison, compare
from slimnb.analysis.pairing import base_of
from slimnb.config import METHODS
from slimnb.errors import SlimnbError
from slimnb.stats import PairedDifference
from slimnb.store.records import BenchmarkResult, Score
from slimnb.store.runs import BrokenRun, RunFolder
from slimnb.units import duration, gigabytes, points_between


def study_table(runs: list[RunFolder], title: str) -> Table:
    """One row a run and benchmark: k/n, interval, paired change against base; under the method what it cost."""
    table = Table(
        title=Text(title),
        caption=(
            "In parentheses: 95% intervals, Wilson's for a score, paired (same items) for a change. "
            "A change whose interval holds 0 is not resolved with so many items."
        ),
    )
    for heading in ("method and cost", "benchmark", "right", "score, %", "change against base, points"):
        table.add_column(heading, justify="left" if heading in ("method and cost", "benchmark") else "right")
    any_base = next((run for run in runs if run.is_base), None)  # to say why it is none of a run's
    for run in sorted(runs, key=lambda run: METHODS.index(run.config.method)):
        base, names = base_of(run, runs) or any_base, list(run.record.scores)
        label = _label(run)
        for row in range(max(len(names), len(label))):
            cells = _score_cells(base, run, names[row]) if row < len(names) else ("", "", "", "")
            table.add_row(*map(Text, (label[row] if row < len(label) else "", *cells)))
        table.add_section()
    return table


def runs_table(runs: list[RunFolder], broken: list[BrokenRun]) -> Table:
    table = Table()
    for heading in ("study", "run", "status", "scores (k/n)"):
        table.add_column(heading, overflow="fold")
    for run in runs:
        scores = ", ".join(f"{name} {r.score.k}/{r.score.n}" for name, r in run.record.scores.items())
        said = scores or run.record.error or ""
        table.add_row(*map(Text, (run.record.study, run.record.id, run.record.status, said)))
    for one in broken:
        table.add_row(*map(Text, (one.path.parent.name, one.path.name, "broken", one.reason)))
    return table


def interval(score: Score) -> str:
    return f"{score.low:.1%} to {score.high:.1%}"


def _score_cells(base: RunFolder | None, run: RunFolder, benchmark: str) -> tuple[str, str, str, str]:
    score = run.record.scores[benchmark].score
    percent = f"{100 * score.value:.1f} ({100 * score.low:.1f} to {100 * score.high:.1f})"
    return benchmark, f"{score.k}/{score.n}", percent, _change(base, run, benchmark)


def _label(run: RunFolder) -> list[str]:
    """The method, what it was trained on, and its costs, a line each."""
    costs, training = run.record.costs, run.config.training
    if training is None:
        return [run.record.method, f"peak memory {gigabytes(costs.eval_peak_bytes)}"]
    share = f"{(costs.trainable_parameters or 0) / (costs.total_parameters or 1):.1%}"
    return [
        f"{run.record.method} on {Path(training.data).name}",
        f"trained {duration(costs.train_seconds)}, seed {run.config.seed}",
        f"peak memory {gigabytes(costs.train_peak_bytes)}",
        f"{(costs.trainable_parameters or 0) / 1e6:.1f}M trained ({share})",
    ]


def _change(base: RunFolder | None, run: RunFolder, benchmark: str) -> str:
    if base is None or run is base:
        return ""
    try:
        paired = compare(base, run, benchmark).paired
    except SlimnbError as error:
        return f"refused: {error}"
    return _points(paired)


def results_table(results: dict[str, BenchmarkResult]) -> Table:
    """Every metric of every benchmark, for `slimnb eval`."""
    table = Table(title="Scores with Wilson's 95% intervals")
    for heading in ("benchmark", "metric", "right", "score", "95% interval", "shots", "seconds"):
        table.add_column(heading, justify="left" if heading in ("benchmark", "metric") else "right")
    for name, result in results.items():
        for metric, score in result.metrics.items():
            table.add_row(
                name, metric, f"{score.k}/{score.n}", f"{score.value:.1%}", interval(score), str(result.shots),
                f"{result.seconds:.1f}",
            )  # fmt: skip
    return table


def noise_table(noise: dict[str, Any]) -> Table:
    """What moved between evaluations in which nothing changed, for `slimnb eval --repeat`."""
    table = Table(title="Noise: the same model evaluated again")
    for heading in ("benchmark", "against the first time", "metric", "items that flip", "score moves by, points"):
        table.add_column(heading, justify="right" if heading[0] in "is" else "left")
    for name, measured in noise.items():
        again = [("identical", one) for one in measured["identical"]] + [("other batches", measured["other_batches"])]
        for what, one in again:
            for metric, flipped in one["flipped"].items():
                moved = f"{100 * one['change'][metric]:+.2f}"
                table.add_row(name, what, metric, f"{flipped} of {one['items']}", moved)
    return table


def comparison_tables(comparisons: list[Comparison]) -> Iterator[Table]:
    """Paired differences with their tests, a table a pair, for `slimnb compare`."""
    margin = f"{100 * comparisons[0].equivalence.margin:g}" if comparisons else ""
    for pair, family in groupby(comparisons, key=lambda one: f"{one.second.name} against {one.first.name}"):
        table = Table(title=Text(pair), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
        tests = ("change, points (95%)", "fixed/broken", "p", f"within {margin}", "resolvable")
        for heading in ("benchmark", "first", "second", *tests):
            table.add_column(heading, justify="left" if heading == "benchmark" else "right", no_wrap=True)
        for one in family:
            paired = one.paired
            cells = (
                one.benchmark, f"{100 * one.first.value:.1f}", f"{100 * one.second.value:.1f}", _points(paired),
                f"{paired.fixed}/{paired.broken}", f"{one.adjusted_p:.1g}",
                "shown" if one.equivalence.equivalent else "not shown",
                "-" if one.smallest is None else f"{100 * one.smallest:.1f}",
            )  # fmt: skip
            table.add_row(*map(Text, cells))
        yield table


def _points(paired: PairedDifference) -> str:
    return points_between(paired.difference, paired.low, paired.high)
