"""Which examples each optimizer step of a training sees, and at which learning rate."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from slimnb.compute.tokens import Encoded
from slimnb.config import Training
from slimnb.errors import SlimnbError

WINDOW = 16
"""Batches whose examples are sorted by length together: a wider window pads less and shuffles less."""


def step_count(training: Training, rows: list[Encoded]) -> int:
    """Optimizer steps of the training."""
    if training.label_tokens:
        steps = training.label_tokens / (counts(rows)["label_tokens"] / len(rows) * training.batch_size)
    else:
        steps = training.steps or math.ceil(len(rows) / training.batch_size) * (training.epochs or 0)
    return max(1, round(steps))


def rate_factor(done: int, steps: int, training: Training) -> float:
    """The factor on the peak learning rate: a linear rise, then a cosine to 0 or nothing."""
    rise = max(1, round(training.warmup * steps))
    if done < rise:
        return (done + 1) / rise
    if training.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (done - rise) / max(1, steps - rise)))


def batches(sequences: list[Encoded], size: int, steps: int, seed: int) -> Iterator[list[Encoded]]:
    """`steps` batches of `size` examples of similar length, shuffled anew in each epoch.

    An epoch's examples are shuffled, sorted by length within windows of WINDOW batches, cut into batches, and the
    batches shuffled. The last batch of an epoch may be smaller.
    """
    shuffle = random.Random(seed)
    done = 0
    while done < steps:
        order = list(range(len(sequences)))
        shuffle.shuffle(order)
        drawn = []
        for at in range(0, len(order), size * WINDOW):
            window = sorted(order[at : at + size * WINDOW], key=lambda i: len(sequences[i].ids))
            drawn += [window[i : i + size] for i in range(0, len(window), size)]
        shuffle.shuffle(drawn)
        for batch in drawn[: steps - done]:
            yield [sequences[i] for i in batch]
        done += len(drawn)


def hold_out(sequences: list[Encoded], share: float, seed: int) -> tuple[list[Encoded], list[Encoded]]:
    """The rows to train on and those, drawn at random, to validate on."""
    count = math.ceil(share * len(sequences))
    if count and count == len(sequences):
        raise SlimnbError("a single training example cannot be held out for validation: leave out --validation")
    drawn = set(random.Random(seed).sample(range(len(sequences)), count))
    rows = [sequence for i, sequence in enumerate(sequences) if i not in drawn]
    return rows, [sequences[i] for i in sorted(drawn)]


def counts(batch: list[Encoded]) -> dict[str, int]:
    """Examples, tokens and label tokens."""
    return {
        "examples": len(batch),
        "tokens": sum(len(sequence.ids) for sequence in batch),
        "label_tokens": sum(len(sequence.ids) - sequence.boundary for sequence in batch),
    }
