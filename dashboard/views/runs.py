"""Every run of the study with its status, and the folders that cannot be read."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from dashboard.store import the_runs, the_store
from dashboard.widgets import table
from dashboard.wording import setting
from slimnb.figures import METHOD_STYLE

rows = []
for run in the_runs():
    record, config = run.record, run.config
    scores = [f"{name} {result.score.k}/{result.score.n}" for name, result in record.scores.items()]
    rows.append({
        "run": run.path.name, "status": record.status, "scores (right of all)": ", ".join(scores),
        "method": METHOD_STYLE[config.method].name, "trained on": setting(config.training and config.training.data),
        "seed": config.seed, "started": f"{datetime.fromtimestamp(record.started):%Y-%m-%d %H:%M}",
        "error": setting(record.error),
    })  # fmt: skip
if rows:
    table(rows, "The runs of the study")
else:
    st.text("No run of this study can be read.")

if broken := the_store().broken:
    st.header("Folders that cannot be read")
    table([{"study": one.path.parent.name, "run": one.path.name, "reason": one.reason} for one in broken],
          "Broken runs and what is wrong with each")  # fmt: skip
