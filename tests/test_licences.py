"""Every dependency's licence is known and allowed, and what cannot be looked up is said."""

from __future__ import annotations

import subprocess
from email.message import Message
from typing import Any

import pytest

from tests import licences
from tests.licences import KNOWN, allowed, audit, dependencies, judged, licence


def test_every_dependency_has_a_licence_that_is_allowed() -> None:
    found = {name: licence(one.metadata) for name, one in dependencies().items()}
    assert {"torch", "transformers", "streamlit", "pytest", "numpy", "certifi"} <= set(found)
    assert not {name: told for name, told in found.items() if judged(name, told) is None}


def test_every_entry_has_a_reason() -> None:
    assert all(len(why.split()) >= 3 for part in ("allowed", "packages") for why in KNOWN[part].values())
    assert set(KNOWN["spellings"].values()) <= set(KNOWN["allowed"])


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("MIT", True), ("MIT AND PSF-2.0", True), ("Apache-2.0 WITH LLVM-exception AND (MIT OR GPL-3.0)", True),
        ("GPL-3.0 OR MIT", True), ("(MIT OR GPL-3.0) AND GPL-3.0", False), ("MIT AND GPL-3.0", False),
        ("AGPL-3.0-only", False), ("not told", False), ("", False),
        ("Proprietary", False), ("MIT2", False),
    ],
)  # fmt: skip
def test_an_expression_is_allowed_where_all_of_it_is_or_what_may_be_chosen(expression: str, fine: bool) -> None:
    assert allowed(expression) is fine


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"License-Expression": "BSD-3-Clause", "License": "other"}, "BSD-3-Clause"),
        ({"License": "MIT License\n\nCopyright"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: Apache Software License", "License": "x" * 99}, "Apache-2.0"),
        ({"Classifier": "License :: OSI Approved", "License": "GPL"}, "GPL"),
        ({}, "not told"),
    ],
)
def test_what_metadata_say_is_one_expression(headers: dict[str, str], told: str) -> None:
    message = Message()
    for name, value in headers.items():
        message[name] = value
    assert licence(message) == told


@pytest.mark.parametrize(
    ("status", "out", "err", "safe", "said"),
    [
        (0, "", "No known vulnerabilities found", True, "no known holes"),
        (1, "Name Version ID Fix Versions\nx 1 CVE-1 2", "Found 1 known vulnerability", False, "CVE-1"),
        (1, "", "Traceback\nConnectionError: no network", True, "could not reach its database (ConnectionError"),
    ],
)
def test_a_database_that_cannot_be_reached_is_said_and_a_hole_fails(
    status: int, out: str, err: str, safe: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(licences.importlib.util, "find_spec", lambda name: True)
    found: Any = audit(lambda words: subprocess.CompletedProcess(words, status, out, err))
    assert found[0] is safe and said in found[1]
