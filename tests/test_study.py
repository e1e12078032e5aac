"""A grid of runs, each in a process of its own: what is missing is done, what is done is left alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slimnb.grid import StudyConfig
from slimnb.runs import RunFolder
from slimnb.study import Cell, cells, run_study

LONG = {"prompt": "x" * 3000, "completion": " y"}


def study(*train_on: str) -> StudyConfig:
    return StudyConfig(
        name="grid", model="tiny", methods=("base", "lora"), train_on=train_on, benchmarks=("workshop_math",),
        options={"steps": 2}, scoring={"limit": 4},
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, write_rows: Callable[[Path, list[Any]], Path]
) -> tuple[Path, list[Cell]]:
    """A study of three runs, the second of which cannot work: its one example is longer than the limit."""
    root = tmp_path_factory.mktemp("runs")
    long = write_rows(root / "long.jsonl", [LONG])
    return root, list(run_study(study(str(long), "workshop_math"), root))


def test_a_run_that_fails_is_named_with_its_reason_and_stops_no_other(done: tuple[Path, list[Cell]]) -> None:
    _, finished = done
    assert [(cell.config.method, cell.status) for cell in finished] == [
        ("base", "completed"), ("lora", "failed"), ("lora", "completed"),
    ]  # fmt: skip
    assert "longer than 1024 tokens" in (finished[1].error or "")


def test_each_run_had_a_process_of_its_own(done: tuple[Path, list[Cell]]) -> None:
    processes = {RunFolder.read(cell.path).record.process for cell in done[1]}
    assert len(processes) == 3


def test_a_run_is_where_and_what_the_study_says(done: tuple[Path, list[Cell]]) -> None:
    root, finished = done
    for cell in finished:
        folder = RunFolder.read(cell.path)
        assert cell.path == root / "grid" / cell.config.run_id
        assert (folder.config, folder.record.study) == (cell.config, "grid")
    assert RunFolder.read(finished[2].path).record.scores["workshop_math"].score.n == 4


def test_what_is_complete_is_not_run_again(done: tuple[Path, list[Cell]], capfd: pytest.CaptureFixture[str]) -> None:
    root, finished = done
    before = [(cell.path / "run.json").stat().st_mtime_ns for cell in finished]
    again = list(run_study(study("workshop_math"), root))
    assert [cell.status for cell in again] == ["completed", "completed"]
    assert [(cell.path / "run.json").stat().st_mtime_ns for cell in finished] == before
    captured = capfd.readouterr()
    assert captured.err.count("complete already") == 2 and not captured.out


def test_status_tells_missing_broken_and_complete_runs_apart(done: tuple[Path, list[Cell]], tmp_path: Path) -> None:
    root, _ = done
    assert [cell.status for cell in cells(study("workshop_math"), root)] == ["completed", "completed"]
    assert [cell.status for cell in cells(study("workshop_math"), tmp_path)] == ["missing", "missing"]
    base, _ = cells(study("workshop_math"), tmp_path)
    base.path.mkdir(parents=True)
    (base.path / "run.json").write_text(json.dumps({"schema_version": 99}))
    broken = cells(study("workshop_math"), tmp_path)[0]
    assert broken.status == "broken" and "newer" in (broken.error or "")


def test_a_run_that_never_started_is_told_with_a_reason(tmp_path: Path) -> None:
    missing = study("no_such_set").model_copy(update={"methods": ("lora",)})
    (cell,) = run_study(missing, tmp_path)
    assert cell.status != "completed" and "no_such_set" in (cell.error or "")
