"""Comparing is quick at HellaSwag's full size, and needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from slimnb.analysis.comparison import compare_all
from slimnb.store.runs import RunFolder

MakeRun = Callable[..., RunFolder]
ITEMS = 10_042


def runs(make_run: MakeRun, count: int) -> list[RunFolder]:
    random = np.random.default_rng(0)
    made = []
    for i in range(count):
        answers = tuple((random.random(ITEMS) < 0.4).tolist())
        run = make_run("lora" if i else "base", answers, **({"rank": i} if i else {}))
        likelihoods = random.normal(-50, 5, (ITEMS, 4)).tolist()
        run.write_items(
            "workshop_cs",
            run.items("workshop_cs").assign(log_likelihoods=likelihoods),
            run.record.scores["workshop_cs"],
        )
        made.append(run)
    return made


@pytest.mark.parametrize(("count", "seconds"), [(2, 2.0), (50, 10.0)])
def test_comparing_many_runs_of_hellaswags_size_is_quick(make_run: MakeRun, count: int, seconds: float) -> None:
    made = runs(make_run, count)
    start = time.perf_counter()
    done, refused = compare_all(made)
    assert time.perf_counter() - start < seconds
    assert len(done) == count - 1
    assert not refused


def test_the_command_imports_no_torch(make_run: MakeRun, tmp_path: Path) -> None:
    base, tuned = make_run("base", (False,) * 20), make_run("lora", (True,) * 20)
    words = ["compare", base.record.id, tuned.record.id, "--json", "--runs", str(tmp_path / "runs")]
    program = (
        "import sys; from slimnb.cli import app\n"
        f"try: app({words!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert outcome.stderr.strip().splitlines()[-1] == "False"
    assert json.loads(outcome.stdout)["comparisons"]
