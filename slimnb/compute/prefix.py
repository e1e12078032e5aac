"""The key/value cache of tokens that many sequences begin with, read once. Shared by scoring and generation."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache

from slimnb.compute.attention import shares_prefix
from slimnb.compute.cache import Layers, growing_cache, layers_of
from slimnb.compute.head import only_at


class Prefix:
    """Tokens read once, whose keys and values all sequences of a batch see in front of their own.

    Where the model's attention can look at them in place they lie in memory once; else each sequence gets a copy, at
    the front of its own cache.
    """

    def __init__(self, model: Any, ids: list[int]):
        self.length = len(ids)
        self.shared = bool(ids) and shares_prefix(model)
        self._layers: Layers = _read(model, ids) if ids else []

    @property
    def slots(self) -> int:
        """Slots that the prefix takes in each sequence's own cache."""
        return 0 if self.shared else self.length

    @property
    def options(self) -> dict[str, Any]:
        """What the model's forward is given beside a cache."""
        return {"shared_prefix": self._layers} if self.shared else {}

    def inputs(self, times: int) -> dict[str, Any]:
        """What the model's forward is given to read so many sequences once, with no cache left behind."""
        return {"past_key_values": self.new_cache(times), "use_cache": True} if self.slots else self.options

    def new_cache(self, times: int) -> Cache:
        """A cache for so many sequences; copies of the prefix share its memory until the cache grows."""
        if self.shared or not self.length:
            return growing_cache()
        return growing_cache([(k.expand(times, -1, -1, -1), v.expand(times, -1, -1, -1)) for k, v in self._layers])


def common_prefix(sequences: list[list[int]], most: int) -> int:
    """How many tokens, at most `most`, all sequences begin with."""
    first = sequences[0]
    return next((i for i in range(most) if any(ids[i] != first[i] for ids in sequences)), max(0, most))


def _read(model: Any, ids: list[int]) -> Layers:
    cache = growing_cache()
    first = torch.zeros(1, dtype=torch.long, device=model.device)
    with only_at(model, first, first):  # no logits are wanted; the head is kept from all places but one
        model(input_ids=torch.tensor([ids], device=model.device), past_key_values=cache, use_cache=True)
    return layers_of(cache)
