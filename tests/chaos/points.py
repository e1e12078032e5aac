"""One point: a command, a fault, a moment; then what is left is looked at, and the command is given again."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from slimnb.interop.lm_eval import import_results
from slimnb.store.runs import scan
from tests.chaos.commands import COMMANDS, LM_EVAL, ROOT, Command, earlier, outcome
from tests.chaos.left import (
    WATCHED,
    WITHOUT_RIGHTS,
    Ended,
    contents,
    ended_badly,
    half,
    restore,
    told_badly,
)
from tests.chaos.memory_group import kernel_kills, memory_group

PLANTED = ROOT / "tests" / "chaos" / "planted"
SECONDS = 240.0
"""A command that takes longer hangs: some wait for a share of a busy machine."""
DISK_BYTES = 16 << 20
LAUNCH = "accelerate launch"
WORKER_DIES = "a worker of accelerate launch dies"
RIGHTS = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which root passes over permissions."""


@dataclass
class Tried:
    """A point, and what was wrong after it; nothing, where it was survived."""

    fault: str
    command: str
    at: int
    happened: bool
    wrong: list[str] = field(default_factory=list)


class Chaos:
    """Points in directories below one root. What each command does without a fault is found out once."""

    def __init__(self, root: Path, seed: int):
        self.root, self.dice = root, random.Random(seed)
        self.mounts = os.geteuid() == 0 and _can_mount(root)
        self._whole: dict[str, tuple[int, dict[str, str]]] = {}
        self._made = 0

    def reference(self, name: str) -> tuple[int, dict[str, str]]:
        """How many moments a command has (of `accelerate launch`, its second process), and its outcome."""
        if name not in self._whole:
            with self.place(name, "none") as place:
                ended = self.start(name, place, self._plan("none", name, place, 0))
                if ended.status != 0:
                    raise RuntimeError(f"{name} fails without a fault: {ended.err[-2000:]}")
                self._whole[name] = _counter(place).stat().st_size, outcome(place)
        return self._whole[name]

    def point(self, fault: str, name: str) -> Tried:
        """Try a fault in a command at a moment that the dice choose."""
        moments, whole = self.reference(name)
        at = self.dice.randint(1, moments)
        planted = self._planted(fault)
        with self.place(name, planted) as place:
            before = contents(earlier(place))
            tried = Tried(fault, name, at, False)
            if fault == "two processes":
                tried.wrong += self._two(name, place, at)
            else:
                with memory_group() if planted == "memory taken" else nullcontext() as group:
                    ended = self.start(name, place, self._plan(planted, name, place, at, group))
                tried.wrong += told_badly(planted, ended)
            tried.happened = _counter(place, ".happened").exists()
            restore(place)
            tried.wrong += self.left(name, place, whole, before)
            return tried

    def _planted(self, fault: str) -> str:
        """How a fault is made: see tests/chaos/planted."""
        if fault == WORKER_DIES:
            return "kill -9"
        if fault == "killed for want of memory":
            return "memory taken" if kernel_kills() else "kill -9"
        if fault == "memory refused":
            return "memory error"
        return "file size" if fault == "full disk" and not self.mounts else fault

    def left(self, name: str, place: Path, whole: dict[str, str], before: dict[str, bytes]) -> list[str]:
        """What is wrong after a fault: at once, and when the command is given again."""
        wrong = half(place)
        again = self.start(name, place, again=True)
        done = COMMANDS[name].twice
        if again.status != 0 and not (again.status == 1 and done and done in again.err):
            wrong.append(f"the next command ended with {again.status}: {again.err[-1500:]}")
        wrong += half(place)
        wrong += [f"left behind: {path}" for top in WATCHED for path in (place / top).rglob(".*.tmp")]
        if contents(earlier(place)) != before:
            wrong.append("a finished run was changed")
        found = outcome(place)
        if found != whole:
            differs = {key for key in found.keys() | whole.keys() if found.get(key) != whole.get(key)}
            wrong.append(f"another outcome than without the fault: {sorted(differs)}")
        return wrong

    def _two(self, name: str, place: Path, at: int) -> list[str]:
        """The command, stopped at a moment, while the same command is given a second time."""
        plan, command, wrong = self._plan("pause", name, place, at), COMMANDS[name], []
        first = _popen(command, place, plan)
        try:
            paused = _until(lambda: _counter(place, ".happened").exists() or first.poll() is not None)
            worked_on = [f for f in scan(place / "runs")[0] if f.record.status == "running"]
            second = _popen(command, place, None)
            if command.waits:
                time.sleep(1.0)
            else:
                wrong += ended_badly(_wait(second), command, first.pid if worked_on and paused else None)
            _counter(place, ".go").touch()
            wrong += ended_badly(_wait(first), command, None)
            if command.waits:
                wrong += ended_badly(_wait(second), command, None)
        finally:
            first.kill()
        return wrong

    def start(
        self, name: str, place: Path, plan: dict[str, Any] | None = None, *, again: bool = False, **variables: str
    ) -> Ended:
        """Carry out the command, and see all its processes end."""
        command = COMMANDS[name]
        ended = _wait(_popen(command, place, plan, variables, command.again if again else ()))
        if not _until(lambda: not _processes(place), 60):
            for process in _processes(place):
                process.kill()
            return Ended(None, ended.out, f"processes are left; {ended.err}")
        return ended

    def _plan(self, fault: str, name: str, place: Path, at: int, group: Path | None = None) -> dict[str, Any]:
        return {
            "fault": fault, "at": at, "counter": str(_counter(place)), "filler": str(place / "filler"),
            "watched": [str(place / one) for one in WATCHED], "rank": "1" if name == LAUNCH else None,
            "left": self.dice.choice([0, 0, 4096, 20000]), "group": group and str(group),
        }  # fmt: skip

    @contextmanager
    def place(self, name: str, fault: str = "none") -> Iterator[Path]:
        """A directory for one point, on a disk of its own where that is to be full."""
        self._made += 1
        place = self.root / f"{self._made}"
        place.mkdir()
        mounted = fault == "full disk"
        if mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)], check=True)
        try:
            for part in (*WATCHED, "in"):
                (place / part).mkdir()
            shutil.copytree(self._finished(), place / "runs" / "earlier")
            command = COMMANDS[name]
            if command.torch and name not in ("models get", "models get, Hub"):
                shutil.copytree(self._home(), place / "home", dirs_exist_ok=True)
            if name == "merge":
                shutil.copytree(self._trained(), place / "runs" / "default")
            command.prepare(place)
            yield place
        finally:
            if mounted:
                subprocess.run(["umount", "-l", str(place)], check=False)
            shutil.rmtree(place, ignore_errors=True)

    def _finished(self) -> Path:
        """A study of one completed run."""
        place = self.root / "finished"
        if not place.exists():
            import_results(LM_EVAL / "older", self.root / "making", "earlier")
            (self.root / "making" / "earlier").rename(place)
        return place

    def _home(self) -> Path:
        place = self.root / "home"
        if not place.exists():
            from slimnb.models.offline import prepare_tiny

            prepare_tiny(place / "models" / "tiny")
        return place

    def _trained(self) -> Path:
        place = self.root / "trained"
        if not place.exists():
            with self.place("run", "none") as made:
                ended = self.start("run", made, None)
                if ended.status != 0:
                    raise RuntimeError(f"run fails without a fault: {ended.err[-2000:]}")
                shutil.copytree(made / "runs" / "default", place)
        return place


def _environment(place: Path, plan: dict[str, Any] | None, more: dict[str, str]) -> dict[str, str]:
    """Nothing of the developer's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLIMNB_", "HF_", "PYTHONPATH"))}
    own = {"SLIMNB_HOME": str(place / "home"), "HF_HOME": str(place / "hf"), "OMP_NUM_THREADS": "1",
           "HF_HUB_OFFLINE": "1", "COLUMNS": "1000", "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip
    if plan:
        own |= {"SLIMNB_CHAOS": json.dumps(plan), "PYTHONPATH": str(PLANTED)}
    return kept | own | more


def _popen(
    command: Command,
    place: Path,
    plan: dict[str, Any] | None,
    variables: dict[str, str] | None = None,
    words: tuple[str, ...] = (),
) -> subprocess.Popen[str]:
    limited = plan is not None and plan["fault"] in WITHOUT_RIGHTS and os.geteuid() == 0
    return subprocess.Popen(
        [*command.start, *command.words(place), *words], cwd=ROOT, env=_environment(place, plan, variables or {}),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
        start_new_session=True, preexec_fn=_without_roots_rights if limited else None,
    )  # fmt: skip


def _without_roots_rights() -> None:
    """So that permissions hold for this process, which root may pass over."""
    for right in RIGHTS:
        ctypes.CDLL(None).prctl(24, right, 0, 0, 0)  # PR_CAPBSET_DROP


def _wait(process: subprocess.Popen[str]) -> Ended:
    try:
        out, err = process.communicate(timeout=SECONDS)
        return Ended(process.returncode, out, err)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Ended(None, out, err)
    except BaseException:
        process.kill()
        raise


def _counter(place: Path, more: str = "") -> Path:
    """Beside the place, whose disk may be full."""
    return place.with_name(f"{place.name}.count{more}")


def _processes(place: Path) -> list[psutil.Process]:
    words = str(place) + os.sep
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and words in " ".join(process.info["cmdline"] or []):
            found.append(process)
    return found


def _until(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _can_mount(root: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=root) as place:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", place], capture_output=True, check=False)
        if mounted.returncode == 0:
            subprocess.run(["umount", place], check=True)
    return mounted.returncode == 0
