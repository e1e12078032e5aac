"""What is wrong with what a fault has left: nothing may be half, changed, or told badly."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from safetensors import safe_open

from slimnb.store.runs import RunFolder, scan
from tests.chaos.commands import Command

WATCHED = ("runs", "out", "home")
SIGNALS = ("kill -9", "SIGTERM", "SIGINT", "memory taken")
WITHOUT_RIGHTS = ("read-only directory", "permission denied")
LAST_LINE = re.compile(r"\n\Z|^- PEFT [\d.]+\Z", re.MULTILINE)
"""How a whole page ends: with its last line's end, or, as PEFT writes an adapter's, with its version."""


@dataclass(frozen=True)
class Ended:
    """How a command ended; status None where it hung."""

    status: int | None
    out: str
    err: str


def told_badly(fault: str, ended: Ended) -> list[str]:
    """What a command says that met with a fault and lived to tell of it."""
    if ended.status is None:
        return [f"hung: {ended.err[-1500:]}"]
    if fault not in (*SIGNALS, "memory error") and "Traceback" in ended.err:
        return [f"a traceback: {ended.err[-1500:]}"]
    if fault in ("full disk", "file size", *WITHOUT_RIGHTS) and "a fault of slimnb's" in ended.err:
        return [f"not told in words: {ended.err[-1500:]}"]
    return [f"fails: {ended.err[-1500:]}"] if fault == "clock set back" and ended.status else []


def ended_badly(ended: Ended, command: Command, worked_on_by: int | None) -> list[str]:
    """Of two processes with the same to do, each succeeds or is told why not, and who works on it."""
    if worked_on_by is not None:
        told = f"worked on by process {worked_on_by} on "
        return [] if ended.status == 1 and told in ended.err else [f"not told who works on it: {ended}"]
    known = ("worked on", command.twice or "worked on", "exists")
    fine = ended.status == 0 or (ended.status == 1 and any(words in ended.err for words in known))
    return [] if fine and "Traceback" not in ended.err else [f"one of two: {ended}"]


def half(place: Path) -> list[str]:
    """Files that are neither whole nor absent, and complete runs that are not."""
    wrong = []
    for path in (path for top in WATCHED for path in (place / top).rglob("*")):
        if path.is_dir() or any(part.endswith(".tmp") for part in path.parts) or "huggingface" in path.parts:
            continue
        try:
            if path.suffix == ".json":
                json.loads(path.read_text("utf-8"))
            elif path.suffix == ".parquet":
                pq.read_table(path)
            elif path.suffix == ".safetensors":
                with safe_open(path, "numpy"):
                    pass
            elif path.suffix == ".jsonl" and path.name != "metrics.jsonl":  # which is appended to
                [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            elif path.suffix == ".md" and not LAST_LINE.search(path.read_text("utf-8")):
                raise ValueError("cut short")
        except Exception as error:
            wrong.append(f"half: {path.relative_to(place)}: {error}")
    found, broken = scan(place / "runs")
    wrong += [f"broken: {one.reason}" for one in broken]
    return wrong + [told for folder in found if folder.record.status == "completed" for told in _missing(folder)]


def _missing(folder: RunFolder) -> list[str]:
    try:
        lengths = {name: len(folder.items(name)) == score.items for name, score in folder.record.scores.items()}
    except Exception as error:
        return [f"complete, but {error}"]
    return [] if lengths and all(lengths.values()) else [f"complete, but not whole: {folder.path.name} {lengths}"]


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def restore(place: Path) -> None:
    """Give the disk and the permissions back that a fault took."""
    (place / "filler").unlink(missing_ok=True)
    for top in WATCHED:
        for path in [place / top, *(place / top).rglob("*")]:
            with suppress(OSError):
                path.chmod(0o755 if path.is_dir() else 0o644)
