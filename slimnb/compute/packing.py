"""Several sequences in one row of tokens, each blind to the others. Shared by scoring and training.

A row holds segments. Segment STEM is seen by every segment behind it; any other segment sees the stem, itself and
nothing else. Position ids count from the row's start through the stem and restart behind it in each segment, so every
segment is computed as if it stood alone behind the stem. A row that is all stem is an ordinary causal sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

STEM, PAD = 0, -1


@dataclass(frozen=True)
class Row:
    """One packed row.

    ids, positions, segments: lists of equal length. targets[i] is (place, token): the hidden state at `place` in the
    row predicts `token`; owners[i] says which of the answers' tokens it is.
    """

    ids: list[int]
    positions: list[int]
    segments: list[int]
    targets: list[tuple[int, int]]
    owners: list[int]
    answers: int = 1


def causal_row(ids: list[int], boundary: int) -> Row:
    """A plain causal sequence in which each token from `boundary` on is predicted by the one before it."""
    inputs = ids[:-1]
    places = range(boundary - 1, len(inputs))
    return Row(
        ids=inputs,
        positions=list(range(len(inputs))),
        segments=[STEM] * len(inputs),
        targets=[(place, ids[place + 1]) for place in places],
        owners=[0] * len(places),
    )


@dataclass(frozen=True)
class Batch:
    """Rows of equal length L, padded on the right. B rows, K targets in all."""

    ids: torch.Tensor  # [B, L] int64
    positions: torch.Tensor  # [B, L] int64
    segments: torch.Tensor  # [B, L] int64
    rows: torch.Tensor  # [K] int64: the row of each target
    places: torch.Tensor  # [K] int64: the place in the row whose hidden state predicts the target
    targets: torch.Tensor  # [K] int64: the token

    def mask(self, dtype: torch.dtype, prefix: int = 0) -> torch.Tensor | None:
        """Additive attention mask [B, 1, L, prefix + L]: 0 where a token may look, the lowest number elsewhere.

        None for plain causal rows: padding on the right is behind every token, and the models' own causal attention
        is faster than one with a mask.

        Args:
            prefix: tokens of a key/value cache in front of the row, seen by all.
        """
        if not bool((self.segments > STEM).any()):
            return None
        length = self.ids.shape[1]
        place = torch.arange(length, device=self.ids.device)
        earlier = place[:, None] >= place[None, :]
        query, key = self.segments[:, :, None], self.segments[:, None, :]
        seen = earlier & ((key == STEM) | (key == query))
        if prefix:
            seen = torch.nn.functional.pad(seen, (prefix, 0), value=True)
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def collate(rows: list[Row], pad_id: int, device: torch.device) -> Batch:
    """Pad rows to one length and gather their targets."""
    length = max(len(row.ids) for row in rows)

    def padded(lists: list[list[int]], value: int) -> torch.Tensor:
        return torch.tensor([values + [value] * (length - len(values)) for values in lists], device=device)

    targets = [(r, place, token) for r, row in enumerate(rows) for place, token in row.targets]
    at, places, tokens = torch.tensor(targets, device=device).reshape(-1, 3).unbind(1)
    return Batch(
        ids=padded([row.ids for row in rows], pad_id),
        positions=padded([row.positions for row in rows], 0),
        segments=padded([row.segments for row in rows], PAD),
        rows=at,
        places=places,
        targets=tokens,
    )
