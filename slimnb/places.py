"""Where slimnb keeps what it prepares. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def home() -> Path:
    """The cache: SLIMNB_HOME, else the platform's cache directory for slimnb."""
    return Path(os.environ["SLIMNB_HOME"]) if "SLIMNB_HOME" in os.environ else user_cache_path("slimnb")
