"""The same grid on Ray: the same scores as without, also when a worker is lost. `make test-cluster`"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from slimnb.errors import SlimnbError
from slimnb.store.runs import RunFolder
from slimnb.study import cells, run_study
from slimnb.study.grid import load_study
from tests.test_study import assert_same_items, study

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 240.0
Start = Callable[..., subprocess.Popen[str]]
TWO_WORKERS = (
    "import ray; ray.init(num_cpus=2, object_store_memory=80_000_000, include_dashboard=False)\n"
    "from slimnb.cli import main; main()"
)

pytestmark = pytest.mark.cluster
pytest.importorskip("ray", reason="needs the extra `cluster` (Ray)")

GRID = study("workshop_math", options={"steps": 40})  # so many that a run is caught at work


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """The grid's runs on this machine, without Ray."""
    return [RunFolder.read(cell.path) for cell in run_study(GRID, tmp_path_factory.mktemp("alone"))]


@pytest.fixture
def start() -> Iterator[Start]:
    """`slimnb study run` on two local Ray workers; Ray's sockets are in its process and not in this one's."""
    started: list[subprocess.Popen[str]] = []

    def begin(place: Path, *words: str) -> subprocess.Popen[str]:
        grid = GRID.grids[0].model_dump(mode="json", exclude_defaults=True)
        (place / "grid.yaml").write_text(yaml.safe_dump({"name": "grid", **grid}))
        process = subprocess.Popen(
            [sys.executable, "-c", TWO_WORKERS, "study", "run", str(place / "grid.yaml"), "--runs",
             str(place / "runs"), "--executor", "ray", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | {"RAY_worker_niceness": "0"},  # by itself Ray gives them the lowest priority
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def folders(place: Path) -> list[RunFolder]:
    there = [cell for cell in cells(load_study(place / "grid.yaml"), place / "runs") if cell.status != "missing"]
    return [RunFolder.read(cell.path) for cell in there]


def finish(process: subprocess.Popen[str], place: Path) -> list[RunFolder]:
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    return folders(place)


def running(place: Path) -> RunFolder:
    """The first run that is seen to train or score."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for folder in folders(place):
            if folder.record.status == "running" and (folder.path / "metrics.jsonl").exists():
                return folder
        time.sleep(0.05)
    raise AssertionError("no run was seen running")


def test_two_workers_give_the_same_scores_item_by_item(alone: list[RunFolder], start: Start, tmp_path: Path) -> None:
    done = finish(start(tmp_path), tmp_path)
    assert [folder.record.status for folder in done] == ["completed"] * 2
    for one, other in zip(alone, done, strict=True):
        assert_same_items(one, other)
        assert other.record.attempts == 1


def test_a_lost_worker_costs_its_attempt_and_nothing_else(alone: list[RunFolder], start: Start, tmp_path: Path) -> None:
    process = start(tmp_path)
    lost = running(tmp_path)
    worker = psutil.Process(lost.record.process).parent()
    assert worker is not None and "ray::" in " ".join(worker.cmdline())
    worker.kill()
    done = finish(process, tmp_path)
    assert [folder.record.status for folder in done] == ["completed"] * 2
    assert {folder.record.id: folder.record.attempts for folder in done if folder.record.attempts > 1} == {
        lost.record.id: 2
    }
    for one, other in zip(alone, done, strict=True):
        assert_same_items(one, other)


def test_a_study_on_ray_that_is_told_to_stop_leaves_everything_resumable(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path)
    running(tmp_path)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGINT and "the same command goes on" in said
    statuses = {folder.record.status for folder in folders(tmp_path)}
    assert statuses & {"cancelled", "interrupted"} and statuses <= {"completed", "cancelled", "interrupted"}
    working = [p for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(p.info["cmdline"] or [])]
    assert not working
    assert {folder.record.status for folder in finish(start(tmp_path), tmp_path)} == {"completed"}


def test_a_run_that_no_machine_can_hold_is_told_and_waits(start: Start, tmp_path: Path) -> None:
    process = start(tmp_path, "--cpus", "64", "--memory", "1GB")
    assert process.stderr is not None
    said = next(line for line in process.stderr if "no node" in line)
    assert "CPU 64" in said and "--cpus" in said
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert not folders(tmp_path)


def test_a_cluster_that_is_not_there_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from slimnb.study.on_ray import Ray

    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(SlimnbError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused"):
        Ray()
