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
# # 01 · LoRA by hand
#
# **Goal**: build the low-rank update in a few lines of torch, see that PEFT computes the same, and count what it saves.
# **Minutes**: 25. One gradient is computed, nothing is trained: the same in all modes.

# %%
import math

import pandas as pd
import torch
from IPython.display import Markdown, display
from torch import Tensor, nn

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.config import Lora

MODE = workshop.mode()
base = slimnb.load_model("smollm2-135m", dtype="float32", device="cpu")
weights = sum(parameter.numel() for parameter in base.model.parameters())
linears = {name: m for name, m in base.model.named_modules() if isinstance(m, nn.Linear) and name != "lm_head"}
layer = linears["model.layers.0.mlp.down_proj"]
Markdown(f"{weights:,} weights, {len(linears)} linear layers beside the output head. The first `down_proj`: `{layer}`")

# %% [markdown]
# ## The idea
#
# A linear layer computes $h = W x$, where $W$ has $d_{out} \times d_{in}$ numbers. Full fine-tuning learns a change of
# all of them: $h = (W + \Delta W)\, x$. LoRA (arXiv 2106.09685, section 4.1) leaves $W$ frozen and learns a change of
# low rank $r$:
#
# $$\Delta W = \frac{\alpha}{r}\, B A, \qquad A: r \times d_{in}, \qquad B: d_{out} \times r.$$
#
# $A$ starts at random and $B$ at zero, so that training starts from the model as it is.
#
# ## Predict
#
# With $r = 16$: how many numbers does LoRA train in this layer, in percent of its weights?

# %%
share = None  # your prediction in percent

# %% [markdown]
# ## Run
#
# All of LoRA:


# %%
class LoraLinear(nn.Module):
    def __init__(self, frozen: nn.Linear, rank: int = 16, alpha: float = 32.0):
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.A = nn.Parameter(torch.empty(rank, frozen.in_features))
        self.B = nn.Parameter(torch.zeros(frozen.out_features, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))  # as PEFT does, and nn.Linear for its weight
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + (x @ self.A.T @ self.B.T) * self.scale  # B A itself is never formed

    def update(self) -> Tensor:
        return self.scale * self.B @ self.A


# %%
torch.manual_seed(0)
by_hand = LoraLinear(layer)
workshop.compare(share, 100 * (by_hand.A.numel() + by_hand.B.numel()) / layer.weight.numel(), "%")

# %% [markdown]
# ## Explain
#
# $r\,(d_{in} + d_{out})$ numbers stand in for $d_{in}\, d_{out}$. At the start the layer computes what it did before;
# and whatever $B$ becomes, the update has at most rank $r$:

# %%
x = torch.randn(4, layer.in_features)
with torch.no_grad():
    assert torch.equal(by_hand(x), layer(x)), "with B at zero the layer must compute what it did before"
    by_hand.B.normal_(std=0.02)  # as if it had been trained
    update = by_hand.update()
Markdown(f"The update: {update.numel():,} numbers, rank {int(torch.linalg.matrix_rank(update))}.")

# %% [markdown]
# ## The first step
#
# Now all linear layers at once: `slimnb.add_lora` lets PEFT put its own $A$ and $B$ beside each. The gradients of the
# loss $L$ are, for one $x$ (those of several tokens add up),
#
# $$\frac{\partial L}{\partial B} = \frac{\alpha}{r}\, \frac{\partial L}{\partial h}\, (A x)^T, \qquad
# \frac{\partial L}{\partial A} = \frac{\alpha}{r}\, B^T \frac{\partial L}{\partial h}\, x^T.$$
#
# **Predict**: how large is the gradient of all $A$ (its norm) in the first step?

# %%
gradient_of_a = None  # your prediction

# %%
tokens = base.tokenizer("Tom has 3 apples and buys 4 more. Now he has 7.", return_tensors="pt").input_ids
with torch.no_grad():
    untouched = base.model(tokens).logits
peft_model = slimnb.add_lora(base, Lora(rank=16, alpha=32), seed=0).model
peft_model(tokens, labels=tokens).loss.backward()


def gradient_norm(factor: str) -> float:
    squares = [parameter.grad.square().sum() for name, parameter in peft_model.named_parameters() if factor in name]
    return float(torch.stack(squares).sum().sqrt())


display(
    workshop.compare(gradient_of_a, gradient_norm("lora_A")),
    Markdown(f"The gradient of all $B$ has the norm {gradient_norm('lora_B'):.1f}."),
)

# %% [markdown]
# $B$ is zero, so $A$ gets no gradient: the first step moves $B$ alone, and only then $A$ begins to learn. If both
# started at zero, neither ever would (exercise 2).
#
# ## The same as PEFT
#
# Give each $B$ some numbers, note the logits, put our layers with the same $A$ and $B$ in place of PEFT's, and compare.

# %%
with torch.no_grad():
    for name, parameter in peft_model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(std=0.02)
    theirs = peft_model(tokens).logits

    model = peft_model.get_base_model()
    for name in linears:
        peft_layer = model.get_submodule(name)
        ours = LoraLinear(peft_layer.base_layer)
        ours.A.copy_(peft_layer.lora_A["default"].weight)
        ours.B.copy_(peft_layer.lora_B["default"].weight)
        model.set_submodule(name, ours)
    logits = model(tokens).logits


# %%
def apart(a: Tensor, b: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((a - b).abs().max() / b.abs().max())


assert apart(theirs, untouched) > 0.01, "PEFT's layers change nothing: is B still zero?"
assert apart(logits, theirs) < 1e-6, "not what PEFT computes: look at the scale, alpha / rank, and the order of A and B"
Markdown(
    f"**Checkpoint passed.** The update moved the logits by up to {100 * apart(theirs, untouched):.0f}% of the "
    "largest; ours and PEFT's differ by less than a millionth of it."
)

# %% [markdown]
# ## Merge
#
# $W x + \frac{\alpha}{r} B A x = (W + \frac{\alpha}{r} B A)\, x$: after training the update can be added to the
# weights. The model is then as fast as before, and knows nothing of LoRA.

# %%
with torch.no_grad():
    for name in linears:
        lora = model.get_submodule(name)
        lora.frozen.weight += lora.update()
        model.set_submodule(name, lora.frozen)
    merged = model(tokens).logits

assert apart(merged, logits) < 1e-4, "merging must not change the answers: is the update scaled, and added once?"
assert sum(parameter.numel() for parameter in model.parameters()) == weights, "something of LoRA is left in the model"
Markdown("**Checkpoint passed.** Merged, the logits differ by less than a ten-thousandth of the largest.")

# %% [markdown]
# They are not the same to the last digit: $W + \Delta W$ is rounded. In float32 that is nothing; in bfloat16 the error
# can be a good part of the update (exercise 3), and in 4 bits larger than the update itself: [09](09_anatomy.ipynb).
#
# ## What it saves
#
# Trained numbers, by rank, with $A$ and $B$ at all linear layers but the head:

# %%
ranks = (1, 4, 16, 64, 256)
per_rank = sum(linear.in_features + linear.out_features for linear in linears.values())
table = pd.DataFrame(
    {
        "rank": ranks,
        "trained": [f"{rank * per_rank:,}" for rank in ranks],
        "share of the model": [f"{rank * per_rank / weights:.2%}" for rank in ranks],
        "adapter file in float32": [f"{4 * rank * per_rank / 1e6:.1f} MB" for rank in ranks],
    }
)
Markdown(to_markdown(table))

# %% [markdown]
# Fewer trained numbers need less memory: each has a gradient and two moments of AdamW. **Predict**: the memory at the
# peak of training with LoRA of rank 16.

# %%
runs = workshop.runs("replay", "lora", "full")  # the shipped ones
costs = {method: run.record.costs for method, run in runs.items()}
peak = {method: cost.train_peak_bytes / 1e9 for method, cost in costs.items()}
Markdown(f"Full fine-tuning took {peak['full']:.2f} GB at its peak. What does LoRA take?")

# %%
gigabytes = None  # your prediction in GB

# %%
workshop.compare(gigabytes, peak["lora"], " GB")

# %% [markdown]
# The share of the trained numbers was no guide. What LoRA saves can be counted, in bytes a weight. Trained numbers are
# float32, since small updates would be rounded away in bfloat16, and have a bfloat16 copy that a step computes with:
#
# | | weights | bfloat16 copy | gradients | AdamW's moments |
# |---|---:|---:|---:|---:|
# | full, each weight | 4 (float32) | 2 | 4 | 8 |
# | LoRA, each frozen weight | 2 (bfloat16) | 0 | 0 | 0 |
# | LoRA, each number of $A$ and $B$ | 4 (float32) | 2 | 4 | 8 |

# %%
trained = 4 + 2 + 4 + 8  # bytes
counted = (trained * weights - (2 * weights + trained * 16 * per_rank)) / 1e9
measured = peak["full"] - peak["lora"]
assert costs["lora"].trainable_parameters == 16 * per_rank, "the run trained another rank or other layers than counted"
Markdown(
    f"**Checkpoint passed**: the run trained {16 * per_rank:,} numbers, as counted. By the table LoRA needs "
    f"{counted:.2f} GB less than full fine-tuning; measured were {measured:.2f} GB less. What remains, both need: the "
    f"activations of a batch, its logits, and the program itself."
)

# %% [markdown]
# The smaller the model, the larger the share of what remains. `slimnb plan` itemizes it for any model.
#
# ## Exercises
#
# **Exercise 1** (easy). At which rank does LoRA train as many numbers in this `down_proj` as full fine-tuning? Which is
# the highest rank that makes sense at all?
#
# **Exercise 2** (medium). Start $A$ and $B$ both at zero, and take ten steps of gradient descent towards any target.
# What has moved? What happens if $B$ is random and $A$ is zero? (A small random matrix is target enough, the squared
# distance of $B A$ from it the loss.)
#
# **Exercise 3** (open). Merge updates of several sizes into a layer in bfloat16, the precision in which most models are
# stored. How much of the update survives the rounding? How large are real updates? (`slimnb anatomy RUN` tells.)
#
# ## Key points
#
# - LoRA adds $\frac{\alpha}{r} B A$ to a frozen $W$: few trained numbers, and at the start no change.
# - Merged, it costs nothing at inference; unmerged, it is a small file that fits only the weights it was trained on.
# - It saves gradients, moments and precision of the frozen weights. It does not save activations.
#
# **Next**: [02_four_bits](02_four_bits.ipynb)
