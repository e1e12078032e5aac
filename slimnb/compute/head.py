"""A model's output head, applied only where a token is predicted, and to a chunk of those places at a time.

The head is the largest matrix product of a small model, and logits for every place of a batch would be its largest
tensor. Shared by scoring, generation and training.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from slimnb.compute.budgets import CHUNK
from slimnb.compute.packing import Batch
from slimnb.errors import SlimnbError

SOFTMAX_ROWS = {"cpu": 16, "cuda": CHUNK}
"""Rows of logits that are normalized at once: on a CPU, as many as its cache holds in float32."""

Transform = Callable[[torch.Tensor], torch.Tensor]


@contextmanager
def only_at(model: Any, rows: torch.Tensor, places: torch.Tensor) -> Iterator[None]:
    """Within the block the model's output head sees hidden states [1, K, H] at (rows, places) only."""
    with _in_front_of_head(model, lambda states: states[rows, places][None]):
        yield


def predicting_states(model: Any, batch: Batch, slots: int = 0, **inputs: Any) -> torch.Tensor:
    """The hidden states [K, H] that enter the output head where a target of the batch is predicted.

    Args:
        slots: those that a cache among the inputs holds in front of every row. The batch's positions count them.
        inputs: what else the model's forward is given.
    """
    mask = batch.mask(model.dtype, slots)
    inputs = {"use_cache": False, **inputs}
    _, states = _forward(model, input_ids=batch.ids, attention_mask=mask, position_ids=batch.positions, **inputs)
    return states[batch.rows, batch.places]


def log_likelihoods(model: Any, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log softmax(logits)[target] in float32, returned on the CPU in float64.

    states [K, H], targets [K] -> [K]
    """
    head, after = model.get_output_embeddings(), _after_head(model)
    found = []
    for some, wanted in zip(states.split(CHUNK), targets.split(CHUNK), strict=True):
        rows = SOFTMAX_ROWS[states.device.type]
        for logits, tokens in zip(head(some).split(rows), wanted.split(rows), strict=True):
            found.append(-torch.nn.functional.cross_entropy(after(logits.float()), tokens, reduction="none"))
    return torch.cat(found).double().cpu() if found else torch.zeros(0, dtype=torch.float64)


def backward_cross_entropy(model: Any, states: torch.Tensor, targets: torch.Tensor, labels: float) -> float:
    """Cross-entropy in float32, summed over the targets and divided by `labels`, with its gradient propagated.

    Does what `loss.backward()` would, a chunk at a time: the gradient of a chunk's logits goes through the head at
    once and its logits are forgotten; the gradients of all hidden states then go through the model's body together.

    states [K, H] with their graph, targets [K] -> the loss in nats
    """
    head, after = model.get_output_embeddings(), _after_head(model)
    total = 0.0
    gradients = []
    for some, wanted in zip(states.detach().split(CHUNK), targets.split(CHUNK), strict=True):
        leaf = some.requires_grad_()
        logits = head(leaf)
        gradient = torch.empty_like(logits)
        for at in range(0, len(wanted), SOFTMAX_ROWS[states.device.type]):
            rows = slice(at, at + SOFTMAX_ROWS[states.device.type])
            part = logits.detach()[rows].requires_grad_()
            loss = torch.nn.functional.cross_entropy(after(part.float()), wanted[rows], reduction="sum") / labels
            gradient[rows] = torch.autograd.grad(loss, part)[0]
            total += loss.item()
        logits.backward(gradient)
        gradients.append(leaf.grad)
    states.backward(torch.cat(gradients))
    return total


def _forward(model: Any, **inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """One forward pass with the head at one place: (logits [1, 1, vocabulary] there, hidden states [B, L, H])."""
    seen: list[torch.Tensor] = []

    def keep(states: torch.Tensor) -> torch.Tensor:
        seen.append(states)
        return states[:1, :1]

    with _in_front_of_head(model, keep):
        logits = model(**inputs).logits
    return logits, seen[0]


_own = threading.local()


@contextmanager
def _in_front_of_head(model: Any, change: Transform) -> Iterator[None]:
    """Within the block, and in this thread only, change the hidden states that enter the output head."""
    head = model.get_output_embeddings()
    if not getattr(head, "_slimnb_hook", False):
        head._slimnb_hook = True
        head.register_forward_pre_hook(_change_states)
    _own.change = change
    try:
        yield
    finally:
        _own.change = None


def _change_states(head: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    change = getattr(_own, "change", None)
    return None if change is None else (change(inputs[0]), *inputs[1:])


def _after_head(model: Any) -> Transform:
    """What the model does to the logits behind its head: nothing, a scale or a soft cap; found once a model.

    Raises:
        SlimnbError: it does something else.
    """
    known = getattr(model, "_slimnb_after_head", None)
    if known is None:
        known = model._slimnb_after_head = _find_after_head(model)
    return known


def _find_after_head(model: Any) -> Transform:
    with torch.no_grad(), torch.random.fork_rng():  # dropout here must not move the training's random state
        own, states = _forward(model, input_ids=torch.tensor([[7]], device=model.device))
        raw = model.get_output_embeddings()(states).float()
    own = own.float()
    cap = getattr(model.config.get_text_config(decoder=True), "final_logit_softcapping", None)
    scale = float((own * raw).sum() / (raw * raw).sum())
    transforms: list[Transform] = [lambda logits: logits]
    if not own.isfinite().all():  # weights that are no numbers: the loss will say so
        return transforms[0]
    if cap:
        transforms.append(lambda logits: cap * torch.tanh(logits / cap))
    transforms.append(lambda logits: scale * logits)
    tolerance = 1e-4 if model.dtype == torch.float32 else 2e-2
    for transform in transforms:
        if torch.allclose(transform(raw), own, rtol=tolerance, atol=tolerance * float(own.abs().max())):
            return transform
    raise SlimnbError(f"{type(model).__name__} does something to its logits that slimnb does not know")
