"""What training changed, in words and figures, with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.address import here
from dashboard.answers import answers
from dashboard.computed import MOST_BASES, MOST_SEEDS, every_fine_tune, gained, notable, tuned
from dashboard.saved import SavedRun, stored_plan
from dashboard.store import the_runs
from dashboard.widgets import chart, downloads, say, table, where_to_click
from dashboard.wording import change_cell, score_cell
from slimnb.analysis.gains import mean_scores_frame
from slimnb.errors import SlimnbError
from slimnb.figures import METHOD_STYLE, differences, labels, scores
from slimnb.figures.drawing import rows_of
from slimnb.store.planned import how_complete


def page() -> None:
    everything = the_runs()
    runs = notable(everything, MOST_SEEDS)
    if not runs:
        st.info("No run of this study has a score yet. The page *Runs* says how far each is.")
        return
    where_to_click()
    _how_complete(everything)
    _what_is_left_out(everything, len(runs))
    gains, scores_ = gained(runs), mean_scores_frame(runs)
    names = labels(scores_)
    for answer in answers(runs, tuned(runs), gains, names):
        with st.container(border=True, gap="xsmall"):
            st.markdown(f"**{answer.question}**")
            for line in answer.lines:
                say(line)
            if answer.page and answer.choices is not None:
                query = here(**answer.choices)
                st.page_link(f"views/{answer.page}.py", label=answer.link, query_params=query, icon=":material/search:")
    _figures(runs, gains, scores_)
    _table(gains, scores_)


def _what_is_left_out(everything: Sequence[SavedRun], shown: int) -> None:
    """How many runs the first page does not speak of, and by which of its limits."""
    scored = [run for run in everything if run.record.scores]
    if shown == len(scored):
        return
    about, every = tuned(everything), every_fine_tune(everything)
    limits = []
    if len(about) < len(every):
        limits.append("of a large study the fine-tunes of the usual recipes for what was scored")
    if any(len(one.runs) > MOST_SEEDS for one in about):
        limits.append(f"{MOST_SEEDS} seeds of each fine-tune at most")
    if sum(len(one.runs) for one in every) < sum(run.config.training is not None for run in scored):
        limits.append("of a fine-tune's seeds those that are complete")
    if sum(run.config.method == "base" for run in scored) > MOST_BASES:
        limits.append(f"of more than {MOST_BASES} base runs those of the fine-tunes, or the first {MOST_BASES}")
    st.caption(f"{shown} of {len(scored)} scored runs are shown here: {'; '.join(limits)}. The other pages have all.")


def _figures(runs: Sequence[SavedRun], gains: pd.DataFrame, scored: pd.DataFrame) -> None:
    """Changes and scores; where there are several training sets, on what each was made for."""
    changes, all_scores, title = "gains_frame(runs)", "mean_scores_frame(runs)", "Change against base"
    if len({*gains["training_set"]}) > 1 and any(gains["target"]):
        gains, changes, title = (
            gains.loc[gains["target"]],
            f"{changes}.query('target')",
            "Change on what was trained for",
        )
        asked = "target or method == 'base'"
        scored, all_scores = scored.query(asked), f'{all_scores}.query("{asked}")'
        st.caption("The figures have what each training set was made for; *Alignment and retention* has all the rest.")
    if not gains.empty:
        chart(differences, gains, "differences", runs, changes, title=title)
    chart(scores, scored, "scores", runs, all_scores)


def _table(gains: pd.DataFrame, scored: pd.DataFrame) -> None:
    said = {(row.run, row.benchmark): change_cell(row) for row in rows_of(gains)}
    rows = [
        {"method": METHOD_STYLE[row.method].name,
         "trained on": Path(row.training_set).name if pd.notna(row.training_set) else None, "variant": row.variant,
         "seeds": row.seeds, "benchmark": row.benchmark, "metric": row.metric, "right": f"{row.k:.4g}/{row.n}",
         "score (%)": score_cell(row), "change (points)": said.get((row.run, row.benchmark)), "run": row.run}
        for row in rows_of(scored)
    ]  # fmt: skip
    shown = [name for name, value in rows[0].items() if name not in ("variant", "seeds") or
             any(row[name] not in ("", 1) for row in rows)]  # fmt: skip
    rows = [{name: row[name] for name in shown} for row in rows]
    table(rows, "Scores and changes against base, with 95% intervals")
    downloads(pd.DataFrame(rows), "scores")
    st.caption(
        "Intervals are 95%: Wilson's for a score, paired on the same items for a change. A change whose interval holds "
        "0 is not resolved with so many items. Runs that differ in the seed alone are taken together."
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
