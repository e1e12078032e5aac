"""Training set x benchmark: what each fine-tune gained and lost, beside what was predicted before training."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard.address import choose, choose_several
from dashboard.computed import gained
from dashboard.saved import SavedRun, stored_alignment
from dashboard.store import the_runs
from dashboard.widgets import chart, clean, downloads, say, table
from dashboard.wording import change_cell
from slimnb.alignment import Alignment
from slimnb.alignment.record import PREDICTORS
from slimnb.analysis.gains import alignment_frame, plane_frame
from slimnb.config import METHODS
from slimnb.errors import SlimnbError
from slimnb.figures import METHOD_STYLE, alignment_matrix, gains_matrix, retention_plane
from slimnb.figures.alignment import fine_tunes
from slimnb.figures.drawing import rows_of

MOST = 60
"""Fine-tunes of a study that are held against their base, the newest: more is no matrix to read."""


def page() -> None:
    runs = [run for run in the_runs() if run.record.scores]
    tuned = sorted((run for run in runs if run.config.training), key=lambda run: -run.record.started)
    if not tuned:
        st.info("This study has no scored run that was trained. A grid of training sets and benchmarks is a study:")
        st.code("slimnb study run data/studies/quick.yaml", language="bash")
        return
    methods = {
        METHOD_STYLE[method].name: method for method in METHODS if any(run.config.method == method for run in tuned)
    }
    names = choose_several("Method", list(methods), "method")
    chosen = [run for run in tuned if not names or run.config.method in [methods[name] for name in names]]
    kept = {id(run) for run in chosen[:MOST]}
    if len(chosen) > MOST:
        st.caption(f"The newest {MOST} of {len(chosen)} fine-tunes are held against their base.")
    shown = [run for run in runs if run.config.method == "base" or id(run) in kept]
    frame = gained(shown)
    refused = frame.dropna(subset=["refused"])
    if len(refused):
        st.warning("Not compared, and why:")
        for row in rows_of(refused)[:20]:
            say(f"{row.run} on {row.benchmark}: {row.refused}")
    _matrices(frame, shown)
    chart(retention_plane, plane_frame(frame), "retention", shown, "plane_frame(gains_frame(runs))")
    _retained(frame)


def _matrices(frame: pd.DataFrame, runs: Sequence[SavedRun]) -> None:
    """Measured beside predicted."""
    study = runs[0].path.parent
    try:
        alignment = stored_alignment(study)
    except SlimnbError as error:
        st.warning("The stored alignment cannot be read:")
        say(error)
        alignment = None
    chart(gains_matrix, frame, "gains", runs, "gains_frame(runs)")
    if alignment and alignment.predictors:
        predictor = choose("Predictor", list(alignment.predictors), "predictor", write=False,
                           help="How near a training set is to a benchmark, from cheap to dear.")  # fmt: skip
        if predictor in PREDICTORS:
            st.caption(f"By {PREDICTORS[predictor]}. Higher is nearer.")
        predicted = _in_the_order_of(frame, alignment, predictor)
        made = f"alignment_frame(read_alignment(study), {predictor!r})"
        chart(alignment_matrix, predicted, "alignment", runs, made, predictor=predictor)
        return
    with st.expander("No alignment was predicted for this study"):
        st.markdown("It is predicted before anything is trained, and shown here once it is stored:")
        sets = ",".join(dict.fromkeys(run.config.training.data for run in runs if run.config.training))
        benchmarks = ",".join(dict.fromkeys(frame["benchmark"]))
        given = ["--train-on", sets, "--benchmarks", benchmarks, "--save", str(study)]
        st.code(clean(shlex.join(["slimnb", "alignment", *given])), language="bash", wrap_lines=True)


def _in_the_order_of(frame: pd.DataFrame, alignment: Alignment, predictor: str) -> pd.DataFrame:
    """The predictions, rows and columns as the measured matrix has them, and then what was not trained."""
    predicted = alignment_frame(alignment, predictor)
    for column in ("benchmark", "training_set"):
        order = {name: place for place, name in enumerate(dict.fromkeys([*frame[column], *predicted[column]]))}
        predicted = predicted.sort_values(column, key=lambda names, order=order: names.map(order), kind="stable")
    return predicted.reset_index(drop=True)


def _retained(frame: pd.DataFrame) -> None:
    """What is still right of what the base had right."""
    elsewhere = frame.loc[~frame["target"].astype(bool) & frame["refused"].isna()]
    if elsewhere.empty:
        return
    st.subheader("What was not trained for")
    names = fine_tunes(frame)
    rows = [
        {
            "fine-tune": names[row.run], "benchmark": row.benchmark, "net change (points)": change_cell(row),
            "still right (%)": "none to lose" if pd.isna(row.kept) else
            f"{100 * row.kept:.1f} ({100 * row.kept_low:.1f} to {100 * row.kept_high:.1f})",
            "by luck alone (%)": "-" if pd.isna(row.by_luck) else f"{100 * row.by_luck:.1f}",
            "lost": int(row.broken), "won": int(row.fixed),
            "right in base": int(row.right), "run": row.run,
        }
        for row in rows_of(elsewhere)
    ]  # fmt: skip
    table(rows, "Items that the base had right and each fine-tune still has, by benchmark", widths={"run": "large"})
    downloads(pd.DataFrame(rows), "retention")
    st.caption(
        "Still right: of the items that the base answers right, with the 95% interval. By luck alone: what it would be "
        "if every guess fell anew and nothing known were lost. Of several seeds, still right and the net change are "
        "means, lost and won the items less and more often right. Only the net change says lost."
    )
    with st.expander("In words"):
        for row in rows_of(elsewhere):
            say(f"{row.verdict}.")


page()
