"""Who works on a run: one process at a time, known by name, and nobody any more once it is dead."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import slimnb.io.lock
import slimnb.store.ownership
from slimnb.config import RunConfig, make_run_config
from slimnb.errors import SlimnbError
from slimnb.io.files import atomic_path, write_json
from slimnb.io.lock import Lock, LockedError, held, owner
from slimnb.store.runs import RunFolder

CONFIG = make_run_config(model="tiny", method="base", benchmarks=["workshop_cs"])
CREATE = """
import sys, time
from pathlib import Path
from slimnb.config import make_run_config
from slimnb.store.runs import RunFolder
time.time = lambda real=time.time: real() - float(sys.argv[2])
config = make_run_config(model="tiny", method="base", benchmarks=["workshop_cs"])
folder = RunFolder.create(Path(sys.argv[1]), "study", config)
print("made", flush=True)
time.sleep(100)
"""


@contextmanager
def start(root: Path, clock_back: float = 0.0) -> Iterator[subprocess.Popen[str]]:
    """A process that works on the run; killed at the end."""
    words = [sys.executable, "-c", CREATE, str(root), str(clock_back)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "made\n"
            yield process
        finally:
            process.kill()


@pytest.fixture(scope="module", params=[0.0, 1e6], ids=["clock right", "clock set back"])
def working(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A living owner and the root of its run."""
    root = tmp_path_factory.mktemp("runs")
    with start(root, request.param) as process:
        yield process.pid, root


def folder_of(root: Path, config: RunConfig = CONFIG) -> Path:
    return root / "study" / config.run_id


def test_the_second_process_is_told_who_works_on_the_run(working: tuple[int, Path]) -> None:
    process, root = working
    assert RunFolder.read(folder_of(root)).record.status == "running"
    with pytest.raises(SlimnbError, match=f"worked on by process {process} on {re.escape(socket.gethostname())}"):
        RunFolder.create(root, "study", CONFIG)
    assert RunFolder.read(folder_of(root)).record.process == process


def test_two_that_look_at_the_same_moment_do_not_both_begin(
    working: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, root = working
    monkeypatch.setattr(slimnb.store.ownership, "_earlier", lambda path: None)  # as if it had not begun yet
    monkeypatch.setattr(slimnb.io.lock, "PATIENCE", 0.05)
    before = (folder_of(root) / "run.json").read_bytes()
    with pytest.raises(SlimnbError, match=f"worked on.*process {process} on"):
        RunFolder.create(root, "study", CONFIG)
    assert (folder_of(root) / "run.json").read_bytes() == before


def test_a_killed_owner_leaves_no_lock_and_the_next_takes_up_the_run(tmp_path: Path) -> None:
    with start(tmp_path):
        pass
    lock = folder_of(tmp_path) / "lock"
    assert lock.exists() and held(lock) is False
    assert RunFolder.read(folder_of(tmp_path)).record.status == "interrupted"
    folder = RunFolder.create(tmp_path, "study", CONFIG)
    assert folder.record.attempts == 2 and held(lock) is True
    found = owner(lock)
    assert found and found.process == os.getpid() and "process" in str(found)
    folder.finish("completed")
    assert not lock.exists()


def test_a_stopped_owner_still_is_one(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        process.send_signal(signal.SIGSTOP)
        assert RunFolder.read(folder_of(tmp_path)).record.status == "running"


def test_asking_disturbs_nobody_who_takes(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert held(path) is None and owner(path) is None
    path.write_text("not a document")
    assert held(path) is False and owner(path) is None
    lock = Lock(path)
    lock.take()
    assert held(path) is True
    lock.release()
    lock.release()
    assert held(path) is None


def test_one_that_waited_for_a_lock_that_is_removed_takes_the_one_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lock"
    first, second, third = Lock(path), Lock(path), Lock(path)
    first.take()
    true_flock = slimnb.io.lock.fcntl.flock

    def first_lets_go(descriptor: int, how: int) -> None:
        monkeypatch.setattr(slimnb.io.lock.fcntl, "flock", true_flock)
        first.release()  # between the second's opening of the file and its locking it
        true_flock(descriptor, how)

    monkeypatch.setattr(slimnb.io.lock.fcntl, "flock", first_lets_go)
    second.take()
    monkeypatch.setattr(slimnb.io.lock, "PATIENCE", 0.05)
    with pytest.raises(LockedError):
        third.take()


def test_a_file_system_without_locks_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_here(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(slimnb.io.lock.fcntl, "flock", none_here)
    folder = RunFolder.create(tmp_path, "study", CONFIG)
    assert RunFolder.read(folder.path).record.status == "running"
    folder.finish("completed")


def test_a_run_whose_record_cannot_be_read_now_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path, "study", CONFIG)
    folder.finish("completed")
    true_open = Path.open

    def open_(path: Path, *arguments: Any, **named: Any) -> Any:
        if path.name == "run.json":
            raise PermissionError(13, "Permission denied")
        return true_open(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_)
        with pytest.raises(SlimnbError, match="Permission denied"):
            RunFolder.create(tmp_path, "study", CONFIG)
    assert RunFolder.read(folder.path).record.status == "completed"


def test_a_clock_that_is_set_back_gives_no_run_that_ended_before_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path, "study", CONFIG)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    folder.finish("completed")
    assert folder.record.finished == folder.record.started


def test_what_a_killed_process_left_half_written_is_removed_by_the_next_that_writes(tmp_path: Path) -> None:
    kill = "import os; os.kill(os.getpid(), 9)"
    code = f"import sys, pathlib; from slimnb.io.files import atomic_path\nwith atomic_path(pathlib.Path(sys.argv[1])) as p: p.mkdir(); (p / 'part').write_text('half'); {kill}"  # noqa: E501
    target = tmp_path / "a[b]"
    for name in (target, tmp_path / "other"):
        subprocess.run([sys.executable, "-c", code, str(name)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    with atomic_path(target) as mine:
        mine.write_text("being written")
        write_json(target, {})  # another part of this process
        assert mine.exists()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 2 and names[0].startswith(".other.") and names[1] == "a[b]"
