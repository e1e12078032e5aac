# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Four bits: solutions

# %%
import pandas as pd
import torch
from IPython.display import Markdown

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown

MODE = workshop.mode()
model = slimnb.load_model("smollm2-135m", dtype="float32", device="cpu").model
W = model.model.layers[0].mlp.down_proj.weight.data
from bitsandbytes.functional import get_4bit_type

levels = get_4bit_type("nf4", device="cpu")
halfway = (levels[1:] + levels[:-1]) / 2


def nf4(weight: torch.Tensor, block: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    blocks = weight.reshape(-1, block)
    scales = blocks.abs().amax(dim=1)
    return torch.bucketize(blocks / scales[:, None], halfway), scales


# %% [markdown]
# ## Exercise 1

# %%
linear = 32 * (4 * 4096 * 4096 + 3 * 4096 * 11008)
other = 2 * 32_000 * 4096  # embeddings and head; the norms, a few thousand numbers a layer, do not show
double = 4 + 8 / 64 + 32 / (64 * 256)
sixteen, four = 2 * (linear + other) / 1e9, (double * linear + 16 * other) / 8 / 1e9
Markdown(
    f"{linear / 1e9:.2f} of {(linear + other) / 1e9:.2f} billion weights are in linear layers: {sixteen:.2f} GB in "
    f"bfloat16, {four:.2f} GB in NF4, smaller by a factor of {sixteen / four:.2f}."
)

# %% [markdown]
# ## Exercise 2

# %%
rows = []
for block in (16, 32, 64, 128, 256):
    codes, scales = nf4(W, block)
    back = (levels[codes] * scales[:, None]).view_as(W)
    rows.append((block, f"{4 + 32 / block:.3f}", f"{100 * float((W - back).norm() / W.norm()):.2f}%"))
Markdown(to_markdown(pd.DataFrame(rows, columns=["block", "bits a weight", "error"])))

# %% [markdown]
# One large weight sets the scale of its block, and the others get coarser levels: the larger the block, the likelier
# and the more of them. It is bits against error, and no block is best; QLoRA takes 64. Double quantization makes small
# blocks cheap: at 64 the scales cost an eighth of a bit and no longer half.
#
# ## Exercise 3

# %%
codes, scales = nf4(W)
used = torch.bincount(codes.flatten(), minlength=16) / codes.numel()
drawn = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))
expected = torch.bincount(nf4(drawn)[0].flatten(), minlength=16) / drawn.numel()
table = pd.DataFrame(
    {
        "level": [f"{level:.3f}" for level in levels],
        "weights": [f"{100 * share:.1f}%" for share in used],
        "truly normal numbers": [f"{100 * share:.1f}%" for share in expected],
    }
)
Markdown(to_markdown(table))

# %% [markdown]
# Equal shares would be one in sixteen. They are not equal even for numbers that are truly normal: the levels are
# quantiles of a normal distribution cut off at a fixed place, but a block is divided by its own largest number, which
# mostly lies further out. So the levels near zero are used more than the outer ones. That is no fault: levels used
# equally often would not give the smallest error (Yoshida, arXiv 2306.06965).
