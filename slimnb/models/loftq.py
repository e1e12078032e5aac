"""LoftQ's start for an adapter over 4-bit weights (arXiv 2310.08659): the best low-rank guess of what quantizing lost.

One step of the paper's algorithm 1, with the quantized weights as they are. PEFT's own
(`replace_lora_weights_loftq`) needs a GPU and leaves out the adapter's scale.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from slimnb.models.weights import Weights


@torch.no_grad()
def start_from_quantization_error(model: Any, place: Path) -> None:
    """Set each adapter's A and B so that scale B A is the best rank-r approximation of W - dequantized(W).

    Args:
        model: a PEFT model over bitsandbytes' 4-bit layers.
        place: the directory of the weights before quantization.
    """
    from bitsandbytes.functional import dequantize_4bit
    from peft.tuners.lora import LoraLayer

    weights = Weights(place)
    modules: list[tuple[str, Any]] = list(model.named_modules())
    for name, layer in modules:
        packed: Any = layer.get_base_layer().weight if isinstance(layer, LoraLayer) else None
        if packed is None or not hasattr(packed, "quant_state"):
            continue
        quantized = dequantize_4bit(packed.data, packed.quant_state).float()
        whole = weights.of_module(name.removeprefix("base_model.model.")).to(quantized)
        lost = (whole if whole.shape == quantized.shape else whole.T) - quantized
        u, s, vh = torch.linalg.svd(lost, full_matrices=False)
        for adapter, scale in layer.scaling.items():
            rank = min(layer.r[adapter], len(s))
            root = (s[:rank] / scale).sqrt()
            a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            a.zero_()[:rank] = root[:, None] * vh[:rank]  # pyright: ignore
            b.zero_()[:, :rank] = u[:, :rank] * root  # pyright: ignore
