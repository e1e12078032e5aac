"""How training went: loss, learning rate, speed and memory at each step."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.address import choose, choose_number, choose_several
from dashboard.computed import notable
from dashboard.store import the_runs
from dashboard.widgets import chart, downloads, say
from slimnb.errors import SlimnbError
from slimnb.figures import CURVES, curves_frame, training_curves


def page() -> None:
    trained = {run.path.name: run for run in the_runs() if run.config.training}
    if not trained:
        st.info("This study has no run that trained something.")
        return
    start = [run.path.name for run in notable(list(trained.values()))] or list(trained)[:3]
    runs = [trained[name] for name in choose_several("Runs", list(trained), "run", start)]
    logs = []
    for run in runs:
        try:
            logs.append(curves_frame([run]))
        except SlimnbError as error:
            st.warning("A training log cannot be read:")
            say(f"{run.path.name}: {error}")
    log = pd.concat(logs, ignore_index=True) if logs else pd.DataFrame()
    titles = {
        curve.title: column for column, curve in CURVES.items() if column in log and not np.isnan(log[column]).all()
    }
    left, right = st.columns(2)
    with left:
        column = titles.get(choose("What", list(titles) or [CURVES["loss"].title], "what", write=False), "loss")
    with right:
        help = "Weight of the past in a moving average; the pale line stays as measured."
        smoothing = choose_number("Smoothing", "smoothing", 0.0, 0.95, 0.0, 0.05, help=help)
    chart(training_curves, log, "curves", runs, "curves_frame(runs)", column=column, smoothing=smoothing)
    if len(log):
        downloads(log, "training")


page()
