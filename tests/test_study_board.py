"""What a person sees of a study that runs, and how the time that is left is found."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import slimnb.study.board
import slimnb.study.work
from slimnb.config import RunConfig, make_run_config
from slimnb.machine.progress import Standing, progress_bar, read_standing, reported_to
from slimnb.store.runs import RunFolder
from slimnb.study import Cell, run_study
from slimnb.study.board import PROGRESS_FILE, Board
from slimnb.study.state import look
from slimnb.study.timing import expected_seconds, seconds_left, seconds_taken
from slimnb.study.work import Outcome
from tests import study_stub
from tests.test_study import SEEDS

MakeRun = Callable[..., RunFolder]


def config(method: str, train_on: str | None = None, **more: Any) -> RunConfig:
    return make_run_config(model="tiny", method=method, train_on=train_on, benchmarks=["workshop_cs"], **more)


BASE, LORA, QLORA = config("base"), config("lora", "workshop_math"), config("qlora", "workshop_math")


# Time left


def test_a_run_is_expected_to_take_what_the_runs_most_like_it_took() -> None:
    finished = [(BASE, 10.0), (LORA, 100.0), (config("lora", "workshop_math", seed=1), 140.0),
                (config("lora", "workshop_cs"), 60.0)]  # fmt: skip
    assert expected_seconds(config("lora", "workshop_math", seed=2), finished) == 120.0
    assert expected_seconds(config("lora", "workshop_commonsense"), finished) == 100.0
    assert expected_seconds(QLORA, finished) == 100.0
    assert expected_seconds(LORA, [(BASE, 10.0)]) is None  # scoring alone says nothing of training


def test_time_left_counts_what_runs_at_once_and_ends_no_sooner_than_the_longest_run() -> None:
    finished = [(LORA, 100.0)]
    assert seconds_left([(LORA, 40.0)], [LORA, LORA], finished) == 260.0
    assert seconds_left([(LORA, 40.0), (LORA, 40.0)], [LORA, LORA], finished) == 160.0
    assert seconds_left([(LORA, 90.0), (LORA, 90.0)], [LORA], finished) == 100.0
    assert seconds_left([(LORA, 400.0)], [], finished) == 0.0
    assert seconds_left([(BASE, 1.0)], [LORA], finished) is None


def test_a_run_in_several_attempts_took_what_its_costs_say(make_run: MakeRun) -> None:
    record = (folder := make_run()).record
    record.started, record.finished = 1000.0, 1030.0
    record.costs.train_seconds, record.costs.eval_seconds = 200.0, 50.0
    assert seconds_taken(folder) == 30.0
    record.attempts = 2
    assert seconds_taken(folder) == 250.0


# progress.json


def test_progress_is_kept_in_a_file_while_the_work_lasts(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    with reported_to(file):
        with progress_bar("run-1: training", None) as advance:
            assert read_standing(file) == Standing("training")
            time.sleep(1.05)
            advance(2, "loss 0.5", 8)
            assert str(read_standing(file)) == "training 2/8 loss 0.5"
            advance(1, "loss 0.4", 8)  # too soon to be written
            assert str(read_standing(file)) == "training 2/8 loss 0.5"
        with progress_bar("run-1: hellaswag", 5):
            assert str(read_standing(file)) == "hellaswag 0/5"
    assert not list(tmp_path.iterdir())
    assert read_standing(file) is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"done": 1}', '{"what": "x", "more": 1}'])
def test_a_damaged_progress_file_is_no_progress(tmp_path: Path, text: str) -> None:
    (tmp_path / "progress.json").write_text(text)
    assert read_standing(tmp_path / "progress.json") is None


# The board


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """A terminal of 40 lines, in memory."""
    made = Console(file=io.StringIO(), force_terminal=True, width=200, height=40, color_system=None)
    monkeypatch.setattr(slimnb.study.board, "console", made)
    return made


def rendered(console: Console, board: Board, height: int = 20) -> str:
    with console.capture() as capture:
        console.print(board.table(height))
    return capture.get()


@pytest.fixture
def grid(make_run: MakeRun) -> list[Cell]:
    """Four runs: one complete in 60 seconds, one 20 seconds under way, one that failed, one to come."""
    base = make_run("base")
    base.record.started = (base.record.finished or 0) - 60
    complete = make_run("lora", seed=1)
    complete.record.started = (complete.record.finished or 0) - 60
    running = make_run("lora", seed=2)
    running.record.status, running.record.started = "running", time.time() - 20
    running.record.host = "another machine"
    failed = make_run("lora", seed=3, status="failed", error="no reason")
    for folder in (base, complete, running, failed):
        folder.save()
    cells = [look(folder.config, folder.path) for folder in (base, complete, running, failed)]
    (running.path / PROGRESS_FILE).write_text('{"what": "training", "done": 3, "total": 9, "note": "loss 1.5"}')
    coming = cells[-1].config.model_copy(update={"seed": 4})
    return [*cells, Cell(coming, cells[0].path.parent / coming.run_id, "missing")]


def test_the_table_tells_status_progress_time_left_and_scores(grid: list[Cell], terminal: Console) -> None:
    board = Board("study", grid)
    with board:
        board.left(grid[3], "left as it is")
        text = rendered(terminal, board)
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "completed" in lines[grid[1].config.run_id] and "workshop_cs 2/4" in lines[grid[1].config.run_id]
    running = lines[grid[2].config.run_id]
    assert "running" in running and "training 3/9 loss 1.5" in running and "40 s" in running
    assert "failed" in lines[grid[3].config.run_id]
    assert "waiting" in lines[grid[4].config.run_id]
    assert "Study study: 2 of 5 complete, 1 running, 1 failed, about 1 min 40 s left" in text


def test_a_table_that_is_too_long_shows_what_runs_and_what_failed(grid: list[Cell], terminal: Console) -> None:
    board = Board("study", grid)
    with board:
        text = rendered(terminal, board, height=2)
    assert grid[2].config.run_id in text and grid[3].config.run_id in text and grid[0].config.run_id not in text
    assert "3 more runs" in text


def test_time_left_is_not_known_before_a_run_of_its_kind_is_complete(grid: list[Cell], terminal: Console) -> None:
    board = Board("study", [grid[0], *grid[2:]])
    with board:
        assert "time left not known yet" in board.headline()


def test_a_run_that_could_not_say_how_it_ended_is_shown_as_the_executor_saw_it(
    grid: list[Cell], terminal: Console
) -> None:
    board = Board("study", grid)
    with board:
        board.ended(
            Outcome(replace(grid[4], status="failed", error="no such model"), ("Error: no such model", "a word"))
        )
        assert "2 failed" in board.headline()
    told = terminal.file.getvalue()
    assert f"[5/5] {grid[4].config.run_id}: failed: no such model" in told
    assert f"{grid[4].config.run_id}: a word" in told and "Error:" not in told


def test_a_terminal_gets_a_live_table_and_a_pipe_gets_lines(
    tmp_path: Path, terminal: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slimnb.study.work, "COMMAND", study_stub.COMMAND)
    list(run_study(SEEDS, tmp_path / "live"))
    live = terminal.file.getvalue()
    assert "Study grid: 1 of 2 complete" in live and "┃ progress" in live
    plain = Console(file=io.StringIO(), force_terminal=False)
    monkeypatch.setattr(slimnb.study.board, "console", plain)
    (first, second) = [cell.config.run_id for cell in run_study(SEEDS, tmp_path / "plain")]
    lines = plain.file.getvalue().splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        f"[1/2] {first}: running", f"[1/2] {first}: completed, workshop_math 2/4, workshop_cs 2/4",
        f"[2/2] {second}: running", f"[2/2] {second}: completed, workshop_math 2/4, workshop_cs 2/4",
    ]  # fmt: skip
    assert f"{first}: a word of the run's" in lines
    assert lines[-1] == "Study grid: 2 of 2 complete"
