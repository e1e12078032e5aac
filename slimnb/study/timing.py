"""How long the rest of a grid takes, from the runs that are complete."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from statistics import mean

from slimnb.config import RunConfig
from slimnb.store.runs import RunFolder

Finished = Sequence[tuple[RunConfig, float]]
"""Configurations of complete runs, and the seconds that each took."""

_ALIKE: tuple[Callable[[RunConfig], Hashable], ...] = (
    lambda config: (config.method, config.training and config.training.data),
    lambda config: config.method,
    lambda config: config.method == "base",
)


def seconds_taken(folder: RunFolder) -> float | None:
    """What a complete run took, all attempts together; None where its costs do not tell."""
    record = folder.record
    if record.attempts == 1 and record.finished is not None:
        return record.finished - record.started
    parts = (record.costs.train_seconds, record.costs.eval_seconds)
    return sum(part or 0.0 for part in parts) if any(parts) else None


def expected_seconds(config: RunConfig, finished: Finished) -> float | None:
    """The mean of the complete runs that are most like this one: of its method on its training set, else of its
    method, else trained or not trained as it is. None where there is none."""
    for key in _ALIKE:
        if alike := [seconds for one, seconds in finished if key(one) == key(config)]:
            return mean(alike)
    return None


def seconds_left(
    running: Sequence[tuple[RunConfig, float]], waiting: Sequence[RunConfig], finished: Finished
) -> float | None:
    """How long until all is done, with as many at once as run now; None while a kind of run is yet to be seen.

    Args:
        running: with the seconds that each has been running.
    """
    expected = [(expected_seconds(config, finished), since) for config, since in running]
    expected += [(expected_seconds(config, finished), 0.0) for config in waiting]
    left = [max(0.0, seconds - since) for seconds, since in expected if seconds is not None]
    if len(left) < len(expected):
        return None
    return max(sum(left) / max(1, len(running)), *left, 0.0)
