"""The dearest predictor: train on the sample for a moment, see how the right answers fare, put the weights back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from slimnb.alignment.sample import BenchmarkSample
from slimnb.alignment.states import Advance
from slimnb.config import LEARNING_RATES, Training
from slimnb.evaluation.scoring import score_choices
from slimnb.models.load import LoadedModel
from slimnb.training.checkpoint import trainable
from slimnb.training.loop import train
from slimnb.training.training_sets import Example

BATCH = 8


@dataclass(frozen=True)
class Standing:
    """How a model stands to the right answers of n items."""

    bits_per_byte: float
    """Of the right answers, all together; lower is better."""
    leads: np.ndarray | None
    """[n] by how much the right answer is likelier than the best wrong one, in nats, or in nats a character where the
    benchmark divides by length; None where there is no wrong one."""


def standing(loaded: LoadedModel, benchmark: BenchmarkSample, advance: Advance) -> Standing:
    """Score the sample's answers."""
    scores = score_choices(loaded.model, loaded.tokenizer, benchmark.items, advance=advance)
    nats, size, leads = 0.0, 0, []
    for item, score in zip(benchmark.items, scores, strict=True):
        nats -= score.log_likelihoods[item.gold]
        size += len(item.choices[item.gold].encode())
        likely = np.array(score.log_likelihoods) / (item.lengths if benchmark.per_character else 1)
        wrong = np.delete(likely, item.gold)
        leads += [likely[item.gold] - wrong.max()] if len(wrong) else []
    complete = len(leads) == len(benchmark.items)
    return Standing(nats / math.log(2) / max(1, size), np.array(leads) if complete else None)


def gain(before: Standing, after: Standing) -> float:
    """Bits per byte by which the right answers have become likelier."""
    return before.bits_per_byte - after.bits_per_byte


def margin(before: Standing, after: Standing) -> float | None:
    """Mean growth of the leads, in standard deviations of the leads before."""
    if before.leads is None or after.leads is None or not before.leads.std():
        return None
    return float((after.leads - before.leads).mean() / before.leads.std())


@contextmanager
def rehearsed(loaded: LoadedModel, examples: list[Example], seed: int) -> Iterator[None]:
    """Within the block the adapter has seen the examples once, in steps of BATCH at a run's own learning rate.

    Once in epochs, not in steps: examples over the length limit are left out, and steps counted with them would show
    the others again.

    Raises:
        SlimnbError: no example fits the length limit.
    """
    start = {name: part.detach().clone() for name, part in trainable(loaded.model)}
    training = Training(
        data="sample", epochs=1, batch_size=BATCH, learning_rate=LEARNING_RATES["lora"],
        warmup=0, schedule="constant",
    )  # fmt: skip
    try:
        train(loaded, examples, training, seed, mixed_precision=loaded.model.dtype == torch.bfloat16)
        yield
    finally:
        with torch.no_grad():
            for name, part in trainable(loaded.model):
                part.copy_(start[name])
