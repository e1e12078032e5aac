"""Sizes and times in words."""

from __future__ import annotations


def gigabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e9:.2f} GB"


def points(proportion: float) -> str:
    """A difference of proportions in points: +1.2"""
    return f"{100 * proportion:+.1f}"


def points_between(difference: float, low: float, high: float) -> str:
    """A difference with its interval, in points: +1.2 (+0.3 to +2.1)"""
    return f"{points(difference)} ({points(low)} to {points(high)})"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
