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
# # 01 · LoRA by hand: solutions

# %%
import pandas as pd
import torch
from IPython.display import Markdown

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.anatomy import read_anatomy

MODE = workshop.mode()
base = slimnb.load_model("smollm2-135m", dtype="float32", device="cpu")
W = base.model.model.layers[0].mlp.down_proj.weight.data
d_out, d_in = W.shape

# %% [markdown]
# ## Exercise 1
#
# $r\,(d_{in} + d_{out}) = d_{in}\, d_{out}$ gives $r = d_{in}\, d_{out} / (d_{in} + d_{out})$.

# %%
Markdown(
    f"LoRA trains as many numbers at rank {d_in * d_out / (d_in + d_out):.0f}. No matrix of {d_out} x {d_in} has a "
    f"rank above {min(d_in, d_out)}: there $B A$ can be any update, and more rank adds nothing but numbers."
)

# %% [markdown]
# ## Exercise 2
#
# The target: a random matrix. The loss: how far $B A$ is from it.


# %%
def moved(a: torch.Tensor, b: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    start = [a.detach().clone(), b.detach().clone()]
    optimizer = torch.optim.SGD([a, b], lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        (b @ a - target).square().sum().backward()
        optimizer.step()
    return {"A moved by": float((a.detach() - start[0]).norm()), "B moved by": float((b.detach() - start[1]).norm())}


torch.manual_seed(0)
target, random_a, random_b = torch.randn(8, 8), 0.1 * torch.randn(2, 8), 0.1 * torch.randn(8, 2)
found = {
    "both zero": moved(0 * random_a, 0 * random_b, target),
    "A random, B zero (LoRA)": moved(random_a, 0 * random_b, target),
    "A zero, B random": moved(0 * random_a, random_b, target),
}
assert not any(found["both zero"].values()), "both gradients hold the other factor: at zero nothing can move"
Markdown(to_markdown(pd.DataFrame(found).T.map("{:.2f}".format).rename_axis("start").reset_index()))

# %% [markdown]
# One of the two must be random; either does, and the update starts at zero both ways. Which of the two does matter for
# learning rates and stability (Hayou et al., arXiv 2406.08447).
#
# ## Exercise 3
#
# An update of rank 16, scaled to a share of the weights' norm, added in float32 and rounded to bfloat16. What survives:
# the part of the update that the rounded weights still hold.


# %%
def lost(share: float) -> float:
    update = torch.randn(d_out, 16) @ torch.randn(16, d_in)
    update *= share * W.norm() / update.norm()
    held = (W + update).to(torch.bfloat16).float() - W  # W is exact in bfloat16: it was stored so
    return float((held - update).norm() / update.norm())


assert torch.equal(W, W.to(torch.bfloat16).float())
shares = (0.001, 0.003, 0.01, 0.03, 0.1)
rows = [(f"{100 * share:g}%", f"{100 * lost(share):.1f}%") for share in shares]
Markdown(to_markdown(pd.DataFrame(rows, columns=["size of the update, of W", "error of the update after rounding"])))

# %% [markdown]
# And real updates, as `slimnb anatomy` stored them with the shipped LoRA run:

# %%
anatomy = read_anatomy(workshop.runs("replay", "lora")["lora"].path)
assert anatomy, "nothing is stored with the run: `slimnb anatomy RUN` computes it"
sizes = pd.Series([matrix.relative_norm for matrix in anatomy.matrices])
Markdown(
    f"The update of a matrix is {sizes.min():.1%} to {sizes.max():.1%} of its weights; the median of {len(sizes)} is "
    f"{sizes.median():.1%}."
)

# %% [markdown]
# The error of rounding is set by $W$: about the same for all but the smallest updates, of which most is rounded away.
# So a small update drowns in it. Keep the adapter apart, or merge in float32, where the steps between numbers are far
# smaller than any update; and score the merged model, not only the unmerged one.
