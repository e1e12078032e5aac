"""Two or more runs on the same items: what changed, how sure that is, and in what their configurations differ."""

from __future__ import annotations

import json
from collections.abc import Sequence

import streamlit as st

from dashboard.address import choose, choose_number, choose_several, here
from dashboard.computed import compared, cost_notes, notable
from dashboard.saved import SavedRun
from dashboard.store import the_runs
from dashboard.widgets import chart, downloads, records, say, table, where_to_click
from dashboard.wording import setting
from slimnb.analysis.comparison import Comparison, config_difference
from slimnb.analysis.exports import comparison_frame, comparison_record
from slimnb.analysis.gains import mean_scores_frame
from slimnb.figures import comparisons_frame, differences, scores

BEHIND = ("metric", "n", "seeds", "first %", "second %", "verdict")


def page() -> None:
    runs = {run.path.name: run for run in the_runs() if run.record.scores}
    if len(runs) < 2:
        st.info("This study has no two scored runs to compare.")
        return
    where_to_click()
    left, right = st.columns(2)
    with left:
        first = choose("Held against", list(runs), "first", help="What the others are compared with, usually base.")
    with right:
        margin = choose_number("Equally good within (points)", "margin", 0.5, 20.0, 2.0, 0.5)
    options = [name for name in runs if name != first]
    start = [run.path.name for run in notable(list(runs.values())) if run.path.name != first]
    others = choose_several("Runs", options, "other", start, placeholder="choose one or more")
    if not others:
        st.info("Choose at least one run to hold against the first.")
        return
    chosen = [runs[name] for name in (first, *others)]
    done, refused = compared(chosen, margin / 100)
    if refused:
        st.warning("Not compared, and why:")
        for reason in dict.fromkeys(refused):
            say(reason)
    elif not done:
        st.warning("Not compared: these runs were not scored on the same benchmark.")
    _changes(chosen, done, margin / 100)
    chart(scores, mean_scores_frame(chosen), "scores", chosen, "mean_scores_frame(runs)")
    if done:
        st.page_link("views/items.py", label="The items that changed", icon=":material/quiz:",
                     query_params=here(first=first, second=others[0]))  # fmt: skip
    _differ_in(chosen)


def _changes(chosen: Sequence[SavedRun], done: list[Comparison], margin: float) -> None:
    """The forest plots and the table."""
    against = [one for one in done if chosen[0].record.id in one.first.runs]
    methods = {run.record.id: run.config.method for run in chosen}
    sides = {(methods[one.first.runs[0]], methods[one.second.runs[0]]) for one in against}
    as_good = sides == {("lora", "qlora")}  # the question is equivalence
    picked = "one for one in compare_all(runs, {:g})[0] if runs[0].record.id {} one.first.runs"
    made = f"comparisons_frame([{picked}], runs)"
    chart(
        differences, comparisons_frame(against, chosen), "equivalence" if as_good else "differences", chosen,
        made.format(margin, "in"), key="against", title="Change against the first", margin=margin if as_good else None,
    )  # fmt: skip
    if between := [one for one in done if one not in against]:
        chart(
            differences, comparisons_frame(between, chosen), "equivalence", chosen,
            made.format(margin, "not in"), key="between", title="QLoRA against LoRA", margin=margin,
        )  # fmt: skip
    if not done:
        return
    frame = comparison_frame(done)
    shown = sorted(frame.columns, key=lambda name: name in BEHIND)  # as the export has it, the telling ones first
    table(records(frame.reindex(columns=shown)), "Scores of both sides and their paired difference")
    whole = [comparison_record(one) for one in done]
    downloads(frame, "comparison", lambda: json.dumps(whole, indent=2))
    st.caption(
        "Intervals are 95%. Fixed: wrong in the first, right in the second. Broken: the other way round. Runs that "
        "differ in the seed alone are taken together: then fixed and broken are the items that are more and less often "
        "right. p: McNemar's exact test, over several seeds the sign-flip test, where a benchmark has subjects at "
        "least the test clustered by them; Holm-corrected over the benchmarks of a pair. Resolvable: the change that "
        "so many items show in 4 cases of 5."
    )
    with st.expander("In words"):
        for one in done:
            say(one.verdict)
    for note in dict.fromkeys(note for one in done for note in one.warnings):
        say(f"Mind: {note}")
    for note in cost_notes(chosen):
        say(f"Mind, of their costs: {note}")


def _differ_in(chosen: Sequence[SavedRun]) -> None:
    """The fields in which the configurations differ, and no others; base has no training that could differ."""
    st.subheader("Configurations differ in")
    trained = [run for run in chosen if run.config.training]
    compared = trained if len(trained) > 1 else chosen
    found = {run.path.name: config_difference(compared[0], run) for run in compared[1:]}
    fields = sorted({field for differing in found.values() for field in differing})
    if not fields:
        say("Nothing: all runs have the same configuration.")
        return
    rows = []
    for field in fields:
        same = next(differing[field][0] for differing in found.values() if field in differing)
        values = {
            name: setting(differing[field][1] if field in differing else same) for name, differing in found.items()
        }
        rows.append({"field": field, compared[0].path.name: setting(same), **values})
    table(rows, "Fields in which the configurations differ")


page()
