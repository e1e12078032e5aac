"""A memory group of the kernel's, whose processes are killed where they want more than it has.

Control groups of version 1 and 2; both need root, and version 2 a parent that hands the memory controller down.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

MEMORY_BYTES = 1 << 30
"""Enough for each command: what is killed is what the fault itself takes."""
MOUNTED = Path("/sys/fs/cgroup")
LIMITS = {MOUNTED / "memory": "memory.limit_in_bytes", MOUNTED: "memory.max"}
"""Where groups may be made, and the file that holds what such a group may take."""


@contextmanager
def memory_group(limit: int = MEMORY_BYTES) -> Iterator[Path]:
    """A new group; a process that writes 0 into its `cgroup.procs` is in it, and so are its children.

    Raises:
        OSError: no group can be made here.
    """
    parent, name = next(((top, name) for top, name in LIMITS.items() if (top / "cgroup.procs").exists()), (None, ""))
    if parent is None:
        raise OSError("the kernel's control groups are not mounted")
    group = parent / f"slimnb-chaos-{os.getpid()}-{time.monotonic_ns()}"
    group.mkdir()
    try:
        (group / name).write_text(str(limit), "ascii")
        yield group
    finally:
        end = time.monotonic() + 30  # until all that was in it is gone
        while group.exists():
            try:
                group.rmdir()
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


@cache
def kernel_kills() -> bool:
    """Whether a group can be made here."""
    try:
        with memory_group():
            return True
    except OSError:
        return False
