"""What a run's files hold: scores, lineage, costs and status, validated on every read. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

from slimnb.stats import wilson

SCHEMA_VERSION = 1

OverlapKind = Literal["exact", "13-gram"]

MergedTo = Literal["16bit", "4bit"]

Status = Literal["running", "completed", "failed", "out_of_memory", "cancelled", "interrupted"]

MOST = 10**15
"""No count, size or time comes near it, and what is smaller fits a table."""

Count = Annotated[int, Field(ge=0, lt=MOST)]
Real = Annotated[float, Field(gt=-MOST, lt=MOST)]


_CONFIG = ConfigDict(extra="ignore", allow_inf_nan=False)


class Record(BaseModel):
    model_config = _CONFIG


@dataclass(config=_CONFIG, slots=True)
class Score:
    """k right answers of n items, with Wilson's 95% interval. Proportions between 0 and 1.

    No model: a page holds tens of thousands of them, of which each would take several times the memory.
    """

    value: Real
    k: Count
    n: Count
    low: Real
    high: Real

    @classmethod
    def of(cls, k: int, n: int) -> Score:
        low, high = wilson(k, n)
        return cls(value=k / n, k=k, n=n, low=low, high=high)

    @model_validator(mode="after")
    def _a_count_can_give_it(self) -> Self:
        if not 0 <= self.k <= self.n or self.n == 0 or abs(self.value - self.k / self.n) > 1e-9:
            raise ValueError(f"no count gives this score: value {self.value}, {self.k} of {self.n}")
        return self


class BenchmarkResult(Record):
    """A benchmark's scores, as run.json holds them."""

    metrics: dict[str, Score]
    primary: str
    """The metric that tables show."""
    shots: Count
    items: Count
    seconds: Real
    prompts_sha256: str
    """Hash over every prompt in order: equal hashes were asked the same things."""
    chat_template: bool = False
    """Whether the prompts were put into the model's chat form."""
    truncated: Count = 0
    """Items whose prompt was longer than the model reads."""
    chance: Real | None = None
    """What guessing scores; None for generated answers."""
    hit_limit: Score | None = None
    """Generations that ran into the token limit; None for multiple choice."""
    gold_bits_per_byte: Real | None = None
    """How likely the model finds the right answers (evaluation.gold); lower is better. None: not measured."""

    @model_validator(mode="after")
    def _has_its_primary_metric(self) -> Self:
        if self.primary not in self.metrics:
            raise ValueError(f"no score of the primary metric {self.primary}")
        return self

    @property
    def score(self) -> Score:
        return self.metrics[self.primary]


class ResultBySubject(BenchmarkResult):
    """What eval/BENCHMARK/result.json holds. Not in run.json, of which pages read thousands."""

    subjects: dict[str, Score] = {}
    """The primary metric by subject, where a benchmark has several."""


class Pair(Record):
    item_id: str
    example: Count
    """The row's place in the training set, from 0."""
    kind: OverlapKind
    """exact: the row, or what it asks, is the item's text; 13-gram: they share a run of words."""


class Contamination(Record):
    """What a training set and a benchmark have in common. Holds no text, which may not be free to copy."""

    n_items: Count
    n_examples: Count
    items_exact: Count
    items_13gram: Count
    """Items found at all: one that is found exactly shares its words, too."""
    examples_found: Count
    n_pairs: Count
    pairs: list[Pair]
    """The first 1,000 in the items' order; the counts are of all."""


class Lineage(Record):
    """The checkpoint a run started from. Scores are compared only where these agree."""

    model: str
    weights_sha256: str
    dtype: str
    merged_from: str | None = None
    """The run whose adapter was merged into these weights before they were scored; None where nothing was merged."""
    merged_to: MergedTo | None = None
    """The precision of the merged weights."""


class Costs(Record):
    """What a run took. None where it does not apply or could not be measured."""

    train_seconds: Real | None = None
    train_peak_bytes: Count | None = None
    """Highest resident memory of the process (CPU) or allocated memory (CUDA) while training."""
    train_contention: Real | None = None
    """Other programs' share of the machine's processor time while training (slimnb.machine.contention)."""
    eval_seconds: Real | None = None
    eval_peak_bytes: Count | None = None
    eval_contention: Real | None = None
    weights_bytes: Count | None = None
    """Bytes of the model's weights as they lie in memory, adapters included."""
    total_parameters: Count | None = None
    trainable_parameters: Count | None = None
    steps: Count | None = None
    examples: Count | None = None
    """Examples seen, epochs counted."""
    tokens: Count | None = None
    label_tokens: Count | None = None
    examples_left_out: Count | None = None
    """Training rows longer than the length limit."""


class RunRecord(Record):
    """What run.json holds."""

    schema_version: int = SCHEMA_VERSION
    id: str
    study: str
    method: str
    status: Status = "running"
    started: Real
    heartbeat: Real
    finished: Real | None = None
    attempts: Count = 1
    """How often the run was taken up; more than one where it was interrupted and went on."""
    process: Count | None = None
    host: str | None = None
    lineage: Lineage | None = None
    scores: dict[str, BenchmarkResult] = {}
    costs: Costs = Field(default_factory=Costs)
    error: str | None = None
