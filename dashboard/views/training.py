"""The loss of each run while it was trained."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from dashboard.store import the_runs
from dashboard.widgets import chart, choose_several
from slimnb.errors import SlimnbError
from slimnb.figures import curves_frame, training_curves

trained = {run.path.name: run for run in the_runs() if run.config.training}
logs = []
for name in choose_several("Runs", list(trained), "run"):
    try:
        log = curves_frame([trained[name]])
        logs.append(log if log.empty else log.astype({"step": int, "loss": float}))
    except (SlimnbError, OSError, TypeError, ValueError) as error:
        st.warning("A training log cannot be read:")
        st.text(f"{name}: {error}")
chart(training_curves(pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()))
