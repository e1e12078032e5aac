"""How much there is to train on, and how fast this machine does it, found by training for a few seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimnb.config import FourBit, Lora, Training
from slimnb.errors import SlimnbError
from slimnb.io.places import home
from slimnb.models.load import add_lora, load_model, load_tokenizer
from slimnb.models.offline import OFFLINE_MODELS
from slimnb.planning.plan import Rate, Work
from slimnb.training.loop import Step, tokenize, train
from slimnb.training.training_sets import Example, load_training_set

if TYPE_CHECKING:
    from slimnb.planning.memory import Setup

SECONDS = 10.0
"""Of training, after a first micro-batch that nobody counts: what is done once is done in it."""


class _LongEnoughError(Exception):
    """No fault: the loop has run long enough."""


def prepared(name: str) -> Path | None:
    """The directory of a model whose weights are on this machine already; None for others."""
    place = home() / "models" / name if name in OFFLINE_MODELS else Path(name)
    return place if any(place.glob("*.safetensors")) else None


def count_work(
    model: str,
    train_on: str,
    data: Path | None,
    length: int,
    epochs: float,
    columns: Mapping[str, str] | None = None,
) -> Work:
    """A training set's size in the tokens of a model that is on this machine; rows beyond `length` are left out.

    Raises:
        SlimnbError: no such training set, no row short enough, or the model's tokenizer is not here.
    """
    if prepared(model) is None:
        raise SlimnbError(
            f"{model} is not on this machine (`slimnb models get {model}`), so the tokens of {train_on} cannot be "
            "counted: give --rows and --tokens-per-row"
        )
    examples = load_training_set(train_on, data, columns=columns).examples
    tokenizer = load_tokenizer(model)
    lengths = [size for example in examples if (size := len(tokenize(tokenizer, example).ids)) <= length]
    if not lengths:
        raise SlimnbError(f"{train_on}: all {len(examples)} rows are longer than {length} tokens: raise --length")
    return Work(len(lengths), sum(lengths) / len(lengths), epochs)


def try_rate(model: str, setup: Setup, device: str, tokens_per_row: int) -> tuple[Rate | None, str]:
    """The rate on this machine's device, or None and the reason why it cannot be measured here."""
    if setup.method == "base":
        return None, "method base trains nothing"
    if setup.device != device:
        return None, f"this machine has {device}, not {setup.device}"
    if prepared(model) is None:
        return None, f"the weights of {model} are not on this machine (`slimnb models get {model}`)"
    return measure_rate(model, setup, tokens_per_row, SECONDS), ""


def made_up_row(tokenizer: Any, length: int) -> Example:
    """A row of `length` tokens, or of so few less as the tokenizer allows; all but the first are labels."""

    def row(words: int) -> Example:
        return Example("", " a" * words)

    low, high = 1, length
    while low < high:
        middle = (low + high + 1) // 2
        if len(tokenize(tokenizer, row(middle)).ids) <= length:
            low = middle
        else:
            high = middle - 1
    return row(low)


def train_briefly(model: str, setup: Setup, enough: Callable[[list[Step]], bool]) -> list[Step]:
    """Train a model that is on this machine on made-up rows of `setup.length` tokens; nothing of it is kept.

    Args:
        enough: whether to stop, asked with the steps so far after each of them.

    Raises:
        SlimnbError: the model cannot be loaded or trained so.
    """
    loaded = load_model(model, four_bit=FourBit() if setup.method == "qlora" else None, device=setup.device)
    if setup.method == "full":
        loaded.model.float().requires_grad_(True)
    else:
        loaded = add_lora(loaded, Lora(rank=setup.rank), 0)
    training = Training(
        data="made up", steps=10**6, batch_size=setup.batch_size, learning_rate=1e-6, max_length=setup.length,
        optimizer=setup.optimizer, gradient_checkpointing=setup.checkpointing,
    )  # fmt: skip
    steps: list[Step] = []

    def watch(step: Step, _: int) -> None:
        steps.append(step)
        if enough(steps):
            raise _LongEnoughError

    with suppress(_LongEnoughError):
        rows = [made_up_row(loaded.tokenizer, setup.length)] * setup.batch_size
        train(loaded, rows, training, 0, watch, mixed_precision=True)
    return steps


def measure_rate(model: str, setup: Setup, tokens_per_row: int, seconds: float) -> Rate:
    """Train for `seconds`, a micro-batch a step.

    Raises:
        SlimnbError: the model cannot be loaded or trained so.
    """

    def enough(steps: list[Step]) -> bool:
        return len(steps) > 1 and steps[-1].seconds - steps[0].seconds >= seconds

    setup = replace(setup, length=tokens_per_row)
    steps = train_briefly(model, replace(setup, batch_size=setup.rows), enough)
    tokens, took = sum(step.tokens for step in steps[1:]), steps[-1].seconds - steps[0].seconds
    return Rate(tokens / took, tokens, took)
