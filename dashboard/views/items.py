"""The items on which two runs differ, and what each run answered to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.address import choose, choose_range, choose_several, go
from dashboard.computed import asked, items
from dashboard.saved import SavedRun
from dashboard.store import the_runs
from dashboard.widgets import clean, downloads, records, say, table
from dashboard.wording import HOW_TO_READ
from slimnb.analysis.drilldown import CHANGES, SIDES, item_detail
from slimnb.analysis.guard import comparability
from slimnb.errors import SlimnbError
from slimnb.training.training_sets import made_for

POINTS = 100.0  # confidences are shown in percent, their changes in points

COLUMNS = ("id", "change", "subject", "confidence_change", "gold", "first", "second", "length", "first_confidence",
           "second_confidence")  # fmt: skip


def page() -> None:
    runs = {run.path.name: run for run in the_runs() if run.record.scores}
    if len(runs) < 2:
        st.info("This study has no two scored runs.")
        return
    left, middle, right = st.columns(3)
    with left:
        first = runs[choose("First run", list(runs), "first")]
    with middle:
        second = runs[choose("Second run", list(runs), "second", start=1)]
    shared = [name for name in first.record.scores if name in second.record.scores]
    if not shared:
        st.info("These two runs were not scored on the same benchmark.")
        return
    trained_for = made_for(second.config.training.data) if second.config.training else None
    with right:
        start = shared.index(trained_for) if trained_for in shared else 0
        benchmark = choose("Benchmark", shared, "benchmark", start)
    try:
        frame, why_not = items(first, second, benchmark), comparability(first, second, benchmark).refused
    except SlimnbError as error:
        st.warning("The items of these runs cannot be shown:")
        say(error)
        return
    if why_not:
        st.warning("Read these items one by one, not as a count, for the two runs may not be compared:")
        for reason in why_not:
            say(reason)
    counts = frame["change"].value_counts()
    st.markdown(", ".join(f"{counts.get(change, 0)} {change}" for change in CHANGES) + ".")
    shown = _filtered(frame)
    st.markdown(f"**{len(shown)} of {len(frame)} items**")
    if missing := asked(benchmark).missing:
        say(f"Their text is not here: {missing}")
    if len(shown):
        _listed(shown, benchmark)
        _one(first, second, benchmark, list(shown["id"]), list(frame["id"]))


def _filtered(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that the boxes leave; a box stands there only where it can tell items apart."""
    left, middle = st.columns(2)
    keep = pd.Series(True, index=frame.index)
    with left:
        if changes := choose_several("Change", CHANGES, "change", help="Fixed: wrong in the first run, right in the "
                                     "second. Broken: the other way round."):  # fmt: skip
            keep &= frame["change"].isin(changes)
    subjects = sorted(frame["subject"].dropna().unique())
    with middle:
        if len(subjects) > 1 and (chosen := choose_several("Subject", subjects, "subject")):
            keep &= frame["subject"].isin(chosen)
    left, middle = st.columns(2)
    length, moved = frame["length"], POINTS * frame["confidence_change"]
    low, high = float(np.min(length)), float(np.max(length))
    with left:
        if low < high:
            ends = choose_range("Length of the question (characters)", "length", low, high, 1.0)
            keep &= length.between(*ends) | (ends == (low, high))
    with middle:
        if not np.isnan(moved).all():
            ends = choose_range(
                "Confidence in the right answer changes by (points)", "confidence", -POINTS, POINTS, 1.0
            )
            keep &= moved.between(*ends) | (ends == (-POINTS, POINTS))
    return frame.loc[keep]


def _listed(shown: pd.DataFrame, benchmark: str) -> None:
    columns = [name for name in COLUMNS if name not in ("subject", "length") or len(set(shown[name])) > 1]
    frame = shown.reindex(columns=columns).dropna(axis="columns", how="all")
    percent = [str(name) for name in frame if "confidence" in str(name)]
    seen = frame.assign(**{name: POINTS * frame[name] for name in percent})
    seen.columns = [str(name).replace("_", " ") for name in seen]
    table(records(seen), "The items; select a row to read the item below",
          {name.replace("_", " "): "%.1f" for name in percent}, key="items_table",
          on_select=partial(_open, list(frame["id"])), selection_mode="single-row")  # fmt: skip
    if st.session_state.get("teach"):
        st.caption(HOW_TO_READ["items"])
    downloads(frame, f"items-{benchmark if benchmark.isidentifier() else 'benchmark'}")


def _open(ids: list[str]) -> None:
    selected: list[int] = st.session_state["items_table"]["selection"]["rows"]
    for row in selected:
        if row < len(ids):
            go("item", ids[row])


def _one(first: SavedRun, second: SavedRun, benchmark: str, ids: Sequence[str], known: Sequence[str]) -> None:
    st.subheader("One item")
    left, previous, following = st.columns([6, 1, 1], vertical_alignment="bottom")
    with left:
        item_id = choose("Item", ids, "item", quietly=known, write=False)
    place = ids.index(item_id)
    for column, label, to in ((previous, "Previous", place - 1), (following, "Next", place + 1)):
        there = 0 <= to < len(ids)
        column.button(label, on_click=go, args=("item", ids[to] if there else item_id), disabled=not there,
                      width="stretch")  # fmt: skip
    try:
        detail = item_detail(first, second, benchmark, item_id, asked(benchmark))
    except SlimnbError as error:
        st.warning("This item cannot be shown:")
        say(error)
        return
    with st.container(border=True):
        say(detail["text"] or f"The text is not here: {detail['text_missing']}")
    say(f"Right answer: {detail['gold']}")
    if detail["choices"]:
        _choices(detail["choices"])
    for column, side, run, answer in zip(st.columns(2), SIDES, (first, second), detail["answers"], strict=True):
        with column:
            _answer(side, run, answer)


def _choices(choices: Sequence[dict[str, Any]]) -> None:
    rows = []
    for line in choices:
        row = {"choice": line["choice"], "right": "right" if line["right"] else ""}
        for side in SIDES:
            row |= {
                f"{side}: log-likelihood": line[f"{side}_log_likelihood"],
                f"{side}: confidence (%)": POINTS * line[f"{side}_probability"],
                f"{side}: picked": "picked" if line[f"{side}_picks"] else "",
            }
        rows.append(row)
    formats = {f"{side}: {name}": form for side in SIDES
               for name, form in (("log-likelihood", "%.2f"), ("confidence (%)", "%.1f"))}  # fmt: skip
    table(rows, "The choices with both runs' log-likelihoods", formats)


def _answer(side: str, run: SavedRun, answer: dict[str, Any]) -> None:
    st.markdown(f"**{side.capitalize()} run**")
    say(run.path.name)
    if "generated" not in answer:
        right = ", ".join(f"{metric} {'right' if good else 'wrong'}" for metric, good in answer["right"].items())
        say(f"Answered {answer['prediction']}: {right}")
        return
    st.code(clean(answer["generated"]), language=None, wrap_lines=True)
    rows = [{"read by": metric, "found": found, "is": "right" if answer["right"].get(metric) else "wrong"}
            for metric, found in answer["extracted"].items()]  # fmt: skip
    table(rows, f"What was found in the {side} run's answer")
    if answer["hit_limit"]:
        say("The answer ran into the length limit.")


page()
