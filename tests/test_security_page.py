"""SECURITY.md names tests that exist, and its figures are those that were measured."""

from __future__ import annotations

import ast
import re

import pytest

from tests.security_page import BLOCK, PAGE, figures, measured

TEXT = PAGE.read_text("utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[test for _, test in NAMED])
def test_each_test_that_it_names_exists(file: str, test: str) -> None:
    tree = ast.parse((PAGE.parent / file).read_text("utf-8"))
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_promise_has_a_test() -> None:
    promises = TEXT.partition("## What was tried")[0].split("\n\n**")[1:]
    assert len(promises) >= 6 and all("::test_" in promise for promise in promises)


def test_its_figures_are_those_that_were_measured() -> None:
    found = BLOCK.search(TEXT)
    assert found is not None and found.group() == figures(measured()), "python -m tests.security_page writes them anew"


def test_nothing_measured_was_wrong() -> None:
    rows = measured().get("inputs", {}).get("rows", [])
    assert not [row for row in rows if row["wrong"] or row["hung"]]
