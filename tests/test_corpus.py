"""Whatever is fed to slimnb ends in words or in the right result: the corpus, and properties over random bytes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimnb.data.own_data import READERS, read_own_data
from slimnb.errors import SlimnbError
from slimnb.io.documents import read_yaml
from tests.corpus import Row, rows, tried
from tests.corpus.fuzz import TARGETS, fed

ROWS = rows()
PATIENCE = 60
"""Seconds of the clock where other tests run beside; the processor's time is bounded by 10 in any case."""


def test_there_are_enough_and_each_says_what_must_come_of_it() -> None:
    assert len(ROWS) >= 300
    assert all((row.error is None) != (row.right is None) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_each_input_ends_in_words_or_in_the_right_result(row: Row, tmp_path: Path) -> None:
    outcome = tried(row, tmp_path, PATIENCE)
    shutil.rmtree(tmp_path, ignore_errors=True)  # some are large
    assert outcome.verdict == ("correct" if row.right else "clear error"), outcome.why


# Any bytes

PRINTED = st.characters(min_codepoint=32, max_codepoint=126)

BYTES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(
        inner) | st.dictionaries(st.sampled_from(["prompt", "completion", "messages", "role", "content", "a"]), inner),
        max_leaves=8).map(lambda value: json.dumps(value).encode()),
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@given(content=st.lists(BYTES, max_size=4).map(b"\n".join))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_end_in_words_or_in_rows(
    target: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.getbasetemp() / "any-bytes"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    fed(target, content, place)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".tsv"])
@given(content=st.lists(BYTES, max_size=4).map(b"\n".join), damage=st.binary(min_size=1, max_size=3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_of_a_file_is_good_or_told(
    ending: str, content: bytes, damage: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing between two good rows makes one of them vanish without a word."""
    good = {".jsonl": b'{"prompt": "Q", "completion": "A"}', ".csv": b"Q,A", ".tsv": b"Q\tA"}[ending]
    head = b"" if ending == ".jsonl" else good.replace(b"Q", b"prompt").replace(b"A", b"completion") + b"\n"
    path = tmp_path_factory.getbasetemp() / f"between{ending}"
    between = (content + damage).replace(b'"', b"")  # an open quote takes what follows into its cell, and is told
    path.write_bytes(head + good + b"\n" + between + b"\n" + good + b"\n")
    try:
        data = read_own_data(path)
    except SlimnbError:
        return
    assert (data.rows[0].prompt, data.rows[-1].completion) == ("Q", "A") and len(data.rows) >= 2
    if ending == ".jsonl":
        lines = [line for line in re.split(r"\r\n|\r|\n", between.decode()) if line.strip()]
        assert len(data.rows) + len(data.bad) == 2 + len(lines)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(PRINTED),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner),
                    max_leaves=20))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_is_written_as_json_is_read_as_yaml(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "document.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert read_yaml(path) == document


def test_every_reader_has_a_target() -> None:
    assert {f"own{ending}" for ending in READERS if ending != ".json"} <= set(TARGETS)
