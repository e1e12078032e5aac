"""What a run's files hold: scores, lineage, costs and status, validated on every read. Imports no torch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slimnb.stats import wilson

SCHEMA_VERSION = 1

OverlapKind = Literal["exact", "13-gram"]

MergedTo = Literal["16bit", "4bit"]

Status = Literal["running", "completed", "failed", "out_of_memory", "cancelled", "interrupted"]


class Record(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Score(Record):
    """k right answers of n items, with Wilson's 95% interval. Proportions between 0 and 1."""

    value: float
    k: int
    n: int
    low: float
    high: float

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
    """What eval/BENCHMARK/result.json holds."""

    metrics: dict[str, Score]
    primary: str
    """The metric that tables show."""
    shots: int
    items: int
    seconds: float
    prompts_sha256: str
    """Hash over every prompt in order: equal hashes were asked the same things."""
    chat_template: bool = False
    """Whether the prompts were put into the model's chat form."""
    truncated: int = 0
    """Items whose prompt was longer than the model reads."""
    chance: float | None = None
    """What guessing scores; None for generated answers."""
    hit_limit: Score | None = None
    """Generations that ran into the token limit; None for multiple choice."""
    gold_bits_per_byte: float | None = None
    """How likely the model finds the right answers (evaluation.gold); lower is better. None: not measured."""
    subjects: dict[str, Score] = {}
    """The primary metric by subject, where a benchmark has several."""

    @model_validator(mode="after")
    def _has_its_primary_metric(self) -> Self:
        if self.primary not in self.metrics:
            raise ValueError(f"no score of the primary metric {self.primary}")
        return self

    @property
    def score(self) -> Score:
        return self.metrics[self.primary]


class Pair(Record):
    item_id: str
    example: int
    """The row's place in the training set, from 0."""
    kind: OverlapKind
    """exact: the row, or what it asks, is the item's text; 13-gram: they share a run of words."""


class Contamination(Record):
    """What a training set and a benchmark have in common. Holds no text, which may not be free to copy."""

    n_items: int
    n_examples: int
    items_exact: int
    items_13gram: int
    """Items found at all: one that is found exactly shares its words, too."""
    examples_found: int
    n_pairs: int
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

    train_seconds: float | None = None
    train_peak_bytes: int | None = None
    """Highest resident memory of the process (CPU) or allocated memory (CUDA) while training."""
    train_contention: float | None = None
    """Other programs' share of the machine's processor time while training (slimnb.machine.contention)."""
    eval_seconds: float | None = None
    eval_peak_bytes: int | None = None
    eval_contention: float | None = None
    weights_bytes: int | None = None
    """Bytes of the model's weights as they lie in memory, adapters included."""
    total_parameters: int | None = None
    trainable_parameters: int | None = None
    steps: int | None = None
    examples: int | None = None
    """Examples seen, epochs counted."""
    tokens: int | None = None
    label_tokens: int | None = None
    examples_left_out: int | None = None
    """Training rows longer than the length limit."""


class RunRecord(Record):
    """What run.json holds."""

    schema_version: int = SCHEMA_VERSION
    id: str
    study: str
    method: str
    status: Status = "running"
    started: float
    heartbeat: float
    finished: float | None = None
    attempts: int = 1
    """How often the run was taken up; more than one where it was interrupted and went on."""
    process: int | None = None
    host: str | None = None
    lineage: Lineage | None = None
    scores: dict[str, BenchmarkResult] = {}
    costs: Costs = Field(default_factory=Costs)
    error: str | None = None
