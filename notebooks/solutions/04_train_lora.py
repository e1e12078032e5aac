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
# # 04 · Train with LoRA: solutions

# %%
import pandas as pd
from IPython.display import Markdown

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown

MODE = workshop.mode()
runs = workshop.runs(MODE, "base", "lora")
benchmark = next(iter(runs["lora"].record.scores))

# %% [markdown]
# ## Exercise 1

# %%
rows = []
for method, run in runs.items():
    items = run.items(benchmark)
    formed = int(items["text"].str.contains("####").sum())
    rows.append((method, len(items), formed, int(items["hit_limit"].sum()), f"{items['tokens'].median():.0f}"))
columns = ["run", "answers", "with ####", "ran into the limit", "tokens, median"]
Markdown(to_markdown(pd.DataFrame(rows, columns=columns)))

# %% [markdown]
# Without `####` an answer is wrong, whatever its number: a part of the gain is the form.
#
# ## Exercise 2

# %%
shared = {pair.item_id for pair in runs["lora"].contamination(benchmark).pairs}
primary = runs["lora"].record.scores[benchmark].primary
right = {method: run.items(benchmark).set_index("id")[f"correct_{primary}"] for method, run in runs.items()}
apart = [name for name in right["base"].index if name not in shared]
left = slimnb.paired_difference(right["base"][apart].to_numpy(), right["lora"][apart].to_numpy())
Markdown(
    f"On the {left.n} other items the change is {100 * left.difference:+.1f} points (95% interval "
    f"{100 * left.low:+.1f} to {100 * left.high:+.1f}). They are of the same kinds as the training rows, all the same: "
    "the gain is on known kinds of problems."
)

# %% [markdown]
# ## Exercise 3
#
# In a terminal, each a few minutes on two cores:
#
#     options="--model smollm2-135m --method lora --train-on workshop_math --benchmarks workshop_math"
#     options="$options --limits workshop_math=120"
#     .venv/bin/slimnb run $options --epochs 0.7 --rank 1
#     .venv/bin/slimnb run $options --steps 70 --train-limit 100
#
# 0.7 epochs of all 800 rows are 70 steps as well, so that only the variety of the rows differs. Then `slimnb compare`
# each with the LoRA run of mode replay or quick, scored on the same 120 problems: the larger loss, if the two differ by
# more than so many items resolve, is the answer. One seed each resolves large differences only: repeat with `--seed 1`
# and `--seed 2` before you believe a small one.
