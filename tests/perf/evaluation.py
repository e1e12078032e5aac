"""Evaluation beside lm-evaluation-harness: speed, memory, bfloat16's flips. Writes data/perf/evaluation.json.

Each measurement is a process of its own: `python -m tests.perf.evaluation` runs them in turn, three pairs a benchmark;
`python -m tests.perf.evaluation one WHO BENCHMARK SHOTS LIMIT BATCH` is one of them, and `... inside` looks into
slimnb's own time (tests/perf/inside.py); `... only "hellaswag, 0 shots"` measures a case again. A quiet machine is
needed.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SLIMNB_DATA") or ROOT.parent / "shared" / "data")
RESULT = ROOT / "data" / "perf" / "evaluation.json"
PAIRS = 3
BATCH_SIZES = (1, 8, 16, 32)
"""Those among which lm-eval gets its best, found on a part of the items."""

# benchmark, shots, items (of each subject for mmlu_cs), items of the search for lm-eval's batch size, wanted ratio
CASES = [
    ("hellaswag", 0, 200, 40, 2.5),
    ("hellaswag", 10, 20, 4, 10.0),
    ("mmlu_cs", 5, 25, 4, 5.0),
    ("gsm8k", 5, 32, 32, 2.5),
]


def one(who: str, benchmark: str, shots: int, limit: int, batch: int) -> dict[str, Any]:
    """Load the model, evaluate once, and tell the seconds of the evaluation, the items and the peak memory."""
    import resource

    import torch

    from slimnb.benchmarks import get_benchmark
    from slimnb.models.load import load_model

    loaded = load_model("smollm2-135m", "bfloat16", device="cpu")
    subjects = len(get_benchmark(benchmark).data)
    if who == "slimnb":
        from slimnb.evaluation.evaluate import evaluate

        asked = get_benchmark(benchmark)
        questions = asked.load(DATA, shots, limit * subjects)
        start = time.perf_counter()
        evaluate(loaded, asked, questions)
        seconds = time.perf_counter() - start
    else:
        from tests.perf import lm_eval_peer

        wrapped = lm_eval_peer.harness(loaded.model, loaded.tokenizer, batch)
        seconds = 0.0
        for method in ("loglikelihood", "generate_until"):  # the loop itself, without lm-eval's task building
            inner = getattr(wrapped, method)

            def timed(*args: Any, inner: Any = inner, **kwargs: Any) -> Any:
                nonlocal seconds
                start = time.perf_counter()
                answers = inner(*args, **kwargs)
                seconds += time.perf_counter() - start
                return answers

            setattr(wrapped, method, timed)
        lm_eval_peer.evaluate(wrapped, benchmark, DATA, shots, limit)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "items": limit * subjects, "peak_bytes": peak, "threads": torch.get_num_threads()}


def measure(*words: Any) -> dict[str, Any]:
    """`one` in a process of its own, with the seconds of the whole process beside."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "tests.perf.evaluation", "one", *map(str, words)]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if outcome.returncode:
        sys.exit(outcome.stderr)
    found = json.loads(outcome.stdout.splitlines()[-1])
    print(*words, {key: round(value, 2) for key, value in found.items()}, file=sys.stderr, flush=True)
    return found | {"process_seconds": time.perf_counter() - start}


def best_batch(benchmark: str, shots: int, part: int) -> int:
    return min(BATCH_SIZES, key=lambda batch: measure("lm-eval", benchmark, shots, part, batch)["seconds"])


def compare(benchmark: str, shots: int, limit: int, part: int, wanted: float) -> dict[str, Any]:
    from slimnb.machine.environment import describe

    batch = best_batch(benchmark, shots, part)
    turns: dict[str, list[dict[str, Any]]] = {"slimnb": [], "lm-eval": []}
    for _ in range(PAIRS):
        for who, found in turns.items():
            found.append(measure(who, benchmark, shots, limit, batch))

    def median(who: str, key: str) -> float:
        return statistics.median(found[key] for found in turns[who])

    return {
        "git": describe()["git"],
        "shots": shots, "items": turns["slimnb"][0]["items"], "lm_eval_batch_size": batch, "wanted_ratio": wanted,
        "loop_ratio": median("lm-eval", "seconds") / median("slimnb", "seconds"),
        "process_ratio": median("lm-eval", "process_seconds") / median("slimnb", "process_seconds"),
        "slimnb_items_per_second": turns["slimnb"][0]["items"] / median("slimnb", "seconds"),
        "lm_eval_items_per_second": turns["lm-eval"][0]["items"] / median("lm-eval", "seconds"),
        "peak_bytes": {who: max(one["peak_bytes"] for one in found) for who, found in turns.items()},
        "turns": turns,
    }  # fmt: skip


def main() -> None:
    from slimnb.io.files import write_json
    from slimnb.machine.environment import describe
    from tests.perf import inside

    command, words = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("all", [])
    if command == "one":
        who, benchmark, *numbers = words
        print(json.dumps(one(who, benchmark, *map(int, numbers))))
        return
    known = json.loads(RESULT.read_text()) if command != "all" else {"cases": {}}
    report: dict[str, Any] = known | {"environment": describe(), "dtype": "bfloat16", "lm_eval": "0.4.13"}
    for benchmark, shots, *rest in CASES:
        label = f"{benchmark}, {shots} shots"
        if command == "all" or label in words:
            report["cases"][label] = compare(benchmark, shots, *rest)
            write_json(RESULT, report)
    if command in ("all", "inside"):
        report["inside"] = inside.evaluation(DATA)
    write_json(RESULT, report)


if __name__ == "__main__":
    main()
