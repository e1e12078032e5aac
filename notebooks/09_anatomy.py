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
# # 09 · Anatomy of an update
#
# **Goal**: know what training did to a weight: how many directions it moved, how far, which of them the model had, and
# whether another seed moves the same. First by hand where the answer is planted, then in real runs. **Minutes**: 40.
# In `replay` stored anatomies are read; in the other modes that of [04](04_train_lora.ipynb)'s LoRA run is computed.
#
# The paper (arXiv 2506.10885) promises insight into the mechanisms of parameter-efficient fine-tuning. These are the
# quantities in which the literature speaks of them.

# %%
import math

import pandas as pd
import torch
from IPython.display import Markdown, display
from torch import Tensor

from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.anatomy import anatomy_frame, findings, spectrum
from slimnb.anatomy.examine import examine
from slimnb.anatomy.quantization import quantized
from slimnb.anatomy.update import Update
from slimnb.figures import by_layer, intruders, labels, spectra

MODE = workshop.mode()
generator = torch.Generator().manual_seed(0)


def directions(size: int, count: int) -> Tensor:
    """Random orthonormal columns."""
    return torch.linalg.qr(torch.randn(size, count, generator=generator, dtype=torch.float64))[0]


# %% [markdown]
# ## How many directions?
#
# A measure is best learned where the answer is known. So plant one: a weight $W$ of 96 x 64, and an update whose
# singular values are 4, 2, 1, 1 and four zeros, hidden in LoRA's factors $B$ and $A$ of rank 8.

# %%
U, V = directions(96, 96), directions(64, 64)
sigma = torch.linspace(10, 1, 64, dtype=torch.float64)
W = U[:, :64] * sigma @ V.T

planted = torch.tensor([4, 2, 1, 1, 0, 0, 0, 0], dtype=torch.float64)
mixed = directions(8, 8)  # so that no column of B shows a direction
B, A = directions(96, 8) * planted @ mixed, mixed.T @ directions(64, 8).T

# %% [markdown]
# $\Delta W = B A$ need not be formed: with $B = Q_B R_B$ and $A^T = Q_A R_A$, all that matters is $R_B R_A^T$, which is
# 8 x 8. Three numbers then say how many directions there are, with $p_i = s_i / \sum s$:
#
# | | formula | |
# |---|---|---|
# | effective rank | $\exp(-\sum p_i \ln p_i)$ | Roy and Vetterli, EUSIPCO 2007 |
# | stable rank | $\sum s_i^2 / s_1^2$ | Rudelson and Vershynin, arXiv math/0503442 |
# | energy rank | fewest directions with 90% of $\sum s_i^2$ | arXiv 2405.09673 |
#
# **Predict**: the effective rank of 4, 2, 1, 1. (Four equal values would have 4, one alone 1.)

# %%
planted_rank = None  # your prediction

# %%
(q_b, r_b), (q_a, r_a) = torch.linalg.qr(B), torch.linalg.qr(A.T)
s = torch.linalg.svdvals(r_b @ r_a.T)
shares = s / s.sum()
effective = float(torch.special.entr(shares).sum().exp())
stable = float((s / s[0]).square().sum())
energy = int((s.square().cumsum(0) < 0.9 * s.square().sum()).sum()) + 1
workshop.compare(planted_rank, effective, " directions")

# %%
assert torch.allclose(s, planted, atol=1e-9), "not what was planted: is A transposed, and the core R_B R_A^T?"
assert math.isclose(effective, 2**1.75), "the entropy of 1/2, 1/4, 1/8, 1/8 is 1.75 ln 2"
ours = (effective, stable, energy)
theirs = (spectrum.effective_rank(s), spectrum.stable_rank(s), spectrum.energy_rank(s))
assert all(math.isclose(one, other) for one, other in zip(ours, theirs, strict=True)), "not slimnb.anatomy's"
Markdown(
    f"**Checkpoint passed.** Of {len(s)} possible directions {int((s > 1e-9).sum())} are used; effective rank "
    f"{effective:.2f}, stable rank {stable:.2f}, energy rank {energy}. The stable rank hears only the loudest; it is "
    "never above the effective rank, and that never above the rank."
)

# %% [markdown]
# ## Does it turn up what the model had?
#
# With $U$ and $V$ now the update's directions (in the code above they are $W$'s), $U^T W V$ is what $W$ holds of them.
# **Amplification** is $\lVert \Delta W \rVert / \lVert U^T W V \rVert$ (arXiv 2106.09685, section 7.3); **alignment**
# is $\lVert U^T W V \rVert$ over what it is for random directions, $\lVert W \rVert\, r / \sqrt{d_{out} d_{in}}$. All
# norms here are Frobenius's: the root of the sum of squares.
#
# Plant two updates of one size: the first adds twice what $W$ holds in eight of its own directions, the second writes
# into random ones. **Predict**: the amplification of the random one. The first one's is 2.

# %%
random_amplification = None  # your prediction

# %%
own = spectrum.Svd(U[:, 16:24], 2 * sigma[16:24], V[:, 16:24].T)
strangers = spectrum.Svd(directions(96, 8), own.s, directions(64, 8).T)
found = {}
for name, update in {"its own directions": own, "random directions": strangers}.items():
    held = float((update.u.T @ W @ update.vh.T).norm())
    by_chance = float(W.norm()) * 8 / math.sqrt(W.numel())
    found[name] = float(update.s.norm()) / held, held / by_chance
workshop.compare(random_amplification, found["random directions"][0])

# %%
for name, update in {"its own directions": own, "random directions": strangers}.items():
    theirs = spectrum.amplification(W, update, 8), spectrum.alignment(W, update, 8)
    assert all(math.isclose(one, other) for one, other in zip(found[name], theirs, strict=True)), "not slimnb.anatomy's"
assert math.isclose(found["its own directions"][0], 2), "the update is twice what W holds there"
rows = [(name, f"{one:.2f}", f"{other:.2f}") for name, (one, other) in found.items()]
display(Markdown("**Checkpoint passed.** Read both: what $W$ hardly holds is amplified most."))
Markdown(to_markdown(pd.DataFrame(rows, columns=["update in", "amplification", "alignment"])))

# %% [markdown]
# ## New directions: intruders
#
# A leading left singular vector of $W + \Delta W$ is an **intruder dimension** if its cosine with each of $W$'s is
# below a threshold (arXiv 2410.21228). Plant three: $W$ writes to 64 of 96 directions, so three of the others are new.
# With $\sigma_i \sqrt{1/c^2 - 1}\; u_{new} v_i^T$ added to $\sigma_i u_i v_i^T$, the singular vector has cosine $c$
# with $u_i$.
#
# **Predict**: the $c$ are 0.15, 0.45 and 0.85. How many of the ten leading vectors are intruders at the threshold 0.5?

# %%
planted_intruders = None  # your prediction

# %%
update = torch.zeros_like(W)
for place, cosine in enumerate((0.15, 0.45, 0.85)):
    size = sigma[place] * math.sqrt(1 / cosine**2 - 1)
    update += size * torch.outer(U[:, 64 + place], V[:, place])

before = torch.linalg.svd(W, full_matrices=False).U
after = torch.linalg.svd(W + update, full_matrices=False).U[:, :10]
cosines = (before.T @ after).abs().amax(dim=0)
workshop.compare(planted_intruders, int((cosines < 0.5).sum()), " of 10")

# %%
swept = {tenths / 10: int((cosines < tenths / 10).sum()) for tenths in range(1, 10)}
assert torch.allclose(cosines[:3], torch.tensor([0.15, 0.45, 0.85], dtype=torch.float64)), "compare columns, not rows"
assert torch.allclose(cosines, spectrum.best_cosines(W, W + update)), "not slimnb.anatomy's"
display(Markdown("**Checkpoint passed.** The count depends on the threshold, so it is always swept:"))
Markdown(to_markdown(pd.DataFrame([swept]).rename(columns="below {:g}".format)))

# %% [markdown]
# ## The same directions twice?
#
# Two updates whose leading directions are the orthonormal columns of $X$ and $Y$ overlap by
# $\phi = \lVert X^T Y \rVert^2 / \min(i, j)$, from 0 to 1; random ones in $d$ dimensions by $\max(i, j) / d$
# (arXiv 2106.09685, section 7.2). **Predict**: of the first four directions two seeds share the first, and no other.
# What is $\phi$ of all four?

# %%
planted_overlap = None  # your prediction

# %%
one, other = directions(96, 4), directions(96, 4)
other = torch.linalg.qr(torch.cat([one, other], dim=1))[0][:, 4:]  # none shared
other[:, 0] = one[:, 0]  # but the first
phi = {count: float((one[:, :count].T @ other[:, :count]).square().sum()) / count for count in (1, 2, 4)}
workshop.compare(planted_overlap, phi[4])

# %%
lengths = torch.tensor([4.0, 3, 2, 1], dtype=torch.float64)
seeds = [spectrum.Svd(side, lengths, directions(64, 4).T) for side in (one, other)]
theirs = spectrum.overlaps(*seeds)[0]  # of the output side
assert all(math.isclose(phi[count], theirs[count], abs_tol=1e-12) for count in phi), "divide by the smaller number"
Markdown(
    f"**Checkpoint passed.** {phi[1]:.2f} of the first, {phi[2]:.2f} of two, {phi[4]:.2f} of four; chance would give "
    f"{4 / 96:.2f}. One number for all directions hides that the first is shared."
)

# %% [markdown]
# ## The scale: $\alpha / r$ or $\alpha / \sqrt r$?
#
# LoRA multiplies $B A$ by $\alpha / r$; rank-stabilized LoRA (arXiv 2312.03732) by $\alpha / \sqrt r$, so that a higher
# rank does not learn more slowly. Try the first step, in which only $B$ moves: how much does the layer's output change,
# by rank, at one $\alpha$? By gradient descent $\Delta B \propto \nabla_B$, by Adam $\Delta B \propto
# \mathrm{sign}(\nabla_B)$.
#
# **Predict**: by Adam with $\alpha / \sqrt r$, how many times as much does it change at rank 64 as at rank 1?

# %%
root_growth = None  # your prediction

# %%
x, gradient = torch.randn(64, generator=generator), torch.randn(96, generator=generator)  # of the output


def change(rank: int, root: bool, adam: bool) -> float:
    scale, total = 1 / (math.sqrt(rank) if root else rank), 0.0
    for _ in range(200):
        a = (2 * torch.rand(rank, 64, generator=generator) - 1) / math.sqrt(64)  # as PEFT draws it
        step = scale * torch.outer(gradient, a @ x)
        total += float((scale * (step.sign() if adam else step) @ a @ x).norm()) / 200
    return total


steps = {
    f"{optimizer}, alpha / {form}": [change(rank, form == "sqrt(r)", optimizer == "Adam") for rank in (1, 4, 16, 64)]
    for optimizer in ("gradient descent", "Adam")
    for form in ("r", "sqrt(r)")
}
table = pd.DataFrame(steps, index=pd.Index([1, 4, 16, 64], name="rank"))
table /= table.loc[1]
Markdown(to_markdown(table.map("{:.2f}".format).reset_index()))

# %%
descent, descent_root, adam, adam_root = table.loc[64]
display(workshop.compare(root_growth, adam_root, " times"))
assert 0.8 < descent_root < 1.25 and 0.8 < adam < 1.25, "the scale comes in twice, in B's gradient and in the update"
Markdown(
    f"**Checkpoint passed.** Rank 1 counts as 1. At rank 64 gradient descent learns as much with "
    f"$\\alpha / \\sqrt r$ ({descent_root:.2f}) and far less with $\\alpha / r$ ({descent:.2f}). Adam divides by the "
    f"gradient's size: in its first step $\\alpha / r$ holds ({adam:.2f}), and $\\alpha / \\sqrt r$ grows to "
    f"{adam_root:.1f}. Later $A$ moves, too; what then happens only runs can tell."
)

# %% [markdown]
# ## Larger than rounding?
#
# Merging into 4-bit weights rounds $W + \Delta W$ again ([02](02_four_bits.ipynb)). If $\lVert W - Q(W) \rVert /
# \lVert \Delta W \rVert$ is above 1, rounding moves the weights further than training did. Make the planted update 2%
# of $W$. **Predict**: how many times as large as the update is NF4's error?

# %%
error_over_update = None  # your prediction

# %%
weight = W.float()
small = (B @ A).float()
small *= 0.02 * weight.norm() / small.norm()
foretold = float((weight - quantized(weight, "nf4")).norm() / small.norm())
workshop.compare(error_over_update, foretold, " times")

# %%
merged = weight + small
happened = float((merged - quantized(merged, "nf4")).norm() / small.norm())
assert abs(happened / foretold - 1) < 0.1, "rounding W + dW errs by about as much as rounding W: is W in 4 bits there?"
Markdown(f"**Checkpoint passed**: foretold from $W$ alone {foretold:.2f}, and merged {happened:.2f}.")

# %% [markdown]
# ## All at once
#
# `slimnb anatomy RUN` computes all this for each trained matrix and stores it with the run.

# %%
matrix = examine(Update("model.layers.0.planted", weight, (B, A)), 8, ("nf4",))
assert math.isclose(matrix.effective_rank, effective, rel_tol=1e-4), "the same factors have the same effective rank"
assert math.isclose(matrix.relative_norm, float((B @ A).norm() / W.norm()), rel_tol=1e-4), "norms are Frobenius's"
assert len(matrix.cosines) == 10 and matrix.intruders(0.5) == sum(one < 0.5 for one in matrix.cosines)
print("Checkpoint passed.")

# %% [markdown]
# ## Real updates
#
# Every run here whose anatomy is known:

# %%
anatomies = workshop.anatomies(MODE)

frame = anatomy_frame(list(anatomies), list(anatomies.values()))
named = {}
for run, one in anatomies.items():
    rank = f"rank {one.rank}" if one.rank else "any rank"
    part = " (attention alone)" if run.config.lora and run.config.lora.targets != "all-linear" else ""
    named[one.run] = f"{one.run}-{rank}{part}-seed {one.seed}"
frame["run"] = frame["run"].map(named)  # figures name runs by the end of their ids
short = {run: labels(frame)[name] for run, name in named.items()}
rows = [
    (short[one.run], run.config.training.data, one.rank or "any", one.seed, len(one.matrices))
    for run, one in anatomies.items()
]
Markdown(to_markdown(pd.DataFrame(rows, columns=["run", "training set", "rank", "seed", "matrices"])))

# %% [markdown]
# **Predict**: the effective rank of the first LoRA run's update, median over its matrices.

# %%
real_rank = None  # your prediction

# %%
main = next(one for one in anatomies.values() if one.method == "lora")
display(Markdown(f"That is {short[main.run]}: no update of rank {main.rank} has more than {main.rank}."))
workshop.compare(real_rank, float(frame.loc[frame["run"] == named[main.run], "effective_rank"].median()), " directions")

# %% [markdown]
# The figures show the methods side by side: the runs that were trained on that one's rows.

# %%
data = {one.run: run.config.training.data for run, one in anatomies.items()}
first = frame[frame["run"].isin([name for run, name in named.items() if data[run] == data[main.run]])]
each = f"n = {' or '.join(str(size) for size in sorted(set(first['run'].value_counts())))} matrices a run"
spectra(first).update_xaxes(title=f"direction, largest first ({each})")

# %%
columns = {
    "effective_rank": "effective rank", "stable_rank": "stable rank", "energy_rank": "energy rank",
    "relative_norm": "size / W", "amplification": "amplification", "alignment": "alignment",
}  # fmt: skip
medians = frame.groupby("run", sort=False)[list(columns)].median().rename(index=labels(frame), columns=columns)
possible = frame["run"].map({named[one.run]: one.rank for one in anatomies.values() if one.low_rank})
assert not (frame["effective_rank"] > 1.0001 * possible).any(), "no update has more directions than its rank"
assert (frame["stable_rank"] <= 1.0001 * frame["effective_rank"]).all(), "the stable rank hears only the loudest"
display(Markdown("**Checkpoint passed.** Medians over matrices:"))
Markdown(to_markdown(medians.map("{:.3g}".format).reset_index()))

# %% [markdown]
# ## Expected and seen
#
# Of that first LoRA run, quantity by quantity:

# %%
Markdown("\n".join(f"- {one}" for one in findings(main)))

# %% [markdown]
# What is expected was found in other models and trainings: a difference is a question, and refutes nothing.
# Amplification times alignment is $\lVert \Delta W \rVert / \lVert W \rVert \cdot \sqrt{d_{out} d_{in}} / r$: at one
# alignment, a smaller update amplifies less.
#
# **Predict**: of the leading left singular vectors of this run's $W + \Delta W$, ten a matrix, how many percent have no
# cosine of 0.5 with one of $W$?

# %%
intruder_share = None  # your prediction in percent

# %%
leading = sum(len(matrix.cosines or []) for matrix in main.matrices)
count = sum(matrix.intruders(0.5) or 0 for matrix in main.matrices)
workshop.compare(intruder_share, 100 * count / leading, "%")

# %%
vectors = first.dropna(subset=["cosines"])
sizes = sorted(set(vectors["cosines"].map(len).groupby(vectors["run"]).sum()))
each_vectors = " or ".join(f"{size:,}" for size in sizes)
intruders(first).update_yaxes(title=f"intruders (% of n = {each_vectors} vectors a run)")

# %% [markdown]
# The paper that names intruders scales them down, and finds that in its models they cause most of LoRA's forgetting. A
# count is no proof of it all the same: what was forgotten, [08](08_retention.ipynb) measures.
#
# ## Seeds and ranks
#
# Another seed starts from another $A$. Does training end in the same directions? Medians over matrices, of the output
# side (where an update writes) and the input side (what it reads), beside what random directions share.

# %%
rows, told = [], set()
for one in anatomies.values():
    for other, overlap in one.overlaps.items():
        if other not in short or (other, one.run) in told:
            continue
        told.add((one.run, other))
        for count in sorted({1, min(max(matrix.output, default=1) for matrix in overlap.matrices)}):
            output = [matrix.output.get(count) for matrix in overlap.matrices]
            inputs = [matrix.input.get(count) for matrix in overlap.matrices]
            random = [count / matrix.shape[0] for matrix in overlap.matrices]
            cells = [f"{pd.Series(values, dtype=float).median():.3f}" for values in (output, inputs, random)]
            rows.append((short[one.run], short[other], count, *cells))
heads = ["run", "other run", "first directions", "output side", "input side", "output by chance"]
nothing = "No two runs here have their overlap stored: `slimnb anatomy RUN RUN` computes and stores it."
Markdown(to_markdown(pd.DataFrame(rows, columns=heads)) if rows else nothing)

# %% [markdown]
# Two runs of one seed, one rank and the same matrices begin with the same $A$, as LoRA and QLoRA do here: that their
# input sides agree is no finding. ($A$ is drawn matrix after matrix, so with attention alone it is another from the
# second layer on.) Of two seeds each reads what its own $A$ lets through, which was random at the start: look at the
# output side first.
#
# A larger rank has room for more directions. How many of them does training use, on the same rows, from one seed, at
# the same matrices?

# %%
swept = {
    one.rank: named[one.run] for run, one in anatomies.items()
    if one.low_rank and run.config.training.data == "hellaswag_train" and run.config.lora.targets == "all-linear"
    and one.seed == 0
}  # fmt: skip
ranks = frame.set_index("run", drop=False).loc[[swept[rank] for rank in sorted(swept)]]
several = by_layer(ranks, "effective_rank").update_xaxes(title=f"layer (n = {len(main.matrices)} matrices a run)")
several if len(swept) > 1 else Markdown("Only in mode replay are there several ranks on the same rows.")

# %% [markdown]
# ## The scale of each

# %%
scaled = [one for one in anatomies.values() if one.scale is not None and one.rank_stabilized_scale is not None]
rows = sorted({(one.rank, one.alpha, f"{one.scale:g}", f"{one.rank_stabilized_scale:.2f}") for one in scaled})
Markdown(to_markdown(pd.DataFrame(rows, columns=["rank", "alpha", "scale of B A here", "alpha / sqrt(r)"])))

# %% [markdown]
# Where no $\alpha$ is named, slimnb takes twice the rank: the scale is then the same at every rank.
#
# ## Would 4 bits drown it?

# %%
by_layer(first, "error_over_update").update_xaxes(title=f"layer ({each})")

# %%
over = frame.dropna(subset=["error_over_update"]).groupby("run", sort=False)["error_over_update"]
counts = over.agg(["median", lambda values: f"{(values > 1).sum()} of {len(values)}"]).rename(index=labels(frame))
counts.columns = ["NF4's error over the update, median", "matrices in which it is above 1"]
Markdown(to_markdown(counts.map(lambda cell: cell if isinstance(cell, str) else f"{cell:.3g}").reset_index()))

# %% [markdown]
# So an adapter is kept beside 4-bit weights, or merged in 16 bits; merged into 4, it is scored anew
# ([11](11_your_own.ipynb)). An error larger than the update does not yet mean that the update is lost: the error is
# spread over all directions, and the update is in few.
#
# ## Exercises
#
# **Exercise 1** (easy). In which kind of matrix is the update largest for its weight, and in which does it use most
# directions?
#
# **Exercise 2** (medium). What would an update have that learned nothing? Draw random $A$ and $B$ of the run's rank and
# shapes, and compare their effective rank with the run's.
#
# **Exercise 3** (open). Shrink the planted update with its three intruders step by step. When does the count at 0.5 no
# longer see them, and are they gone then? What does a count of zero tell?
#
# ## Key points
#
# - LoRA's rank is how many directions an update may use; the effective rank, beside that of random factors, tells how
#   many it does use.
# - Amplification needs alignment beside it, an intruder count its threshold, an overlap its chance.
# - Whether $\alpha / r$ or $\alpha / \sqrt r$ keeps ranks alike depends on the optimizer.
# - The error of 4 bits over the size of the update foretells what merging into 4 bits does to the weights.
#
# **Next**: [10_budget](10_budget.ipynb)
