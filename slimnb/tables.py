"""Tables and lists for a terminal, from run folders. Imports no torch."""

from __future__ import annotations

from rich.table import Table

from slimnb.comparison import compare
from slimnb.config import METHODS
from slimnb.errors import SlimnbError
from slimnb.runs import BenchmarkResult, BrokenRun, Costs, RunFolder, Score


def study_table(runs: list[RunFolder], title: str) -> Table:
    """Method x benchmark with k/n, interval, paired change against base, and what each run cost."""
    table = Table(title=title, caption=(
        "Intervals are 95%: Wilson's for a score, paired (the same items) for a change. "
        "A change whose interval holds 0 is not resolved with so many items."
    ))  # fmt: skip
    for heading in ("method", "benchmark", "right", "score", "95% interval", "change against base (points)",
                    "training", "peak memory", "trained parameters"):  # fmt: skip
        numeric = heading not in ("method", "benchmark")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=heading in ("right", "method"))
    base = next((run for run in runs if run.record.method == "base"), None)
    for run in sorted(runs, key=lambda run: METHODS.index(run.config.method)):
        for number, (name, result) in enumerate(run.record.scores.items()):
            score = result.score
            costs = _cost_cells(run) if number == 0 else ("", "", "")
            table.add_row(
                _label(run) if number == 0 else "", name, f"{score.k}/{score.n}", f"{score.value:.1%}",
                interval(score), _change(base, run, name), *costs,
                end_section=number == len(run.record.scores) - 1,
            )  # fmt: skip
    return table


def runs_table(runs: list[RunFolder], broken: list[BrokenRun]) -> Table:
    table = Table()
    for heading in ("study", "run", "status", "scores (k/n)"):
        table.add_column(heading, overflow="fold")
    for run in runs:
        scores = ", ".join(f"{name} {r.score.k}/{r.score.n}" for name, r in run.record.scores.items())
        table.add_row(run.record.study, run.record.id, run.record.status, scores or run.record.error or "")
    for one in broken:
        table.add_row(one.path.parent.name, one.path.name, "broken", one.reason)
    return table


def interval(score: Score) -> str:
    return f"{score.low:.1%} to {score.high:.1%}"


def gigabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e9:.2f} GB"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _label(run: RunFolder) -> str:
    training = run.config.training
    return f"{run.record.method}\non {training.data}" if training else run.record.method


def _cost_cells(run: RunFolder) -> tuple[str, str, str]:
    costs: Costs = run.record.costs
    trained = "-"
    if costs.trainable_parameters is not None and costs.total_parameters:
        share = costs.trainable_parameters / costs.total_parameters
        trained = f"{costs.trainable_parameters:,}\n({share:.1%})"
    return duration(costs.train_seconds), gigabytes(costs.train_peak_bytes or costs.eval_peak_bytes), trained


def _change(base: RunFolder | None, run: RunFolder, benchmark: str) -> str:
    if base is None or run is base:
        return ""
    try:
        paired = compare(base, run, benchmark).paired
    except SlimnbError as error:
        return f"refused: {error}"
    return f"{paired.difference:+.1%} ({paired.low:+.1%} to {paired.high:+.1%})".replace("%", "")


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
