"""Every run of the study with its status, and the folders that cannot be read."""

from __future__ import annotations

import streamlit as st

from dashboard.store import the_runs, the_store
from dashboard.widgets import table
from dashboard.wording import moment
from slimnb.figures import METHOD_STYLE

rows = []
for run in the_runs():
    record, config = run.record, run.config
    scores = {f"{name} (right)": f"{result.score.k}/{result.score.n}" for name, result in record.scores.items()}
    rows.append({
        "status": record.status, "method": METHOD_STYLE[config.method].name,
        "trained on": config.training and config.training.data, **scores, "run": run.path.name,
        "started": moment(record.started), "error": record.error,
    })  # fmt: skip
if rows:
    table(rows, "The runs of the study")
else:
    st.text("No run of this study can be read.")

if broken := the_store().broken:
    st.subheader("Broken runs")
    for one in broken:
        st.text(f"{one.path.parent.name}/{one.path.name}: {one.reason}")
