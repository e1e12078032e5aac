"""What a run and a study are made of: typed, validated, and the one place for every default.

Imports no torch: the dashboard and `slimnb --help` read it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slimnb.documents import read_json, read_yaml, validated
from slimnb.errors import SlimnbError

Method = Literal["base", "lora", "qlora", "full"]
METHODS: tuple[Method, ...] = ("base", "lora", "qlora", "full")
"""The fixed order in which methods are shown everywhere."""

Dtype = Literal["bfloat16", "float32"]

LEARNING_RATES: dict[str, float] = {"lora": 1e-3, "qlora": 1e-3, "full": 1e-4}
"""LoRA's best learning rate is about ten times that of full fine-tuning, whatever the model's size
("LoRA Without Regret", Thinking Machines, 2025, section on learning rates)."""

LORA_OPTIONS = ("rank", "alpha", "targets")

Positive = Annotated[int, Field(gt=0)]


class Frozen(BaseModel):
    """A configuration never changes once made, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Lora(Frozen):
    """The low-rank update W + (alpha / rank) B A (arXiv 2106.09685, section 4.1)."""

    rank: Positive = 16
    """Columns of B and rows of A."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """Scale of the update; alpha / rank = 2 is the usual choice."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Off: runs of a few epochs gain nothing from it, and it costs speed."""
    targets: str | tuple[str, ...] = "all-linear"
    """Every linear layer but the output head: attention alone loses accuracy (arXiv 2305.14314, figure 2)."""


class FourBit(Frozen):
    """How QLoRA stores the frozen weights (arXiv 2305.14314, section 3)."""

    kind: Literal["nf4", "fp4"] = "nf4"
    """NormalFloat4 is the better of the two at equal size (arXiv 2305.14314, table 4)."""
    double_quantization: bool = True
    """Quantizes the scales as well: 0.37 bits a weight less (arXiv 2305.14314, section 3)."""


class Training(Frozen):
    """One fine-tuning: on what, how long, how fast. Loss on completions only."""

    data: str
    """A training set's name (`slimnb data` lists them) or a file of the user's."""
    limit: Positive | None = None
    """Use only the first so many rows."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the rows; exactly one of epochs and steps is set."""
    steps: Positive | None = None
    """Optimizer steps."""
    batch_size: Positive = 8
    """Examples in an optimizer step, however many micro-batches it is computed in."""
    learning_rate: Annotated[float, Field(gt=0)]
    """Peak learning rate; see LEARNING_RATES for the defaults."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the steps over which the learning rate rises from 0."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What the learning rate does after the warm-up."""
    max_length: Positive = 1024
    """Tokens; a longer example is left out and counted, never cut."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled decay."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradient."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps")
        return self


class RunConfig(Frozen):
    """One run: a model, what is done to it, and what it is scored on.

    Two runs with the same configuration have the same `run_id`, so a study knows what it has done.
    """

    model: str
    method: Method
    dtype: Dtype = "bfloat16"
    seed: int = 0
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]
    limit: Positive | None = None
    """Score only the first so many items of each benchmark."""
    shots: Annotated[int, Field(ge=0)] | None = None
    """Worked examples in the prompt; None takes each benchmark's own default."""
    chat_template: bool = False
    """Put prompts, of benchmarks and of training rows, into the model's chat form."""
    training: Training | None = None
    lora: Lora | None = None
    four_bit: FourBit | None = None

    @model_validator(mode="after")
    def _parts_fit_the_method(self) -> Self:
        needed = {
            "training": self.method != "base",
            "lora": self.method in ("lora", "qlora"),
            "four_bit": self.method == "qlora",
        }
        for part, wanted in needed.items():
            if (getattr(self, part) is not None) != wanted:
                raise ValueError(f"method {self.method} {'needs' if wanted else 'takes no'} {part}")
        if len(set(self.benchmarks)) != len(self.benchmarks):
            raise ValueError("a benchmark is named twice")
        return self

    @property
    def run_id(self) -> str:
        """Readable and unique: method, model, training set, seed and six digits of the content's hash."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()[:6]
        parts = [self.method, slug(Path(self.model).name)]
        if self.training:
            parts.append(slug(Path(self.training.data).name.removesuffix(".jsonl")))
        return "-".join([*parts, f"s{self.seed}", digest])


def slug(name: str) -> str:
    """A name in characters that are safe in a file's name; at most 40."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "unnamed"


def make_run_config(
    *,
    method: str,
    benchmarks: tuple[str, ...] | list[str],
    model: str = "smollm2-135m",
    dtype: str = "bfloat16",
    seed: int = 0,
    limit: int | None = None,
    shots: int | None = None,
    chat_template: bool = False,
    train_on: str | None = None,
    train_limit: int | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    learning_rate: float | None = None,
    rank: int | None = None,
    alpha: float | None = None,
    targets: str | tuple[str, ...] | None = None,
    **training: Any,
) -> RunConfig:
    """Build a RunConfig from the flat options of the command line and of study files.

    Options that are None take their default. A rank without an alpha keeps alpha / rank = 2.

    Raises:
        SlimnbError: a value is out of range, or an option does not go with the method.
    """
    given_training = {k: v for k, v in training.items() if v is not None}
    parts: dict[str, Any] = {}
    if method == "base":
        unused = {
            "train-on": train_on, "train-limit": train_limit, "epochs": epochs, "steps": steps,
            "learning-rate": learning_rate, "rank": rank, "alpha": alpha, "targets": targets, **given_training,
        }  # fmt: skip
        if named := [f"--{name.replace('_', '-')}" for name, value in unused.items() if value is not None]:
            raise SlimnbError(f"method base trains nothing, so {', '.join(named)} cannot be used with it")
    elif method in METHODS:
        if train_on is None:
            raise SlimnbError(f"method {method} needs a training set: add --train-on NAME (`slimnb data` lists them)")
        if epochs is None and steps is None:
            epochs = 3
        parts["training"] = {
            "data": train_on, "limit": train_limit, "epochs": epochs, "steps": steps,
            "learning_rate": LEARNING_RATES[method] if learning_rate is None else learning_rate,
            **given_training,
        }  # fmt: skip
        if method == "full":
            if rank is not None or alpha is not None or targets is not None:
                raise SlimnbError("method full trains all weights: --rank, --alpha and --targets do not apply")
        else:
            lora: dict[str, Any] = {}
            if rank is not None:
                lora |= {"rank": rank, "alpha": 2.0 * rank}
            if alpha is not None:
                lora["alpha"] = alpha
            if targets is not None:
                lora["targets"] = targets
            parts["lora"] = lora
        if method == "qlora":
            parts["four_bit"] = {}
    return validated(
        RunConfig,
        {
            "model": model, "method": method, "dtype": dtype, "seed": seed, "benchmarks": tuple(benchmarks),
            "limit": limit, "shots": shots, "chat_template": chat_template, **parts,
        },
        "the run's options",
    )  # fmt: skip


class StudyConfig(Frozen):
    """A grid of runs: every method on every training set with every seed; the base model once."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    model: str = "smollm2-135m"
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = METHODS
    train_on: tuple[str, ...] = ()
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    options: dict[str, Any] = {}
    """Anything `slimnb run` takes, the same for every trained run: epochs, rank, ... Method full skips LoRA's."""
    scoring: dict[str, Any] = {}
    """limit, shots, dtype and chat_template, the same for every run of the study, the base model included."""

    @model_validator(mode="after")
    def _options_are_the_grids_to_give(self) -> Self:
        if wrong := sorted(self.options.keys() & {*RunConfig.model_fields, "train_on"}):
            raise ValueError(f"options cannot hold {', '.join(wrong)}: the study gives it elsewhere")
        if wrong := sorted(self.scoring.keys() - {"limit", "shots", "dtype", "chat_template"}):
            raise ValueError(f"scoring takes limit, shots, dtype and chat_template, not {', '.join(wrong)}")
        if set(self.methods) != {"base"} and not self.train_on:
            raise ValueError("train_on: name a training set, or leave only base in methods")
        return self

    def runs(self) -> list[RunConfig]:
        """The grid's runs, base first, then in the order of methods within each training set and seed.

        Raises:
            SlimnbError: a cell of the grid is not a valid run.
        """
        shared = {"model": self.model, "benchmarks": self.benchmarks, **self.scoring}
        configs = []
        if "base" in self.methods:
            configs.append(make_run_config(method="base", **shared))
        trained = [method for method in METHODS if method in self.methods and method != "base"]
        for data, seed, method in itertools.product(self.train_on, self.seeds, trained):
            options = {k: v for k, v in self.options.items() if method != "full" or k not in LORA_OPTIONS}
            configs.append(make_run_config(method=method, train_on=data, seed=seed, **shared, **options))
        return configs


def load_study(path: Path) -> StudyConfig:
    """Read a study's YAML file.

    Raises:
        SlimnbError: the file is missing, is not YAML, or has a wrong field.
    """
    study = validated(StudyConfig, read_yaml(path), str(path))
    try:
        study.runs()
    except SlimnbError as error:
        raise SlimnbError(f"{path}: {error}") from error
    return study


def load_run_config(path: Path) -> RunConfig:
    """Read a run's config.json.

    Raises:
        SlimnbError: the file is missing, is not JSON, or has a wrong field.
    """
    return validated(RunConfig, read_json(path), str(path))
