"""The saved runs, as pages see them: found among known ones by id, so nothing from a URL becomes a path."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from slimnb.config import METHODS
from slimnb.runs import DEFAULT_RUNS, BrokenRun, RunFolder, scan

REPOSITORY = Path(__file__).resolve().parents[1]

Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Store:
    """Every run under a directory, newest study first, within a study by method in the fixed order."""

    root: Path
    runs: list[RunFolder]
    broken: list[BrokenRun]

    @property
    def studies(self) -> list[str]:
        return list(dict.fromkeys(one.path.parent.name for one in [*self.runs, *self.broken]))


def the_store() -> Store:
    """The runs under `--runs DIR`, or those of the repository."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--runs", type=Path, default=REPOSITORY / DEFAULT_RUNS)
    root = parser.parse_known_args(sys.argv[1:])[0].runs.resolve()
    return _load(root, _stamp(root))


def the_runs() -> list[RunFolder]:
    """The runs of the study chosen in the sidebar."""
    return [run for run in the_store().runs if run.path.parent.name == st.session_state["study"]]


def _stamp(root: Path) -> Stamp:
    """Changes whenever a run's record does: files are replaced, so their directory's time changes with them."""
    return tuple((str(path), _changed(path), _changed(path.parent)) for path in sorted(root.glob("*/*/run.json")))


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0  # gone since it was listed, or never readable: the scan says so


# Half a minute at most: a run whose process died turns from running to interrupted without any file changing.
@st.cache_resource(ttl=30, max_entries=4, show_spinner=False)
def _load(root: Path, stamp: Stamp) -> Store:
    runs, broken = scan(root)
    newest = {run.path.parent.name: run.record.started for run in runs}  # scan gives the oldest first
    runs.sort(key=lambda run: (-newest[run.path.parent.name], run.path.parent.name, METHODS.index(run.config.method)))
    return Store(root, runs, broken)
