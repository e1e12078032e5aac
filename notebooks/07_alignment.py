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
# # 07 · Alignment
#
# **Goal**: foretell, before anything is trained, which training set helps on which benchmark; then see how much the
# gain depends on the set, and how good the forecast was. **Minutes**: 40. The study that is read here takes hours.
# `quick` trains one small run of its own beside it, `full` measures all of it.

# %%
import re

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop
from slimnb.alignment import states, texts
from slimnb.alignment.sample import sample_benchmark, sample_training_set
from slimnb.analysis.exports import to_markdown
from slimnb.analysis.gains import alignment_frame, gains_frame
from slimnb.compute.tokens import encode_pair
from slimnb.figures import alignment_matrix, gains_matrix
from slimnb.units import points_between

MODE = workshop.mode()
ROWS = 12
NAMES = ["workshop_math", "workshop_cs", "workshop_commonsense"]  # each is a training set and a benchmark
sets = {name: sample_training_set(name, ROWS, seed=0).examples for name in NAMES}
asked = {name: sample_benchmark(name, ROWS, seed=0).examples for name in NAMES}
for name, items in asked.items():
    print(f"{name}\n  {items[0].prompt!r}\n  -> {items[0].completion!r}")

# %% [markdown]
# ## Words
#
# Two texts are near if they share words, and rare words count more than common ones. A word that a text has $c$ times,
# and $d$ of all $n$ texts have at all, weighs (TF-IDF)
#
# $$w = (1 + \ln c) \left(1 + \ln \frac{1 + n}{1 + d}\right).$$
#
# The vectors of weights get length 1, so that their product is a cosine: 0 without a common word, 1 for the same text.
# Words in nearly every row of a set, such as "Question", are its form and left out.


# %%
def words(row: slimnb.Example) -> list[str]:
    return re.findall(r"\w\w+", f"{row.prompt} {row.completion}".lower())


def tf_idf(documents: list[list[str]], form: set[str]) -> np.ndarray:
    """[n texts, n words], each row of length 1."""
    vocabulary = sorted({word for text in documents for word in text} - form)
    counts = np.array([[text.count(word) for word in vocabulary] for text in documents])
    have = (counts > 0).sum(axis=0)
    weights = np.where(counts, 1 + np.log(np.maximum(counts, 1)), 0) * (1 + np.log((1 + len(counts)) / (1 + have)))
    return weights / np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-12)


def cosines(training: list[slimnb.Example], items: list[slimnb.Example]) -> np.ndarray:
    """[n items, n training rows]"""
    sides = [[words(row) for row in side] for side in (training, items)]
    form = set.union(*(set.intersection(*map(set, side)) for side in sides))  # in all rows; slimnb: in nine of ten
    vectors = tf_idf([text for side in sides for text in side], form)
    return vectors[len(training) :] @ vectors[: len(training)].T


few = {name: rows[:4] for name, rows in sets.items()}
found = cosines(few["workshop_math"], asked["workshop_math"][:3])
table = pd.DataFrame(found.round(3), columns=[f"row {number}" for number in range(1, 5)])
table.insert(0, "item", [f"{row.prompt[10:60]}..." for row in asked["workshop_math"][:3]])
Markdown(to_markdown(table))

# %% [markdown]
# slimnb takes for each item the nearest row, and the mean over the items.
#
# ### Checkpoint

# %%
by_hand = found.max(axis=1).mean()
theirs = texts.lexical(few["workshop_math"], asked["workshop_math"][:3])
assert np.isclose(by_hand, theirs), "not slimnb's: are the words of the form left out, and has each vector length 1?"
print(f"Checkpoint passed: {by_hand:.3f} for four rows and three items.")

# %% [markdown]
# **Predict**: the same number for all the rows that were drawn of `workshop_math`, against items of the same set, and
# against items of `workshop_cs`.

# %%
same_set = None  # your prediction, between 0 and 1
other_set = None

# %%
near, far = (texts.lexical(sets["workshop_math"], asked[name]) for name in ("workshop_math", "workshop_cs"))
display(workshop.compare(same_set, near), workshop.compare(other_set, far))

# %% [markdown]
# ## Form
#
# A model also learns how an answer looks. So slimnb compares how long prompts and answers are, how many numerals and
# lines they have, how they begin and end, and takes 1 less the mean distance: 1 is the same form, whatever it is about.
# Medians, numerals as a share of the characters, lines counted by their breaks:

# %%
shown = ["characters of the prompt", "characters of the answer", "numerals of the answer", "lines of the answer"]
rows = [
    (name, *(f"{np.median([texts.MEASURES[measure](row) for row in items]):.3g}" for measure in shown))
    for name, items in asked.items()
]
Markdown(to_markdown(pd.DataFrame(rows, columns=["benchmark", *shown])))

# %% [markdown]
# ## Meaning
#
# The untouched model reads each text; the mean of its last hidden states is a point. All its states point much the same
# way, so angles are measured from midway between the two sets.

# %%
loaded = slimnb.load_model("smollm2-135m", dtype="float32", device="cpu")


@torch.no_grad()
def point(row: slimnb.Example) -> np.ndarray:
    ids = encode_pair(loaded.tokenizer, row.prompt, row.completion).ids[:-1]  # the last token is predicted, not read
    return loaded.model.model(torch.tensor([ids])).last_hidden_state[0].mean(dim=0).numpy()


sides = [np.stack([point(row) for row in side]) for side in (few["workshop_math"], asked["workshop_cs"][:3])]
middle = (sides[0].mean(axis=0) + sides[1].mean(axis=0)) / 2
rows, items = (side - middle for side in sides)
by_hand = items @ rows.T / np.linalg.norm(items, axis=1)[:, None] / np.linalg.norm(rows, axis=1)
assert np.isclose(by_hand.max(axis=1).mean(), states.nearness(*sides), atol=1e-4), (
    "not slimnb's: take the middle away from both sides, then divide by both lengths"
)
uncentred = sides[1] @ sides[0].T / np.linalg.norm(sides[1], axis=1)[:, None] / np.linalg.norm(sides[0], axis=1)
Markdown(
    f"**Checkpoint passed**: {by_hand.max(axis=1).mean():.2f} for computer science beside word problems. From the "
    f"origin it would be {uncentred.max(axis=1).mean():.2f}: everything would be near everything."
)

# %% [markdown]
# ## All nine pairs, before training

# %%
points = {
    side: {name: np.stack([point(row) for row in rows]) for name, rows in drawn.items()}
    for side, drawn in (("sets", sets), ("asked", asked))
}
how = {
    "words": lambda one, other: texts.lexical(sets[one], asked[other]),
    "form": lambda one, other: texts.form(sets[one], asked[other]),
    "meaning": lambda one, other: states.nearness(points["sets"][one], points["asked"][other]),
}
pairs = [(one, other) for one in NAMES for other in NAMES]
small = pd.DataFrame(pairs, columns=["training_set", "benchmark"])
for predictor, nearness in how.items():
    small[predictor] = [nearness(*pair) for pair in pairs]
alignment_matrix(small.rename(columns={"words": "value"}), f"words, {ROWS} rows and {ROWS} items each")

# %%
alignment_matrix(small.rename(columns={"meaning": "value"}), f"meaning, {ROWS} rows and {ROWS} items each")

# %% [markdown]
# Each predictor has a scale of its own: only the order counts. Beside what a training then gained (the run on word
# problems ships with the project; in `quick` a short one on `workshop_commonsense` is trained here):

# %%
tried = [workshop.runs("replay", "base", "lora")]
if MODE == "quick":
    short = workshop.another("lora", "workshop_commonsense", steps=60)
    tried.append(workshop.runs("quick", "base") | {"lora": short})
changes = pd.concat([gains_frame(list(runs.values())) for runs in tried])
beside = small.merge(changes[["training_set", "benchmark", "n", "difference", "low", "high"]])
beside["gain (95%), points"] = [points_between(*row) for row in beside[["difference", "low", "high"]].to_numpy()]
beside = beside.drop(columns=["difference", "low", "high"]).round(dict.fromkeys(how, 3))
Markdown(to_markdown(beside))

# %% [markdown]
# One or two training sets are few cells: whatever puts a set's own benchmark first looks like a good forecast. To
# judge it takes more sets, and real benchmarks.
#
# ## The study
#
# LoRA on five training sets, each scored on HellaSwag, GSM8K and MMLU's computer science, with letters and in the cloze
# form. Three of the sets ask in the form of a benchmark: `hellaswag_train`, `gsm8k_train`, and `openbookqa`, whose form
# is that of `mmlu_cs_cloze`. All see about equally many label tokens; openbookqa, whose answers are short, in larger
# batches.

# %%
study = workshop.study(MODE)
workshop.progress(study)

# %% [markdown]
# **Predict**: the mean gain in points where the set was made for the benchmark, and in all other cells.

# %%
made_for_it = None  # your prediction in points
elsewhere = None

# %%
tuned = study.usual("lora")
gains = gains_frame([*study.bases, *(run for one in tuned for run in one.runs)])
known = gains.dropna(subset=["difference"])
target = known["target"].astype(bool)
means = [100 * float(known.loc[cells, "difference"].mean()) for cells in (target, ~target)]
display(*(workshop.compare(said, mean, " points") for said, mean in zip((made_for_it, elsewhere), means, strict=True)))

# %%
gains_matrix(gains)

# %%
resolved, up = known["resolved"].astype(bool), known["difference"] > 0
counts = ", ".join(f"{name} {int(result.items)}" for name, result in study.benchmarks.items())
Markdown(
    "Framed: the set was made for the benchmark. Grey, in brackets: not resolved, after Holm's correction over a "
    f"training's benchmarks. Resolved gains: {int((resolved & up).sum())} of {len(known)} cells, and "
    f"{int((resolved & up & target).sum())} of the {int(target.sum())} framed ones; resolved losses: "
    f"{int((resolved & ~up).sum())}. Items: {counts}."
)

# %% [markdown]
# Where the base answers hardly anything right, a count cannot fall and hardly rises. The likelihood of the right
# answers still moves; in bits per byte (up is better):

# %%
from slimnb.analysis.fine_tunes import gold_of
from slimnb.findings.claims import at_floor
from slimnb.findings.words import bits

rows = []
for name in (name for name in study.benchmarks if at_floor(study, name)):
    for one in tuned:
        gold = gold_of([one.base], one.runs, name) if one.base else None
        rows.append((name, one.training_set, bits(gold) if gold else "-"))
floor = pd.DataFrame(rows, columns=["benchmark", "trained on", "bits per byte gained (95%)"])
Markdown(to_markdown(floor) if rows else "No benchmark's base score is at the floor.")

# %% [markdown]
# ## Does the gain depend on the set?
#
# The paper says so (arXiv 2506.10885). The test: on each benchmark the set made for it against all the others together,
# on the same items.

# %%
lines, verdicts = [], []
for one in tuned:
    others = [other for other in tuned if other is not one and one.target in other.changes]
    if one.target not in one.changes or not others:
        continue
    seeds = min(len(each.runs) for each in others)  # as many of each, so that all other sets count alike
    pooled = [run for other in others for run in other.runs[:seeds]]
    paired = slimnb.compare(pooled, list(one.runs), one.target).paired
    verdict = "better" if paired.low > 0 else "worse" if paired.high < 0 else "not resolved"
    verdicts.append("at the floor, see above" if at_floor(study, one.target) else verdict)
    between = points_between(paired.difference, paired.low, paired.high)
    all_others = "the other set" if len(others) == 1 else f"{len(others)} other sets"
    lines.append(f"- {one.target}: {one.training_set} against {all_others}, {between} points: {verdicts[-1]}.")
Markdown("\n".join(lines) or "**Not measured** yet: this takes two training sets.")

# %%
telling = [verdict for verdict in verdicts if verdict in ("better", "worse", "not resolved")]
better, worse = telling.count("better"), telling.count("worse")
if not telling:
    said = "No benchmark above the floor has both yet: the runs say nothing of the paper's second finding so far."
else:
    said = f"Above the floor, the set made for a benchmark is better on {better} of {len(telling)}"
    said += f", and **worse** on {worse}: there the paper's finding fails" if worse else ""
    said += ": as the paper says." if better == len(telling) else ""
    said += "; the rest is not resolved." if better + worse < len(telling) else "." if worse else ""
Markdown(f"{said} Intervals are not corrected for their number here; `slimnb report` does that.")

# %% [markdown]
# ## How good was the forecast?
#
# The forecasts know nothing of any run: they saw a few rows of each set, a few items of each benchmark, and the
# untouched model. `lexical`, `format` and `embedding` are words, form and meaning from above. `gradient` asks whether
# rows and items would pull the weights the same way. Two rehearse, with one pass over the rows: `gain` says by how much
# the right answers become likelier, `margin` by how much their lead over wrong ones grows.
#
# **Predict**: Spearman's rank correlation of the best one with LoRA's gains, over all cells.

# %%
best_correlation = None  # your prediction, between -1 and 1

# %%
from slimnb.alignment.record import PREDICTORS
from slimnb.findings import prediction

measured = prediction.gains(study)
judged = [
    one for name, values in prediction.predictions(study).items() if (one := prediction.judge(name, values, measured))
]
forecasts = [one for one in judged if one.predictor in PREDICTORS and one.correlation is not None]
best = max(forecasts, key=lambda one: one.correlation, default=None)
display(workshop.compare(best_correlation, best and best.correlation))
alignment = study.alignment
if alignment is None:
    display(Markdown("No forecast is stored with the study: `slimnb alignment --save` writes one."))
else:
    drawn = max(one.rows for one in alignment.training_sets.values())
    display(alignment_matrix(alignment_frame(alignment, "embedding"), f"embedding, {drawn} rows and items each"))


# %%
def signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"


rows = [
    {
        "predictor": one.predictor, "cells": one.cells, "rank correlation": signed(one.correlation),
        "95%": "-" if one.low is None else f"{signed(one.low)} to {signed(one.high)}",
        "within a benchmark": signed(one.within),
        "one set left out": "-" if one.left_out is None else f"{signed(one.left_out[0])} to {signed(one.left_out[1])}",
    }
    for one in judged
]  # fmt: skip
Markdown(
    to_markdown(pd.DataFrame(rows)) if rows else "**Not measured** yet: this takes four cells of two training sets."
)

# %% [markdown]
# `same name` reads nothing: it says 1 where the training set is called as the benchmark is, else 0. `made for it` says
# 1 where the set has the benchmark's form. A forecast that does not beat them has not paid. The interval draws training
# sets anew, since the cells of one set are no independent cases; it needs three sets, and with so few it is rough.
#
# ### Checkpoint
#
# Spearman's correlation is the ordinary one of the ranks.

# %%
if judged:
    first = judged[-1]
    numbers = prediction.predictions(study)[first.predictor]
    cells = [cell for cell in measured if cell in numbers]
    ranks = [pd.Series([side[cell] for cell in cells]).rank() for side in (numbers, measured)]
    by_hand = np.corrcoef(*ranks)[0, 1] if min(rank.nunique() for rank in ranks) > 1 else None
    assert signed(by_hand) == signed(first.correlation), "ranks of ties are averaged: see pandas' rank"
    print(f"Checkpoint passed: {signed(by_hand)} for {first.predictor}.")
else:
    print("No checkpoint yet: there are too few cells.")

# %%
if best is None:
    said = "There is no forecast yet to hold against the trivial ones."
else:
    said = f"The best of {len(forecasts)} forecasts is `{best.predictor}` with {signed(best.correlation)}"
    said += f" ({signed(best.low)} to {signed(best.high)})" if best.low is not None else ""
    everything = prediction.predictions(study)
    cells = [cell for cell in measured if cell in everything[best.predictor]]  # it may have no number for some
    gained = np.array([measured[cell] for cell in cells])
    trivial = {
        name: prediction.rank_correlation(np.array([everything[name][cell] for cell in cells]), gained) or 0.0
        for name in prediction.TRIVIAL
    }
    said += "; on the same cells " + " and ".join(f"`{name}` has {signed(value)}" for name, value in trivial.items())
    beaten = all(best.correlation > value for value in trivial.values())
    said += ". In this study it is higher than" if beaten else ". It is no higher than the better of"
    said += " these two. The best of several flatters itself, and with so few training sets the order may be chance."
    errors = {(one.data, name): found.paired.error for one in tuned for name, found in one.changes.items()}
    if (again := prediction.ceiling({cell: measured[cell] for cell in cells}, errors)) is not None:
        said += f" Measured again on other items, the gains themselves would correlate with these at about {again:+.2f}"
        said += ": what a forecast has beyond that is luck." if best.correlation > again else "."
Markdown(said)

# %% [markdown]
# ## Explain
#
# A training set carries at least three things: words, a form, and what there is to know. Benchmarks reward the form,
# too: the set that is nearest in form may teach how to answer and nothing new. That the gain goes with nearness does
# not show that nearness causes it.
#
# A gain that is not resolved may be luck with the items, and nobody foretells that: `slimnb report` says how well the
# gains would agree with themselves, had they been measured on other items.
#
# The forecasts look at items that are scored later. So they may foretell a gain, and must not choose the training set
# whose score is then believed.
#
# ## Exercises
#
# **Exercise 1** (easy). Let `cosines` keep the words of the form. Which pairs of different sets of the workshop come
# nearer, and does the measured run say that they should?
#
# **Exercise 2** (medium). Leave out one training set after the other, and compute the best forecast's rank correlation
# anew. Which set carries it?
#
# **Exercise 3** (open). Write a predictor of your own, for example the share of an item's numerals and capitalized
# words that the rows have. Write down first what it will say of all nine pairs, and what it would have to show to beat
# the name.
#
# ## Key points
#
# - How near a training set is to a benchmark can be measured before training, by words, form and meaning.
# - A gain belongs to a pair of training set and benchmark. "LoRA gains ten points" says nothing without both.
# - Hold a forecast against a trivial one, with an interval over training sets.
#
# **Next**: [08_retention](08_retention.ipynb)
