"""Damaged runs: every page is shown, each run is named with its reason, and nothing outside is read."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.browser.damage import EVIL, KINDS, SECRET, STUDY, damaged_runs
from tests.conftest import MakeRun
from tests.dashboard.app import PAGES, opened, texts

LISTED = {name: kind for name, kind in KINDS.items() if kind.page == "runs" and kind.reason}
READ: list[str] = []
sys.addaudithook(lambda event, args: READ.append(str(args[0])) if event == "open" else None)


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> Iterator[Path]:
    yield damaged_runs(make_run, tmp_path)


def all_of(app: AppTest) -> str:
    """Everything a page sends to the browser, as text."""
    return str(app) + "".join(str(one.value) for one in app.dataframe)


def test_there_are_fifty_kinds_of_damage():
    assert len(KINDS) >= 50


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_shown(page: str, runs: Path, monkeypatch: pytest.MonkeyPatch):
    READ.clear()
    app = opened(page, runs, monkeypatch, study=STUDY, everywhere="1", teach="1")
    assert SECRET not in all_of(app)
    outside = os.fspath(runs.parent / "outside")
    assert not [path for path in READ if os.path.realpath(path).startswith(outside)]


def test_each_damaged_run_is_named_with_its_reason(runs: Path, monkeypatch: pytest.MonkeyPatch):
    app = opened("runs", runs, monkeypatch, study=STUDY)
    said = texts(app)
    lines = {line.split(": ", 1)[0]: line for line in said.splitlines() if line.startswith(f"{STUDY}/")}
    for name, kind in LISTED.items():
        shown = f"{STUDY}/{name}" if name != "folder-not-text" else f"{STUDY}/name-\ufffd\ufffd"
        assert str(kind.reason) in lines[shown], name
    assert "study-link-out: leads out of the runs directory" in said
    table: Any = app.dataframe[0].value
    sound = {name for name, kind in KINDS.items() if name not in LISTED and not name.startswith("folder")}
    assert sound < set(table["run"])


@pytest.mark.parametrize("name", [name for name in KINDS if name not in LISTED and not name.startswith("folder")])
def test_a_part_that_is_damaged_is_named_where_it_is_looked_at(
    name: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    runs, kind = damaged_runs(make_run, tmp_path, [name]), KINDS[name]
    base = next(path.name for path in (runs / STUDY).iterdir() if path.name.startswith("base-"))
    chosen: dict[str, dict[str, Any]] = {
        "compare": {"first": base, "other": [name]},
        "items": {"first": base, "second": name},
        "training": {"run": [name]},
        "mechanism": {"run": [name]},
        "alignment": {},
    }
    for page in [kind.page] if kind.reason and kind.page in chosen else chosen:
        app = opened(page, runs, monkeypatch, study=STUDY, **chosen[page])
        assert SECRET not in all_of(app)
        if kind.page == page:
            assert kind.reason is None or kind.reason in texts(app)


@pytest.mark.parametrize("name", ["benchmark-leads-out", "benchmark-two-lines", "markup-everywhere"])
def test_a_benchmarks_name_leads_nowhere(name: str, make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    runs = damaged_runs(make_run, tmp_path, [name])
    app = opened("items", runs, monkeypatch, study=STUDY, first=name, second=name)
    reason = {"benchmark-leads-out": "leads out of the runs directory", "benchmark-two-lines": "cannot be read"}
    assert reason.get(name, EVIL) in texts(app)
