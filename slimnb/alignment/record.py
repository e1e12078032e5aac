"""What a study's alignment.json holds: how near each training set is to each benchmark. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from slimnb.io.documents import read_stored
from slimnb.io.files import write_json
from slimnb.store.records import Record

SCHEMA_VERSION = 1
FILE = "alignment.json"

PREDICTORS = {
    "lexical": "words: for each item the cosine of its TF-IDF vector with the nearest training row's, on average",
    "format": "form: 1 less the mean distance between how prompts and answers look (lengths, numerals, their ends)",
    "embedding": "meaning: as lexical, with the base model's mean hidden states, centred between the two sets",
    "gradient": "direction: cosine of the gradients of a fresh LoRA adapter (as in LESS, arXiv 2402.04333)",
    "gain": "rehearsal: bits per byte by which the right answers become likelier after one pass over the sample",
    "margin": (
        "rehearsal: growth of the right answer's lead over the best wrong one, in standard deviations of the base's "
        "leads; none for generated answers"
    ),
}
"""From cheap to dear, and what each is. The first two need no model. Higher is nearer for all."""


class Sample(Record):
    """What was looked at of one training set or benchmark."""

    rows: int
    of: int
    """All its rows."""
    data_sha256: str
    """Over all of them."""
    shots: int | None = None
    """Of a benchmark: the worked examples in front of an item when its answers are scored."""


class Predictor(Record):
    """One predictor's number for every training set and benchmark. Higher is nearer, for every predictor."""

    seconds: float
    """What it took, for all cells together."""
    values: dict[str, dict[str, float | None]]
    """Training set -> benchmark -> number, on the predictor's own scale; None where it has none."""


class Alignment(Record):
    """What alignment.json holds."""

    schema_version: int = SCHEMA_VERSION
    model: str
    weights_sha256: str
    dtype: str
    seed: int
    """Of the choice of rows, and of the adapter where one is used."""
    training_sets: dict[str, Sample]
    benchmarks: dict[str, Sample]
    predictors: dict[str, Predictor]
    """From cheap to dear."""


def read_alignment(study: Path) -> Alignment | None:
    """The alignment stored in a study's directory; None where there is none.

    Raises:
        SlimnbError: the file is damaged, or of a newer slimnb.
    """
    return read_stored(study / FILE, Alignment, SCHEMA_VERSION)


def write_alignment(study: Path, alignment: Alignment) -> Path:
    """Store an alignment in a study's directory, in place of an earlier one."""
    write_json(study / FILE, alignment.model_dump(mode="json"))
    return study / FILE
