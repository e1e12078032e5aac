"""The machines that earlier attempts at a run trained on: its seconds count all attempts. Imports no torch."""

from __future__ import annotations

from typing import Any

MACHINE = ("processor", "accelerator", "cores", "threads", "jobs")
"""The fields of environment.json that seconds depend on."""


def earlier_attempts(earlier: dict[str, Any], now: dict[str, Any]) -> list[dict[str, Any]]:
    """The machines before this one, each once, the first one first; none where all attempts were on machines alike.

    Args:
        earlier: environment.json of the attempt that goes on now. It holds what this gave to that attempt, as
            `earlier_attempts`.
        now: the same of this attempt.
    """
    before, here = ({name: found.get(name) for name in MACHINE} for found in (earlier, now))
    machines = list(earlier.get("earlier_attempts") or [])
    if before not in machines:
        machines.append(before)
    return machines if any(machine != here for machine in machines) else []
