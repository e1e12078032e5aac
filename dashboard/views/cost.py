"""What a score cost in memory, time and trained parameters."""

from __future__ import annotations

import streamlit as st

from dashboard.address import choose, choose_several
from dashboard.computed import cost_notes, notable
from dashboard.store import the_runs
from dashboard.widgets import chart, in_a_notebook, rows_of, say, table
from dashboard.wording import score_cell
from slimnb.figures import COSTS, METHOD_STYLE, cost, cost_frame


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
        columns = ["peak_bytes", "train_seconds", "trainable_parameters", "batch_size"]
        spent = spent.astype(dict.fromkeys(columns, float))  # NaN where unknown
    if notes := cost_notes(runs):
        st.warning("Their costs do not compare the methods alone. They differ in:")
        for note in notes:
            say(note)
    for column, against in zip(st.columns(2) + st.columns(2), COSTS, strict=False):
        with column:
            chart(cost(spent, against, benchmark), "cost", key=against)
    rows = [row for row in rows_of(spent) if row.benchmark == benchmark]
    table(
        [
            {"method": METHOD_STYLE[row.method].name, "score (%)": score_cell(row),
             "peak memory (GB)": row.peak_bytes / 1e9, "training time (min)": row.train_seconds / 60,
             "trained parameters": row.trainable_parameters, "batch size": row.batch_size, "run": row.run}
            for row in rows
        ],
        "Score, memory, time and trained parameters of each run",
        {"peak memory (GB)": "%.2f", "training time (min)": "%.1f", "trained parameters": "localized",
         "batch size": "%d"},
    )  # fmt: skip
    st.caption("Peak memory is that of training; where nothing was trained, that of scoring.")
    if runs:
        in_a_notebook(runs, "cost")


page()
