"""What a run is made of: typed, validated, and the one place for every default.

Imports no torch: the dashboard and `slimnb --help` read it.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from slimnb.errors import SlimnbError
from slimnb.io.documents import Whole, no_truth, read_json, validated

Method = Literal["base", "lora", "qlora", "full"]
METHODS: tuple[Method, ...] = ("base", "lora", "qlora", "full")
"""The fixed order in which methods are shown everywhere."""

Dtype = Literal["bfloat16", "float32", "float16"]

LEARNING_RATES: dict[str, float] = {"lora": 1e-3, "qlora": 1e-3, "full": 1e-4}
"""LoRA's best learning rate is about ten times that of full fine-tuning, whatever the model's size
("LoRA Without Regret", Thinking Machines, 2025, section on learning rates)."""

LORA_OPTIONS = ("rank", "alpha", "dropout", "targets", "rank_stabilized", "dora", "init")
QUANTIZATION_OPTIONS = ("four_bit_kind", "double_quantization")

LARGEST = 10**9
"""Of every number but the seed: beyond any run, and within what arithmetic does exactly."""


def _of_this_world(number: Any) -> Any:
    if number > LARGEST:
        raise ValueError(f"larger than any run needs, which is at most {LARGEST:,}")
    return number


def _seed(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError("a seed has at most 64 bits")
    return number


Number = Annotated[float, BeforeValidator(no_truth)]
Positive = Annotated[Whole, Field(gt=0), AfterValidator(_of_this_world)]
Seed = Annotated[Whole, AfterValidator(_seed)]


class Frozen(BaseModel):
    """A configuration never changes once made, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Lora(Frozen):
    """The low-rank update W + (alpha / rank) B A (arXiv 2106.09685, section 4.1)."""

    rank: Positive = 16
    """Columns of B and rows of A."""
    alpha: Annotated[Number, Field(gt=0), AfterValidator(_of_this_world)] = 32.0
    """Scale of the update; alpha / rank = 2 is the usual choice."""
    dropout: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Off: runs of a few epochs gain nothing from it, and it costs speed."""
    targets: str | tuple[str, ...] = "all-linear"
    """Every linear layer but the output head: attention alone loses accuracy (arXiv 2305.14314, figure 2)."""
    rank_stabilized: bool = False
    """Scale by alpha / sqrt(rank) (rsLoRA, arXiv 2312.03732): at ranks of 64 and more alpha / rank learns less."""
    dora: bool = False
    """Learn the weights' magnitude apart from their direction (DoRA, arXiv 2402.09353): better at low ranks, slower."""
    init: Literal["zero", "pissa", "loftq"] = "zero"
    """What the update starts from: nothing (B = 0); the weights' leading singular directions (PiSSA, arXiv 2404.02948);
    or the error of quantization, for method qlora (LoftQ, arXiv 2310.08659)."""


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
    epochs: Annotated[Number, Field(gt=0), AfterValidator(_of_this_world)] | None = None
    """Passes over the rows; exactly one of epochs, steps and label_tokens is set."""
    steps: Positive | None = None
    """Optimizer steps."""
    label_tokens: Positive | None = None
    """Train until about so many label tokens were seen: sets of short and of long answers then teach equally much."""
    batch_size: Positive = 8
    """Examples in an optimizer step, however many micro-batches it is computed in."""
    learning_rate: Annotated[Number, Field(gt=0), AfterValidator(_of_this_world)]
    """Peak learning rate; see LEARNING_RATES for the defaults."""
    warmup: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    """Share of the steps over which the learning rate rises from 0."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What the learning rate does after the warm-up."""
    max_length: Positive = 1024
    """Tokens; a longer example is left out and counted, never cut."""
    weight_decay: Annotated[Number, Field(ge=0), AfterValidator(_of_this_world)] = 0.0
    """AdamW's decoupled decay."""
    clip: Annotated[Number, Field(gt=0), AfterValidator(_of_this_world)] = 1.0
    """Largest norm of the gradient."""
    optimizer: Literal["adamw", "paged_adamw_8bit"] = "adamw"
    """AdamW's moments in float32, or on CUDA in 8 bits and paged to the CPU when memory is short (bitsandbytes;
    arXiv 2305.14314, section 3)."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass, so that they no longer fill the memory. By the count of products
    full fine-tuning takes a third longer, and an adapter half as long again: its frozen weights have no gradient."""
    columns: dict[str, str] = {}
    """For a file of the user's: slimnb's name of a column -> the file's."""
    validation: Annotated[Number, Field(ge=0, le=0.5)] = 0.0
    """Share of the rows that is held out; its loss is measured ten times, and at the end."""
    patience: Positive | None = None
    """Stop after so many measurements of the validation loss without a better one; None never stops early."""
    keep: Literal["last", "best"] = "last"
    """The weights to keep: those of the last step, or of the lowest validation loss."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if sum(length is not None for length in (self.epochs, self.steps, self.label_tokens)) != 1:
            raise ValueError("give exactly one of epochs, steps and label_tokens")
        if not self.validation and (self.patience or self.keep == "best"):
            raise ValueError("patience and keep: best need a validation share")
        return self


class RunConfig(Frozen):
    """One run: a model, what is done to it, and what it is scored on.

    Two runs with the same configuration have the same `run_id`, so a study knows what it has done.
    """

    model: str
    method: Method
    dtype: Dtype = "bfloat16"
    seed: Seed = 0
    benchmarks: Annotated[tuple[str, ...], Field(min_length=1)]
    limit: Positive | None = None
    """Score only the first so many items of each benchmark."""
    limits: dict[str, Positive] = {}
    """The same by a benchmark's name, where it is not `limit`."""
    shots: Annotated[Whole, Field(ge=0), AfterValidator(_of_this_world)] | None = None
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
        if self.lora and self.lora.init == "loftq" and not self.four_bit:
            raise ValueError("init loftq starts from the error of quantization: it needs method qlora")
        if self.lora and self.lora.init == "pissa" and (self.four_bit or self.lora.dora):
            raise ValueError("init pissa goes with method lora, and without dora: it changes the weights beneath")
        if self.training and self.dtype == "float16":
            raise ValueError("dtype float16 is for scoring: its range is too small to train in; use bfloat16")
        if len(set(self.benchmarks)) != len(self.benchmarks):
            raise ValueError("a benchmark is named twice")
        if foreign := sorted(self.limits.keys() - set(self.benchmarks)):
            raise ValueError(f"limits names {', '.join(foreign)}, which the run is not scored on")
        return self

    def limit_of(self, benchmark: str) -> int | None:
        """How many of a benchmark's items are scored; None for all."""
        return self.limits.get(benchmark, self.limit)

    @property
    def run_id(self) -> str:
        """Readable and unique: method, model, training set, seed and six digits of the content's hash.

        Fields at their defaults are not hashed: one that a later slimnb adds leaves the ids of earlier runs alone.
        """
        canonical = json.dumps(self.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
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
    limits: dict[str, int] | None = None,
    shots: int | None = None,
    chat_template: bool = False,
    train_on: str | None = None,
    train_limit: int | None = None,
    **options: Any,
) -> RunConfig:
    """Build a RunConfig from the flat options of the command line and of study files.

    Options that are None take their default. A rank without an alpha keeps alpha / rank = 2.

    Args:
        options: fields of Training, of Lora, and of FourBit (its `kind` is `four_bit_kind` here).

    Raises:
        SlimnbError: a value is out of range, or an option does not go with the method.
    """
    given = {k: v for k, v in options.items() if v is not None}
    if wrong := given.keys() & {"data", "training", "lora", "four_bit"}:
        raise SlimnbError(f"{', '.join(sorted(wrong))}: no option of a run's; the training set is given by train_on")
    lora = {k: given.pop(k) for k in LORA_OPTIONS if k in given}
    four_bit = {k: given.pop(k) for k in QUANTIZATION_OPTIONS if k in given}
    source = {k: v for k, v in (("train_on", train_on), ("train_limit", train_limit)) if v is not None}
    parts: dict[str, Any] = {}
    if method == "base":
        _refuse({**source, **given, **lora, **four_bit}, "method base trains nothing")
    elif method in METHODS:
        if train_on is None:
            raise SlimnbError(f"method {method} needs a training set: add --train-on NAME (`slimnb data` lists them)")
        if not given.keys() & {"epochs", "steps", "label_tokens"}:
            given["epochs"] = 3
        given.setdefault("learning_rate", LEARNING_RATES[method])
        parts["training"] = {"data": train_on, "limit": train_limit, **given}
        if method == "full":
            _refuse(lora, "method full trains all weights and has no LoRA")
        else:
            if "rank" in lora and "alpha" not in lora:
                with suppress(TypeError, ValueError, OverflowError):  # a rank that is no number is told below
                    lora["alpha"] = 2.0 * float(lora["rank"])
            parts["lora"] = lora
        if method == "qlora":
            kind = {"kind": four_bit.pop("four_bit_kind")} if "four_bit_kind" in four_bit else {}
            parts["four_bit"] = kind | four_bit
        else:
            _refuse(four_bit, f"method {method} does not quantize")
    made = validated(
        RunConfig,
        {
            "model": model, "method": method, "dtype": dtype, "seed": seed, "benchmarks": tuple(benchmarks),
            "limit": limit, "limits": limits or {}, "shots": shots, "chat_template": chat_template, **parts,
        },
        "the run's options",
    )  # fmt: skip
    try:
        made.model_dump_json()  # a command line and YAML can hold half a character, which no file does
    except ValueError as error:
        raise SlimnbError("the run's options: a name holds half a character, which is no text") from error
    return made


def _refuse(options: dict[str, Any], reason: str) -> None:
    if options:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise SlimnbError(f"{reason}, so {named} cannot be used with it")


def load_run_config(path: Path) -> RunConfig:
    """Read a run's config.json.

    Raises:
        SlimnbError: the file is missing, is not JSON, or has a wrong field.
    """
    return validated(RunConfig, read_json(path), str(path))
