"""What fits, what it costs, and what to do: slimnb.planning.memory's predictions as advice in words and as tables.

Sizes are in GB of 10^9 bytes. A card sold as 24 GB holds 24 GiB, which is 25.8 GB; taken as 24.0 GB, a fifteenth of it
is left for the driver and for the gaps between tensors.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from slimnb.config import METHODS, Method
from slimnb.planning.architecture import Architecture
from slimnb.planning.evidence import measured_of, read_evidence
from slimnb.planning.memory import Prediction, Setup, largest_micro_batch, largest_rank, predict
from slimnb.units import duration, gigabytes

CARDS = (8, 12, 16, 24, 40, 80)
"""GB of the usual graphics cards."""
EPOCHS = 3.0
"""Of a `slimnb run` that is not told how many."""


@dataclass(frozen=True)
class Work:
    """What is to be trained on."""

    rows: int
    tokens_per_row: float
    epochs: float

    @property
    def tokens(self) -> int:
        return round(self.rows * self.tokens_per_row * self.epochs)


@dataclass(frozen=True)
class Rate:
    """How fast a machine trains; see slimnb.planning.probe."""

    tokens_per_second: float
    tokens: int
    seconds: float
    """Of the measurement."""


@dataclass(frozen=True)
class Plan:
    model: str
    parameters: int
    prediction: Prediction
    memory: int
    """Bytes that there are."""
    largest_micro_batch: int
    """Tokens of the largest micro-batch of whole rows that fits; 0 for none."""
    largest_rank: int | None
    """None for methods without a rank."""
    work: Work | None
    rate: Rate | None
    seconds: float | None
    """Of the whole training."""
    no_seconds: str | None
    """Why there is no time."""
    advice: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return self.prediction.peak <= self.memory

    def document(self) -> dict[str, Any]:
        """All of it for JSON; bytes and seconds."""
        prediction = self.prediction
        return {
            "model": self.model, "parameters": self.parameters, "setup": asdict(prediction.setup),
            "items": [asdict(item) for item in prediction.items], "peak_bytes": prediction.peak,
            "memory_bytes": self.memory, "fits": self.fits, "micro_batch_rows": prediction.setup.rows,
            "largest_micro_batch_tokens": self.largest_micro_batch, "largest_rank": self.largest_rank,
            "trainable_parameters": prediction.trainable, "saved_bytes": prediction.saved_bytes,
            "work": asdict(self.work) if self.work else None, "rate": asdict(self.rate) if self.rate else None,
            "seconds": self.seconds, "no_seconds": self.no_seconds, "advice": list(self.advice),
        }  # fmt: skip


@dataclass(frozen=True)
class MethodPeaks:
    """A method's peak in bytes, and with checkpointing, which scoring the base model cannot use."""

    method: Method
    peak: int
    peak_checkpointing: int | None

    def verdict(self, memory: int) -> str:
        if self.peak <= memory:
            return "fits"
        if self.peak_checkpointing is not None and self.peak_checkpointing <= memory:
            return "fits with checkpointing"
        return "does not fit"


def make_plan(
    architecture: Architecture,
    setup: Setup,
    memory: int,
    work: Work | None,
    rate: Rate | None,
    no_rate: str,
    train_on: str = "NAME",
) -> Plan:
    """Predict, look for what fits into `memory` bytes, and say what to do.

    Args:
        no_rate: why there is no rate, where there is none.
        train_on: the training set, for the command to run; NAME where it is yet to be named.

    Raises:
        SlimnbError: a value is out of range, or the architecture cannot be rehearsed.
    """
    seconds = work.tokens / rate.tokens_per_second if work and rate else None
    if setup.method == "base":
        no_rate = "method base trains nothing"
    elif work is None:
        no_rate = "no training set: name one with --train-on, or its size with --rows and --tokens-per-row"
    epochs = work.epochs if work else EPOCHS
    return Plan(
        model=architecture.name, parameters=architecture.parameters, prediction=predict(architecture, setup),
        memory=memory, largest_micro_batch=largest_micro_batch(architecture, setup, memory),
        largest_rank=largest_rank(architecture, setup, memory), work=work, rate=rate, seconds=seconds,
        no_seconds=no_rate if seconds is None else None, advice=advise(architecture, setup, memory, train_on, epochs),
    )  # fmt: skip


def all_methods(architecture: Architecture, setup: Setup) -> list[MethodPeaks]:
    """Every method's peak, at `setup`'s rank, batch and length."""
    found = []
    for method in METHODS:
        plain = replace(setup, method=method, checkpointing=False)
        spared = None if method == "base" else predict(architecture, replace(plain, checkpointing=True)).peak
        found.append(MethodPeaks(method, predict(architecture, plain).peak, spared))
    return found


def recommended(architecture: Architecture, setup: Setup, memory: int) -> Prediction:
    """LoRA where it fits, spared by checkpointing, then by 4-bit weights; what needs least where nothing fits."""
    return _tried(architecture, setup, memory)[0]


def _tried(architecture: Architecture, setup: Setup, memory: int) -> tuple[Prediction, Prediction]:
    """The recommended prediction, and that of LoRA without checkpointing."""
    tried: list[Prediction] = []
    for method, checkpointing in (("lora", False), ("lora", True), ("qlora", False), ("qlora", True)):
        tried.append(predict(architecture, replace(setup, method=method, checkpointing=checkpointing)))
        if tried[-1].peak <= memory:
            return tried[-1], tried[0]
    return min(tried, key=lambda one: one.peak), tried[0]


def advise(
    architecture: Architecture, setup: Setup, memory: int, train_on: str = "NAME", epochs: float = EPOCHS
) -> tuple[str, ...]:
    """Which method, why, what it costs, what saved runs of it showed, and the command to run."""
    chosen, lora = _tried(architecture, setup, memory)
    if chosen.peak > memory:
        return (
            f"No method fits into {gigabytes(memory)}: {_name(chosen)} needs least, {gigabytes(chosen.peak)}. "
            "Take a smaller --length, a smaller model or a larger machine.",
        )
    share = f"{chosen.trainable / 1e6:.1f}M of {(architecture.parameters + chosen.trainable) / 1e6:.0f}M"
    said = [
        f"Recommended: {_name(chosen)}, {gigabytes(chosen.peak)} of {gigabytes(memory)}. It trains {share} parameters "
        f"and leaves an adapter of {_megabytes(chosen.saved_bytes)}. {_why(chosen, lora)}"
    ]
    runs = read_evidence()
    said += measured_of(chosen.setup.method, architecture.name, runs)
    if chosen.setup.method == "lora":
        full = predict(architecture, replace(setup, method="full", checkpointing=chosen.setup.checkpointing))
        if full.peak <= memory:
            said.append(
                f"full fits as well, with {gigabytes(full.peak)}. It may learn more and forgets more (arXiv "
                f"2405.09673), and leaves a whole model of {_megabytes(full.saved_bytes)}."
            )
            said += measured_of("full", architecture.name, runs)
    return (*said, f"To run it: {command(architecture.name, chosen.setup, train_on, epochs)}")


def command(
    model: str,
    setup: Setup,
    train_on: str = "NAME",
    epochs: float = EPOCHS,
    columns: Mapping[str, str] | None = None,
) -> str:
    """The `slimnb run` that does it, as a shell takes it.

    Args:
        train_on: NAME where the training set is yet to be named.
        columns: for a file, slimnb's name of a column -> the file's.
    """
    usual = Setup(setup.method)
    given = {"--rank": "rank", "--batch-size": "batch_size", "--max-length": "length", "--optimizer": "optimizer"}
    words = [f"slimnb run --model {shlex.quote(model)} --method {setup.method} --train-on {shlex.quote(train_on)}"]
    if columns:
        words.append("--columns " + shlex.quote(",".join(f"{name}={column}" for name, column in columns.items())))
    if epochs != EPOCHS:
        words.append("--epochs " + str(epochs).removesuffix(".0"))
    words += [f"{option} {getattr(setup, name)}" for option, name in given.items()
              if getattr(setup, name) != getattr(usual, name)]  # fmt: skip
    return " ".join([*words, *(["--gradient-checkpointing"] if setup.checkpointing else [])])


def _name(prediction: Prediction) -> str:
    return prediction.setup.method + (" with checkpointing" if prediction.setup.checkpointing else "")


def _why(chosen: Prediction, lora: Prediction) -> str:
    if chosen is lora:
        return "The weights stay as they are, so nothing is lost to rounding, and nothing is computed twice."
    spared = gigabytes(lora.peak - chosen.peak)
    recomputed = "every layer is computed twice, which costs about half as much time again"
    if chosen.setup.method == "lora":
        return f"lora without checkpointing needs {spared} more. The price: {recomputed}."
    packed = (
        "the 4-bit weights are unpacked at each use, which costs time, and rounded, which the adapter must make good"
    )
    price = f"{packed}; {recomputed}" if chosen.setup.checkpointing else packed
    return f"lora needs {spared} more and does not fit. The price: {price}."


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def plan_table(plan: Plan) -> Table:
    """The items of the peak, and below them what fits, the adapter's size and the time."""
    prediction = plan.prediction
    title = f"{plan.model}, {_name(prediction)}: {gigabytes(prediction.peak)} at the peak"
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("item", "GB", "what it is"):
        table.add_column(heading, justify="right" if heading == "GB" else "left")
    for item in prediction.items:
        table.add_row(item.name, f"{item.bytes / 1e9:.3f}", item.why)
    table.add_section()
    table.add_row("peak", f"{prediction.peak / 1e9:.3f}", f"{'fits' if plan.fits else 'does not fit'} "
                  f"into {gigabytes(plan.memory)}")  # fmt: skip
    return table


def plan_lines(plan: Plan) -> list[str]:
    """What stands below the table, a line each."""
    setup, said = plan.prediction.setup, []
    said.append(
        f"Largest micro-batch that fits: {plan.largest_micro_batch:,} tokens in rows of {setup.length} "
        f"(slimnb takes {setup.rows * setup.length:,})."
    )
    if plan.largest_rank is not None:
        said.append(f"Largest rank that fits: {plan.largest_rank}.")
    if setup.method != "base":
        said.append(f"On disk: {_megabytes(plan.prediction.saved_bytes)}.")
    if plan.seconds is not None and plan.work and plan.rate:
        said.append(
            f"Time: {duration(plan.seconds)} for {plan.work.tokens:,} tokens at {plan.rate.tokens_per_second:,.0f} a "
            f"second, measured for {plan.rate.seconds:.0f} s on this machine."
        )
    else:
        said.append(f"Time: not known; {plan.no_seconds}.")
    return [*said, *plan.advice]


def cards_table(model: str, peaks: list[MethodPeaks], setup: Setup) -> Table:
    """Methods against the usual cards."""
    title = (
        f"{model}, rank {setup.rank}, micro-batches of {setup.rows * setup.length:,} tokens in rows of {setup.length}"
    )
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("method", "peak", "with checkpointing", *(f"{card} GB" for card in CARDS)):
        table.add_column(heading, justify="right" if "GB" not in heading and heading != "method" else "left")
    for one in peaks:
        verdicts = (_SHORT[one.verdict(card * 10**9)] for card in CARDS)
        table.add_row(one.method, gigabytes(one.peak), gigabytes(one.peak_checkpointing), *verdicts)
    table.caption = "yes: fits; ckpt: fits with checkpointing; no: does not fit"
    return table


_SHORT = {"fits": "yes", "fits with checkpointing": "ckpt", "does not fit": "no"}


def cards_document(model: str, peaks: list[MethodPeaks], setup: Setup) -> dict[str, Any]:
    """The same for JSON, in bytes."""
    shared = {name: value for name, value in asdict(setup).items() if name not in ("method", "checkpointing")}
    methods = [
        {**asdict(one), "cards": {f"{card} GB": one.verdict(card * 10**9) for card in CARDS}} for one in peaks
    ]  # fmt: skip
    return {"model": model, "setup": shared, "methods": methods}
