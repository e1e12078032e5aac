"""What other programs took of the machine: only on a quiet one are a phase's seconds its own. Imports no torch."""

from __future__ import annotations

import time

import psutil

NOTICED = 0.1
"""A share of the machine's processor time from which a reader is warned."""


class Contention:
    """Other programs' share of the processors since this was made.

    Counted by the operating system: the processor seconds of everything that ran (user, system, interrupts, and what a
    host took from a virtual machine), less those of this process and of its children that have ended.
    """

    def __init__(self) -> None:
        self._start = _others_seconds(), time.monotonic()

    def share(self) -> float:
        """Between 0 (nothing else ran) and 1 (all processors, all the time)."""
        others, now = _others_seconds(), time.monotonic()
        available = (now - self._start[1]) * (psutil.cpu_count() or 1)
        return min(1.0, max(0.0, others - self._start[0]) / available) if available > 0 else 0.0


def _others_seconds() -> float:
    everything = psutil.cpu_times()._asdict()
    busy = sum(everything.get(kind, 0.0) for kind in ("user", "nice", "system", "irq", "softirq", "steal"))
    own = psutil.Process().cpu_times()
    return busy - own.user - own.system - own.children_user - own.children_system
