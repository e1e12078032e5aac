"""How much memory a method will take at its peak, item by item, before anything is loaded.

The weights and what belongs to them follow from the shapes (slimnb.planning.architecture); what a micro-batch holds is
rehearsed (slimnb.planning.rehearsal); what is left, the process or the CUDA context, is a constant for each device.
Sizes are in GB of 10^9 bytes, as everywhere in slimnb.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from slimnb.compute.budgets import MOST_TOKENS, MOST_WORKERS, TOKEN_BUDGET
from slimnb.config import Method
from slimnb.errors import SlimnbError
from slimnb.planning.architecture import Architecture
from slimnb.planning.replay import Rehearsal

Device = Literal["cpu", "cuda"]
Optimizer = Literal["adamw", "paged_adamw_8bit"]

OVERHEAD = {"cpu": 506_000_000, "cuda": 750_000_000}
"""Bytes of a process beside its tensors. cpu: the peak of a training of `tiny`, Python and all libraries loaded
(tests/perf/memory.py, in data/perf/memory.json). cuda: not measured by slimnb; the context of a process that holds
nothing was 723 MiB in discuss.pytorch.org/t/73021, newer versions need less."""
GAPS: dict[Method, float] = {"base": 0.0, "lora": 0.65, "qlora": 0.83, "full": 0.38}
"""On a CPU, bytes lost for each byte of activations that a micro-batch makes, kept or, with checkpointing, made again.
PyTorch takes tensors and small objects, such as the nodes of autograd's graph, from the C library's one heap, and a
small object in the hole that a tensor has left makes it too small for the next tensor of that size: the same requests
without the small ones, played back, leave almost no gaps. Measured on smollm2-135m, 8 rows of 128, without
checkpointing (tests/perf/memory.py); the other cells there, also of a second architecture, show how far it holds."""
SMALL = 4096
"""Elements below which bitsandbytes' 8-bit optimizers keep a tensor's state in float32 (`min_8bit_size`)."""
UNITS = {"mb": 10**6, "gb": 10**9, "tb": 10**12, "mib": 2**20, "gib": 2**30, "tib": 2**40}


@dataclass(frozen=True)
class Setup:
    """What is done to the model, with slimnb's defaults."""

    method: Method
    rank: int = 16
    batch_size: int = 8
    length: int = 1024
    """Tokens of every example: the longest, to be safe."""
    optimizer: Optimizer = "adamw"
    checkpointing: bool = False
    device: Device = "cpu"

    @property
    def threads(self) -> int:
        """Batches of scoring that are computed at once: on a CPU each thread has one. Training has one micro-batch."""
        return min(MOST_WORKERS, os.cpu_count() or 1) if (self.device, self.method) == ("cpu", "base") else 1

    @property
    def rows(self) -> int:
        """Examples in a micro-batch: as many as the token budget holds (slimnb.training.loop)."""
        budget = MOST_TOKENS[self.device] if self.method == "base" else TOKEN_BUDGET[self.device]
        return max(1, min(self.batch_size, budget // self.length))

    @property
    def accumulates(self) -> bool:
        """Whether a step has more than one micro-batch."""
        return self.method != "base" and self.batch_size > self.rows


@dataclass(frozen=True)
class Item:
    name: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Prediction:
    """What is in memory at the peak."""

    setup: Setup
    items: tuple[Item, ...]
    trainable: int
    """Parameters that are trained."""
    saved_bytes: int
    """Of the tensors that a run leaves on disk: the adapter's in float32, a whole model's in bfloat16."""

    @property
    def peak(self) -> int:
        return sum(item.bytes for item in self.items)


def predict(architecture: Architecture, setup: Setup) -> Prediction:
    """The itemized peak of training a model, or with method base of scoring it.

    Raises:
        SlimnbError: a value is out of range, or the architecture cannot be rehearsed.
    """
    return _predict(architecture, setup, setup.rows, setup.accumulates)


def largest_micro_batch(architecture: Architecture, setup: Setup, memory: int) -> int:
    """Tokens of the largest micro-batch of whole rows of `setup.length` that fits into `memory` bytes; 0 for none."""

    def peak(rows: int) -> int:
        return _predict(architecture, setup, rows, setup.method != "base").peak

    one, two = peak(1), peak(2)
    most = 1 + (memory - one) // max(1, two - one)  # a peak is the largest of straight lines, so it grows ever faster
    return setup.length * (_largest(peak, memory, most) if one <= memory else 0)


def largest_rank(architecture: Architecture, setup: Setup, memory: int) -> int | None:
    """The largest rank of LoRA or QLoRA that fits; 0 for none, None for methods without a rank.

    No rank is larger than the smallest side of an adapted matrix, where B A can be any update.
    """
    if setup.method not in ("lora", "qlora"):
        return None
    most = min(min(matrix.inputs, matrix.outputs) for matrix in architecture.matrices if matrix.adapted)
    return _largest(lambda rank: predict(architecture, replace(setup, rank=rank)).peak, memory, most)


def _largest(peak: Callable[[int], int], memory: int, most: int) -> int:
    """The largest number from 1 to `most` whose peak fits; 0 for none. Between two the peak is below their chord."""
    low, high = 1, most
    at_low, at_high = peak(low), peak(high)
    if at_low > memory:
        return 0
    if at_high <= memory:
        return high
    while high - low > 1:
        chord = low + int((memory - at_low) / (at_high - at_low) * (high - low))
        guess = min(max(chord, low + 1), high - 1)
        at_guess = peak(guess)
        if at_guess <= memory:
            low, at_low = guess, at_guess
        else:
            high, at_high = guess, at_guess
    return low


def parse_memory(text: str) -> int:
    """`16GB` (of 10^9 bytes), `16 GiB` (of 2^30) and the like -> bytes.

    Raises:
        SlimnbError: not a positive size with a unit.
    """
    found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d+)?)\s*([a-z]+)\s*", text.lower())
    if found is None or found[2] not in UNITS or not float(found[1]):
        raise SlimnbError(f"memory {text[:40]!r}: write a size with its unit, such as 16GB or 16GiB")
    return int(float(found[1]) * UNITS[found[2]])


def _predict(architecture: Architecture, setup: Setup, rows: int, accumulates: bool) -> Prediction:
    _check(setup)
    trained = {"base": (), "full": architecture.shapes}.get(setup.method, architecture.adapter_shapes(setup.rank))
    count = sum(math.prod(shape) for shape in trained)

    def held(setup: Setup) -> list[Item]:
        return _micro_batch(_rehearsal(architecture, setup, rows, accumulates), setup, rows, 4 * count)

    kept = held(setup)
    # Checkpointing gives activations back layer by layer and makes them again: few are kept, yet each leaves its hole.
    made = held(replace(setup, checkpointing=False)) if setup.checkpointing else kept
    activations = sum(item.bytes for item in made if item.name in ("activations", "workspace"))
    gaps = GAPS[setup.method] * activations if setup.device == "cpu" else 0
    items = [
        *_weights(architecture, setup),
        Item(
            "optimizer",
            sum(_state_bytes(math.prod(shape), setup.optimizer) for shape in trained),
            _STATE[setup.optimizer],
        ),
        *kept,
        Item("gaps", round(gaps), "holes in the heap into which no tensor fits; measured"),
        Item("overhead", OVERHEAD[setup.device], _OVERHEAD[setup.device]),
    ]
    saved = (2 if setup.method == "full" else 4) * count
    return Prediction(setup, tuple(item for item in items if item.bytes), count, saved)


def _rehearsal(architecture: Architecture, setup: Setup, rows: int, accumulates: bool) -> Rehearsal:
    options: dict[str, Any] = {
        "rank": setup.rank, "checkpointing": setup.checkpointing and setup.method != "base",
        "accumulating": accumulates, "device": setup.device,
    }  # fmt: skip
    if architecture.formula:
        return architecture.formula.rehearse(setup.method, rows, setup.length, **options)
    from slimnb.planning.rehearsal import rehearse

    return rehearse(architecture, setup.method, rows, setup.length, **options)


def _check(setup: Setup) -> None:
    for name in ("rank", "batch_size", "length"):
        if getattr(setup, name) < 1:
            raise SlimnbError(f"{name.replace('_', ' ')} {getattr(setup, name)}: it is at least 1")
    if setup.length < 2:
        raise SlimnbError("length 1: an example has a token to read and one to predict")
    if setup.optimizer == "paged_adamw_8bit" and setup.device == "cpu":
        raise SlimnbError("optimizer paged_adamw_8bit needs CUDA: use adamw, or plan for --device cuda")


def _weights(architecture: Architecture, setup: Setup) -> list[Item]:
    if setup.method == "full":
        return [Item("weights", architecture.weight_bytes(4), "float32: bfloat16 would round small updates away")]
    if setup.method == "base":
        return [Item("weights", architecture.weight_bytes(2), "bfloat16")]
    adapters = 4 * sum(math.prod(shape) for shape in architecture.adapter_shapes(setup.rank))
    adapter = Item("adapters", adapters, f"A and B of rank {setup.rank} at every linear layer, float32")
    if setup.method == "lora":
        return [Item("weights", architecture.weight_bytes(2), "bfloat16, frozen"), adapter]
    weights, constants = architecture.four_bit_bytes()
    mapped = 2 * sum(matrix.weights for matrix in architecture.matrices if matrix.quantized)
    return [
        Item("weights", weights, "frozen; linear layers in NF4, the output head, embeddings and norms in bfloat16"),
        Item(
            "quantization constants", constants, "a scale for each 64 weights, itself in 8 bits, and tables of values"
        ),
        Item("weights file", mapped if setup.device == "cpu" else 0, _MAPPED),
        adapter,
    ]


_MAPPED = "bfloat16 weights stay mapped after they were quantized; the system takes them back when memory is short"
_STATE = {
    "adamw": "AdamW: two moments of each trained parameter, float32",
    "paged_adamw_8bit": "8-bit AdamW: two moments in 8 bits; they may move to the computer's memory when it is short",
}
_OVERHEAD = {
    "cpu": "Python, PyTorch and the other libraries; measured",
    "cuda": "the CUDA context; a published figure, not measured by slimnb",
}


def _state_bytes(elements: int, optimizer: Optimizer) -> int:
    if optimizer == "adamw" or elements < SMALL:
        return 8 * elements
    return 2 * (elements + 4 * math.ceil(elements / 256))  # a float32 scale for each 256 elements


def _micro_batch(rehearsal: Rehearsal, setup: Setup, rows: int, gradient_bytes: int) -> list[Item]:
    """What there is at the rehearsal's highest moment, told apart."""
    tokens = f"{rows} x {setup.length} tokens"
    if setup.method == "base":
        most = max(rehearsal.first, rehearsal.at_head)
        kind = "the logits of a chunk of them" if most == rehearsal.at_head else "one layer at a time"
        threads = f" on each of {setup.threads} threads" if setup.threads > 1 else ""
        return [Item("activations", setup.threads * most, f"scoring {tokens}{threads}: {kind}")]
    late = rehearsal.rest >= max(rehearsal.first, rehearsal.at_head)
    most = max(rehearsal.first, rehearsal.at_head, rehearsal.rest)
    gradients = gradient_bytes if late or setup.accumulates else rehearsal.first_gradients
    kept = min(rehearsal.kept - rehearsal.copies, most - gradients - rehearsal.copies)
    busy = most - gradients - rehearsal.copies - kept
    how = "the inputs of each layer (checkpointing)" if setup.checkpointing else "what the backward pass needs"
    logits = most == rehearsal.at_head
    return [
        Item("gradients", gradients, "of each trained parameter, float32; at the peak"),
        Item("bfloat16 copies", rehearsal.copies, "autocast computes with copies of float32 parameters"),
        Item("activations", kept, f"{how}, of {tokens}"),
        Item("logits" if logits else "workspace", busy, _BUSY[logits]),
    ]


_BUSY = {
    True: "logits of a chunk of tokens with their gradient, and the output head's",
    False: "what a layer's backward pass needs at once; the logits are gone by then",
}
