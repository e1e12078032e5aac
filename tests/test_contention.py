"""Other programs' share of the processors is theirs alone."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from slimnb.machine import contention
from slimnb.machine.contention import Contention

SPIN = "import time\nend = time.process_time() + 60\nwhile time.process_time() < end: pass"


def test_a_program_beside_is_seen() -> None:
    beside = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        program, seen, start = psutil.Process(beside.pid), Contention(), time.monotonic()
        before = program.cpu_times().user
        while program.cpu_times().user < before + 0.5:
            time.sleep(0.05)
        share, wall = seen.share(), time.monotonic() - start
    finally:
        beside.kill()
        beside.wait()
    assert share * wall * (psutil.cpu_count() or 1) > 0.3  # of 0.5 seconds, counted in hundredths at best


def test_own_work_and_that_of_ended_children_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = SimpleNamespace(user=100.0, system=0.0, idle=500.0, steal=0.0)
    own = SimpleNamespace(user=10.0, system=0.0, children_user=0.0, children_system=0.0)
    clock = SimpleNamespace(monotonic=lambda: clock.now, now=0.0)
    processors = SimpleNamespace(
        cpu_times=lambda: SimpleNamespace(_asdict=lambda: vars(machine)),
        cpu_count=lambda: 2,
        Process=lambda: SimpleNamespace(cpu_times=lambda: own),
    )
    monkeypatch.setattr(contention, "psutil", processors)
    monkeypatch.setattr(contention, "time", clock)
    seen = Contention()
    clock.now, own.user, own.children_user = 10.0, 16.0, 4.0
    machine.user, machine.steal = 112.0, 2.0  # 20 processor seconds: 10 our own, 2 another program's, 2 the host's
    assert seen.share() == pytest.approx(0.2)
