"""Attention on a CPU: one matrix product for all the queries that share a key head.

PyTorch's fused attention walks through small tiles, one query head after the other, which suits a GPU's memory; on a
CPU with rows of a few hundred tokens its products are too small to be fast. Here the G query heads that share a key
head (grouped-query attention, arXiv 2305.13245) are laid one behind the other and multiplied with it at once. The
scores exist in full, as in transformers' own `eager` attention and with its rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from slimnb.compute.budgets import MOST_SCORES
from slimnb.compute.cache import Layers, growing_cache, layers_of

NAME = "slimnb_grouped"


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    shared_prefix: Layers | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention in the form of transformers' AttentionInterface.

    query [B, H, L, D]; key, value [B, H / G, S, D]; attention_mask [B or 1, 1, L, S], additive or boolean, or None for
    causal -> [B, L, H, D]

    Args:
        shared_prefix: keys and values [1, H / G, P, D] of every layer, seen by all queries in front of their own.
    """
    batch, heads, length, width = query.shape
    key_heads, keys = key.shape[1], key.shape[2]
    unusual = dropout or any(others.get(option) is not None for option in ("position_bias", "s_aux", "softcap"))
    one_mask = attention_mask is None or attention_mask.shape[1] == 1
    long = length * keys > MOST_SCORES and shared_prefix is None
    if unusual or long or not one_mask or not getattr(module, "is_causal", True):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    group = heads // key_heads
    stacked = (query * (width**-0.5 if scaling is None else scaling)).reshape(batch, key_heads, group * length, width)
    scores = (stacked @ key.transpose(-1, -2)).view(batch, key_heads, group, length, keys)
    lowest = torch.finfo(scores.dtype).min  # under autocast not the query's
    if attention_mask is None:
        seen = torch.ones(length, keys, dtype=torch.bool, device=query.device).tril(keys - length)
        attention_mask = seen[None, None]
    if attention_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attention_mask[:, :, None], lowest)
    else:
        scores = scores + attention_mask[:, :, None]
    scores = scores.view(batch, key_heads, group * length, keys)
    if shared_prefix is None:
        found = torch.softmax(scores, dim=-1) @ value
    else:
        layer: Any = module.layer_idx
        found = _behind_prefix(stacked, scores, value, *shared_prefix[layer])
    return found.reshape(batch, heads, length, width).transpose(1, 2).contiguous(), None


def _behind_prefix(
    queries: torch.Tensor,
    scores: torch.Tensor,
    value: torch.Tensor,
    prefix_key: torch.Tensor,
    prefix_value: torch.Tensor,
) -> torch.Tensor:
    """Attend to a prefix and one's own tokens at once, with the prefix's keys and values in memory once.

    queries [B, K, Q, D], scores [B, K, Q, S] of their own tokens, value [B, K, S, D], prefix [1, K, P, D]
    -> [B, K, Q, D]
    """
    batch, key_heads, count, width = queries.shape
    together = queries.transpose(0, 1).reshape(key_heads, batch * count, width)
    earlier = (together @ prefix_key[0].transpose(-1, -2)).view(key_heads, batch, count, -1).transpose(0, 1)
    weights = torch.softmax(torch.cat([earlier, scores], dim=-1), dim=-1)
    on_prefix, on_own = weights.split([prefix_key.shape[2], value.shape[2]], dim=-1)
    on_prefix = on_prefix.transpose(0, 1).reshape(key_heads, batch * count, -1)
    from_prefix = (on_prefix @ prefix_value[0]).view(key_heads, batch, count, width).transpose(0, 1)
    return from_prefix + on_own @ value


def use_grouped_attention(model: Any) -> None:
    """Let a model on a CPU attend in this way, where it would have used PyTorch's fused attention.

    Tried on a few tokens first, beside `eager`: a model that attends in a manner of its own keeps it.
    """
    if model.config._attn_implementation != "sdpa" or model.device.type != "cpu":
        return
    ids = _some_tokens(model)
    logits = {}
    with torch.no_grad(), weights_left_alone(model):
        for name in ("eager", NAME):
            model.set_attn_implementation(name)
            logits[name] = model(input_ids=ids, use_cache=False).logits
    if not _close(logits["eager"], logits[NAME]):
        model.set_attn_implementation("sdpa")


@contextmanager
def weights_left_alone(model: Any) -> Iterator[None]:
    """Keep bitsandbytes from rounding 4-bit weights' scales, as it does for its CPU kernel when they first infer."""
    layers = [layer for layer in model.modules() if getattr(layer, "support_avx512bf16_for_cpu", False)]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    try:
        yield
    finally:
        for layer in layers:
            layer.support_avx512bf16_for_cpu = True


def shares_prefix(model: Any) -> bool:
    """Whether the model hands `shared_prefix` on to this attention: tried on a few tokens, once a model."""
    known = getattr(model, "_slimnb_shares_prefix", None)
    if known is None:
        known = model._slimnb_shares_prefix = model.config._attn_implementation == NAME and _try_sharing(model)
    return known


def _try_sharing(model: Any) -> bool:
    ids = _some_tokens(model)
    half = ids.shape[1] // 2
    cache = growing_cache()
    with torch.no_grad():
        whole = model(input_ids=ids, use_cache=False).logits[:, half:]
        model(input_ids=ids[:, :half], past_key_values=cache, use_cache=True)
        shared = layers_of(cache)
        positions = torch.arange(half, ids.shape[1])[None]
        try:
            parted = model(
                input_ids=ids[:, half:], position_ids=positions, use_cache=False, shared_prefix=shared
            ).logits
        except (TypeError, AttributeError, RuntimeError):
            return False
    return _close(whole, parted)


def _some_tokens(model: Any) -> torch.Tensor:
    vocabulary = model.config.get_text_config(decoder=True).vocab_size
    return torch.tensor([[7 + 11 * i % (vocabulary - 8) for i in range(12)]])


def _close(logits: torch.Tensor, others: torch.Tensor) -> bool:
    tolerance = (1e-4 if logits.dtype == torch.float32 else 5e-2) * float(logits.abs().max())
    return torch.allclose(logits.float(), others.float(), rtol=0, atol=tolerance)


AttentionInterface.register(NAME, grouped_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
