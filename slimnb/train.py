"""The training loop: short enough to teach from.

An optimizer step is a fixed number of examples of similar length, computed in as many micro-batches as the token
budget asks for, with logits only where there is a label. The loss is the mean over the label tokens of the whole step,
so micro-batches change nothing.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from slimnb.batches import by_length
from slimnb.config import Training
from slimnb.errors import SlimnbError
from slimnb.head import backward_cross_entropy, predicting_states
from slimnb.models import LoadedModel
from slimnb.packing import causal_row, collate
from slimnb.tokens import Encoded, encode_pair
from slimnb.training_sets import Example

TOKEN_BUDGET = 1024
"""Tokens in a micro-batch, padding included."""
WINDOW = 16
"""Batches whose examples are sorted by length together: a wider window pads less and shuffles less."""


@dataclass(frozen=True)
class Step:
    """One line of metrics.jsonl."""

    step: int
    loss: float
    """Mean negative log-likelihood (nats) of the step's label tokens."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""
    tokens: int
    label_tokens: int
    examples: int
    seconds: float
    """Since the start of training."""


@dataclass(frozen=True)
class TrainingResult:
    seconds: float
    steps: int
    examples: int
    tokens: int
    label_tokens: int
    left_out: int
    """Rows longer than the length limit."""


def tokenize(tokenizer: Any, example: Example) -> Encoded:
    """Prompt, completion and end of sequence as one sequence; all behind its boundary are labels."""
    whole = encode_pair(tokenizer, example.prompt, example.completion)
    return Encoded([*whole.ids, tokenizer.eos_token_id], whole.boundary)


def train(
    loaded: LoadedModel,
    examples: list[Example],
    training: Training,
    seed: int,
    on_step: Callable[[Step, int], None] = lambda step, steps: None,
    mixed_precision: bool = False,
) -> TrainingResult:
    """Fine-tune, in place, the parameters of the model that require a gradient.

    Args:
        on_step: called after each optimizer step with its figures and the number of steps in all.
        mixed_precision: compute in bfloat16 whatever the weights' precision is.

    Raises:
        SlimnbError: no example fits the length limit, or the loss is no longer a number.
    """
    fitting = [tokenize(loaded.tokenizer, example) for example in examples]
    fitting = [sequence for sequence in fitting if len(sequence.ids) <= training.max_length]
    if not fitting:
        raise SlimnbError(
            f"all {len(examples)} training examples are longer than {training.max_length} tokens: raise the limit"
        )
    per_epoch = math.ceil(len(fitting) / training.batch_size)
    steps = training.steps or max(1, round(per_epoch * (training.epochs or 0)))
    parameters = [parameter for parameter in loaded.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: _rate(done, steps, training))
    loaded.model.train()
    torch.manual_seed(seed)
    start = time.perf_counter()
    totals = {"examples": 0, "tokens": 0, "label_tokens": 0}
    for number, batch in enumerate(_batches(fitting, training.batch_size, steps, seed), start=1):
        label_tokens = sum(len(sequence.ids) - sequence.boundary for sequence in batch)
        loss = 0.0
        for indices in by_length([len(sequence.ids) for sequence in batch], TOKEN_BUDGET):
            rows = [causal_row(batch[i].ids, batch[i].boundary) for i in indices]
            micro = collate(rows, loaded.tokenizer.pad_token_id, loaded.device)
            # Not accelerate's autocast: its precision is one for the whole process, and a notebook trains many models.
            with torch.autocast(loaded.device.type, torch.bfloat16, enabled=mixed_precision):
                states = predicting_states(loaded.model, micro)
                loss += backward_cross_entropy(loaded.model, states, micro.targets, label_tokens)
        if not math.isfinite(loss):
            raise SlimnbError(f"step {number}: the loss is {loss}. Lower the learning rate or train in float32")
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, training.clip))
        rate = float(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        totals["examples"] += len(batch)
        totals["tokens"] += sum(len(sequence.ids) for sequence in batch)
        totals["label_tokens"] += label_tokens
        on_step(
            Step(
                step=number, loss=loss, learning_rate=rate, gradient_norm=norm, label_tokens=label_tokens,
                tokens=sum(len(sequence.ids) for sequence in batch), examples=len(batch),
                seconds=time.perf_counter() - start,
            ),
            steps,
        )  # fmt: skip
    loaded.model.eval()
    return TrainingResult(
        seconds=time.perf_counter() - start, steps=steps, left_out=len(examples) - len(fitting), **totals
    )


def _rate(done: int, steps: int, training: Training) -> float:
    """The factor on the peak learning rate: a linear rise, then a cosine to 0 or nothing."""
    rise = max(1, round(training.warmup * steps))
    if done < rise:
        return (done + 1) / rise
    if training.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (done - rise) / max(1, steps - rise)))


def _batches(sequences: list[Encoded], size: int, steps: int, seed: int) -> Iterator[list[Encoded]]:
    """`steps` batches of `size` examples of similar length, shuffled anew in each epoch.

    An epoch's examples are shuffled, sorted by length within windows of WINDOW batches, cut into batches, and the
    batches shuffled. The last batch of an epoch may be smaller.
    """
    shuffle = random.Random(seed)
    done = 0
    while done < steps:
        order = list(range(len(sequences)))
        shuffle.shuffle(order)
        batches = []
        for at in range(0, len(order), size * WINDOW):
            window = sorted(order[at : at + size * WINDOW], key=lambda i: len(sequences[i].ids))
            batches += [window[i : i + size] for i in range(0, len(window), size)]
        shuffle.shuffle(batches)
        for batch in batches[: steps - done]:
            yield [sequences[i] for i in batch]
        done += len(batches)
