"""What a run ran on: versions, hardware and the state of the code. Imports no torch."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

JOBS = "SLIMNB_JOBS"
"""The variable by which a study tells a run how many shared the machine: its seconds are not those of a run alone."""
PACKAGES = (
    "slimnb",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "numpy",
)


def versions() -> dict[str, str | None]:
    """The versions of the packages that numbers depend on; None for one that is not installed."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def describe() -> dict[str, Any]:
    """A machine's and a checkout's description, for environment.json."""
    return {
        "python": platform.python_version(),
        "packages": versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": psutil.cpu_count(logical=False),
        "memory_bytes": psutil.virtual_memory().total,
        "accelerator": _accelerator(),
        "jobs": int(os.environ.get(JOBS) or 1),
        "git": _git(),
    }


def runs_at_once(environment: dict[str, Any]) -> int:
    """Runs of one study that shared the machine, as an environment.json says; 1 where it does not say so."""
    jobs = environment.get("jobs")
    return jobs if isinstance(jobs, int) and jobs > 1 else 1


def processor() -> str:
    """The processor's name as the operating system tells it.

    With its family and model where there are such numbers: virtual machines of different speed share a name.
    """
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = told.get("model name") or platform.processor() or platform.machine()
    numbers = [f"{short} {told[key]}" for key, short in (("cpu family", "family"), ("model", "model")) if key in told]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _accelerator() -> str | None:
    torch = sys.modules.get("torch")  # asked only where it is loaded already
    return torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None


def _git() -> dict[str, Any] | None:
    """Commit of slimnb's checkout and whether it had changes; None outside a checkout."""
    place = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str | None:
        try:
            outcome = subprocess.run(["git", "-C", str(place), *words], capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return outcome.stdout.strip() if outcome.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
