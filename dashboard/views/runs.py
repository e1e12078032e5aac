"""Every run with its status, found by filter and search; those that run now; and folders that cannot be read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.address import choose_several, choose_switch, choose_text
from dashboard.saved import SavedRun
from dashboard.store import look, the_runs, the_store
from dashboard.widgets import downloads, say, table
from dashboard.wording import moment, why_ended
from slimnb.config import METHODS
from slimnb.errors import SlimnbError
from slimnb.figures import METHOD_STYLE
from slimnb.units import duration

MOST_BENCHMARKS = 10
USUAL = ["status", "method", "trained on", "seed", "scores", "run", "started", "took", "reason"]
MORE = ["study", "model", "peak memory (GB)", "trained parameters (million)", "steps", "rank", "learning rate"]


def page() -> None:
    everywhere = choose_switch("All studies", "everywhere")
    runs = list(the_store().runs) if everywhere else the_runs()
    running = [run for run in runs if run.record.status == "running"]
    if running:
        _live(everywhere)
    left, middle, right = st.columns(3)
    with left:
        statuses = choose_several("Status", list(dict.fromkeys(run.record.status for run in runs)), "status")
    with middle:
        names = {METHOD_STYLE[method].name: method for method in METHODS}
        methods = [names[name] for name in choose_several("Method", list(names), "method")]
    with right:
        words = choose_text("Search in configurations", "search", help="All words must occur, such as `rank=16 mmlu`.")
    with st.expander("Columns"):
        columns = choose_several("Columns", USUAL + MORE, "column", USUAL, placeholder="none")
    shown = [
        run for run in runs
        if (not statuses or run.record.status in statuses) and (not methods or run.config.method in methods)
        and all(word in run.words for word in words.lower().split())
    ]  # fmt: skip
    st.markdown(f"**{len(shown)} of {len(runs)} runs**")
    if shown:
        rows = _rows(shown, [*columns, *(["study"] if everywhere and "study" not in columns else [])])
        table(rows, "The runs", {"peak memory (GB)": "%.2f"}, widths={"run": "large"})
        downloads(pd.DataFrame(rows), "runs")
    elif not runs:
        say("No run of this study can be read.")
    _broken()


def _rows(runs: Sequence[SavedRun], columns: Sequence[str]) -> list[dict[str, Any]]:
    scored = Counter(name for run in runs for name in run.record.scores)
    benchmarks = [name for name, _ in scored.most_common(MOST_BENCHMARKS)]
    return [_row(run, columns, benchmarks) for run in runs]


def _row(run: SavedRun, columns: Sequence[str], benchmarks: Sequence[str]) -> dict[str, Any]:
    record, config, costs = run.record, run.config, run.record.costs
    training, peak = config.training, costs.train_peak_bytes or costs.eval_peak_bytes
    scores = {name: result.score for name, result in record.scores.items()}
    fields: dict[str, Any] = {
        "status": record.status, "method": METHOD_STYLE[config.method].name,
        "trained on": training and Path(training.data).name, "seed": config.seed, "scores": None,
        "run": run.path.name, "started": moment(record.started),
        "took": duration(record.finished - record.started) if record.finished else None, "reason": why_ended(record),
        "study": run.path.parent.name, "model": config.model, "peak memory (GB)": peak / 1e9 if peak else None,
        "trained parameters (million)": costs.trainable_parameters and costs.trainable_parameters / 1e6,
        "steps": costs.steps, "rank": config.lora and config.lora.rank,
        "learning rate": training and training.learning_rate,
    }  # fmt: skip
    row: dict[str, Any] = {}
    for name in columns:
        if name == "scores":
            row |= {
                f"{one} (right)": f"{scores[one].k}/{scores[one].n}" if one in scores else None for one in benchmarks
            }
        else:
            row[name] = fields[name]
    return row


@st.fragment(run_every=5)
def _live(everywhere: bool) -> None:
    """Those that run now, looked at again every few seconds; nothing is polled when none runs."""
    look()
    runs = list(the_store().runs) if everywhere else the_runs()
    running = [run for run in runs if run.record.status == "running"]
    if not running:
        st.rerun()
    st.subheader("Running now")
    for run in running[:20]:
        say(f"{run.path.name}: {_how_far(run)}")


def _how_far(run: SavedRun) -> str:
    said = [f"since {duration(max(0.0, time.time() - run.record.started))}"]
    try:
        log = run.metrics()
    except SlimnbError as error:
        return f"{said[0]}; its log cannot be read: {error}"
    if len(log):
        last, training = log.iloc[-1], run.config.training
        of = f" of {training.steps}" if training and training.steps else ""
        said.append(f"step {last['step']:.0f}{of}, loss {last['loss']:.3f}" if "loss" in log else "training")
    said += [f"scored on {', '.join(run.record.scores)}"] if run.record.scores else []
    return ", ".join(said)


def _broken() -> None:
    store = the_store()
    if not store.broken:
        return
    st.subheader("Folders that cannot be read")
    st.caption(f"{len(store.broken)} in all studies. No page shows them, and none is changed by slimnb.")
    rows = []
    for one in store.broken:
        reason = one.reason.removeprefix(f"{one.path}: ").replace(f"{one.path}/", "")
        rows.append({"folder": str(one.path.relative_to(store.root)), "reason": reason})
    table(rows, "Folders that cannot be read", widths={"reason": "large"})
    with st.expander("As text"):
        for row in rows[:200]:
            say(f"{row['folder']}: {row['reason']}")


page()
