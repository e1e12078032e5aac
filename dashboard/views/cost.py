"""What a score cost in memory, time and trained parameters."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.address import choose, choose_several
from dashboard.computed import cost_notes, notable
from dashboard.store import REPOSITORY, the_runs
from dashboard.widgets import chart, downloads, say, table
from dashboard.wording import score_cell
from slimnb.errors import SlimnbError
from slimnb.figures import COSTS, METHOD_STYLE, cost, cost_frame, predicted_memory, predictions_frame
from slimnb.figures.drawing import rows_of

MEASURED = REPOSITORY / "data" / "perf" / "memory.json"
FORMATS = {"peak memory (GB)": "%.2f", "training time (min)": "%.1f", "trained parameters": "localized",
           "kept (MB)": "%.1f", "batch size": "%d"}  # fmt: skip


def page() -> None:
    scored = {run.path.name: run for run in the_runs() if run.record.scores}
    if not scored:
        st.info("No run of this study has a score yet.")
        return
    start = [run.path.name for run in notable(list(scored.values()))]
    runs = [scored[name] for name in choose_several("Runs", list(scored), "run", start)]
    benchmark = choose("Benchmark", list(dict.fromkeys(name for run in runs for name in run.record.scores)) or ["-"],
                       "benchmark")  # fmt: skip
    spent = cost_frame(runs)
    if not spent.empty:
        columns = ["peak_bytes", "train_seconds", "trainable_parameters", "batch_size", "saved_bytes"]
        spent = spent.astype(dict.fromkeys(columns, float))  # NaN where unknown
    if notes := cost_notes(runs):
        st.warning("Their costs do not compare the methods alone. They differ in:")
        for note in notes:
            say(note)
    for column, against in zip(st.columns(2) + st.columns(2), COSTS, strict=False):
        with column:
            chart(cost, spent, "cost", runs, "cost_frame(runs)", key=against, against=against, benchmark=benchmark)
    rows = [
        {"method": METHOD_STYLE[row.method].name, "score (%)": score_cell(row),
         "peak memory (GB)": row.peak_bytes / 1e9, "training time (min)": row.train_seconds / 60,
         "trained parameters": row.trainable_parameters, "kept (MB)": row.saved_bytes / 1e6,
         "batch size": row.batch_size, "run": row.run}
        for row in rows_of(spent) if row.benchmark == benchmark
    ]  # fmt: skip
    table(rows, "Score, memory, time, trained parameters and size of each run", FORMATS)
    if rows:
        downloads(pd.DataFrame(rows), "costs")
    st.caption("Peak memory is that of training; where nothing was trained, that of scoring. Kept: the tensors of the "
               "adapter in float32, after full fine-tuning all weights.")  # fmt: skip
    _predicted()


def _predicted() -> None:
    """Of the trainings that the project measured for this, wherever they were run."""
    if not MEASURED.is_file():
        return
    st.subheader("Is memory foreseen?")
    try:
        frame = predictions_frame(MEASURED)
    except SlimnbError as error:
        say(error)
        return
    chart(predicted_memory, frame, "predicted", [], "")
    downloads(frame, "predicted-memory")


page()
