"""The app under test: opening a page, and reading what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.pages import PAGES as TITLES
from slimnb.io.files import write_json
from slimnb.store.runs import RunFolder
from tests.conftest import ROOT

APP = ROOT / "dashboard" / "app.py"
PAGES = list(TITLES)
EVIL = "<script>alert(1)</script> [link](http://example.org) :red[red] $x$ **bold**"

Open = Callable[..., AppTest]


def opened(page: str, runs: Path, monkeypatch: pytest.MonkeyPatch, *options: str, **address: Any) -> AppTest:
    """A page of the app over a directory of runs, where nothing went wrong."""
    monkeypatch.setattr("sys.argv", ["app.py", "--runs", str(runs), *options])
    app = AppTest.from_file(APP, default_timeout=120)
    app.run().switch_page(f"views/{page}.py")
    app.query_params.update(address)
    return checked(app.run())


def checked(app: AppTest) -> AppTest:
    wrong = [(one.value, *one.stack_trace) for one in app.exception]
    assert not wrong, wrong
    return app


def by_its_name_alone(app: AppTest, page: str) -> AppTest:
    """Another page of the same session, as from the sidebar."""
    app.query_params.clear()
    return checked(app.switch_page(f"views/{page}.py").run())


def links(app: AppTest) -> dict[str, dict[str, list[str]]]:
    """Label of each link to a page -> what that page is asked for."""
    return {one.proto.label: parse_qs(one.proto.query_string) for one in app.get("page_link")}


def of_another_model(run: RunFolder) -> RunFolder:
    """The run as one of a model called `other`."""
    run.config = run.config.model_copy(update={"model": "other"})
    write_json(run.path / "config.json", run.config.model_dump(mode="json"))
    return run


def texts(app: AppTest) -> str:
    return "\n".join(one.value for one in app.text)


def figures(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(one.proto.spec) for one in app.get("plotly_chart")]


def names(figure: dict[str, Any]) -> list[str]:
    return [trace["name"] for trace in figure["data"]]
