"""A grid of runs, each in a process of its own: what is missing is done, what is done is left alone."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slimnb.experiment
import slimnb.study.work
from slimnb.errors import SlimnbError
from slimnb.machine.environment import JOBS
from slimnb.store.planned import read_planned
from slimnb.store.runs import RunFolder
from slimnb.study import Cell, cells, run_study
from slimnb.study.grid import StudyConfig, load_study
from slimnb.study.local import Local, shares
from slimnb.study.on_ray import reason_of
from tests import study_stub
from tests.conftest import Slimnb

STUDIES = sorted((Path(__file__).resolve().parents[1] / "data" / "studies").glob("*.yaml"))
LONG = {"prompt": "x" * 3000, "completion": " y"}
BENCHMARKS = ["workshop_math", "workshop_cs"]


def study(*train_on: str, **changed: Any) -> StudyConfig:
    fields = {
        "name": "grid", "model": "tiny", "methods": ["base", "lora"], "train_on": train_on, "benchmarks": BENCHMARKS,
        "options": {"steps": 2}, "scoring": {"limit": 4, "dtype": "float32"},
    }  # fmt: skip
    return StudyConfig.model_validate(fields | changed)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_valid_and_has_a_base_for_each_model(path: Path) -> None:
    loaded = load_study(path)
    assert loaded.name == path.stem
    runs = loaded.runs()
    asked = {(run.model, run.benchmarks, json.dumps(run.limits), run.shots) for run in runs if run.method == "base"}
    assert {(run.model, run.benchmarks, json.dumps(run.limits), run.shots) for run in runs} == asked


# Real runs of the model `tiny`


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, write_rows: Callable[[Path, list[Any]], Path]
) -> tuple[Path, list[Cell]]:
    """A study of three runs, two at once, the second of which cannot work: its one example is longer than the limit."""
    root = tmp_path_factory.mktemp("runs")
    long = write_rows(root / "long.jsonl", [LONG])
    ended = {cell.config.run_id: cell for cell in run_study(study(str(long), "workshop_math"), root, executor=Local(2))}
    return root, [ended[cell.config.run_id] for cell in cells(study(str(long), "workshop_math"), root)]


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
        assert not (cell.path / "progress.json").exists()
    assert RunFolder.read(finished[2].path).record.scores["workshop_math"].score.n == 4


def test_the_studys_directory_says_which_runs_it_is_to_have(done: tuple[Path, list[Cell]]) -> None:
    root, finished = done
    assert read_planned(root / "grid") == tuple(cell.config.run_id for cell in finished)


def test_what_is_complete_is_not_run_again(done: tuple[Path, list[Cell]], capfd: pytest.CaptureFixture[str]) -> None:
    root, finished = done
    before = [(cell.path / "run.json").read_bytes() for cell in finished]
    again = list(run_study(study("workshop_math"), root))
    assert [cell.status for cell in again] == ["completed", "completed"]
    assert [(cell.path / "run.json").read_bytes() for cell in finished] == before
    captured = capfd.readouterr()
    assert "2 of 2 runs are complete already" in captured.err and not captured.out


def test_two_at_once_give_the_same_scores_item_by_item_as_one(done: tuple[Path, list[Cell]], tmp_path: Path) -> None:
    for cell in (done[1][0], done[1][2]):
        assert_same_items(slimnb.experiment.run(cell.config, tmp_path, "alone"), RunFolder.read(cell.path))


def assert_same_items(one: RunFolder, other: RunFolder) -> None:
    """The same answers; log-likelihoods as near as the order of float32 sums lets them be."""
    for benchmark in one.config.benchmarks:
        first, second = one.items(benchmark), other.items(benchmark)
        likelihoods = [name for name in first.columns if name.endswith(("log_likelihood", "log_likelihoods"))]
        assert likelihoods and first.drop(columns=likelihoods).equals(second.drop(columns=likelihoods))
        for name in likelihoods:
            np.testing.assert_allclose(np.stack(first[name].tolist()), np.stack(second[name].tolist()), rtol=1e-4)


# Runs by tests/study_stub.py, in processes as real


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slimnb.study.work, "COMMAND", study_stub.COMMAND)


ONE = study("workshop_math", methods=["lora"])
SEEDS = study("workshop_math", methods=["lora"], seeds=[0, 1])


@pytest.mark.usefixtures("stubbed")
def test_what_failed_is_left_with_a_word_and_tried_again_on_request(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fail").touch()
    assert [cell.status for cell in run_study(ONE, tmp_path)] == ["failed"]
    (tmp_path / "fail").unlink()
    before = [(cell.path / "run.json").read_bytes() for cell in cells(ONE, tmp_path)]
    capfd.readouterr()
    left = list(run_study(ONE, tmp_path))
    assert [(cell.status, cell.error) for cell in left] == [("failed", "it was to fail")]
    assert capfd.readouterr().err.count("(failed: it was to fail); --retry tries it again") == 1
    assert [(cell.path / "run.json").read_bytes() for cell in cells(ONE, tmp_path)] == before
    tried = list(run_study(ONE, tmp_path, retry=True))
    assert [cell.status for cell in tried] == ["completed"]
    assert [RunFolder.read(cell.path).record.attempts for cell in tried] == [2]


@pytest.mark.usefixtures("stubbed")
def test_a_run_whose_process_is_killed_is_interrupted_and_goes_on_the_next_time(tmp_path: Path) -> None:
    (tmp_path / "die").touch()
    killed = list(run_study(SEEDS, tmp_path, executor=Local(2)))
    assert {(cell.status, cell.error) for cell in killed} == {("interrupted", "its process was ended by SIGKILL")}
    (tmp_path / "die").unlink()
    assert [cell.status for cell in run_study(SEEDS, tmp_path)] == ["completed", "completed"]


@pytest.mark.usefixtures("stubbed")
def test_a_run_killed_for_want_of_memory_waits_for_a_persons_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter(range(100))
    monkeypatch.setattr(slimnb.study.work, "_killed_for_memory", lambda: next(counts))
    (tmp_path / "die").touch()
    assert {cell.status for cell in run_study(ONE, tmp_path)} == {"out_of_memory"}
    (tmp_path / "die").unlink()
    assert {cell.status for cell in run_study(ONE, tmp_path)} == {"out_of_memory"}
    assert {cell.status for cell in run_study(ONE, tmp_path, retry=True)} == {"completed"}


@pytest.mark.usefixtures("stubbed")
def test_a_run_that_never_started_is_told_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    told = {(cell.status, cell.error) for cell in run_study(ONE, tmp_path)}
    assert told == {("failed", "there is no such thing")}


@pytest.mark.usefixtures("stubbed")
def test_a_folder_that_cannot_be_read_is_replaced_on_request_only(tmp_path: Path) -> None:
    broken, half = cells(SEEDS, tmp_path)
    for cell in (broken, half):
        cell.path.mkdir(parents=True)
    (half.path / "config.json").write_text("{")  # killed before run.json was there: nothing is lost
    (broken.path / "run.json").write_text("{")
    assert [cell.status for cell in run_study(SEEDS, tmp_path)] == ["broken", "completed"]
    assert (broken.path / "run.json").read_text() == "{"
    assert [cell.status for cell in run_study(SEEDS, tmp_path, retry=True)] == ["completed", "completed"]


@pytest.mark.usefixtures("stubbed")
def test_a_folder_of_another_configuration_is_never_taken_for_the_runs(tmp_path: Path) -> None:
    cell, _ = run_study(SEEDS, tmp_path)
    config = json.loads((cell.path / "config.json").read_text())
    (cell.path / "config.json").write_text(json.dumps(config | {"seed": 7}))
    before = (cell.path / "run.json").read_bytes()
    misplaced, complete = run_study(SEEDS, tmp_path, retry=True)
    assert (misplaced.status, complete.status) == ("misplaced", "completed")
    assert "move it away" in (misplaced.error or "")
    assert (cell.path / "run.json").read_bytes() == before


def test_status_tells_missing_broken_and_complete_runs_apart(done: tuple[Path, list[Cell]], tmp_path: Path) -> None:
    root, _ = done
    assert [cell.status for cell in cells(study("workshop_math"), root)] == ["completed", "completed"]
    assert [cell.status for cell in cells(study("workshop_math"), tmp_path)] == ["missing", "missing"]
    base, _ = cells(study("workshop_math"), tmp_path)
    base.path.mkdir(parents=True)
    (base.path / "run.json").write_text(json.dumps({"schema_version": 99}))
    broken = cells(study("workshop_math"), tmp_path)[0]
    assert broken.status == "broken" and "newer" in (broken.error or "")


# What each of several processes is given of the machine


def test_the_cores_are_shared_out_and_every_run_knows_of_how_many_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimnb.study.local._cores", lambda: 5)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert shares(1) == [{JOBS: "1"}]  # a run alone is left to the libraries' own choice
    first, second, third = shares(3)
    assert (first[JOBS], first["OMP_NUM_THREADS"]) == ("3", "1")
    assert "MKL_NUM_THREADS" not in first
    assert [share["CUDA_VISIBLE_DEVICES"] for share in (first, second, third)] == ["4", "7", "4"]
    assert shares(2)[0]["OMP_NUM_THREADS"] == "2"


def test_ctrl_c_is_taken_even_where_the_shell_had_it_ignored() -> None:
    """As in a script's background, where SIGINT is ignored from the start; see slimnb.study.engine."""
    from slimnb.study.engine import Stopped, _stopped_by_signals

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(Stopped) as stop, _stopped_by_signals():
            signal.raise_signal(signal.SIGINT)
        assert stop.value.number == signal.SIGINT
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_options_of_one_executor_are_refused_with_the_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from slimnb.cli import main

    for words in (["--executor", "ray", "--jobs", "2"], ["--cpus", "2"]):
        monkeypatch.setattr("sys.argv", ["slimnb", "study", "run", str(STUDIES[0]), *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert end.value.code == 2 and "--cpus" in capsys.readouterr().err


@pytest.mark.parametrize("gpu", [True, False])
def test_a_study_that_needs_what_is_not_here_says_so_once_and_starts_nothing(
    gpu: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slimnb: Slimnb
) -> None:
    record = next(path for path in STUDIES if path.stem == "record")
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    status, _, told = slimnb("study", "run", str(record), "--runs", str(tmp_path))
    assert status == 1 and not list(tmp_path.iterdir())
    if gpu:  # but no Hub
        assert told.count("Error:") == 1 and told.startswith("Error: meta-llama/Llama-3.2-1B") and "the Hub" in told
    else:
        assert "record.yaml is made for a CUDA GPU" in told


def test_of_an_error_of_rays_the_reason_is_told() -> None:
    task = RuntimeError(
        '\x1b[36mray::carry_out()\x1b[39m (pid=7, ip=10.0.0.2)\n  File "work.py", line 9, in carry_out\n'
        "PermissionError: [Errno 13] Permission denied: 'run.json'\n\n"
    )
    assert reason_of(task) == "PermissionError: [Errno 13] Permission denied: 'run.json'"
    assert reason_of(RuntimeError("The worker died.")) == "The worker died."
    assert reason_of(RuntimeError()) == "RuntimeError"


def test_without_ray_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from slimnb.study.on_ray import Ray

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SlimnbError, match=r"pip install 'slimnb\[cluster\]'"):
        Ray()
