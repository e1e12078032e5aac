"""Training sets and benchmarks -> how near each is to each, by every predictor."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from slimnb.alignment import rehearsal, states, texts
from slimnb.alignment.record import PREDICTORS, Alignment, Predictor
from slimnb.alignment.sample import BenchmarkSample, TrainingSample, sample_benchmark, sample_training_set
from slimnb.compute.tokens import Encoded, encode_pair
from slimnb.config import Dtype, Lora, Training
from slimnb.errors import SlimnbError
from slimnb.machine.progress import progress_bar
from slimnb.models.load import LoadedModel, add_lora, get_model, load_model, weights_sha256
from slimnb.training.loop import tokenize
from slimnb.training.training_sets import Example, render

ROWS = 32
"""Rows of each training set and items of each benchmark, unless the user says otherwise."""
WITHOUT_A_MODEL: dict[str, Callable[[list[Example], list[Example]], float]] = {
    "lexical": texts.lexical, "format": texts.form,
}  # fmt: skip
LONGEST: int = Training.model_fields["max_length"].default
"""Tokens of a training row beyond which a run would leave it out."""

Values = dict[str, dict[str, float | None]]


def align(
    model: str,
    train_on: Sequence[str],
    benchmarks: Sequence[str],
    *,
    data: Path | None = None,
    rows: int = ROWS,
    shots: int | None = None,
    seed: int = 0,
    predictors: Sequence[str] = tuple(PREDICTORS),
    dtype: Dtype = "bfloat16",
    columns: Mapping[str, str] | None = None,
) -> Alignment:
    """Predict, before anything is trained, how near each training set is to each benchmark.

    Args:
        train_on: names of training sets or files of the user's.
        rows: drawn at random from each training set and from each benchmark's scored items.
        shots: worked examples in front of an item when a rehearsal scores it, as a run has them; None takes each
            benchmark's own number. The other predictors look at the bare question.
        columns: for a user's file; see `load_training_set`.

    Raises:
        SlimnbError: unknown names, missing data, or a training set of which no row fits the length limit.
    """
    if unknown := sorted(set(predictors) - set(PREDICTORS)):
        raise SlimnbError(f"no predictor is called {', '.join(unknown)}: there are {', '.join(PREDICTORS)}")
    sets = {name: sample_training_set(name, rows, seed, data, columns) for name in train_on}
    asked = {name: sample_benchmark(name, rows, seed, data, shots) for name in benchmarks}
    found: dict[str, Predictor] = {}
    for name in PREDICTORS:
        if name in predictors and name in WITHOUT_A_MODEL:
            start = time.perf_counter()
            values = _cells(
                sets, asked, lambda a, b, name=name: WITHOUT_A_MODEL[name](sets[a].examples, asked[b].examples)
            )
            found[name] = Predictor(seconds=time.perf_counter() - start, values=values)
    if set(predictors) <= set(WITHOUT_A_MODEL):
        sha256 = weights_sha256(get_model(model))
    else:
        loaded = load_model(model, dtype)
        sha256 = loaded.weights_sha256
        found |= _by_model(loaded, sets, asked, predictors, seed)
    return Alignment(
        model=model, weights_sha256=sha256, dtype=dtype, seed=seed,
        training_sets={name: one.record for name, one in sets.items()},
        benchmarks={name: one.record for name, one in asked.items()},
        predictors=found,
    )  # fmt: skip


def _by_model(
    loaded: LoadedModel,
    sets: dict[str, TrainingSample],
    asked: dict[str, BenchmarkSample],
    wanted: Sequence[str],
    seed: int,
) -> dict[str, Predictor]:
    tokenizer = loaded.tokenizer
    examples = {name: [render(row, tokenizer) for row in one.examples] for name, one in sets.items()}
    rows = {name: _fitting([tokenize(tokenizer, row) for row in some], name) for name, some in examples.items()}
    # As the benchmark scores it: without the end-of-sequence token that a training row has.
    items = {
        name: [encode_pair(tokenizer, row.prompt, row.completion) for row in one.examples]
        for name, one in asked.items()
    }
    found: dict[str, Predictor] = {}
    everything = sum(map(len, (*rows.values(), *items.values())))
    if "embedding" in wanted:
        start = time.perf_counter()
        with progress_bar("embedding", everything) as advance:
            points = [
                {name: states.mean_states(loaded, some, advance) for name, some in side.items()}
                for side in (rows, items)
            ]
        values = _cells(sets, asked, lambda a, b: states.nearness(points[0][a], points[1][b]))
        found["embedding"] = Predictor(seconds=time.perf_counter() - start, values=values)
    if {"gradient", "gain", "margin"} & set(wanted):
        loaded = add_lora(loaded, Lora(), seed)
    if "gradient" in wanted:
        start = time.perf_counter()
        with progress_bar("gradient", everything) as advance:
            pulls = [
                {name: states.gradient(loaded, some, advance) for name, some in side.items()} for side in (rows, items)
            ]
        values = _cells(sets, asked, lambda a, b: states.cosine(pulls[0][a], pulls[1][b]))
        found["gradient"] = Predictor(seconds=time.perf_counter() - start, values=values)
    if {"gain", "margin"} & set(wanted):
        found |= _rehearse(loaded, examples, asked, wanted, seed)
    return {name: found[name] for name in PREDICTORS if name in found}


def _rehearse(
    loaded: LoadedModel,
    examples: dict[str, list[Example]],
    asked: dict[str, BenchmarkSample],
    wanted: Sequence[str],
    seed: int,
) -> dict[str, Predictor]:
    """Both numbers of a rehearsal come from one: each is said to take what the rehearsal took."""
    start = time.perf_counter()
    scored = sum(len(one.items) for one in asked.values())
    after = {}
    with progress_bar("rehearsal", scored * (1 + len(examples)) + sum(map(len, examples.values()))) as advance:
        before = {name: rehearsal.standing(loaded, one, advance) for name, one in asked.items()}
        for name, some in examples.items():
            with rehearsal.rehearsed(loaded, some, seed):
                advance(len(some))
                after[name] = {at: rehearsal.standing(loaded, one, advance) for at, one in asked.items()}
    numbers = {"gain": rehearsal.gain, "margin": rehearsal.margin}
    values = {
        name: _cells(examples, asked, lambda a, b, number=number: number(before[b], after[a][b]))
        for name, number in numbers.items()
        if name in wanted
    }
    seconds = time.perf_counter() - start
    return {name: Predictor(seconds=seconds, values=cells) for name, cells in values.items()}


def _cells(
    sets: Mapping[str, object], asked: Mapping[str, object], number: Callable[[str, str], float | None]
) -> Values:
    return {one: {other: number(one, other) for other in asked} for one in sets}


def _fitting(sequences: list[Encoded], name: str) -> list[Encoded]:
    fitting = [one for one in sequences if len(one.ids) <= LONGEST]
    if not fitting:
        raise SlimnbError(f"{name}: all {len(sequences)} rows of the sample are longer than {LONGEST} tokens")
    return fitting
