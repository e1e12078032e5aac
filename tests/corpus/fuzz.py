"""A coverage-guided fuzzer over every reader: `python -m tests.corpus.fuzz --seconds 60 [TARGET ...]`.

Atheris guides by branches and is used where it is installed (`pip install -e '.[chaos]'`). What makes a reader raise
anything but a SlimnbError stops the fuzzer; the input is kept under build/fuzz, and becomes a row of the corpus. What
five minutes over all readers come to is kept in data/perf/reliability.json.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from slimnb.errors import SlimnbError
from tests.chaos.report import keep

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "build" / "fuzz"
WHOLE = 300
"""Seconds over all readers, from which on the figures are kept."""

GOOD: dict[str, bytes] = {
    "own.jsonl": b'{"prompt": "Q", "completion": "A"}\n{"messages": [{"role": "user", "content": "Hi"}]}\n',
    "own.csv": b'prompt,completion\n"Q, ""q""",A\n', "own.tsv": b"instruction\toutput\nQ\tA\n",
    "hellaswag": b'{"ind": 1, "activity_label": "a", "ctx_a": "b", "ctx_b": "", "endings": ["c", "d"], '
                 b'"source_id": "e", "label": "0"}\n',
    "gsm8k": b'{"question": "q", "answer": "1\\n#### 1"}\n',
    "mmlu": b'{"question": "q", "subject": "s", "choices": ["a", "b"], "answer": 1}\n',
    "study": b"name: x\nbenchmarks: [workshop_cs]\ntrain_on: [workshop_math]\nvary: {rank: [1, &r 2]}\nseeds: [*r]\n",
    "config": b'{"model": "tiny", "method": "base", "benchmarks": ["workshop_cs"], "limits": {"workshop_cs": 3}}',
}  # fmt: skip
"""What mutation starts from, a reader each."""
OWN = ("own.jsonl", "own.csv", "own.tsv", "own.parquet")
TARGETS = (*OWN, "hellaswag", "gsm8k", "mmlu", "study", "config", "results.json")
"""A file's name, where a reader goes by it."""


def _rows(data_set: str, split: str) -> Callable[[Path], Any]:
    from slimnb.data.load import DATA_SETS, load_rows

    def read(path: Path) -> Any:
        place = path.parent / DATA_SETS[data_set].files[split]
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
        return load_rows(data_set, split, path.parent)

    return read


@cache
def readers() -> dict[str, Callable[[Path], Any]]:
    """Imported here, since Atheris instruments what is imported under its eyes."""
    from slimnb.config import load_run_config
    from slimnb.data.own_data import read_own_data
    from slimnb.interop.lm_eval import import_results
    from slimnb.study.grid import load_study

    return dict.fromkeys(OWN, read_own_data) | {
        "hellaswag": _rows("hellaswag", "validation"), "gsm8k": _rows("gsm8k", "test"),
        "mmlu": _rows("mmlu/machine_learning", "test"), "study": load_study, "config": load_run_config,
        "results.json": lambda path: import_results(path, path.parent / "runs", "study"),
    }  # fmt: skip


def fed(target: str, content: bytes, place: Path) -> Any:
    """What a reader makes of these bytes; None where it says what is wrong. Anything else that it raises is a fault."""
    path = place / (target if "." in target else "input")
    path.write_bytes(content)
    try:
        return readers()[target](path)
    except SlimnbError as error:
        assert str(error).strip()
        return None


def _fuzz(target: str, seconds: int) -> None:
    """Fuzz one reader in this process, until the time is over or a fault is found."""
    import atheris

    with atheris.instrument_imports(include=["slimnb", "yaml", "json"]):
        readers()
    seeds = Path(tempfile.mkdtemp(prefix="slimnb-fuzz-"))
    (seeds / "good").write_bytes(GOOD.get(target) or _good_bytes(target, seeds))
    place = Path(tempfile.mkdtemp(prefix="slimnb-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))

    def one(content: bytes) -> None:
        try:
            fed(target, content, place)
        except Exception:
            FOUND.mkdir(parents=True, exist_ok=True)
            kept = FOUND / f"{target}-{hashlib.sha256(content).hexdigest()[:12]}"
            kept.write_bytes(content)
            print(f"{target}: {kept}", flush=True)
            raise

    # An input that takes more than 10 s or 2 GB stops it too.
    limits = [
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-rss_limit_mb=2500",
        "-max_len=4096",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *limits, str(seeds)], one)
    atheris.Fuzz()


def _good_bytes(target: str, place: Path) -> bytes:
    if target == "own.parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = place.with_suffix(".parquet")
        pq.write_table(pa.table({"prompt": ["Q"], "completion": ["A"]}), path)
        return path.read_bytes()
    older = ROOT / "tests" / "fixtures" / "lm_eval" / "older"
    return next(older.glob("results_*")).read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS, help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for all of them together")
    parser.add_argument("--here", action="store_true", help="one target, in this process")
    given = parser.parse_args()
    each = max(1, given.seconds // len(given.targets))
    if given.here:
        _fuzz(given.targets[0], each)
        return 0
    rows = []
    for target in given.targets:  # libFuzzer ends its process
        words = [sys.executable, "-m", "tests.corpus.fuzz", "--here", "--seconds", str(each), target]
        done = subprocess.run(
            words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
        )
        counted = [int(line.split()[-1]) for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        if not done.returncode and not counted:
            raise RuntimeError(f"the fuzzer counted nothing: {done.stderr[-3000:]}")
        rows.append({"reader": target, "inputs": sum(counted), "seconds": each, "faults": int(bool(done.returncode))})
        print(rows[-1], flush=True)
        if done.returncode:
            print(done.stdout[-2000:], done.stderr[-3000:], sep="\n")
    if set(given.targets) == set(TARGETS) and given.seconds >= WHOLE:
        keep("fuzzer", rows)
    return int(any(row["faults"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
