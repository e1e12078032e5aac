"""slimnb's results in words. Plain text: names of runs and benchmarks are data, never markup."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pandas as pd


def verdict(name: str, row: Any) -> str:
    """One sentence about a row of `slimnb.figures.differences_frame`."""
    if pd.notna(row.refused):
        return f"{name} on {row.benchmark}: not compared. {row.refused}"
    points, low, high = 100 * row.difference, 100 * row.low, 100 * row.high
    end = "resolved" if row.resolved else f"not resolved with {row.n:.0f} items"
    interval = f"(95% {low:+.1f} to {high:+.1f}, {row.n:.0f} items)"
    return f"{name[:1].upper()}{name[1:]} changed {row.benchmark} by {points:+.1f} points {interval}: {end}."


def score_cell(row: Any) -> str:
    return f"{100 * row.value:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"


def change_cell(row: Any) -> str:
    if pd.notna(row.refused):
        return "refused"
    return f"{100 * row.difference:+.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f})"


def moment(seconds: float) -> str | None:
    """A time of this machine's clock to the minute; None if the number is none."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
    except (OSError, OverflowError, ValueError):
        return None


def setting(value: Any) -> str | None:
    """A configuration's value as text; one that is not set stays None."""
    return None if value is None else str(value)
