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
# # 07 · Alignment: solutions

# %%
import re

import pandas as pd
from IPython.display import Markdown
from sklearn.feature_extraction.text import TfidfVectorizer

import slimnb
from slimnb import workshop
from slimnb.alignment import texts
from slimnb.alignment.record import PREDICTORS
from slimnb.alignment.sample import sample_benchmark, sample_training_set
from slimnb.analysis.exports import to_markdown
from slimnb.findings import prediction

MODE = workshop.mode()
NAMES = ["workshop_math", "workshop_cs", "workshop_commonsense"]
sets = {name: sample_training_set(name, 12, seed=0).examples for name in NAMES}
asked = {name: sample_benchmark(name, 12, seed=0).examples for name in NAMES}
pairs = [(one, other) for one in NAMES for other in NAMES]

# %% [markdown]
# ## Exercise 1


# %%
def with_form(training: list[slimnb.Example], items: list[slimnb.Example]) -> float:
    """`slimnb.alignment.texts.lexical`, with no word left out."""
    sides = [[f"{row.prompt} {row.completion}" for row in side] for side in (training, items)]
    vectorizer = TfidfVectorizer(sublinear_tf=True).fit(sides[0] + sides[1])
    rows, vectors = (vectorizer.transform(side) for side in sides)
    return float((vectors @ rows.T).max(axis=1).toarray().mean())


table = pd.DataFrame(pairs, columns=["training set", "benchmark"])
table["without the form"] = [texts.lexical(sets[one], asked[other]) for one, other in pairs]
table["with it"] = [with_form(sets[one], asked[other]) for one, other in pairs]
table["difference"] = table["with it"] - table["without the form"]
Markdown(to_markdown(table.round(3)))

# %%
runs = workshop.runs("replay", "base", "lora")
gained = {name: slimnb.compare(runs["base"], runs["lora"], name) for name in runs["lora"].record.scores}
apart = table[table["training set"] != table["benchmark"]]
nearest = apart.loc[apart["difference"].idxmax()]
trained = "workshop_math"
changes = [f"{100 * change.paired.difference:+.1f} points on {name}, {'' if change.resolved else 'not '}resolved"
           for name, change in gained.items() if name != trained]  # fmt: skip
Markdown(
    f"{(apart['difference'] > 0).sum()} of {len(apart)} pairs of different sets come nearer, "
    f"`{nearest['training set']}` and `{nearest['benchmark']}` by most ({nearest['difference']:+.3f}). A run says "
    f"something of {len(changes)} of them, that on {trained}: {'; '.join(changes)}. Of the others nothing is measured. "
    "Words that every row of a set has cannot tell its rows apart, and they can make strangers look alike."
)

# %% [markdown]
# ## Exercise 2

# %%
study = workshop.study(MODE)
measured = prediction.gains(study)
judged = [
    one
    for name, values in prediction.predictions(study).items()
    if name in PREDICTORS and (one := prediction.judge(name, values, measured)) and one.correlation is not None
]
best = max(judged, key=lambda one: one.correlation, default=None)
rows = []
for left_out in dict.fromkeys(data for data, _ in measured) if best else ():
    rest = {cell: gain for cell, gain in measured.items() if cell[0] != left_out}
    one = prediction.judge(best.predictor, prediction.predictions(study)[best.predictor], rest)
    found = None if one is None else one.correlation
    rows.append((left_out, len(rest), "-" if found is None else f"{found:+.2f}"))
table = pd.DataFrame(rows, columns=["left out", "cells left", "rank correlation"])
said = (
    f"`{best.predictor}`, with all sets {best.correlation:+.2f}:\n\n" if best else "There is no forecast to judge yet."
)
Markdown(said + (to_markdown(table) if rows else ""))

# %% [markdown]
# If one set alone carries the correlation, the forecast has foretold one case. The same table, as a range, stands in
# the notebook under "one set left out".
#
# ## Exercise 3
#
# What an item names (numerals, capitalized words), and how much of it the rows name, too. Written down before: word
# problems share numerals with everything that counts, so `workshop_math` will look near to `workshop_cs`.


# %%
def named(row: slimnb.Example) -> set[str]:
    return set(re.findall(r"\d+|\b[A-Z]\w+", f"{row.prompt} {row.completion}"))


def shared(training: list[slimnb.Example], items: list[slimnb.Example]) -> float:
    there = set().union(*map(named, training))
    shares = [len(named(row) & there) / len(named(row)) for row in items if named(row)]
    return sum(shares) / len(shares) if shares else 0.0


table = pd.DataFrame(pairs, columns=["training set", "benchmark"])
table["own"] = [round(shared(sets[one], asked[other]), 3) for one, other in pairs]
table["same name"] = [int(one == other) for one, other in pairs]
Markdown(to_markdown(table))

# %% [markdown]
# To beat the name it must put cells in order that the name treats alike: above all those off the diagonal. With one
# training set measured these are two cells, and nothing can be shown. Score it with `prediction.judge` on the study's
# cells, once, and count the predictors that you tried before: the best of many looks good by luck.
