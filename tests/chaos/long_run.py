"""Training and scoring in a loop in one process: memory, open files and temporary files must not grow.

`make long-run`, or `python -m tests.chaos.long_run [MINUTES]` (120). Methods take turns on the random model `tiny`. The
first rounds fill caches, so growth is counted from the end of the first fifth: the median of the last fifth of the
rounds against the median of the second. Only a run of two hours is kept.
"""

from __future__ import annotations

import gc
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.report import keep

MINUTES = 120.0
MOST_GROWTH = 2.0
"""Per cent of memory."""
METHODS = ("lora", "qlora", "full", "base")


def one_round(root: Path, number: int) -> None:
    """A run of each method, whose folder is removed."""
    from slimnb.config import make_run_config
    from slimnb.experiment import run

    for method in METHODS:
        training: dict[str, Any] = {"train_on": "workshop_math", "train_limit": 24, "steps": 4}
        options = {} if method == "base" else training
        config = make_run_config(
            model="tiny", method=method, benchmarks=("workshop_cs", "workshop_math"), limit=4, seed=number, **options
        )
        run(config, root, "study", checkpoint_steps=2)
    shutil.rmtree(root / "study")


def taken(scratch: Path) -> dict[str, int]:
    """What the process holds now."""
    gc.collect()
    process = psutil.Process()
    return {
        "memory": process.memory_info().rss,
        "open files": process.num_fds(),
        "threads": process.num_threads(),
        "temporary files": sum(1 for _ in scratch.rglob("*")),
    }


def growth(found: list[dict[str, int]]) -> list[dict[str, Any]]:
    """A line a thing: its median in the second and in the last fifth of the rounds."""
    fifth = max(1, len(found) // 5)
    rows = []
    for name in found[0]:
        early = statistics.median(one[name] for one in found[fifth : 2 * fifth])
        late = statistics.median(one[name] for one in found[-fifth:])
        percent = 100 * (late - early) / early if early else 100.0 * bool(late)
        shown = (early, late) if name != "memory" else (early / 1e6, late / 1e6)
        grew = percent > MOST_GROWTH if name == "memory" else late > early
        rows.append({
            "what": name + (", MB" if name == "memory" else ""), "second fifth": round(shown[0], 1),
            "last fifth": round(shown[1], 1), "growth, %": round(percent, 2), "grew": "yes" if grew else "no",
        })  # fmt: skip
    return rows


def main() -> None:
    import os

    from slimnb.machine.environment import describe
    from slimnb.machine.progress import console

    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else MINUTES
    with tempfile.TemporaryDirectory(prefix="slimnb-long-run-") as place:
        scratch = Path(place) / "temporary"
        scratch.mkdir()
        os.environ["SLIMNB_HOME"] = str(Path(place) / "home")
        os.environ["HF_HUB_OFFLINE"] = "1"
        tempfile.tempdir = os.environ["TMPDIR"] = str(scratch)
        console.quiet = True
        found: list[dict[str, int]] = []
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end or len(found) < 5:
            one_round(Path(place) / "runs", len(found))
            found.append(taken(scratch))
            print(f"round {len(found)}: {found[-1]}", flush=True)
    rows = growth(found)
    for row in rows:
        print(row)
    if minutes >= MINUTES:
        keep("long_run", rows, minutes=minutes, rounds=len(found), runs=len(METHODS) * len(found),
             processor=describe()["processor"])  # fmt: skip
    sys.exit(1 if any(row["grew"] == "yes" for row in rows) else 0)


if __name__ == "__main__":
    main()
