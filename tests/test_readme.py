"""The README's numbers are those of the runs that ship with the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slimnb.cli import app

ROOT = Path(__file__).resolve().parents[1]


def test_the_demos_output_is_that_of_the_shipped_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    shown = CliRunner().invoke(app, ["study", "show", str(ROOT / "data" / "runs" / "reference")])
    assert shown.exit_code == 0
    block = re.search(
        r"<!-- demo: begin -->\n```\n(.*?)```\n<!-- demo: end -->", (ROOT / "README.md").read_text(), re.S
    )
    assert block is not None
    assert [line.rstrip() for line in block.group(1).splitlines()] == [
        line.rstrip() for line in shown.stdout.splitlines()
    ]
