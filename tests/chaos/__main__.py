"""Every fault at random moments of every command: `make chaos`, or `python -m tests.chaos [--seed N] [--only FAULT]`.

Most points are of commands that need no torch, which start fast. The seed gives the same points again, however many are
tried at once, as far as the machine takes the same steps: a study's runs work at once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from slimnb.machine.environment import describe
from tests.chaos.hub import COMMAND, TROUBLES, hub_point
from tests.chaos.memory_group import kernel_kills
from tests.chaos.points import LAUNCH, WORKER_DIES, Chaos, Tried
from tests.chaos.report import RESULT, keep, show

SEED = 20261124
POINTS: dict[str, dict[str, int]] = {
    "kill -9": {"import": 9, "report": 4, "export": 5, "runs": 1, "study": 10, "run": 4, "merge": 2, "models get": 2,
                "data check": 1, "real study": 2},
    "SIGTERM": {"import": 5, "report": 3, "export": 3, "study": 5, "run": 2},
    "SIGINT": {"import": 5, "report": 3, "export": 3, "study": 5, "run": 2},
    "memory refused": {"import": 5, "report": 2, "export": 2, "study": 2, "run": 1},
    "killed for want of memory": {"import": 4, "report": 2, "export": 3, "study": 3, "run": 1},
    "full disk": {"import": 10, "report": 4, "export": 6, "study": 6, "run": 3, "merge": 2, "models get": 1},
    "read-only directory": {"import": 6, "report": 3, "export": 3, "study": 3, "run": 1},
    "permission denied": {"import": 6, "report": 3, "export": 3, "study": 3, "run": 1},
    "clock set back": {"import": 6, "study": 4, "run": 1},
    "two processes": {"import": 6, "export": 2, "study": 2, "run": 2},
    WORKER_DIES: {LAUNCH: 2},
    **{trouble: {COMMAND: 2} for trouble in TROUBLES},
}  # fmt: skip
"""Points of each fault by command: 200."""


def points(fault: str | None = None) -> list[tuple[str, str]]:
    """Each as (fault, command)."""
    return [(one, name) for one, numbers in POINTS.items() if fault in (None, one)
            for name, count in numbers.items() for _ in range(count)]  # fmt: skip


def try_point(chaos: Chaos, fault: str, name: str) -> Tried:
    return hub_point(chaos, fault) if fault in TROUBLES else chaos.point(fault, name)


_chaos: Chaos | None = None
"""Of a worker process."""


def _begin(root: Path) -> None:
    global _chaos
    own = root / f"{os.getpid()}"
    own.mkdir()
    _chaos = Chaos(own, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the command under way ends as well


def _numbered(seed: int, number: int, fault: str, name: str) -> Tried:
    assert _chaos
    _chaos.dice = random.Random(f"{seed}, {number}")
    return try_point(_chaos, fault, name)


def rows(tried: list[Tried]) -> list[dict[str, object]]:
    """A line a fault."""
    found = []
    for fault in dict.fromkeys(one.fault for one in tried):
        own = [one for one in tried if one.fault == fault]
        lost = sum(bool(one.wrong) for one in own)
        commands = ", ".join(dict.fromkeys(one.command for one in own))
        found.append({"fault": fault, "commands": commands, "points tried": len(own), "survived": len(own) - lost,
                      "lost": lost})  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", choices=list(POINTS), help="one fault; nothing is kept")
    parser.add_argument("--command", help="one command; nothing is kept")
    parser.add_argument("--jobs", type=int, default=2, help="points tried at once; each command takes one core")
    parser.add_argument("--most", type=int, default=10**6, help="so many points, drawn; nothing is kept")
    chosen = parser.parse_args()
    wanted = [one for one in points(chosen.only) if chosen.command in (None, one[1])]
    whole = len(wanted) == len(points()) and chosen.most >= len(wanted)
    if chosen.most < len(wanted):
        wanted = random.Random(chosen.seed).sample(wanted, chosen.most)
    tried: list[Tried] = []
    start = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="slimnb-chaos-") as root,
        ProcessPoolExecutor(chosen.jobs, initializer=_begin, initargs=(Path(root),)) as pool,
    ):
        given = ((chosen.seed, number, *point) for number, point in enumerate(wanted, start=1))
        for number, one in enumerate(pool.map(_numbered, *zip(*given, strict=True)), start=1):
            tried.append(one)
            ended = "LOST" if one.wrong else "survived" if one.happened else "ended before it happened"
            print(f"[{number}/{len(wanted)}] {one.fault}, {one.command} at {one.at}: {ended}", flush=True)
            for line in one.wrong:
                print(f"    {line}", flush=True)
        mounts = Chaos(Path(root), 0).mounts
    shown = rows(tried)
    about = {"seed": chosen.seed, "minutes": round((time.monotonic() - start) / 60, 1),
             "disk": "tmpfs" if mounts else "RLIMIT_FSIZE",
             "killed by": "the kernel" if kernel_kills() else "SIGKILL"}  # fmt: skip
    if whole:
        keep("faults", shown, **about, commit=describe()["git"])
        sys.exit(0 if show() else 1)
    place = Path(tempfile.gettempdir()) / RESULT.name
    place.unlink(missing_ok=True)
    keep("faults", shown, place, **about)
    sys.exit(0 if show(place) else 1)


if __name__ == "__main__":
    main()
