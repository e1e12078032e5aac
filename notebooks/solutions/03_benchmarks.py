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
# # 03 · Benchmarks: solutions

# %%
import re

import numpy as np
import pandas as pd
from IPython.display import Markdown
from scipy.stats import norm

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown

MODE = workshop.mode()
runs = workshop.runs("replay", "base", "lora")

# %% [markdown]
# ## Exercise 1
#
# Wilson's interval holds the proportions $p$ for which $k/n$ is not more than $z$ standard errors away, with the
# standard error that $p$ itself has: $\lvert k/n - p \rvert \le z \sqrt{p (1 - p) / n}$.


# %%
def wilson(k: float, n: int, z: float = norm.ppf(0.975)) -> tuple[float, float]:
    middle = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return middle - half, middle + half


one = runs["base"].record.scores["workshop_commonsense"].score
low, high = wilson(one.k, one.n)
assert np.allclose((low, high), slimnb.wilson(one.k, one.n)), "z is the 97.5% quantile of a normal distribution"
more = next(n for n in range(one.n, 100 * one.n) if np.diff(wilson(one.value * n, n))[0] <= (high - low) / 2)
Markdown(
    f"{one.k} of {one.n}: {low:.1%} to {high:.1%}, {100 * (high - low):.1f} points wide. With {more:,} items, "
    f"{more / one.n:.1f} times as many, it would be half as wide."
)

# %% [markdown]
# ## Exercise 2

# %%
items = runs["base"].items("workshop_commonsense")
choices = {item.id: item.choices for item in slimnb.get_benchmark("workshop_commonsense").load().items}
sums = np.stack(items["log_likelihoods"].to_numpy())
lengths = {
    "nothing": np.ones_like(sums),
    "characters": np.array([[len(choice) for choice in choices[name]] for name in items["id"]]),
    "bytes": np.stack(items["answer_bytes"].to_numpy()),
    "tokens": np.stack(items["answer_tokens"].to_numpy()),
}
picks = {unit: (sums / length).argmax(axis=1) for unit, length in lengths.items()}
table = pd.DataFrame(
    {
        "divided by": list(picks),
        "right": [(pick == items["gold"]).sum() for pick in picks.values()],
        "other pick than by characters": [(pick != picks["characters"]).sum() for pick in picks.values()],
    }
)
Markdown(to_markdown(table))

# %% [markdown]
# In English without accents a character is a byte. Tokens are another unit: a model with a larger vocabulary has fewer
# of them for the same ending, and its scores would be of another kind.
#
# ## Exercise 3


# %%
def own(text: str) -> str:
    stated = re.findall(r"answer is:? \$?(-?\d[\d,]*)", text)
    anywhere = re.findall(r"-?\d[\d,]*", text)
    return (stated or anywhere[-1:] or ["nothing"])[0].replace(",", "")


rows = []
for method, run in runs.items():
    written = run.items("workshop_math")
    right = sum(own(text) == gold for text, gold in zip(written["text"], written["gold"], strict=True))
    recorded = run.record.scores["workshop_math"].metrics
    rows.append((method, recorded["strict-match"].k, recorded["flexible-extract"].k, right, len(written)))
Markdown(to_markdown(pd.DataFrame(rows, columns=["run", "strict-match", "flexible-extract", "own", "of"])))

# %% [markdown]
# The reading moves the score of the untouched model, whose form varies: strictly none is right, and some are by either
# of the others. It does not move that of the trained one, which learned the form. Whoever may choose among readings
# after the scores are known can make the gain of training larger or smaller at will. So name the reading first, and
# report the others beside it.
