"""Two runs on the same items: what changed, and in what their configurations differ."""

from __future__ import annotations

import streamlit as st

from dashboard.store import the_runs
from dashboard.widgets import chart, choose, rows_of, table
from dashboard.wording import change_cell, score_cell, setting
from slimnb.comparison import config_difference
from slimnb.figures import differences, pair_frame, scores_frame

runs = {run.path.name: run for run in the_runs()}
if len(runs) < 2:
    st.info("This study has no two runs to compare.")
    st.stop()

left, right = st.columns(2)
with left:
    first = runs[choose("First run", list(runs), "first")]
with right:
    second = runs[choose("Second run", list(runs), "second", start=1)]

pairs = pair_frame(first, second)
scores = [{row.benchmark: score_cell(row) for row in rows_of(scores_frame([run]))} for run in (first, second)]
refused = [row.refused for row in rows_of(pairs) if change_cell(row) == "refused"]
if refused:
    st.warning("Not compared:")
    for reason in dict.fromkeys(refused):
        st.text(reason)

chart(differences(pairs, "Change from first to second"))
table(
    [
        {"benchmark": row.benchmark, "items": row.n, "first (%)": scores[0].get(row.benchmark),
         "second (%)": scores[1].get(row.benchmark), "change (points)": change_cell(row),
         "fixed": row.fixed, "broken": row.broken, "p (Holm)": row.adjusted_p}
        for row in rows_of(pairs)
    ],
    "Scores of both runs and their paired difference",
    {"p (Holm)": "%.2g"},
)  # fmt: skip
st.caption(
    "Intervals are 95%. Fixed: wrong in the first run, right in the second. Broken: the other way round. "
    "p: McNemar's exact test, corrected for the number of benchmarks."
)
done = [row for row in rows_of(pairs) if change_cell(row) != "refused"]
for row in done:
    st.text(row.verdict)
for note in dict.fromkeys(note for row in done for note in row.notes):
    st.text(f"Mind: {note}")

st.subheader("Configurations differ in")
if fields := config_difference(first, second):
    table([{"field": name, "first": setting(one), "second": setting(two)} for name, (one, two) in fields.items()],
          "Fields in which the two configurations differ")  # fmt: skip
else:
    st.text("Nothing: both runs have the same configuration.")
