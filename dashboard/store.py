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
    """Every run under a directory: STUDY/RUN_ID -> run, newest study first, methods in their fixed order."""

    root: Path
    runs: dict[str, RunFolder]
    broken: list[BrokenRun]

    @property
    def studies(self) -> list[str]:
        names = [key.split("/")[0] for key in self.runs]
        return list(dict.fromkeys([*names, *(one.path.parent.name for one in self.broken)]))

    def of(self, study: str | None) -> dict[str, RunFolder]:
        """A study's runs by the names of their directories."""
        return {run.path.name: run for run in self.runs.values() if run.path.parent.name == study}


def the_store() -> Store:
    """The runs under `--runs DIR`, or those of the repository."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--runs", type=Path, default=REPOSITORY / DEFAULT_RUNS)
    root = parser.parse_known_args(sys.argv[1:])[0].runs.resolve()
    return _load(root, _stamp(root))


def the_runs() -> list[RunFolder]:
    """The runs of the study chosen in the sidebar."""
    return list(the_store().of(st.session_state.get("study")).values())


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
    newest: dict[str, float] = {}
    for run in whole:
        newest[run.path.parent.name] = max(run.record.started, newest.get(run.path.parent.name, 0))
    whole.sort(key=lambda run: (-newest[run.path.parent.name], run.path.parent.name, METHODS.index(run.config.method)))
    return Store(root, {f"{run.path.parent.name}/{run.path.name}": run for run in whole}, broken)
