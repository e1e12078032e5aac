"""The commands that faults are planted in: what each starts from, what it is called with, and what it leaves."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from slimnb.store.runs import scan

ROOT = Path(__file__).resolve().parents[2]
LM_EVAL = ROOT / "tests" / "fixtures" / "lm_eval"
DEMO = ROOT / "data" / "runs" / "demo"
SLIMNB = (sys.executable, "-m", "slimnb")
WORK = """
import sys
from slimnb.errors import SlimnbError
from tests.study_stub import main
try:
    main()
except SlimnbError as error:
    sys.exit(f"Error: {error}")
"""
"""Stands in for `slimnb study work`, and tells an error in words as that does."""
STUB = "import slimnb.study.work as work, slimnb.cli as cli; work.COMMAND = {command!r}; cli.main()"
RUN = ["run", "--model", "tiny", "--dtype", "float32", "--benchmarks", "workshop_cs", "--limit", "4", "--quiet"]
TRAIN = ["--method", "lora", "--train-on", "workshop_math", "--train-limit", "16", "--steps", "3",
         "--checkpoint-steps", "1"]  # fmt: skip
HUB_MODEL = "some-org/tiny-random"


def _nothing(place: Path) -> None:
    """It starts from an empty place."""


@dataclass(frozen=True)
class Command:
    """A command line in a place of its own; `runs`, `out` and `home` in it are watched."""

    words: Callable[[Path], list[str]]
    prepare: Callable[[Path], None] = _nothing
    """Beside a completed run, which every place has."""
    start: tuple[str, ...] = SLIMNB
    twice: str | None = None
    """What the same command says where all is done already, instead of succeeding."""
    again: tuple[str, ...] = ()
    """What is added when it is given again: a study leaves a run alone that failed, until it is told to retry."""
    torch: bool = False
    """Whether it takes the seconds that an import of torch takes."""
    waits: bool = False
    """Whether a second one waits for the first, instead of being refused."""


def _own_rows(place: Path) -> None:
    rows = "".join(f'{{"prompt": "{i}?", "completion": " {i}"}}\n' for i in range(50))
    (place / "in" / "own.jsonl").write_text(rows)


def _grid(place: Path) -> None:
    fields = {
        "name": "grid", "model": "tiny", "methods": ["base", "lora"], "train_on": ["workshop_math"], "seeds": [0],
        "benchmarks": ["workshop_cs", "workshop_commonsense"], "options": {"steps": 2},
        "scoring": {"limit": 4, "dtype": "float32"},
    }  # fmt: skip
    (place / "in" / "grid.yaml").write_text(yaml.safe_dump(fields))


def _demo(place: Path) -> None:
    shutil.copytree(DEMO, place / "runs" / "demo", ignore=shutil.ignore_patterns("full-*", "qlora-*"))


def _old_report(place: Path) -> None:
    _demo(place)
    (place / "out" / "FINDINGS.md").write_text("An older report.\n")


def earlier(place: Path) -> Path:
    """The completed run that every place has."""
    (found,) = (place / "runs" / "earlier").iterdir()
    return found


def _finished_lora(place: Path) -> Path:
    return next(path for path in (place / "runs" / "default").iterdir() if path.name.startswith("lora"))


def _study(place: Path) -> list[str]:
    return ["study", "run", str(place / "in" / "grid.yaml"), "--runs", str(place / "runs"), "--jobs", "2"]


COMMANDS = {
    "import": Command(
        lambda place: ["import", "lm-eval", str(LM_EVAL / "tiny"), "--runs", str(place / "runs"), "--name", "s"],
        twice="this run is complete",
    ),
    "report": Command(
        lambda place: ["report", str(place / "runs" / "demo"), "--out", str(place / "out" / "FINDINGS.md")],
        _old_report,
    ),
    "export": Command(
        lambda place: ["export", "lm-eval", str(earlier(place)), str(place / "out"), "--runs", str(place / "runs")],
    ),
    "runs": Command(lambda place: ["runs", "--json", "--runs", str(place / "runs")], _demo),
    "study": Command(
        _study, _grid, (sys.executable, "-c", STUB.format(command=(sys.executable, "-c", WORK))),
        waits=True, again=("--retry",),
    ),
    "run": Command(lambda place: [*RUN, *TRAIN, "--runs", str(place / "runs")], torch=True),
    "real study": Command(_study, _grid, torch=True, waits=True, again=("--retry",)),
    "merge": Command(
        lambda place: ["merge", str(_finished_lora(place)), str(place / "out" / "merged"), "--to", "16bit"],
        twice="exists and is not an empty directory", torch=True,
    ),
    "models get": Command(lambda place: ["models", "get", "tiny"], torch=True),
    "data check": Command(
        lambda place: ["data", "check", str(place / "in" / "own.jsonl"), "--model", "tiny"], _own_rows, torch=True
    ),
    "models get, Hub": Command(lambda place: ["models", "get", HUB_MODEL], torch=True),
    "accelerate launch": Command(
        lambda place: ["slimnb", *RUN, *TRAIN, "--runs", str(place / "runs")],
        start=(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"),
        torch=True,
    ),
}  # fmt: skip


def outcome(place: Path) -> dict[str, str]:
    """What a command has made, as far as it must be the same whatever happened on the way: a hash by name."""
    found: dict[str, str] = {}
    for folder in scan(place / "runs")[0]:
        name = f"{folder.record.study}/{folder.record.id}"
        found[name] = folder.record.status
        for benchmark in folder.record.scores:
            found[f"{name} {benchmark}"] = _hash(_as_bytes(folder.items(benchmark)))
        for file in sorted(folder.path.glob("*/*.safetensors")):
            found[f"{name} {file.name}"] = _hash(file.read_bytes())
    for file in sorted((place / "out").rglob("*")):
        if file.suffix in (".md", ".safetensors", ".jsonl"):
            found[file.name] = _hash(file.read_bytes())
    for file in sorted((place / "home").rglob("*.safetensors")):
        found[f"home/{file.parent.name}"] = _hash(file.read_bytes())
    return found


def _as_bytes(items: pd.DataFrame) -> bytes:
    return items.to_json(orient="split", double_precision=15).encode()


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
