"""Log-likelihoods of given answers, with whatever they share computed once.

What many items begin with (a benchmark's worked examples) is read once and its key/value cache reused. What an item's
answers begin with (its question) is read once, with the answers packed behind it in one row (slimnb.compute.packing);
an answer of a single token costs nothing beyond its question. Logits are computed only where a token is predicted, and
normalized in float32.

`score_plainly` does none of this. It is the reference that tests hold the rest against, and the way taken for a model
whose attention does not follow a mask of one's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from slimnb.benchmarks import ChoiceItem
from slimnb.compute.batches import find_budget, in_batches, worker_count
from slimnb.compute.head import log_likelihoods, predicting_states
from slimnb.compute.packing import STEM, Row, causal_row, collate
from slimnb.compute.prefix import Prefix, common_prefix
from slimnb.compute.sharding import without_graph
from slimnb.compute.tokens import Encoded, context_length, encode_pair
from slimnb.machine.progress import console

SHORTEST_PREFIX = 32
"""Tokens that items must share before the cache of a prefix is worth its reading."""
FEWEST_ITEMS = 4
"""Items that must share a prefix, likewise."""

Advance = Callable[[int], None]


@dataclass(frozen=True)
class ChoiceScores:
    """What a model thinks of one item's answers. Lists of one number an answer."""

    log_likelihoods: list[float]
    """Natural logarithm of the answer's probability after the context."""
    tokens: list[int]
    """Tokens of the answer."""
    truncated: bool
    """Whether the context lost tokens on the left."""


def score_choices(
    model: Any,
    tokenizer: Any,
    items: list[ChoiceItem],
    token_budget: int | None = None,
    advance: Advance = lambda items: None,
) -> list[ChoiceScores]:
    """Score every answer of every item, in the order given.

    Args:
        token_budget: tokens in a batch, padding included; None finds it from the free memory.
        advance: called with the number of items just scored.
    """
    most = context_length(model)
    encoded = [
        [encode_pair(tokenizer, item.prompt, item.joint + choice, most) for choice in item.choices] for item in items
    ]
    token_budget = token_budget or find_budget(model)
    if not packs(model):
        return score_plainly(model, tokenizer, encoded, token_budget, advance)
    rows = [pack(choices) for choices in encoded]
    sums: dict[int, list[float]] = {}
    for group in share_prefixes(rows):
        sums |= _score_group(model, tokenizer, group, rows, token_budget, advance)
    return [_scores(sums[i], choices) for i, choices in enumerate(encoded)]


def _score_group(
    model: Any, tokenizer: Any, group: Group, rows: list[Row], token_budget: int, advance: Advance
) -> dict[int, list[float]]:
    """Item -> the log-likelihood of each of its answers, for the items of one group."""
    with without_graph(model):
        prefix = Prefix(model, group.prefix)
    own = [_without_prefix(rows[i], prefix.length) for i in group.items]
    sums: dict[int, list[float]] = {}

    @without_graph(model)  # each thread must enter it
    def score(places: list[int]) -> None:
        some = [own[place] for place in places]
        batch = collate(some, tokenizer.pad_token_id, model.device)
        states = predicting_states(model, batch, prefix.slots, **prefix.inputs(len(some)))
        likelihoods = log_likelihoods(model, states, batch.targets).split([len(row.targets) for row in some])
        for place, row, part in zip(places, some, likelihoods, strict=True):
            sums[group.items[place]] = _sum_by_owner(part, row)
        advance(len(some))

    in_batches([len(row.ids) for row in own], token_budget, score, worker_count(model))
    return sums


def score_plainly(
    model: Any, tokenizer: Any, encoded: list[list[Encoded]], token_budget: int, advance: Advance = lambda items: None
) -> list[ChoiceScores]:
    """One ordinary causal sequence an answer, sharing nothing."""
    keys = [(i, j) for i, choices in enumerate(encoded) for j in range(len(choices))]
    rows = [causal_row(encoded[i][j].ids, encoded[i][j].boundary) for i, j in keys]
    sums = [[0.0] * len(choices) for choices in encoded]
    left = [len(choices) for choices in encoded]

    @without_graph(model)
    def score(places: list[int]) -> None:
        some = [rows[place] for place in places]
        batch = collate(some, tokenizer.pad_token_id, model.device)
        likelihoods = log_likelihoods(model, predicting_states(model, batch), batch.targets)
        for place, part in zip(places, likelihoods.split([len(row.targets) for row in some]), strict=True):
            i, j = keys[place]
            sums[i][j] = float(part.sum())
            left[i] -= 1
            advance(1 if left[i] == 0 else 0)

    in_batches([len(row.ids) for row in rows], token_budget, score)
    return [_scores(total, choices) for total, choices in zip(sums, encoded, strict=True)]


def pack(choices: list[Encoded]) -> Row:
    """One row of the answers' common tokens and, behind them, a segment an answer."""
    shared = common_prefix([one.ids for one in choices], min(one.boundary for one in choices))
    row = Row(choices[0].ids[:shared], list(range(shared)), [STEM] * shared, [], [], answers=len(choices))
    for owner, one in enumerate(choices):
        ids = one.ids
        first = len(row.ids)
        branch = ids[shared:-1]
        row.ids.extend(branch)
        row.positions.extend(range(shared, shared + len(branch)))
        row.segments.extend([owner + 1] * len(branch))
        for index in range(one.boundary, len(ids)):
            # The token before predicts it: the last of the stem, or one of this branch.
            place = index - 1 if index - 1 < shared else first + index - 1 - shared
            row.targets.append((place, ids[index]))
            row.owners.append(owner)
    return row


@dataclass
class Group:
    """Items that are read behind one prefix; an empty one for those that share nothing."""

    prefix: list[int] = field(default_factory=list)
    items: list[int] = field(default_factory=list)


def share_prefixes(rows: list[Row]) -> Iterator[Group]:
    """Sort items into groups that begin with the same tokens; each keeps at least one token of its own stem."""
    stems = [row.ids[: row.segments.count(STEM)] for row in rows]
    by_start: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, stem in enumerate(stems):
        by_start[tuple(stem[:SHORTEST_PREFIX])].append(i)
    alone = Group()
    for start, items in by_start.items():
        length = common_prefix([stems[i] for i in items], min(len(stems[i]) for i in items) - 1)
        if len(items) >= FEWEST_ITEMS and len(start) == SHORTEST_PREFIX <= length:
            yield Group(stems[items[0]][:length], items)
        else:
            alone.items += items
    if alone.items:
        yield alone


def packs(model: Any) -> bool:
    """Whether the model's attention follows a mask of one's own: tried on a small row, once a model.

    A model with a sliding window, whose reach a mask of one's own would widen, does not count as one that does.
    """
    known = getattr(model, "_slimnb_packs", None)
    if known is None:
        known = model._slimnb_packs = _try_packing(model)
        if not known:
            name = type(model).__name__
            console.print(f"{name}: attention takes no mask of one's own, so each answer is scored by itself")
    return known


def _try_packing(model: Any) -> bool:
    config = model.config.get_text_config(decoder=True)
    if getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True):
        return False
    ids = [7 + 11 * i % (config.vocab_size - 8) for i in range(14)]
    # Two answers of equal tokens: behind one another they must be as likely as alone.
    answers = [Encoded(ids[:8] + ids[8:11], 8), Encoded(ids[:8] + ids[11:14], 8)]
    try:
        with without_graph(model):
            batch = collate([pack(answers)], 0, model.device)
            found = log_likelihoods(model, predicting_states(model, batch), batch.targets)
            packed = _sum_by_owner(found, pack(answers))
            plain = []
            for answer in answers:
                batch = collate([causal_row(answer.ids, answer.boundary)], 0, model.device)
                plain.append(float(log_likelihoods(model, predicting_states(model, batch), batch.targets).sum()))
    except (ValueError, TypeError, RuntimeError, IndexError):
        return False
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.3
    return all(abs(a - b) <= tolerance for a, b in zip(packed, plain, strict=True))


def _without_prefix(row: Row, length: int) -> Row:
    """The row as it stands behind a cached prefix of so many tokens; positions stay as they were."""
    if not length:
        return row
    targets = [(place - length, token) for place, token in row.targets]
    return Row(row.ids[length:], row.positions[length:], row.segments[length:], targets, row.owners, row.answers)


def _sum_by_owner(values: torch.Tensor, row: Row) -> list[float]:
    sums = torch.zeros(row.answers, dtype=torch.float64)
    return sums.index_add_(0, torch.tensor(row.owners, dtype=torch.long), values).tolist()


def _scores(sums: list[float], choices: list[Encoded]) -> ChoiceScores:
    lengths = [len(one.ids) - one.boundary for one in choices]
    return ChoiceScores(sums, lengths, any(one.truncated for one in choices))
