"""A study that is stopped, gently or by kill -9, or meets another at work, loses nothing whole and repeats nothing."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import slimnb.study.work
from slimnb.store.runs import RunFolder
from slimnb.study import cells, run_study
from slimnb.study.grid import load_study
from slimnb.study.work import Outcome, Task, carry_out
from tests import study_stub
from tests.test_study import ONE

ROOT = Path(__file__).resolve().parents[1]
START = "import slimnb.study.work as work, slimnb.cli as cli; work.COMMAND = {command!r} or work.COMMAND; cli.main()"
SECONDS = 150.0


class Study:
    """A study of three runs in a directory, started as a person starts it."""

    def __init__(self, place: Path, command: tuple[str, ...], jobs: int):
        self.file, self.runs, self.jobs, self.command = place / "grid.yaml", place / "runs", jobs, command
        self.started: list[subprocess.Popen[str]] = []
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fields = {
            "name": "grid", "model": "tiny", "methods": ["base", "lora"], "train_on": ["workshop_math"],
            "seeds": [0, 1], "benchmarks": ["workshop_math", "workshop_cs"], "options": {"steps": 2},
            "scoring": {"limit": 4, "dtype": "float32"},
        }  # fmt: skip
        self.file.write_text(yaml.safe_dump(fields))

    def start(self) -> subprocess.Popen[str]:
        words = ["study", "run", str(self.file), "--runs", str(self.runs), "--jobs", str(self.jobs)]
        process = subprocess.Popen(
            [sys.executable, "-c", START.format(command=self.command), *words], cwd=ROOT, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def finish(self) -> None:
        process = self.start()
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, said

    def folders(self) -> list[RunFolder]:
        there = [cell for cell in cells(load_study(self.file), self.runs) if cell.status not in ("missing", "broken")]
        return [RunFolder.read(cell.path) for cell in there]

    def whole(self) -> dict[Path, bytes]:
        """Every file that no later attempt may touch: of complete runs the record, of complete benchmarks the items."""
        files: dict[Path, bytes] = {}
        for folder in self.folders():
            if folder.record.status == "completed":
                files[folder.path / "run.json"] = (folder.path / "run.json").read_bytes()
            for benchmark in folder.record.scores:
                place = folder.path / "eval" / benchmark
                files |= {place / name: (place / name).read_bytes() for name in ("items.parquet", "result.json")}
        return files

    def is_running(self) -> bool:
        return any(folder.record.status == "running" for folder in self.folders())

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def processes(self) -> list[psutil.Process]:
        return [p for p in psutil.process_iter(["cmdline"]) if str(self.runs) in (p.info["cmdline"] or [])]


MakeStudy = Callable[..., Study]


@pytest.fixture
def make_study(tmp_path: Path) -> Iterator[MakeStudy]:
    made: list[Study] = []

    def make(name: str, command: tuple[str, ...], jobs: int) -> Study:
        made.append(Study(tmp_path / name, command, jobs))
        return made[-1]

    yield make
    for process in [process for study in made for process in study.started if process.poll() is None]:
        process.kill()
        process.communicate()


KILLED = [
    pytest.param(study_stub.COMMAND, 4, 0.6, id="stub"),
    pytest.param((), 10, 6.0, id="tiny", marks=pytest.mark.slow),
]
"""What carries out a run, how often all is killed, and the longest that it is left alone once a run has begun (s)."""
STOPPED = [pytest.param(study_stub.COMMAND, id="stub"), pytest.param((), id="tiny", marks=pytest.mark.slow)]


@pytest.mark.parametrize(("command", "times", "longest"), KILLED)
def test_kill_9_at_random_moments_loses_no_finished_run_and_repeats_no_finished_work(
    make_study: MakeStudy, command: tuple[str, ...], times: int, longest: float
) -> None:
    dice = random.Random(20261124)
    study = make_study("killed", command, jobs=2)
    whole: dict[Path, bytes] = {}
    for _ in range(times):
        process = study.start()
        study.until(lambda process=process: process.poll() is not None or study.is_running())
        time.sleep(dice.uniform(0, longest))
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        for child in children if dice.random() < 0.5 else ():  # as in a power cut; else they are left alone
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate(timeout=SECONDS)
        whole |= study.whole()
        assert {path: path.read_bytes() for path in whole} == whole
    study.finish()
    assert {path: path.read_bytes() for path in whole} == whole
    assert whole, "no kill came after anything was whole"
    assert [folder.record.status for folder in study.folders()] == ["completed"] * 3
    assert not study.processes()
    assert not [*study.runs.rglob("*.tmp"), *study.runs.rglob("progress.json")]

    untouched = make_study("untouched", command, jobs=2)
    untouched.finish()
    for one, other in zip(study.folders(), untouched.folders(), strict=True):
        for benchmark in one.config.benchmarks:
            correct = [name for name in one.items(benchmark).columns if name.startswith(("id", "correct", "text"))]
            assert one.items(benchmark)[correct].equals(other.items(benchmark)[correct])


@pytest.mark.parametrize("command", STOPPED)
def test_a_study_that_is_told_to_stop_stops_its_runs_and_goes_on_later(
    make_study: MakeStudy, command: tuple[str, ...]
) -> None:
    study = make_study("stopped", command, jobs=2)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = study.start()
        study.until(study.is_running)
        process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS)
        assert process.returncode == 128 + number
        assert "stopping" in said and "the same command goes on" in said and "Traceback" not in said
        statuses = {folder.record.status for folder in study.folders()}
        assert statuses & {"cancelled", "interrupted"} and statuses <= {"completed", "cancelled", "interrupted"}
        assert not study.processes()
    whole = study.whole()
    study.finish()
    assert {path: path.read_bytes() for path in whole} == whole
    assert [folder.record.status for folder in study.folders()] == ["completed"] * 3


# What is there is another's, or may be whole


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slimnb.study.work, "COMMAND", study_stub.COMMAND)


@pytest.mark.usefixtures("stubbed")
@pytest.mark.parametrize("damage", ["config.json", "run.json"])
def test_what_may_be_whole_is_moved_away_by_a_person_and_never_tried_again(
    damage: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (cell,) = run_study(ONE, tmp_path)
    told = {"config.json": "not valid JSON", "run.json": "upgrade slimnb"}[damage]
    (cell.path / damage).write_text({"config.json": "{", "run.json": '{"schema_version": 99}'}[damage])
    before = [(cell.path / name).read_bytes() for name in ("run.json", "config.json")]
    for retry in (False, True):
        capfd.readouterr()
        (left,) = run_study(ONE, tmp_path, retry=retry)
        assert left.status == "broken" and told in (left.error or "") and f"move {cell.path} away" in (left.error or "")
        said = capfd.readouterr().err
        assert "left as it is: " in said and "--retry tries it again" not in said
    assert [(cell.path / name).read_bytes() for name in ("run.json", "config.json")] == before
    cell.path.rename(tmp_path / "away")
    assert [cell.status for cell in run_study(ONE, tmp_path)] == ["completed"]


@pytest.mark.usefixtures("stubbed")
def test_a_damaged_configuration_of_a_run_that_is_not_complete_is_replaced_on_request(tmp_path: Path) -> None:
    (tmp_path / "fail").touch()
    (cell,) = run_study(ONE, tmp_path)
    (tmp_path / "fail").unlink()
    (cell.path / "config.json").write_text("{")
    assert [cell.status for cell in run_study(ONE, tmp_path)] == ["broken"]
    assert [cell.status for cell in run_study(ONE, tmp_path, retry=True)] == ["completed"]


@pytest.mark.usefixtures("stubbed")
@pytest.mark.parametrize(("ends", "attempts"), [("completed", 1), ("cancelled", 2)])
def test_a_run_that_begins_elsewhere_at_the_same_moment_is_waited_for(
    ends: Any, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_attempt, tried = slimnb.study.work._attempt, list[Outcome]()

    def attempt(task: Task, stopped: Callable[[], bool]) -> Outcome:
        if not tried:  # another machine's process makes the folder before ours does
            folder = RunFolder.create(task.root, task.study, task.config)
            tried.append(true_attempt(task, stopped))
            threading.Timer(0.5, folder.finish, [ends]).start()
        else:
            tried.append(true_attempt(task, stopped))
        return tried[-1]

    monkeypatch.setattr(slimnb.study.work, "_attempt", attempt)
    outcome = carry_out(a_task(tmp_path))
    assert "this run is being worked on by" in tried[0].said[-1] and tried[0].cell.status == "running"
    assert (outcome.cell.status, len(tried)) == ("completed", attempts)
    assert RunFolder.read(outcome.cell.path).record.attempts == attempts


@pytest.mark.usefixtures("stubbed")
def test_a_node_without_the_directory_of_the_start_says_so(tmp_path: Path) -> None:
    outcome = carry_out(replace(a_task(tmp_path), directory=tmp_path / "elsewhere"))
    assert outcome.cell.status == "failed" and not outcome.cell.path.exists()
    for said in (str(tmp_path / "elsewhere"), "the study was started in this directory", "shared file system"):
        assert said in (outcome.cell.error or "")


def a_task(root: Path) -> Task:
    return Task(ONE.runs()[0], root, "grid", None, Path.cwd())
