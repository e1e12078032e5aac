"""Predictors that ask the base model: what it makes of the texts, and which way they would pull its weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from slimnb.compute.batches import find_budget, in_batches, worker_count
from slimnb.compute.budgets import TOKEN_BUDGET
from slimnb.compute.head import backward_cross_entropy, predicting_states
from slimnb.compute.packing import causal_row, collate
from slimnb.compute.tokens import Encoded
from slimnb.models.load import LoadedModel
from slimnb.training.checkpoint import trainable
from slimnb.training.loop import autocast, micro_batches

Advance = Callable[[int], None]


def mean_states(loaded: LoadedModel, sequences: list[Encoded], advance: Advance) -> np.ndarray:
    """The mean over a sequence's tokens of the hidden states that enter the output head: [n sequences, width]."""
    found = np.zeros((len(sequences), loaded.model.get_output_embeddings().weight.shape[1]))

    @torch.inference_mode()  # each thread must enter it
    def read(places: list[int]) -> None:
        rows = [causal_row(sequences[i].ids, 1) for i in places]
        batch = collate(rows, loaded.tokenizer.pad_token_id, loaded.device)
        states = predicting_states(loaded.model, batch).float()
        sums = torch.zeros(len(places), states.shape[1], device=states.device).index_add_(0, batch.rows, states)
        counts = torch.tensor([len(row.targets) for row in rows], device=states.device)
        found[places] = (sums / counts[:, None]).cpu().numpy()
        advance(len(places))

    in_batches([len(one.ids) for one in sequences], find_budget(loaded.model), read, worker_count(loaded.model))
    return found


def nearness(training: np.ndarray, benchmark: np.ndarray) -> float:
    """Mean cosine of each item's state [n, width] with the nearest training row's [m, width], between -1 and 1.

    Measured from the point midway between the two sets' means: a language model's states all point much the same way,
    and from the origin everything is near everything.
    """
    middle = (training.mean(axis=0) + benchmark.mean(axis=0)) / 2
    rows, items = (_unit(side - middle) for side in (training, benchmark))
    return float((items @ rows.T).max(axis=1).mean())


def gradient(loaded: LoadedModel, sequences: list[Encoded], advance: Advance) -> torch.Tensor:
    """The gradient of the mean loss over the sequences' label tokens by what is trainable, flat, in float32 on the CPU.

    Of a fresh adapter only B's is not 0: s dL/dW A^T, the gradient of the weights seen through a random A.
    """
    from peft.helpers import disable_input_dtype_casting

    labels = sum(len(one.ids) - one.boundary for one in sequences)
    mixed = loaded.model.dtype == torch.bfloat16
    loaded.model.zero_grad(set_to_none=True)
    for batch in micro_batches(loaded, sequences, TOKEN_BUDGET[loaded.device.type]):
        # As in training, where it is faster than PEFT's own casting.
        with disable_input_dtype_casting(loaded.model, active=mixed), autocast(loaded, mixed):
            backward_cross_entropy(loaded.model, predicting_states(loaded.model, batch), batch.targets, labels)
        advance(len(batch.ids))
    parts = [part.grad.flatten().float().cpu() for _, part in trainable(loaded.model) if part.grad is not None]
    loaded.model.zero_grad(set_to_none=True)
    return torch.cat(parts)


def cosine(one: torch.Tensor, two: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one.double(), two.double(), dim=0))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
