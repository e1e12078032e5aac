"""The dashboard over 5,000 runs: scanning, the first view, a filter, a selection, memory.

Writes data/perf/dashboard.json.

`python -m tests.perf.dashboard` makes the runs in a temporary directory, out of the reference runs, and measures each
layout in processes of its own (`... one DIR`): fifty studies of a hundred runs, and one study of them all. Seconds are
the server's, without the network and the browser; the middle of three processes counts. `imports` are what a server
takes once, before its first view of anything.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "data" / "runs" / "demo"
RESULT = ROOT / "data" / "perf" / "dashboard.json"
RUNS = 5000
TURNS = 3
LAYOUTS = {"50 studies of 100 runs": 50, "1 study of 5,000 runs": 1}
WANTED = {"scan_cold": 1.5, "scan_unchanged": 0.2, "first_view": 2.0, "filter": 0.5, "selection": 0.5, "peak_mb": 600}


def make(root: Path, studies: int, runs: int = RUNS) -> None:
    """Runs like the reference ones; those of a method differ in their seed. Large files are links to one copy."""
    for number in range(runs):
        original = sorted(REFERENCE.iterdir())[number % 4]
        study = root / f"study-{number % (4 * studies) // 4:02d}"
        folder = study / f"{original.name[:-6]}{number:06x}"
        shutil.copytree(original, folder, copy_function=os.link)
        for name, changes in (
            ("run.json", {"id": folder.name, "study": study.name, "started": 1.7e9 + number}),
            ("config.json", {"seed": number}),
        ):
            fields = json.loads((original / name).read_text(encoding="utf-8")) | changes
            (folder / name).unlink()
            (folder / name).write_text(json.dumps(fields, indent=2), encoding="utf-8")


def one(root: Path) -> dict[str, float]:
    """Everything once, in this process: what a person does first, and then."""
    import psutil
    from streamlit.testing.v1 import AppTest

    sys.argv = ["app.py", "--runs", str(root)]
    found: dict[str, float] = {}
    found["imports"], _ = _seconds(lambda: importlib.import_module("dashboard.answers"))
    from dashboard.store import Shelf

    app = AppTest.from_file(ROOT / "dashboard" / "app.py", default_timeout=60)
    found["first_view"], _ = _seconds(app.run)
    app.switch_page("views/runs.py")
    app.query_params["everywhere"] = "1"
    found["all_runs"], _ = _seconds(app.run)
    app.text_input(key="search").set_value("method=lora seed=1")
    found["filter"], _ = _seconds(app.run)
    app.switch_page("views/compare.py")
    found["compare"], _ = _seconds(app.run)
    app.selectbox(key="first").set_value(app.selectbox(key="first").options[1])
    found["selection"], _ = _seconds(app.run)
    assert not app.exception
    found["peak_mb"] = psutil.Process().memory_info().rss / 1e6
    shelf = Shelf(root)
    found["scan_cold"], store = _seconds(shelf.look)
    assert len(store.runs) == RUNS and not store.broken
    found["scan_unchanged"], _ = _seconds(shelf.look)
    return found


def _seconds(act: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = act()
    return time.perf_counter() - start, result


def measure(root: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.perf.dashboard", "one", str(root)]
    turns = [json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
             for _ in range(TURNS)]  # fmt: skip
    return {name: round(statistics.median(turn[name] for turn in turns), 3) for name in turns[0]}


def main() -> None:
    if sys.argv[1:2] == ["one"]:
        print(json.dumps(one(Path(sys.argv[2]))))
        return
    from slimnb.io.files import write_json
    from slimnb.machine.environment import describe

    layouts = {}
    for name, studies in LAYOUTS.items():
        with tempfile.TemporaryDirectory(prefix="slimnb-dashboard-", dir=ROOT.parent) as place:
            make(Path(place), studies)
            layouts[name] = measure(Path(place))
    known = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}  # tests.perf.dashboard_sessions adds to it
    write_json(RESULT, known | {"environment": describe(), "runs": RUNS, "wanted": WANTED, "layouts": layouts})
    for name, found in layouts.items():
        print(name, found)


if __name__ == "__main__":
    main()
