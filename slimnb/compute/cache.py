"""A key/value cache with room to grow: a new token is written into place and the old ones are not copied."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Cache, DynamicLayer

ROOM = 64
"""Slots that a full cache grows by."""

Layers = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values of each layer, [B, heads, slots, width]."""


def growing_cache(layers: Layers | None = None) -> Cache:
    """An empty cache, or one that begins with these keys and values, whose memory it shares until it grows."""
    if layers is None:
        return Cache(layer_class_to_replicate=_GrowingLayer)
    made = []
    for keys, values in layers:
        layer = _GrowingLayer()
        layer.update(keys, values)
        made.append(layer)
    return Cache(layers=made)


def layers_of(cache: Any) -> Layers:
    return [(layer.keys, layer.values) for layer in cache.layers]


class _GrowingLayer(DynamicLayer):
    """`keys` and `values` are the filled part of buffers with free slots behind them."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._key_buffer, self._value_buffer = key_states, value_states
            self.keys, self.values = key_states, value_states
            return self.keys, self.values
        used = self.get_seq_length()
        self._key_buffer, self.keys = _append(self._key_buffer, used, key_states)
        self._value_buffer, self.values = _append(self._value_buffer, used, value_states)
        return self.keys, self.values


def _append(buffer: torch.Tensor, used: int, new: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The buffer, a larger one where need be, and its filled part with the new states behind the `used` slots."""
    wanted = used + new.shape[-2]
    if wanted > buffer.shape[-2]:
        larger = buffer.new_empty(*buffer.shape[:-2], wanted + ROOM, buffer.shape[-1])
        larger[..., :used, :] = buffer[..., :used, :]
        buffer = larger
    buffer[..., used:wanted, :] = new
    return buffer, buffer[..., :wanted, :]
