"""The key/value cache of tokens that many sequences begin with, read once. Shared by scoring and generation."""

from __future__ import annotations

from typing import Any

import torch
from transformers import DynamicCache

from slimnb.packing import only_at

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer, [B, heads, slots, width]."""


def common_prefix(sequences: list[list[int]], most: int) -> int:
    """How many tokens, at most `most`, all sequences begin with."""
    first = sequences[0]
    return next((i for i in range(most) if any(ids[i] != first[i] for ids in sequences)), max(0, most))


def read_prefix(model: Any, ids: list[int]) -> DynamicCache:
    """Run the tokens through the model once and keep the cache, of batch size 1."""
    cache = DynamicCache()
    first = torch.zeros(1, dtype=torch.long, device=model.device)
    with only_at(model, first, first):  # no logits are wanted; the head is kept from all places but one
        model(input_ids=torch.tensor([ids], device=model.device), past_key_values=cache, use_cache=True)
    return cache


def layers(cache: Any) -> Layers:
    return [(layer.keys, layer.values) for layer in cache.layers]


def repeat(cache: Any, times: int) -> DynamicCache:
    """A cache of batch size `times` that shares the memory of the one of batch size 1 until it grows."""
    return DynamicCache([(k.expand(times, -1, -1, -1), v.expand(times, -1, -1, -1)) for k, v in layers(cache)])
