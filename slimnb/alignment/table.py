"""An alignment as tables for a terminal. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from slimnb.alignment.record import PREDICTORS, Alignment, Predictor
from slimnb.units import duration


def alignment_tables(alignment: Alignment) -> Iterator[Table]:
    """One table a predictor: training sets down, benchmarks across, the nearest set of each benchmark starred."""
    benchmarks = list(alignment.benchmarks)
    for name, predictor in alignment.predictors.items():
        table = Table(title=Text(f"{name} ({duration(predictor.seconds)})"), title_justify="left")
        table.caption, table.caption_justify = Text(PREDICTORS.get(name, "")), "left"
        table.add_column("training set")
        for benchmark in benchmarks:
            table.add_column(Text(benchmark), justify="right")
        best = {benchmark: nearest(predictor, benchmark) for benchmark in benchmarks}
        for training_set in alignment.training_sets:
            numbers = predictor.values.get(training_set, {})
            cells = (_cell(numbers.get(one), best[one] == training_set) for one in benchmarks)
            table.add_row(*map(Text, (training_set, *cells)))
        yield table


def nearest(predictor: Predictor, benchmark: str) -> str | None:
    """The training set that the predictor finds nearest to a benchmark; None where it has no number, or only one."""
    known = {name: value for name, row in predictor.values.items() if (value := row.get(benchmark)) is not None}
    return max(known, key=known.__getitem__) if len(known) > 1 else None


def _cell(value: float | None, best: bool) -> str:
    return "-" if value is None else f"{value:+.3f}{'*' if best else ' '}"
