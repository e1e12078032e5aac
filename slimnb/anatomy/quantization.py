"""What is lost where a weight is stored in 4 bits.

Weights are taken in blocks of 64 in the order in which they lie in memory, each block scaled by its largest absolute
value (arXiv 2305.14314, section 2), and each scaled weight rounded to one of 16 levels:

  nf4   the quantiles of a normal distribution, whose weights fill the levels evenly (section 3)
  fp4   a 4-bit floating-point number
  int4  -7 to 7, evenly spaced

A scale in 32 bits costs half a bit a weight; +dq stores it in 8, in blocks of 256, and costs 0.127 (section 3).

Expected: by perplexity nf4 is the best and int4 the worst, and double quantization costs nothing (arXiv 2305.14314,
tables 2 and 4). The error here is of the weights: fp4, whose levels are few where the weights are many, may err more
than int4 and yet do less harm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from slimnb.anatomy.record import FORMATS, Format
from slimnb.errors import SlimnbError
from slimnb.models.load import require_four_bit

BLOCK = 64


def usable_formats() -> tuple[Format, ...]:
    """The formats that can be computed here: int4 always, the others where bitsandbytes runs."""
    try:
        require_four_bit()
    except SlimnbError:
        return ("int4",)
    return FORMATS


def int4(blocks: Tensor) -> Tensor:
    """Blocks (n, block) as symmetric 4-bit integers give them back: 15 levels from -max to max of each block."""
    step = blocks.abs().amax(dim=1, keepdim=True) / 7
    return torch.where(step > 0, blocks / step, 0).round().clamp(-7, 7) * step


def quantized(weight: Tensor, form: Format) -> Tensor:
    """Q(W): the weight as `form` gives it back, in the same shape and precision.

    Args:
        weight: in 16 or 32 bits.
        form: one of usable_formats(); bitsandbytes computes all but int4.
    """
    # A row a block: bitsandbytes 0.50's CPU kernel takes wrong scales where a row ends within a block.
    blocks = torch.nn.functional.pad(weight.flatten(), (0, -weight.numel() % BLOCK)).view(-1, BLOCK)
    if form == "int4":
        back = int4(blocks)
    else:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit

        kind, _, double = form.partition("+")
        back = dequantize_4bit(
            *quantize_4bit(blocks, blocksize=BLOCK, compress_statistics=bool(double), quant_type=kind)
        )
    return back.flatten()[: weight.numel()].view_as(weight)


def relative_error(weight: Tensor, form: Format) -> float | None:
    """||W - Q(W)||_F / ||W||_F; None for a weight that is zero."""
    norm = weight.norm()
    return float((weight - quantized(weight, form)).norm() / norm) if norm > 0 else None
