"""Stands in for `slimnb study work` where a test needs many runs: the same folders, made in a moment, without torch.

A file beside the study's folder changes what a run does: `fail` ends it in an error, `die` in a kill -9, `refuse`
before it has a folder.
"""

import os
import signal
import sys
import time
from pathlib import Path

import pandas as pd

from slimnb.config import RunConfig
from slimnb.machine.progress import progress_bar, reported_to
from slimnb.store.records import BenchmarkResult, Lineage, Score
from slimnb.store.runs import RunFolder
from slimnb.study.board import PROGRESS_FILE
from slimnb.study.work import start_of_work

STEPS, STEP_SECONDS = 10, 0.03
COMMAND = (sys.executable, "-m", "tests.study_stub")


def main() -> None:
    config = RunConfig.model_validate_json(start_of_work())
    root, study = Path(sys.argv[sys.argv.index("--runs") + 1]), sys.argv[sys.argv.index("--name") + 1]
    if (root / "refuse").exists():
        sys.exit("Error: there is no such thing")
    folder = RunFolder.create(root, study, config)
    folder.record.lineage = Lineage(model=config.model, weights_sha256="0" * 64, dtype=config.dtype)
    print("a word of the run's")
    try:
        with reported_to(folder.path / PROGRESS_FILE):
            for benchmark in config.benchmarks:
                if benchmark not in folder.record.scores:
                    score(folder, benchmark)
    except KeyboardInterrupt:
        folder.finish("cancelled", "stopped by the user")
        sys.exit(130)
    if (root / "fail").exists():
        folder.finish("failed", "it was to fail")
        sys.exit(1)
    folder.finish("completed")


def score(folder: RunFolder, benchmark: str) -> None:
    with progress_bar(f"{folder.record.id}: {benchmark}", STEPS) as advance:
        for _ in range(STEPS):
            time.sleep(STEP_SECONDS)
            advance(1)
            if (folder.path.parents[1] / "die").exists():
                os.kill(os.getpid(), signal.SIGKILL)
    right = [(folder.config.seed + i) % 2 == 0 for i in range(4)]
    items = pd.DataFrame({"id": [f"item:{i}" for i in range(4)], "subject": "one", "correct_acc": right})
    result = BenchmarkResult(
        metrics={"acc": Score.of(sum(right), 4)}, primary="acc", shots=0, items=4, seconds=time.time(),
        prompts_sha256="0" * 64,
    )  # fmt: skip
    folder.write_items(benchmark, items, result)
    folder.save()


if __name__ == "__main__":
    main()
