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
# # 06 · Compare: solutions

# %%
from functools import partial

import numpy as np
from IPython.display import Markdown
from scipy.stats import binom

import slimnb
from slimnb import workshop

MODE = workshop.mode()
runs = workshop.runs("replay", "base", "lora")  # the shipped ones, whatever the mode

# %% [markdown]
# ## Exercise 1

# %%
compare = partial(slimnb.compare, runs["base"], runs["lora"], "workshop_commonsense")
enough = [points for points in range(1, 11) if compare(points / 100).equivalence.equivalent]
said = f"with a margin of {enough[0]} points or more" if enough else "not even with a margin of 10 points"
Markdown(f"> {compare().verdict}\n\nThe two would have been shown equally good {said}.")

# %% [markdown]
# The margin must be named before. Whoever tries several and reports the smallest that works has shown what the interval
# says already, and nothing about equality.
#
# ## Exercise 2

# %%
generator = np.random.default_rng(0)
n, seeds, repeats = 240, 3, 200
pooled, averaged = [], []
for _ in range(repeats):
    easy = generator.uniform(0.2, 0.9, n)  # how likely an item is answered right
    leaning = generator.normal(0, 0.8, n)  # which method it suits: neither, on average
    chances = [np.clip(easy + sign * leaning / 2, 0, 1) for sign in (-1, 1)]
    first, second = (generator.random((seeds, n)) < chance for chance in chances)
    up, down = (~first & second).sum(), (first & ~second).sum()
    pooled.append(2 * binom.cdf(min(up, down), up + down, 0.5))
    averaged.append(slimnb.paired_over_seeds(first, second).p_value)
alarms = [float(np.mean(np.array(values) < 0.05)) for values in (pooled, averaged)]
Markdown(
    f"Of {repeats} pairs of equally good methods, {alarms[0]:.0%} were found different as {seeds * n} items, and "
    f"{alarms[1]:.0%} with seeds averaged within each of {n} items. The test promises 5%."
)

# %% [markdown]
# The three seeds of a method answer an item alike, since it suits the method or does not. Counted as independent, the
# same luck with the items counts three times.
#
# ## Exercise 3
#
# In a terminal, each a few minutes on two cores:
#
#     options="--model smollm2-135m --train-on workshop_math --epochs 1.5 --benchmarks workshop_math --name seeds"
#     for method in lora qlora; do for seed in 0 1 2; do
#       .venv/bin/slimnb run $options --method $method --seed $seed
#     done; done
#     .venv/bin/slimnb compare data/runs/seeds/*
#
# `slimnb compare` puts runs that differ in their seed alone together. In Python it is `slimnb.compare([lora_0, lora_1,
# lora_2], [qlora_0, qlora_1, qlora_2], "workshop_math")`, and `.paired.seed_spread` has the standard deviation between
# seeds, for each method. If it is as large as the difference of the methods, one seed each could have shown either.
