"""Where slimnb keeps what it prepares, and where runs are. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_RUNS = Path("data/runs")
PROJECT = Path(__file__).resolve().parents[2]
DEMO, MEASURED = PROJECT / DEFAULT_RUNS / "demo", PROJECT / DEFAULT_RUNS / "reference"
"""The studies whose runs ship with the project: on the workshop's benchmarks, and on the real ones."""


def home() -> Path:
    """The cache: SLIMNB_HOME, else the platform's cache directory for slimnb."""
    if "SLIMNB_HOME" in os.environ:
        return Path(os.environ["SLIMNB_HOME"])
    from platformdirs import user_cache_path  # the dashboard alone prepares nothing and is installed without it

    return user_cache_path("slimnb")
