"""The training loop: short enough to teach from.

An optimizer step is a fixed number of examples of similar length, computed in as many micro-batches as the token
budget asks for, on as many processes as there are. The loss is the mean over the label tokens of the whole step, so
neither changes it. Logits exist only where there is a label, a chunk at a time (slimnb.compute.head).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from slimnb.compute.attention import weights_left_alone
from slimnb.compute.batches import by_length, is_out_of_memory
from slimnb.compute.budgets import TOKEN_BUDGET
from slimnb.compute.head import backward_cross_entropy, log_likelihoods, predicting_states
from slimnb.compute.packing import Batch, causal_row, collate
from slimnb.compute.peak import memory_bytes, peak_bytes
from slimnb.compute.sharding import is_sharded, is_split, let_go, like, whole
from slimnb.compute.tokens import Encoded, encode_pair
from slimnb.config import Training
from slimnb.errors import SlimnbError
from slimnb.machine.interruption import stop_noted
from slimnb.machine.processes import Processes
from slimnb.machine.progress import console
from slimnb.models.load import LoadedModel
from slimnb.training.checkpoint import Checkpoints, Progress, trainable
from slimnb.training.epochs import batches, counts, hold_out, rate_factor, step_count
from slimnb.training.training_sets import Example

VALIDATIONS = 10
"""Measurements of the validation loss in a training."""


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
    """Spent training up to here, attempts that were killed included."""
    memory_bytes: int
    """Of the process (CPU) or the allocator (CUDA) after the step."""
    validation_loss: float | None = None
    """On the rows held out, after the step; None where it was not measured."""


@dataclass(frozen=True)
class TrainingResult:
    seconds: float
    steps: int
    examples: int
    tokens: int
    label_tokens: int
    left_out: int
    """Rows longer than the length limit."""
    peak_bytes: int


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
    checkpoints: Checkpoints | None = None,
) -> TrainingResult:
    """Fine-tune, in place, the parameters of the model that require a gradient.

    Args:
        on_step: called after each optimizer step with its figures and the number of steps in all.
        mixed_precision: compute in bfloat16 whatever the parameters' precision is.
        checkpoints: where to go on from and where to keep the state; None for neither.

    Raises:
        SlimnbError: no example fits the length limit, or the loss is no longer a number.
        KeyboardInterrupt: by Ctrl-C or SIGTERM. With `checkpoints` the step is ended and kept first.
    """
    fitting = [tokenize(loaded.tokenizer, example) for example in examples]
    fitting = [sequence for sequence in fitting if len(sequence.ids) <= training.max_length]
    if not fitting:
        raise SlimnbError(
            f"all {len(examples)} training examples are longer than {training.max_length} tokens: raise the limit"
        )
    rows, held_out = hold_out(fitting, training.validation, seed)
    steps = step_count(training, rows)
    model, processes = loaded.model, Processes()
    parameters = [parameter for _, parameter in trainable(model)]
    optimizer = _optimizer(parameters, training)
    torch.manual_seed(seed)
    progress = checkpoints.load(model, optimizer) if checkpoints else Progress()
    start = time.perf_counter() - progress.seconds
    budget = TOKEN_BUDGET[loaded.device.type]
    unsummed = [parameter for parameter in parameters if not is_split(parameter)]  # FSDP sums those of the others
    with _in_training(model, training, mixed_precision), stop_noted(checkpoints is not None) as stopped:
        for batch in islice(batches(rows, training.batch_size, steps, seed), progress.step, None):
            if training.patience and progress.since_best >= training.patience:
                console.print(f"stopped at step {progress.step}: the validation loss has not fallen", highlight=False)
                break
            rate = training.learning_rate * rate_factor(progress.step, steps, training)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, budget = _add_gradients(loaded, batch, budget, mixed_precision)
            progress.step += 1
            if not math.isfinite(loss):
                raise SlimnbError(f"step {progress.step}: the loss is {loss}. Lower the learning rate or use float32")
            processes.add_up(unsummed)
            norm = float(whole(torch.nn.utils.clip_grad_norm_(parameters, training.clip)))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seen = counts(batch)
            progress.examples += seen["examples"]
            progress.tokens += seen["tokens"]
            progress.label_tokens += seen["label_tokens"]
            validation_loss = None
            if held_out and (progress.step % max(1, steps // VALIDATIONS) == 0 or progress.step == steps):
                validation_loss = mean_loss(loaded, held_out, budget, mixed_precision)
                _note(progress, validation_loss, training, model)
            progress.seconds = time.perf_counter() - start
            progress.peak_bytes = max(progress.peak_bytes, peak_bytes(loaded.device))
            on_step(
                Step(
                    step=progress.step, loss=loss, learning_rate=rate, gradient_norm=norm, **seen,
                    seconds=progress.seconds, memory_bytes=memory_bytes(loaded.device),
                    validation_loss=validation_loss,
                ),
                steps,
            )  # fmt: skip
            stop = processes.total(float(stopped())) > 0  # whichever of the processes was told
            due = checkpoints and progress.step < steps and processes.first(checkpoints.due(progress.step))
            if checkpoints and (stop or due):
                checkpoints.save(model, optimizer, progress)
            if stop:
                raise KeyboardInterrupt
    with torch.no_grad():
        for name, parameter in trainable(model) if progress.best else ():
            parameter.copy_(like(progress.best[name], parameter))
    return TrainingResult(
        seconds=progress.seconds, steps=progress.step, examples=progress.examples, tokens=progress.tokens,
        label_tokens=progress.label_tokens, left_out=len(examples) - len(fitting), peak_bytes=progress.peak_bytes,
    )  # fmt: skip


def _add_gradients(loaded: LoadedModel, batch: list[Encoded], budget: int, mixed: bool) -> tuple[float, int]:
    """Add this process's part of the gradient of the step's loss; give the whole loss and the token budget left.

    Where memory runs out the step's gradients are forgotten and computed again with half the budget.
    """
    processes = Processes()
    while True:
        loss = 0.0
        try:
            for micro, divisor in _micro_batches_in_step(loaded, batch, budget):
                with autocast(loaded, mixed):
                    states = predicting_states(loaded.model, micro)
                    loss += backward_cross_entropy(loaded.model, states, micro.targets, divisor)
                del states  # and with it the graph's small objects, which lie between the next micro-batch's tensors
            return processes.total(loss), budget
        except (MemoryError, RuntimeError) as error:
            alone = not is_sharded(loaded.model)  # others would wait for this process's part of a layer
            if not (alone and is_out_of_memory(error)) or budget <= max(
                len(sequence.ids) for sequence in processes.share(batch)
            ):
                raise
            budget //= 2
            loaded.model.zero_grad(set_to_none=True)
            console.print(f"out of memory: going on with micro-batches of {budget} tokens")


@torch.no_grad()
def mean_loss(loaded: LoadedModel, sequences: list[Encoded], budget: int, mixed: bool = False) -> float:
    """Mean negative log-likelihood (nats) of the sequences' label tokens."""
    processes = Processes(in_step=is_sharded(loaded.model))
    total = 0.0
    was_training = loaded.model.training
    loaded.model.eval()
    for micro in micro_batches(loaded, processes.share(sequences), budget):
        with autocast(loaded, mixed):
            states = predicting_states(loaded.model, micro)
            total -= float(log_likelihoods(loaded.model, states, micro.targets).sum())
    loaded.model.train(was_training)
    let_go(loaded.model)
    return processes.total(total) / counts(sequences)["label_tokens"]


def _micro_batches_in_step(loaded: LoadedModel, batch: list[Encoded], budget: int) -> Iterator[tuple[Batch, float]]:
    """This process's micro-batches, each with what its loss is divided by: the step's label tokens.

    Where processes hold parts of the weights, those with fewer micro-batches than others compute one again for nothing.
    """
    processes, labels = Processes(), counts(batch)["label_tokens"]
    for micro in micro_batches(loaded, processes.share(batch), budget):
        yield micro, labels
    if is_sharded(loaded.model):
        shares = [batch[index :: processes.count] for index in range(processes.count)]
        made = [sum(1 for _ in by_length([len(one.ids) for one in share], budget)) for share in shares]
        for _ in range(max(made) - made[processes.index]):
            yield next(micro_batches(loaded, batch[:1], budget)), math.inf


def micro_batches(loaded: LoadedModel, sequences: list[Encoded], budget: int) -> Iterator[Batch]:
    """Sequences of similar length together, at most `budget` tokens with their padding."""
    for indices in by_length([len(sequence.ids) for sequence in sequences], budget):
        rows = [causal_row(sequences[i].ids, sequences[i].boundary) for i in indices]
        yield collate(rows, loaded.tokenizer.pad_token_id, loaded.device)


def autocast(loaded: LoadedModel, enabled: bool) -> torch.autocast:
    """Computing in bfloat16 whatever the parameters' precision is."""
    # Not accelerate's: its precision is one for the whole process, and a notebook trains many models. Entered anew
    # for each micro-batch, because it keeps the cast weights until it ends.
    return torch.autocast(loaded.device.type, torch.bfloat16, enabled=enabled)


@contextmanager
def _in_training(model: Any, training: Training, mixed: bool) -> Iterator[None]:
    """Put the model into training mode for the block."""
    from peft.helpers import disable_input_dtype_casting

    model.train()
    if training.gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    try:
        # PEFT would cast every adapted layer's input to the adapter's float32; autocast rounds it back at once.
        # Weights that bitsandbytes has packed to infer (validation does) let no gradient through.
        with disable_input_dtype_casting(model, active=mixed), weights_left_alone(model):
            yield
    finally:
        if training.gradient_checkpointing:
            model.activation_checkpointing_disable()
        model.eval()


def _optimizer(parameters: list[torch.nn.Parameter], training: Training) -> torch.optim.Optimizer:
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=training.weight_decay, fused=True)
    if not torch.cuda.is_available():
        raise SlimnbError("optimizer paged_adamw_8bit needs CUDA: use adamw on this machine")
    from bitsandbytes.optim import PagedAdamW8bit  # pyright: ignore[reportPrivateImportUsage]

    return PagedAdamW8bit(parameters, weight_decay=training.weight_decay)


def _note(progress: Progress, loss: float, training: Training, model: Any) -> None:
    """Keep the lowest validation loss, how long ago it was, and the weights that gave it if they are wanted."""
    if progress.best_loss is None or loss < progress.best_loss:
        progress.best_loss, progress.since_best = loss, 0
        if training.keep == "best":
            progress.best = {name: whole(parameter.detach()).cpu().clone() for name, parameter in trainable(model)}
    else:
        progress.since_best += 1
