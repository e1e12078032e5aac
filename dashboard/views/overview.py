"""What training changed, in words and figures, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.address import here
from dashboard.answers import answers
from dashboard.computed import changes, notable
from dashboard.saved import SavedRun, stored_plan
from dashboard.store import the_runs
from dashboard.widgets import chart, downloads, say, table, where_to_click
from dashboard.wording import change_cell, score_cell
from slimnb.errors import SlimnbError
from slimnb.figures import METHOD_STYLE, differences, scores, scores_frame
from slimnb.figures.drawing import rows_of
from slimnb.store.planned import how_complete


def page() -> None:
    everything = the_runs()
    runs = notable(everything)
    if not runs:
        st.info("No run of this study has a score yet. The page *Runs* says how far each is.")
        return
    where_to_click()
    _how_complete(everything)
    if len(runs) < len(everything):
        scored = sum(bool(run.record.scores) for run in everything)
        st.caption(f"{len(runs)} of {scored} scored runs are shown here, of a large study the newest of each method. "
                   "The other pages have them all.")  # fmt: skip
    for answer in answers(runs):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{answer.question}**")
            for line in answer.lines:
                say(line)
            if answer.page and answer.choices is not None:
                query = here(**answer.choices)
                st.page_link(f"views/{answer.page}.py", label=answer.link, query_params=query, icon=":material/search:")

    changed, scored = changes(runs), scores_frame(runs)
    if not changed.empty:
        chart(differences, changed, "differences", runs, "differences_frame(runs)")
    chart(scores, scored, "scores", runs, "scores_frame(runs)")
    said = {(row.run, row.benchmark): change_cell(row) for row in rows_of(changed)}
    trained = {run.path.name: Path(run.config.training.data).name for run in runs if run.config.training}
    rows = [
        {"method": METHOD_STYLE[row.method].name, "trained on": trained.get(row.run), "benchmark": row.benchmark,
         "metric": row.metric, "right": f"{row.k}/{row.n}", "score (%)": score_cell(row),
         "change (points)": said.get((row.run, row.benchmark)), "run": row.run}
        for row in rows_of(scored)
    ]  # fmt: skip
    table(rows, "Scores and changes against base, with 95% intervals")
    downloads(pd.DataFrame(rows), "scores")
    st.caption(
        "Intervals are 95%: Wilson's for a score, paired on the same items for a change. A change whose interval holds "
        "0 is not resolved with so many items."
    )


def _how_complete(runs: Sequence[SavedRun]) -> None:
    """What a study that is not complete has not measured yet, before anyone reads it as an answer."""
    try:
        planned = stored_plan(runs[0].path.parent)
    except SlimnbError as error:
        say(error)
        return
    if said := how_complete(planned, {run.path.name for run in runs if run.record.status == "completed"}):
        st.warning(said, icon=":material/hourglass:")


page()
