"""Log-likelihoods of given answers, with the context they share computed once.

The answers of an item are packed behind their common context in one row (slimnb.packing), so the context is computed
once and not once an answer; an answer of a single token costs nothing beyond the context. Logits are computed only
where a token is predicted, and normalized in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from slimnb.benchmarks import ChoiceItem
from slimnb.packing import STEM, Row, by_length, collate, target_logits
from slimnb.tokens import encode_pair

TOKEN_BUDGET = 2048
"""Tokens in a batch, padding included: enough to keep the matrix products busy, small enough for a laptop."""
LOGIT_CHUNK = 256
"""Predicted tokens that are normalized at once: 50 MB in float32 for a vocabulary of 50,000."""


@dataclass(frozen=True)
class ChoiceScores:
    """What a model thinks of one item's answers. Lists of one number an answer."""

    log_likelihoods: list[float]
    """Natural logarithm of the answer's probability after the context."""
    tokens: list[int]
    """Tokens of the answer."""


def score_choices(
    model: Any,
    tokenizer: Any,
    items: list[ChoiceItem],
    token_budget: int = TOKEN_BUDGET,
    advance: Callable[[int], None] = lambda items: None,
) -> list[ChoiceScores]:
    """Score every answer of every item, in the order given.

    Args:
        advance: called with the number of items just scored.
    """
    encoded = [[encode_pair(tokenizer, item.prompt, f" {choice}") for choice in item.choices] for item in items]
    rows = [pack(choices) for choices in encoded]
    scores: list[ChoiceScores | None] = [None] * len(items)
    device = next(model.parameters()).device
    for indices in by_length([len(row.ids) for row in rows], token_budget):
        batch = collate([rows[i] for i in indices], tokenizer.pad_token_id, device)
        with torch.inference_mode():
            likelihoods = target_log_likelihoods(target_logits(model, batch), batch.targets)
        at = 0
        for i in indices:
            owned = rows[i].owners
            sums = torch.zeros(len(encoded[i]), dtype=torch.float64)
            sums.index_add_(0, torch.tensor(owned, dtype=torch.long), likelihoods[at : at + len(owned)])
            at += len(owned)
            scores[i] = ChoiceScores(sums.tolist(), [len(ids) - boundary for ids, boundary in encoded[i]])
        advance(len(indices))
    return [score for score in scores if score is not None]


def pack(choices: list[tuple[list[int], int]]) -> Row:
    """One row of the answers' common tokens and, behind them, a segment an answer.

    Args:
        choices: for each answer its (token ids with the context's, number of the context's tokens).
    """
    boundary = min(boundary for _, boundary in choices)
    shared = _common_prefix([ids for ids, _ in choices], boundary)
    row = Row(choices[0][0][:shared], list(range(shared)), [STEM] * shared, [], [])
    for owner, (ids, start) in enumerate(choices):
        first = len(row.ids)
        branch = ids[shared:-1]
        row.ids.extend(branch)
        row.positions.extend(range(shared, shared + len(branch)))
        row.segments.extend([owner + 1] * len(branch))
        for index in range(start, len(ids)):
            # The token before predicts it: the last of the stem, or one of this branch.
            place = index - 1 if index - 1 < shared else first + index - 1 - shared
            row.targets.append((place, ids[index]))
            row.owners.append(owner)
    return row


def target_log_likelihoods(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log softmax(logits)[target] in float32, returned on the CPU in float64.

    logits [K, vocabulary], targets [K] -> [K]
    """
    parts = [
        -torch.nn.functional.cross_entropy(some.float(), wanted, reduction="none")
        for some, wanted in zip(logits.split(LOGIT_CHUNK), targets.split(LOGIT_CHUNK), strict=True)
    ]
    return torch.cat(parts).double().cpu()


def _common_prefix(sequences: list[list[int]], most: int) -> int:
    for i in range(most):
        if any(ids[i] != sequences[0][i] for ids in sequences):
            return i
    return most
