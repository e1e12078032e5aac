"""The saved runs, as pages see them: found among known ones by id, so nothing from a URL becomes a path."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from slimnb.config import METHODS
from slimnb.figures import scores_frame
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
    stats = ((str(path), path.stat(), path.parent.stat()) for path in sorted(root.glob("*/*/run.json")))
    return tuple((name, file.st_mtime_ns, folder.st_mtime_ns) for name, file, folder in stats)


# Half a minute at most: a run whose process died turns from running to interrupted without any file changing.
@st.cache_resource(ttl=30, max_entries=4, show_spinner=False)
def _load(root: Path, stamp: Stamp) -> Store:
    found, broken = scan(root)
    whole = []
    for run in found:
        try:
            scores_frame([run])
            whole.append(run)
        except (KeyError, TypeError, ValueError) as error:
            broken.append(BrokenRun(run.path, f"{run.path / 'run.json'}: scores cannot be read ({error!r})"))
    newest = {run.path.parent.name: run.record.started for run in whole}  # scan gives the oldest first
    whole.sort(key=lambda run: (-newest[run.path.parent.name], run.path.parent.name, METHODS.index(run.config.method)))
    return Store(root, whole, broken)
