"""The saved runs, as pages see them: found among known ones by id, so nothing from a URL becomes a path."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.saved import RECORDS, SavedRun, Stamp, stamp_of
from slimnb.config import METHODS
from slimnb.errors import SlimnbError
from slimnb.io.places import DEFAULT_RUNS
from slimnb.machine.collector import paused
from slimnb.store.runs import BrokenRun

REPOSITORY = Path(__file__).resolve().parents[1]

MANY = 200
"""Runs that are new at once, from which on it pays to think of Python's garbage collector."""

Seen = tuple[Stamp, SavedRun | BrokenRun]


@dataclass(frozen=True)
class Store:
    """Every run under a directory, newest study first, within a study by method in the fixed order."""

    root: Path
    runs: Sequence[SavedRun]
    broken: Sequence[BrokenRun]

    @cached_property
    def by_study(self) -> dict[str, list[SavedRun]]:
        studies: dict[str, list[SavedRun]] = defaultdict(list)
        for run in self.runs:
            studies[run.path.parent.name].append(run)
        for one in self.broken:  # a study of which nothing can be read is one, too
            if one.path.parent != self.root and _is_text(one.path.parent.name):
                studies[one.path.parent.name] += []
        return dict(studies)


class Shelf:
    """The runs under one directory, of which each look reads only those that changed since the last one."""

    def __init__(self, root: Path):
        self._root = root
        self._seen: dict[str, Seen] = {}
        self._store = Store(root, [], [])
        self._looking = threading.Lock()

    def look(self) -> Store:
        # Sessions share the shelf. The collector would walk the records of thousands of runs: a third of the time.
        with self._looking, paused():
            found = {place: self._read(place, outside) for place, outside in _places(self._root)}
            if found != self._seen:
                if len(found) > len(self._seen) + MANY:
                    _settle_in()
                self._seen = found
                self._store = self._sorted([one for _, one in found.values()])
            return self._store

    def _read(self, place: str, outside: bool) -> Seen:
        if outside:
            return (), BrokenRun(Path(place), "leads out of the runs directory and is not followed")
        before, stamp = self._seen.get(place), stamp_of(place)
        # A run whose process died turns from running to interrupted without any file changing.
        if before and before[0] == stamp and not (isinstance(before[1], SavedRun) and _running(before[1])):
            return before
        try:
            if not _is_text(place):
                raise SlimnbError("its name is not text")
            run = SavedRun.read(Path(place))
        except SlimnbError as error:
            return stamp, BrokenRun(Path(place), str(error))
        run.stamp = stamp
        return stamp, run

    def _sorted(self, found: Sequence[SavedRun | BrokenRun]) -> Store:
        runs = [one for one in found if isinstance(one, SavedRun)]
        runs.sort(key=lambda run: run.record.started)
        newest = {run.path.parent.name: run.record.started for run in runs}
        runs.sort(
            key=lambda run: (-newest[run.path.parent.name], run.path.parent.name, METHODS.index(run.config.method))
        )
        return Store(self._root, runs, [one for one in found if isinstance(one, BrokenRun)])


def look() -> Store:
    """Look at the runs anew; `the_store` and `the_runs` give what was seen, the same throughout a page."""
    store = st.session_state["store"] = _shelf(options().runs.resolve()).look()
    return store


def the_store() -> Store:
    return st.session_state["store"]


def the_runs() -> list[SavedRun]:
    """The runs of the study chosen in the sidebar."""
    return the_store().by_study[st.session_state["study"]]


def options() -> Any:
    """What stands behind `--` on the command line: runs, data and lm_eval, each a directory."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--runs", type=Path, default=REPOSITORY / DEFAULT_RUNS)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--lm-eval", type=Path)
    return parser.parse_known_args(sys.argv[1:])[0]


@st.cache_resource(max_entries=4, show_spinner=False)
def _shelf(root: Path) -> Shelf:
    return Shelf(root)


def _settle_in() -> None:
    """Take the records out of the collector's sight for good: they stay, and hold no cycles.

    Streamlit collects after every run of a page, and statsmodels in every correction for several tests: with 5,000 runs
    a third of a second each time.
    """
    gc.freeze()


def _running(run: SavedRun) -> bool:
    return run.record.status == "running"


def _places(root: Path) -> Iterator[tuple[str, bool]]:
    """Every folder root/STUDY/RUN that holds a run, or should, and whether it is a link out of root, to be left."""
    for study in _folders(str(root)):
        if _leads_out(study, root):
            yield study.path, True
            continue
        for run in _folders(study.path):
            if _leads_out(run, root):
                yield run.path, True
            elif any(os.path.lexists(f"{run.path}/{name}") for name in RECORDS):
                yield run.path, False


def _folders(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return sorted((one for one in entries if one.is_dir()), key=lambda one: one.name)
    except OSError:
        return []


def _leads_out(entry: os.DirEntry[str], root: Path) -> bool:
    return entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
