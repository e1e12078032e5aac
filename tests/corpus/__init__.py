"""Bad inputs, and odd ones that are right, for every entry of slimnb: each must end in words, or in the right result.

A row names an input, makes it, feeds it to slimnb in this process, and says what must come of it. What a fuzzer or a
user finds becomes a row. `python -m tests.corpus` tries all and keeps the counts in data/perf/reliability.json;
tests/test_corpus.py tries each.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimnb.errors import SlimnbError

SECONDS = 10
"""After which an input counts as hung."""
MOST_GROWN = 10**9
"""Bytes of memory that one input may take."""
LONGEST_MESSAGE = 3000
"""Characters that a person is asked to read."""

Act = Callable[[Path], Any]
"""Makes an input in an empty directory, feeds it to slimnb, and gives what comes of it."""


@dataclass(frozen=True)
class Row:
    entry: str
    """Through which door the input comes."""
    name: str
    act: Act
    error: str | None = None
    """Words that the error must hold."""
    right: Callable[[Any], bool] | None = None
    """Whether what came of it is right; given where there must be no error."""

    def __str__(self) -> str:
        return f"{self.entry}: {self.name}"


@dataclass(frozen=True)
class Outcome:
    verdict: str
    """clear error, correct, wrong or hung."""
    why: str
    """What is wrong; else the error's words."""
    seconds: float
    grown: int
    """Bytes by which the process grew at its highest."""


class Hung(BaseException):
    """An input took longer than a person waits."""


def tried(row: Row, place: Path, patience: float = SECONDS) -> Outcome:
    """Feed one input to slimnb, within bounds of time and memory.

    Args:
        place: an empty directory.
        patience: seconds of the clock. The processor's time is bounded by SECONDS in any case.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # lets the high-water mark count from here
    before, begun = _status("VmRSS"), time.perf_counter()
    try:
        with _bounded(patience):
            found = row.act(place)
        fits = row.right is not None and row.right(found)
        verdict, why = ("correct", "") if fits else ("wrong", f"came to {found!r:.300}")
    except Hung:
        verdict, why = "hung", f"more than {SECONDS} s"
    except SlimnbError as error:
        verdict, why = _judged(row, str(error))
    except BaseException as error:  # whatever it is, a person would have seen a traceback
        verdict, why = "wrong", "".join(traceback.format_exception(error))[-3000:]
    seconds, grown = time.perf_counter() - begun, max(0, _status("VmHWM") - before)
    if grown > MOST_GROWN:
        verdict, why = "wrong", f"took {grown / 1e6:.0f} MB; {why}"
    return Outcome(verdict, why, seconds, grown)


def _judged(row: Row, message: str) -> tuple[str, str]:
    if row.error is None:
        return "wrong", f"refused, though it is right: {message:.500}"
    if row.error not in message:
        return "wrong", f"does not say {row.error!r}: {message:.500}"
    if len(message) > LONGEST_MESSAGE:
        return "wrong", f"{len(message)} characters: {message:.200}"
    return "clear error", message


@contextlib.contextmanager
def _bounded(patience: float) -> Iterator[None]:
    """Time by two clocks, since a pipe waits without work. Memory so that a runaway takes not the machine."""

    def stop(number: int, frame: object) -> None:
        raise Hung

    earlier = {number: signal.signal(number, stop) for number in (signal.SIGALRM, signal.SIGPROF)}
    room = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + 3 * MOST_GROWN, room[1]))
    signal.setitimer(signal.ITIMER_REAL, patience)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, room)
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text("ascii", errors="replace").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return 0


def slimnb(*words: str) -> str:
    """`slimnb WORDS` in this process: what it printed; an exit status of 1 or 2 with one message is a SlimnbError."""
    from slimnb.cli import main

    argv, here = sys.argv, Path.cwd()
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    err.reconfigure(errors="backslashreplace")  # as Python's own
    status: Any = 0
    try:
        sys.argv = ["slimnb", *words]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        status = end.code or 0
    finally:
        sys.argv = argv
        os.chdir(here)
    said, told = (stream.buffer.getvalue().decode("utf-8") for stream in (out, err))  # pyright: ignore
    if status in (1, 2) and told.strip() and "Traceback" not in told and "a fault of slimnb's" not in told:
        raise SlimnbError(told)
    assert status == 0, f"exit status {status}: {told[-2000:]}"
    return said


def rows() -> list[Row]:
    """The whole table."""
    from tests.corpus import benchmark_files, command_line, lm_eval_results, run_folders, studies, training_files
    from tests.corpus import parquet_files as parquet_files  # its rows stand among those of training files

    tables = (training_files, benchmark_files, studies, run_folders, lm_eval_results, command_line)
    return [row for table in tables for row in table.ROWS]
