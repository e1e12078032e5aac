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
# # 00 · Start here
#
# **Goal**: know that your machine is ready, how the notebooks work, and what one fine-tuning of a small model gained.
# **Minutes**: 15. Nothing is trained here.

# %%
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop

MODE = workshop.mode()  # or workshop.mode("quick"), workshop.mode("full")
Markdown(f"Mode: **{MODE}**")

# %% [markdown]
# ## Three modes, the same cells
#
# | mode | what happens | what it needs |
# |---|---|---|
# | `replay` | the runs that ship with the project are read; nothing is trained | nothing more |
# | `quick` | what a notebook is about is trained or scored here, with SmolLM2-135M | two cores and the memory below |
# | `full` | the same on the real benchmarks | a GPU or a night, and the data (`SLIMNB_DATA` or the Hub) |
#
# `make notebooks MODE=quick` opens all notebooks in that mode. Neither `replay` nor `quick` uses the network.
#
# ## Your machine
#
# `MISSING` is the only word to worry about; the line says what to do.

# %% tags=["machine"]
from pathlib import Path

from slimnb.data.load import data_directory
from slimnb.planning.doctor import examine

for finding in examine(data_directory()):
    print("ok     " if finding.ok else "MISSING", finding.name, "|", finding.text.replace(str(Path.home()), "~"))

# %% [markdown]
# ## The map
#
# | notebook | the question | minutes |
# |---|---|---:|
# | 00_start_here | is everything ready, and what is there to find? | 15 |
# | [01_lora_by_hand](01_lora_by_hand.ipynb) | what is a low-rank update, and what does it save? | 25 |
# | [02_four_bits](02_four_bits.ipynb) | what is lost when a weight has only 4 bits? | 30 |
# | [03_benchmarks](03_benchmarks.ipynb) | where does a score come from, and how does it go wrong? | 35 |
# | [04_train_lora](04_train_lora.ipynb) | what is trained, what is gained, and is it a gain? | 30 |
# | [05_train_qlora](05_train_qlora.ipynb) | what do 4 bits save, and when do they not pay? | 30 |
# | [06_compare](06_compare.ipynb) | do two models differ, or can nobody tell? | 40 |
# | [07_alignment](07_alignment.ipynb) | which training set helps on which benchmark? | 40 |
# | [08_retention](08_retention.ipynb) | what did the model forget, and what helps? | 35 |
# | [09_anatomy](09_anatomy.ipynb) | what does an update look like? | 40 |
# | [10_budget](10_budget.ipynb) | which method fits which card? | 35 |
# | [11_your_own](11_your_own.ipynb) | how do I use it on my own data, model and scores? | 35 |
#
# Each asks you to **predict** a number before you **run** a cell, and then to **explain** the difference. Write the
# number down, in place of `None`: a surprise is what one remembers. A **checkpoint** tests what you have seen; if it
# fails, it says what to look at. Exercises are solved in [solutions](solutions).
#
# ## Predict
#
# The model is SmolLM2-135M-Instruct. With LoRA it was trained on a set of short word problems, and then asked new ones
# of the same kinds. An answer counts if it ends as the training rows do, in a line `#### NUMBER` with the right number.
# How many percent are right before training, and how many after?

# %%
before = None  # your prediction in percent, for example 40
after = None

# %% [markdown]
# ## Run

# %%
runs = workshop.runs("replay")  # the shipped ones, whatever the mode
base, lora = (runs[method].record.scores["workshop_math"] for method in ("base", "lora"))
display(workshop.compare(before, 100 * base.score.value, "%"), workshop.compare(after, 100 * lora.score.value, "%"))

# %% [markdown]
# All runs on all benchmarks. `base` is the untouched model; LoRA trained a small addition to its frozen weights (01),
# QLoRA the same over weights in 4 bits (02), `full` all weights. The three were trained on word problems only.
# `workshop_commonsense` asks which of four endings is sensible, `workshop_cs` which of four answers about computers is
# right.
#
# A bar is a score with its 95% interval; the dashes are what guessing scores. Nobody guesses the number of a word
# problem.

# %%
from slimnb.figures import differences, differences_frame, scores, scores_frame

scores(scores_frame(list(runs.values())))

# %% [markdown]
# The same as changes against the untouched model, item by item. The lines are 95% intervals: one that reaches over the
# grey line of no change is **not resolved** with so many items. That does not mean that nothing changed.

# %%
differences(differences_frame(list(runs.values())))

# %% [markdown]
# ## Explain
#
# Was the model unable to calculate before? Look at an answer that became right. In brackets: the number that the
# benchmark read, `[invalid]` if it found none in the form asked for.

# %%
from slimnb.analysis.drilldown import drill_down

item = drill_down(runs["base"], runs["lora"], "workshop_math", "fixed", limit=1)[0]
print(item["text"], "\n\nBEFORE:", item["first"].strip(), "\n\nAFTER:", item["second"].strip())

# %%
right_number = base.metrics["flexible-extract"]
Markdown(
    f"Of the {right_number.n} answers before training, {base.score.k} are right in the form asked for, and "
    f"{right_number.k} have the right number as their last one. So by this reading the form alone explains at most "
    f"{right_number.k - base.score.k} of the {lora.score.k - base.score.k} answers gained."
)

# %% [markdown]
# ## Checkpoint

# %%
change = slimnb.compare(runs["base"], runs["lora"], "workshop_math")
assert change.paired.low > 0, "LoRA's gain is not resolved: is its training loss falling, and was it scored at all?"
assert right_number.k >= base.score.k, "fewer right numbers than right answers: see 03 on how an answer is read"
print(f"Passed: {change.paired.fixed} answers fixed, {change.paired.broken} broken.")

# %% [markdown]
# ## Exercises
#
# **Exercise 1** (easy). Training can break answers, too. Print one that was right before and wrong after, on a
# benchmark that the model was not trained for (`drill_down` takes `"broken"` as well). How many were fixed there?
#
# **Exercise 2** (open). Compare LoRA with full fine-tuning on the word problems by `slimnb.compare`; its `paired` holds
# the difference and its interval. Which may you call better? Write the sentence that you would print in a paper.
#
# ## Key points
#
# - A score is k of n with an interval; a change is judged on the same items.
# - Part of a gain can be the form of the answers. Read items before you believe a number.
# - Not resolved is not equal.
#
# **Next**: [01_lora_by_hand](01_lora_by_hand.ipynb)
