"""A few rows of a training set and a few items of a benchmark, in one form: a prompt and what should follow it.

Of a benchmark a predictor sees the questions and right answers of the sample, scored items among them. So its number
says what training would do; it must not choose what to train on and then be believed on the same items.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from slimnb.alignment.record import Sample
from slimnb.benchmarks import ChoiceItem, get_benchmark
from slimnb.training.training_sets import TRAINING_SETS, Example, load_training_set

T = TypeVar("T")


@dataclass(frozen=True)
class TrainingSample:
    examples: list[Example]
    record: Sample


@dataclass(frozen=True)
class BenchmarkSample:
    examples: list[Example]
    """The items' questions and right answers, as a training row would have them: no worked examples in front."""
    items: list[ChoiceItem]
    """The items as they are scored; a generated answer as the only choice."""
    per_character: bool
    """Whether the benchmark's main metric divides an answer's log-likelihood by its length."""
    record: Sample


def sample_training_set(
    name: str, rows: int, seed: int, data: Path | None = None, columns: Mapping[str, str] | None = None
) -> TrainingSample:
    """`rows` rows at random of a named set or of a user's file, whose `columns` may be mapped.

    Raises:
        SlimnbError: see `load_training_set`.
    """
    loaded = load_training_set(name, data, columns=None if name in TRAINING_SETS else columns)
    drawn = _draw(loaded.examples, rows, seed)
    return TrainingSample(drawn, Sample(rows=len(drawn), of=len(loaded.examples), data_sha256=loaded.sha256))


def sample_benchmark(
    name: str, rows: int, seed: int, data: Path | None = None, shots: int | None = None
) -> BenchmarkSample:
    """`rows` items at random of a benchmark's scored split, behind `shots` worked examples or the benchmark's default.

    Raises:
        SlimnbError: see `get_benchmark` and `Benchmark.load`.
    """
    benchmark = get_benchmark(name)
    questions = benchmark.load(data, shots)
    drawn = _draw(questions.items, rows, seed)
    items = [item if isinstance(item, ChoiceItem) else item.with_its_answer() for item in drawn]
    examples = [Example(item.question, item.joint + item.choices[item.gold]) for item in items]
    record = Sample(rows=len(drawn), of=len(questions.items), data_sha256=questions.data_sha256, shots=questions.shots)
    return BenchmarkSample(examples, items, benchmark.primary == "acc_norm", record)


def _draw(rows: list[T], count: int, seed: int) -> list[T]:
    return random.Random(seed).sample(rows, min(count, len(rows)))
