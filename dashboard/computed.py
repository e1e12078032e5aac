"""What pages work out from saved runs, kept until a run's files change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.saved import SavedRun, changed
from dashboard.store import options
from slimnb.analysis.comparison import MARGIN, Comparison, compare_all
from slimnb.analysis.drilldown import Texts, items_frame, texts
from slimnb.analysis.fine_tunes import FineTune, fine_tunes
from slimnb.analysis.gains import gains_frame
from slimnb.analysis.guard import costs_differ_in
from slimnb.anatomy import Anatomy
from slimnb.anatomy.record import FILE as ANATOMY
from slimnb.data.load import data_directory
from slimnb.errors import SlimnbError

MOST_SHOWN = 12
"""Fine-tunes of which a page draws figures unless others are chosen: more is no figure to read."""
MOST_BASES = 12
"""Base runs that a page begins with: of more, those that the fine-tunes are held against."""
MOST_SEEDS = 5
"""Of a fine-tune, the first, that are put together on the first page."""


def tuned(runs: Sequence[SavedRun]) -> list[FineTune]:
    """The fine-tunes that a study is about: all of a small one.

    Of a large one those of the usual recipes whose training sets are made for a benchmark that was scored.
    """
    everything = every_fine_tune(runs)
    if len(everything) <= MOST_SHOWN:
        return everything
    usual = [one for one in everything if one.usual is None]
    return ([one for one in usual if one.target in one.runs[0].record.scores] or usual)[:MOST_SHOWN]


def every_fine_tune(runs: Sequence[SavedRun]) -> list[FineTune]:
    """`fine_tunes` of the scored runs."""
    return _fine_tunes(_state(runs), runs)


def notable(runs: Sequence[SavedRun], seeds: int = 1) -> list[SavedRun]:
    """The runs that a page begins with: bases, and so many seeds of each fine-tune that the study is about."""
    runs, about = [run for run in runs if run.record.scores], tuned(runs)
    bases = [run for run in runs if run.config.method == "base"]  # imported and merged ones among them
    held = {one.base.path for one in about if one.base}
    kept = bases
    if len(bases) > MOST_BASES:
        kept = [run for run in bases if run.path in held] or bases[:MOST_BASES]
    paths = {run.path for run in kept} | {run.path for one in about for run in one.runs[:seeds]}
    return [run for run in runs if run.path in paths]


def compared(runs: Sequence[SavedRun], margin: float = MARGIN) -> tuple[list[Comparison], list[str]]:
    """`compare_all` of the runs, the first of which is what the others are held against."""
    return _compared(_state(runs), margin, runs)


def gained(runs: Sequence[SavedRun]) -> pd.DataFrame:
    """`gains_frame` of the runs: each fine-tune against its base on every benchmark, seeds together."""
    return _gained(_state(runs), runs)


def anatomies(runs: Sequence[SavedRun]) -> tuple[dict[str, Anatomy], list[str]]:
    """The stored anatomies by run, and why one cannot be read."""
    found, broken = {}, []
    for run in runs:
        try:
            if anatomy := _anatomy((run.path, changed(run.path / ANATOMY)), run):
                found[run.path.name] = anatomy
        except SlimnbError as error:
            broken.append(str(error))
    return found, broken


def cost_notes(runs: Sequence[SavedRun]) -> list[str]:
    """Why the costs of trained runs do not compare their methods alone."""
    return [f"{pair}: {reason}" for pair, reason in _cost_differences(runs)]


def cost_reasons(runs: Sequence[SavedRun]) -> list[str]:
    """The same without the runs, each reason once."""
    return list(dict.fromkeys(reason for _, reason in _cost_differences(runs)))


def _cost_differences(runs: Sequence[SavedRun]) -> Iterator[tuple[str, str]]:
    trained = [run for run in runs if run.config.training]
    for run in trained[1:]:
        try:
            reasons = costs_differ_in(trained[0], run)
        except SlimnbError as error:
            reasons = [str(error)]
        yield from ((f"{trained[0].path.name} and {run.path.name}", reason) for reason in reasons)


def asked(benchmark: str) -> Texts:
    """A benchmark's texts, from the project or from the data directory named at the start."""
    try:
        return _texts(benchmark, data_directory(options().data))
    except SlimnbError as error:
        return Texts(missing=str(error))


def items(first: SavedRun, second: SavedRun, benchmark: str) -> pd.DataFrame:
    """`items_frame` of the two runs, with texts where there are any.

    Raises:
        SlimnbError: see there.
    """
    return _items(_state([first, second]), benchmark, str(options().data), first, second)


def _state(runs: Sequence[SavedRun]) -> int:
    """Another number for other runs, or others of their files. One number: streamlit takes long over 5,000 paths."""
    return hash(tuple((run.path, run.stamp) for run in runs))


# A file that is damaged later, behind run.json's back, is seen after ten minutes.
@st.cache_resource(ttl=600, max_entries=200, show_spinner=False)
def _compared(state: object, margin: float, _runs: Sequence[SavedRun]) -> tuple[list[Comparison], list[str]]:
    return compare_all(_runs, margin)


@st.cache_resource(ttl=600, max_entries=20, show_spinner=False)
def _fine_tunes(state: object, _runs: Sequence[SavedRun]) -> list[FineTune]:
    return fine_tunes([run for run in _runs if run.record.scores])


@st.cache_resource(ttl=600, max_entries=20, show_spinner="Comparing every fine-tune with its base")
def _gained(state: object, _runs: Sequence[SavedRun]) -> pd.DataFrame:
    return gains_frame(_runs)


@st.cache_resource(ttl=600, max_entries=50, show_spinner=False)
def _anatomy(state: object, _run: SavedRun) -> Anatomy | None:
    return _run.anatomy()


@st.cache_resource(ttl=600, max_entries=20, show_spinner=False)
def _items(state: object, benchmark: str, data: str, _first: SavedRun, _second: SavedRun) -> pd.DataFrame:
    return items_frame(_first, _second, benchmark, asked(benchmark))


@st.cache_resource(max_entries=10, show_spinner="Reading the data set")
def _texts(benchmark: str, data: Path | None) -> Texts:
    return texts(benchmark, data)
