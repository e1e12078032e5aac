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
# # 02 · Four bits
#
# **Goal**: store weights in 4 bits as QLoRA does, by hand; know what is lost, and how much memory is saved.
# **Minutes**: 30. Nothing is trained: the same in all modes.

# %%
import dataclasses

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown
from scipy.stats import norm
from torch import Tensor, nn

import slimnb
from slimnb import workshop
from slimnb.anatomy.quantization import quantized, relative_error
from slimnb.figures import quantization

MODE = workshop.mode()
loaded = slimnb.load_model("smollm2-135m", dtype="float32", device="cpu")
model = loaded.model
linears = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) and name != "lm_head"}
W = linears["model.layers.0.mlp.down_proj"].weight.data
Markdown(f"The first `down_proj` has {W.numel():,} weights, from {W.min():.2f} to {W.max():.2f}.")

# %% [markdown]
# ## The idea
#
# With 4 bits a weight can have 16 values. QLoRA (arXiv 2305.14314) chooses them in two steps:
#
# 1. Cut the weights into **blocks** of 64 and divide each block by its largest absolute value, its **scale**. Now all
#    lie between -1 and 1.
# 2. Round each to the nearest of 16 **levels**. Weights look like draws from a normal distribution, many near 0 and few
#    at the ends; so the levels, **NF4**, are quantiles of that distribution, close together where the weights are.
#
# One level must be exactly 0. So there are 8 quantiles for the negative half and 9 for the positive one, which share
# the zero. The quantiles of 0 and of 1 would be infinite; bitsandbytes goes from $\delta$ to $1 - \delta$ instead, with
# $\delta = \frac{1}{2}(\frac{1}{32} + \frac{1}{30})$, and divides by the largest:

# %%
delta = (1 / 32 + 1 / 30) / 2
negative = norm.ppf(np.linspace(delta, 1 / 2, 8))
positive = norm.ppf(np.linspace(1 / 2, 1 - delta, 9))
levels = torch.tensor(np.concatenate([negative, positive[1:]]) / positive[-1], dtype=torch.float32)
print(*(f"{level:.4f}" for level in levels))

# %% [markdown]
# ## Predict
#
# How large is the error of the rounded weights, $\lVert W - Q(W) \rVert / \lVert W \rVert$, in percent?

# %%
error = None  # your prediction in percent

# %% [markdown]
# ## Run


# %%
def nf4(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Codes from 0 to 15 and scales, [blocks, 64] and [blocks]."""
    blocks = weight.reshape(-1, 64)
    scales = blocks.abs().amax(dim=1)
    halfway = (levels[1:] + levels[:-1]) / 2  # the nearest level changes there
    return torch.bucketize(blocks / scales[:, None], halfway), scales


codes, scales = nf4(W)
back = (levels[codes] * scales[:, None]).view_as(W)
by_hand = float((W - back).norm() / W.norm())
workshop.compare(error, 100 * by_hand, "%")

# %% [markdown]
# ## Explain
#
# A weight is off by at most half the gap between two levels, times its block's scale. Near zero, where most weights
# are, the gaps are narrow; but a single large weight widens those of its whole block.
#
# These weights were in 4 bits once before: the offline model comes in the format Q4_1 (blocks of 32 with 16 evenly
# spaced values each) and was unpacked to bfloat16. So all errors here are those of a second rounding.
#
# ## The same as bitsandbytes
#
# It packs two codes into a byte, the first into the upper four bits.

# %%
from bitsandbytes.functional import create_dynamic_map, dequantize_4bit, quantize_4bit

packed, state = quantize_4bit(W, blocksize=64, quant_type="nf4")
ours = (16 * codes.flatten()[::2] + codes.flatten()[1::2]).to(torch.uint8)
wrong = int((ours != packed.flatten()).sum())

assert (levels - state.code).abs().max() < 1e-6, "other levels: look at delta, and at the division by the largest"
assert torch.equal(scales, state.absmax), "other scales: a block is 64 weights in the order of memory"
assert wrong == 0, f"{wrong} bytes differ: is a weight rounded to the nearest level, and the first code the upper one?"
assert (back - dequantize_4bit(packed, state)).abs().max() < 1e-6, "the same codes must give the same weights back"
Markdown(f"**Checkpoint passed**: all {codes.numel():,} codes are those of bitsandbytes.")

# %% [markdown]
# ## The scales cost something, too
#
# A scale in float32 is 32 bits for 64 weights: half a bit a weight. **Double quantization** (section 3 of the paper)
# stores the scales in 8 bits: subtract their mean, cut them into blocks of 256, and round each, divided by its block's
# largest, to one of 256 levels. The largest of each such block is kept in float32. **Predict**: how many bits does a
# weight take then, all in all?

# %%
bits = None  # your prediction, for example 4.4

# %%
double = 4 + 8 / 64 + 32 / (64 * 256)  # its code, its share of a scale, and of what the scales are divided by
workshop.compare(bits, double, " bits")

# %% [markdown]
# The levels for scales are not evenly spaced either; we take bitsandbytes' table of them.

# %%
table = create_dynamic_map()
rest = scales - scales.mean()
rest_blocks = rest.view(-1, 256)
rest_scales = rest_blocks.abs().amax(dim=1)
scale_codes = torch.bucketize(rest_blocks / rest_scales[:, None], (table[1:] + table[:-1]) / 2)
scales_back = (table[scale_codes] * rest_scales[:, None]).flatten() + scales.mean()

theirs = quantize_4bit(W, blocksize=64, quant_type="nf4", compress_statistics=True)[1]
levels_off = (scale_codes.flatten() - theirs.absmax.int()).abs().max()
assert levels_off <= 1, "a scale's code may be the neighbour's where it lies halfway between two levels, and no other"
twice = (levels[codes] * scales_back[:, None]).view_as(W)
Markdown(
    f"**Checkpoint passed.** The error of the weights grows from {100 * by_hand:.2f}% to "
    f"{100 * float((W - twice).norm() / W.norm()):.2f}%, for {4.5 - double:.3f} bits a weight less."
)

# %% [markdown]
# ## Error by kind of layer
#
# The same for all kinds of matrices, in every sixth layer, and in two other formats: FP4, a floating-point number, and
# INT4, 15 evenly spaced levels from -1 to 1.

# %%
rows = []
for name, linear in linears.items():
    layer, kind = int(name.split(".")[2]), name.split(".")[-1]
    if layer % 6 == 0:
        found = {f"error_{form}": relative_error(linear.weight.data, form) for form in ("nf4", "nf4+dq", "fp4", "int4")}
        rows.append({"run": "base", "layer": layer, "kind": kind, **found})
errors = pd.DataFrame(rows)
per_kind = errors["kind"].value_counts().iloc[0]
quantization(errors).update_xaxes(title=f"kind of matrix (n = {per_kind} layers each; lines: smallest to largest)")

# %%
first = errors.loc[(errors["kind"] == "down_proj") & (errors["layer"] == 0), "error_nf4"].item()
assert abs(first - by_hand) < 1e-6, "the figure's error of the first down_proj must be the one found by hand"
middle = 100 * errors[["error_nf4", "error_int4", "error_fp4"]].median()
Markdown(
    "**Checkpoint passed**: the figure's error of the first `down_proj` is ours. Of equal bits NF4 makes the most: its "
    f"median error is {middle['error_nf4']:.1f}%, that of INT4 {middle['error_int4']:.1f}%, of FP4 "
    f"{middle['error_fp4']:.1f}%."
)

# %% [markdown]
# ## Does the model notice?
#
# An error of the weights is no error of answers: in QLoRA's paper (table 2) FP4 does less harm than INT4. So replace
# all linear layers' weights by their rounded ones and ask how likely the model still finds the right endings of
# `workshop_commonsense`. The loss is $-\ln p$, the mean over an ending's tokens.

# %%
items = slimnb.get_benchmark("workshop_commonsense").load(limit=30).items
right = [dataclasses.replace(item, choices=(item.choices[item.gold],), gold=0) for item in items]
originals = {name: linear.weight.data for name, linear in linears.items()}


def losses() -> np.ndarray:
    """One an item, in nats a token."""
    scores = slimnb.score_choices(model, loaded.tokenizer, right)
    return np.array([-score.log_likelihoods[0] / score.tokens[0] for score in scores])


before = losses()
changes = {}
for form in ("nf4+dq", "int4"):
    for name, linear in linears.items():
        linear.weight.data = quantized(originals[name], form)
    changes[form] = losses() - before
for name, linear in linears.items():
    linear.weight.data = originals[name]

# %%
said = [
    f"| {form} | {change.mean():+.3f} | {change.mean() - 2 * error:+.3f} to {change.mean() + 2 * error:+.3f} |"
    for form, change in changes.items()
    for error in [change.std(ddof=1) / np.sqrt(len(change))]
]
Markdown(
    f"The loss of {len(items)} right endings is {before.mean():.3f} nats a token as it was. In 4 bits it changes:\n\n"
    "| format | mean change | ± 2 standard errors |\n|---|---:|---:|\n" + "\n".join(said)
)

# %% [markdown]
# An interval above zero says that the model notices. Do the two reach over each other? That decides nothing: the
# endings are the same, so look at the difference in each.

# %%
more = changes["int4"] - changes["nf4+dq"]
spread = more.std(ddof=1) / np.sqrt(len(more))
assert more.mean() > 0, "NF4 should hurt less than INT4: were the weights put back?"
Markdown(
    f"**Checkpoint passed.** INT4 costs {more.mean():.3f} nats a token more than NF4 (± 2 standard errors: "
    f"{more.mean() - 2 * spread:+.3f} to {more.mean() + 2 * spread:+.3f})."
)

# %% [markdown]
# ## Memory
#
# From 16 bits a weight to about 4: **predict** by which factor SmolLM2-135M's weights shrink.

# %%
factor = None  # your prediction

# %%
runs = workshop.runs("replay", "lora", "qlora")  # the shipped ones
costs = {method: run.record.costs for method, run in runs.items()}
held = {method: cost.weights_bytes - 4 * cost.trainable_parameters for method, cost in costs.items()}  # less A and B
workshop.compare(factor, held["lora"] / held["qlora"])

# %% [markdown]
# Only the linear layers are stored in 4 bits. The embeddings, which this model uses as its output head as well, and the
# norms stay in bfloat16:

# %%
total = sum(parameter.numel() for parameter in model.parameters())
in_linears = sum(linear.weight.numel() for linear in linears.values())
counted = (double * in_linears + 16 * (total - in_linears)) / 8
assert abs(counted / held["qlora"] - 1) < 0.01, "which weights are quantized, and how many bits has a scale?"
Markdown(
    f"**Checkpoint passed.** {in_linears / total:.0%} of the weights are in linear layers. Counted: {double:.3f} bits "
    f"for them and 16 for the others are {counted / 1e6:.1f} MB; the run measured {held['qlora'] / 1e6:.1f} MB, and "
    f"{held['lora'] / 1e6:.1f} MB in bfloat16. If all were in linear layers, the factor would be {16 / double:.2f}."
)

# %% [markdown]
# ## Exercises
#
# **Exercise 1** (easy). Llama-2-7B has 32 layers, in each four matrices of 4096 x 4096 and three of 4096 x 11008, and
# 32,000 tokens with separate embeddings and head of 4096 numbers each. How large are its weights in bfloat16, and in
# NF4 with double quantization?
#
# **Exercise 2** (medium). Other blocks: measure the error of the first `down_proj` in blocks of 16, 32, 64, 128 and
# 256, beside the bits a weight takes with float32 scales. Which would you take?
#
# **Exercise 3** (open). Are the 16 levels used equally often, as quantiles of the weights' distribution should be?
# Count, and explain what you find.
#
# ## Key points
#
# - NF4: blocks of 64 weights, a scale each, 16 levels that are quantiles of a normal distribution.
# - With its scales a weight takes a little more than 4 bits, and only linear layers are quantized: a small model
#   shrinks less than a large one.
# - The error is of the frozen weights. QLoRA's adapter is trained on top of it, here in float32.
#
# **Next**: [03_benchmarks](03_benchmarks.ipynb)
