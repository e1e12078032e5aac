"""Comparisons and items as people and papers take them away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from slimnb.analysis.comparison import compare_all
from slimnb.analysis.drilldown import drill_down
from slimnb.analysis.exports import comparison_frame, to_latex, to_markdown
from slimnb.benchmarks import get_benchmark
from slimnb.cli import app
from slimnb.store.runs import RunFolder

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def runs(make_run: MakeRun) -> list[RunFolder]:
    return [make_run("base", (False,) * 30 + (True,) * 10), make_run("lora", (True,) * 35 + (False,) * 5)]


def test_markdown_has_a_row_a_comparison_and_no_broken_cell(runs: list[RunFolder]) -> None:
    frame = comparison_frame(compare_all(runs)[0]).assign(note="a | b\nc")
    lines = to_markdown(frame).splitlines()
    assert len(lines) == 3
    assert "a \\| b c" in lines[2]
    assert "+62.5 (" in lines[2]


def test_latex_is_escaped(runs: list[RunFolder]) -> None:
    text = to_latex(comparison_frame(compare_all(runs)[0]))
    assert "workshop\\_cs" in text
    assert "\\%" in text


def call(tmp_path: Path, *words: str) -> tuple[int, str, str]:
    outcome = CliRunner().invoke(app, [*words, "--runs", str(tmp_path / "runs")])
    return outcome.exit_code, outcome.stdout, str(outcome.exception or "")


def test_compare_prints_one_json_document(tmp_path: Path, runs: list[RunFolder]) -> None:
    code, out, _ = call(tmp_path, "compare", *(run.record.id for run in runs), "--json")
    (one,) = json.loads(out)["comparisons"]
    assert code == 0
    assert one["paired"]["fixed"] == 30
    assert one["resolved"] is True
    assert json.loads(out)["configurations_differ_in"][runs[1].record.id]["method"] == ["base", "lora"]


@pytest.mark.parametrize(("option", "expected"), [("--markdown", "| benchmark |"), ("--latex", "\\toprule")])
def test_compare_prints_the_form_asked_for(tmp_path: Path, runs: list[RunFolder], option: str, expected: str) -> None:
    code, out, _ = call(tmp_path, "compare", *(run.record.id for run in runs), option)
    assert code == 0
    assert expected in out


def test_compare_prints_the_verdict_and_the_configurations_difference(tmp_path: Path, runs: list[RunFolder]) -> None:
    _, out, _ = call(tmp_path, "compare", *(run.record.id for run in runs), "--configs")
    assert "better by +62.5 points" in out
    assert "method base -> lora" in out


def test_a_refused_pair_ends_with_its_reason(tmp_path: Path, make_run: MakeRun) -> None:
    base, tuned = make_run(), make_run("lora", weights="b" * 64)
    code, _, error = call(tmp_path, "compare", base.record.id, tuned.record.id)
    assert code == 1
    assert "different weights" in error


def real_items(make_run: MakeRun) -> tuple[RunFolder, RunFolder]:
    """Two runs whose items are the first of workshop_cs, so that their texts can be joined."""
    asked = get_benchmark("workshop_cs").load(limit=4)
    pair = make_run("base", (False, True, False, True)), make_run("lora", (True, False, False, True))
    for run in pair:
        items = run.items("workshop_cs").assign(id=[item.id for item in asked.items])
        run.write_items("workshop_cs", items, run.record.scores["workshop_cs"])
    return pair


@pytest.mark.parametrize(("show", "place"), [("fixed", 0), ("broken", 1), ("both-wrong", 2)])
def test_items_are_found_by_what_changed_and_have_their_text(make_run: MakeRun, show: str, place: int) -> None:
    first, second = real_items(make_run)
    asked = get_benchmark("workshop_cs").load(limit=4).items
    (item,) = drill_down(first, second, "workshop_cs", show)  # pyright: ignore[reportArgumentType]
    assert item["id"] == asked[place].id
    assert item["text"] == asked[place].question
    assert asked[place].choices[0] in item["gold"]


def test_items_whose_text_is_not_here_say_how_to_get_it(make_run: MakeRun) -> None:
    first, second = make_run("base", (False,), benchmark="mmlu_cs"), make_run("lora", (True,), benchmark="mmlu_cs")
    (item,) = drill_down(first, second, "mmlu_cs", "fixed")
    assert item["text"] is None
    assert "SLIMNB_DATA" in item["text_missing"]


def test_the_items_command_shows_text_and_both_answers(tmp_path: Path, make_run: MakeRun) -> None:
    first, second = real_items(make_run)
    code, out, _ = call(tmp_path, "items", first.record.id, second.record.id, "--show", "fixed")
    assert code == 0
    assert "Question:" in out
    assert "gold:" in out and "first:" in out and "second:" in out
