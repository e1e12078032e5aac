"""What training did to the weights: spectra, ranks, intruder dimensions, and what 4 bits would lose."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.address import choose, choose_several
from dashboard.computed import anatomies, notable
from dashboard.saved import SavedRun, changed
from dashboard.store import the_runs
from dashboard.widgets import chart, clean, downloads, say, table
from slimnb.anatomy import Anatomy, anatomy_frame, findings, overlap_finding
from slimnb.anatomy.record import FILE
from slimnb.anatomy.report import notes
from slimnb.figures import QUANTITIES, by_layer, intruders, quantization, spectra
from slimnb.figures.mechanism import ALL_KINDS, of_kind

MADE = "anatomy_frame(runs)"
LISTS = ["shape", "singular_values", "cosines"]


def page() -> None:
    trained = {run.path.name: run for run in the_runs() if run.config.training}
    stored = [name for name, run in trained.items() if changed(run.path / FILE)]
    if not stored:
        st.info("No run of this study has its anatomy stored. It is computed from the weights that a run kept:")
        _command(trained)
        return
    start = [run.path.name for run in notable([trained[name] for name in stored])] or stored[:3]
    names = choose_several("Runs", stored, "run", start)
    found, broken = anatomies([trained[name] for name in names])
    if broken:
        st.warning("An anatomy cannot be read:")
        for reason in broken:
            say(reason)
    runs = [trained[name] for name in found]
    frame = anatomy_frame(runs, list(found.values()))
    if len(trained) > len(stored):
        with st.expander("Runs without an anatomy"):
            _command({name: run for name, run in trained.items() if name not in stored})
    kinds = list(dict.fromkeys(frame["kind"])) if len(frame) else []
    titles = {quantity.title: column for column, quantity in QUANTITIES.items()}
    left, right = st.columns(2)
    with left:
        chosen = choose("Kind of matrix", [ALL_KINDS, *kinds], "kind", write=False)
        kind = None if chosen == ALL_KINDS else chosen
    with right:
        column = titles[choose("By layer", list(titles), "quantity", write=False)]
    left, right = st.columns(2)
    with left:
        chart(spectra, frame, "spectra", runs, MADE, kind=kind)
    with right:
        chart(by_layer, frame, "by_layer", runs, MADE, quantity=column, kind=kind)
    left, right = st.columns(2)
    with left:
        chart(intruders, frame, "intruders", runs, MADE, kind=kind)
    with right:
        model = _model_drawn(of_kind(frame, kind), runs)
        chart(quantization, frame, "quantization", runs, MADE, kind=kind, model=model)
    if not frame.empty:  # as it is, too, where an anatomy holds no matrix
        _in_words(found)
        st.subheader("Every matrix")
        shown = frame.drop(columns=LISTS)
        shown.columns = [str(name).replace("_", " ") for name in shown]
        table(shown.to_dict("records"), "Every trained matrix with its quantities")
        downloads(shown, "anatomy")


def _model_drawn(frame: pd.DataFrame, runs: Sequence[SavedRun]) -> str | None:
    """Whose weights `quantization` draws, where the runs are of several models."""
    models = {run.path.name: run.config.model for run in runs}
    if frame.empty or len({*models.values()}) == 1:
        return None
    return Path(models[frame["run"].iloc[0]]).name


def _in_words(found: Mapping[str, Anatomy]) -> None:
    """What the literature expects and what is seen, of one run."""
    st.subheader("Expected and seen")
    name = choose("Run", list(found), "of")
    said = findings(found[name])
    said += [overlap_finding(one, other, one.overlaps[other.run]) for one, other in combinations(found.values(), 2)
             if other.run in one.overlaps]  # fmt: skip
    for one in said:
        with st.container(border=True, gap="xsmall"):
            say(one.quantity)
            expected, seen = st.columns(2)
            with expected:
                st.caption("Expected")
                say(f"{one.expected} ({one.source})")
            with seen:
                st.caption("Here")
                say(one.shown)
    for note in notes(found[name]):
        say(f"Mind: {note}.")
    downloads(pd.DataFrame(map(asdict, said)), "findings")


def _command(runs: Mapping[str, Any]) -> None:
    places = [str(run.path) for run in list(runs.values())[:4]] or ["RUN"]
    st.code(clean(shlex.join(["slimnb", "anatomy", *places])), language="bash", wrap_lines=True)


page()
