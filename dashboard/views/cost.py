"""What a score cost in memory and time."""

from __future__ import annotations

import streamlit as st

from dashboard.store import the_runs
from dashboard.widgets import chart, choose, rows_of, table
from dashboard.wording import score_cell
from slimnb.figures import METHOD_STYLE, cost, cost_frame

spent = cost_frame(the_runs())
if spent.empty:
    st.info("No run of this study has a score yet.")
    st.stop()

spent = spent.astype({"peak_bytes": float, "train_seconds": float, "batch_size": float})  # NaN where unknown
benchmark = choose("Benchmark", list(dict.fromkeys(spent["benchmark"])), "benchmark")
left, right = st.columns(2)
with left:
    chart(cost(spent, "memory", benchmark))
with right:
    chart(cost(spent, "time", benchmark))

rows = [row for row in rows_of(spent) if row.benchmark == benchmark]
if len({row.batch_size for row in rows if row.batch_size > 0}) > 1:
    st.warning("These runs were trained at different batch sizes, so their costs do not compare the methods.")
table(
    [
        {"method": METHOD_STYLE[row.method].name, "score (%)": score_cell(row),
         "peak memory (GB)": row.peak_bytes / 1e9, "training time (min)": row.train_seconds / 60,
         "trained parameters": row.trainable_parameters, "batch size": row.batch_size, "run": row.run}
        for row in rows
    ],
    "Score, memory, time and trained parameters of each run",
    {"peak memory (GB)": "%.2f", "training time (min)": "%.1f", "trained parameters": "localized", "batch size": "%d"},
)  # fmt: skip
st.caption("Peak memory is that of training; where nothing was trained, that of scoring.")
