"""What training changed, in words and figures, with its uncertainty."""

from __future__ import annotations

import streamlit as st

from dashboard.store import the_runs
from dashboard.widgets import chart, rows_of, table
from dashboard.wording import change_cell, score_cell, verdict
from slimnb.figures import METHOD_STYLE, differences, differences_frame, labels, scores, scores_frame

runs = the_runs()
scored, changed = scores_frame(runs), differences_frame(runs)
trained = {run.path.name: run.config.training.data for run in runs if run.config.training}

st.subheader("What training changed")
names = {} if changed.empty else labels(changed)
with st.container(gap="xsmall"):
    for row in rows_of(changed):
        st.text(verdict(names[row.run], row))
if changed.empty:
    st.text("There is no trained run with a base run beside it yet.")
else:
    chart(differences(changed))

chart(scores(scored))
changes = {(row.run, row.benchmark): change_cell(row) for row in rows_of(changed)}
table(
    [
        {"method": METHOD_STYLE[row.method].name, "trained on": trained.get(row.run),
         "benchmark": row.benchmark, "metric": row.metric, "right": f"{row.k}/{row.n}", "score (%)": score_cell(row),
         "change (points)": changes.get((row.run, row.benchmark)), "run": row.run}
        for row in rows_of(scored)
    ],
    "Scores and changes against base, with 95% intervals",
)  # fmt: skip
st.caption(
    "Intervals are 95%: Wilson's for a score, paired on the same items for a change. A change whose interval holds 0 "
    "is not resolved with so many items."
)
