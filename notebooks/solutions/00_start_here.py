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
# # 00 · Start here: solutions

# %%
from IPython.display import Markdown

import slimnb
from slimnb import workshop
from slimnb.analysis.drilldown import drill_down

MODE = workshop.mode()
runs = workshop.runs("replay")

# %% [markdown]
# ## Exercise 1
#
# An answer that training broke, on a benchmark of common sense:

# %%
item = drill_down(runs["base"], runs["lora"], "workshop_commonsense", "broken", limit=1)[0]
print(item["text"], "\n\nBEFORE:", item["first"], "\nAFTER:", item["second"])

# %% [markdown]
# A single item proves nothing: the other way round there are fixed ones. What counts is how many of each.

# %%
change = slimnb.compare(runs["base"], runs["lora"], "workshop_commonsense").paired
Markdown(
    f"{change.broken} of {change.n} items were broken and {change.fixed} fixed: a change of "
    f"{100 * change.difference:+.1f} points (95% interval {100 * change.low:+.1f} to {100 * change.high:+.1f})."
)

# %% [markdown]
# ## Exercise 2

# %%
against = slimnb.compare(runs["full"], runs["lora"], "workshop_math")
paired = against.paired
Markdown(
    f"LoRA {against.second.scores[0].k} of {paired.n}, full {against.first.scores[0].k} of {paired.n}: "
    f"{100 * paired.difference:+.1f} points for LoRA (paired 95% interval {100 * paired.low:+.1f} to "
    f"{100 * paired.high:+.1f}; McNemar's p = {paired.p_value:.2f})."
)

# %% [markdown]
# A sentence for a paper, written from the numbers:

# %%
verdict = (
    f"the {'gain' if paired.difference > 0 else 'loss'} of LoRA over full fine-tuning is resolved"
    if against.resolved
    else "no difference between LoRA and full fine-tuning is resolved"
)
smallest = f" (so many items show a difference of {100 * against.smallest:.0f} points in 4 cases of 5)"
Markdown(f"> With {paired.n} items and one seed {verdict}{smallest if against.smallest else ''}.")

# %% [markdown]
# It would be wrong to write "LoRA matches full fine-tuning": that needs a test of equivalence, with a margin chosen
# before the scores are seen (`against.equivalence`). And with one seed each, nothing is known of the spread between
# seeds.
