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
# # 09 · Anatomy of an update: solutions

# %%
import math

import pandas as pd
import torch
from IPython.display import Markdown

from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.anatomy import anatomy_frame, spectrum

MODE = workshop.mode()
anatomies = workshop.anatomies(MODE)
run, main = next((run, one) for run, one in anatomies.items() if one.method == "lora")
frame = anatomy_frame([run], [main])
generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## Exercise 1

# %%
kinds = frame.groupby("kind", sort=False)[["relative_norm", "effective_rank"]].median()
largest, widest = kinds["relative_norm"].idxmax(), kinds["effective_rank"].idxmax()
table = pd.DataFrame(
    {
        "kind": kinds.index,
        "size, % of W": [f"{100 * value:.2f}" for value in kinds["relative_norm"]],
        "effective rank": [f"{value:.2f}" for value in kinds["effective_rank"]],
    }
)
Markdown(
    f"{to_markdown(table)}\n\nLargest for its weight: `{largest}`. Most directions: `{widest}`. Medians over layers, "
    f"n = {int(frame['layer'].nunique())} each."
)

# %% [markdown]
# ## Exercise 2
#
# Random factors of the run's rank and shapes, three draws of each shape:

# %%
rows = []
for kind, group in frame.groupby("kind", sort=False):
    out, inputs = group["shape"].iloc[0]
    drawn = []
    for _ in range(3):
        b, a = torch.randn(out, main.rank, generator=generator), torch.randn(main.rank, inputs, generator=generator)
        drawn.append(spectrum.effective_rank(spectrum.svd_of_product(b, a).s))
    rows.append((kind, f"{out} x {inputs}", sum(drawn) / 3, float(group["effective_rank"].median())))
table = pd.DataFrame(rows, columns=["kind", "shape", "random", "trained, median"])
gap = float((table["random"] - table["trained, median"]).median())
Markdown(to_markdown(table.round(2)))

# %%
Markdown(
    f"A random update of rank {main.rank} has an effective rank of {table['random'].median():.1f} (median over kinds), "
    f"the trained one {abs(gap):.1f} {'less' if gap > 0 else 'more'}. Compare with that, not with the rank: only what "
    "falls below it is a sign of few directions."
)

# %% [markdown]
# ## Exercise 3
#
# The same planting as in the notebook; then the update is multiplied by a factor.


# %%
def directions(size: int, count: int) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(size, count, generator=generator, dtype=torch.float64))[0]


U, V = directions(96, 96), directions(64, 64)
sigma = torch.linspace(10, 1, 64, dtype=torch.float64)
W, update = U[:, :64] * sigma @ V.T, torch.zeros(96, 64, dtype=torch.float64)
for place, cosine in enumerate((0.15, 0.45, 0.85)):
    update += sigma[place] * math.sqrt(1 / cosine**2 - 1) * torch.outer(U[:, 64 + place], V[:, place])

rows = []
for factor in (1, 0.5, 0.25, 0.12, 0.06, 0.03):
    cosines = spectrum.best_cosines(W, W + factor * update)
    new = float((U[:, 64:67].T @ (W + factor * update)).norm() / W.norm())  # what is written to the new directions
    rows.append((f"{factor:g}", int((cosines < 0.5).sum()), int((cosines < 0.9).sum()), f"{100 * new:.1f}%"))
Markdown(to_markdown(pd.DataFrame(rows, columns=["update times", "below 0.5", "below 0.9", "new directions, of W"])))

# %% [markdown]
# The new directions are written to at every size; the count sees them only while they turn a leading vector by more
# than the threshold allows. A count of zero says that no leading vector was replaced, not that nothing new was learned.
# So sweep the threshold, and look at the size of the update beside it.
