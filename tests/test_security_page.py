"""SECURITY.md names tests that exist; its figures and the README's are those that were measured."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.chaos.report import TO_BE_NONE
from tests.security_page import BLOCK, PAGES, ROOT, figures, measured

TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_each_test_that_it_names_exists(file: str, test: str) -> None:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_has_a_test() -> None:
    promises = TEXT.partition("## What was tried")[0].split("\n\n**")[1:]
    assert len(promises) >= 6 and all("::test_" in promise for promise in promises)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_figures_are_those_that_were_measured(page: Path) -> None:
    found = BLOCK.search(page.read_text("utf-8"))
    assert found is not None and found.group() == figures(measured()), "python -m tests.security_page writes them anew"


def test_nothing_measured_was_lost_wrong_or_grew() -> None:
    found = measured()
    rows = [row for section in ("faults", "inputs", "fuzzer") for row in found.get(section, {}).get("rows", [])]
    assert rows and not [row for row in rows if any(row.get(name) for name in TO_BE_NONE)]
    assert all(row["grew"] == "no" for row in found.get("long_run", {}).get("rows", []))
