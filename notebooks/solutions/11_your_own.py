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
# # 11 · Your own: solutions

# %%
import json
import random
import tempfile
from pathlib import Path

from IPython.display import Markdown

import slimnb
from slimnb import workshop
from slimnb.data.own_data import read_own_data
from slimnb.models.load import load_tokenizer
from slimnb.training.data_check import check_data

MODE = workshop.mode()
NUMBERS, THINGS = ("one", "two", "three"), ("tea", "coffee", "juice", "bun", "soup", "salad")

# %% [markdown]
# ## Exercise 1
#
# One of the five; the others go below it, a line each. The model's chat template puts the marks between the turns.

# %%
row = {
    "messages": [
        {"role": "system", "content": "You write a café's orders as notes."},
        {"role": "user", "content": "two tea and one bun for table 4, please"},
        {"role": "assistant", "content": "table 4: 2 tea, 1 bun"},
    ]
}
with tempfile.TemporaryDirectory() as place:
    file = Path(place) / "orders.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    found = check_data(read_own_data(file), load_tokenizer("smollm2-135m"))
print("".join(token.text for token in found.example if not token.label))
print("LABELS:", [token.text for token in found.example if token.label])

# %% [markdown]
# The last message is learned, with the line break in front of it and the end of the sequence; all before is given. What
# the model is asked later has to come in the same form: `--chat-template` puts benchmarks into it as well.
#
# ## Exercise 2

# %%
for n in range(10, 2000, 10):
    low, high = slimnb.wilson(round(0.9 * n), n)
    if max(0.9 - low, high - 0.9) <= 0.05:
        break
possible = len(THINGS) * (len(THINGS) - 1) * len(NUMBERS) ** 2 * 12
dice, drawn = random.Random(0), set()
for _ in range(200):
    things, table = tuple(dice.sample(THINGS, 2)), dice.randint(1, 12)
    drawn.add((things, table, dice.randint(1, 3), dice.randint(1, 3)))
trained = len(drawn) - 40
Markdown(
    f"{n} orders: the 95% interval of 90% is then {low:.1%} to {high:.1%}, which reaches further down than up. Of "
    f"{possible:,} possible orders the training rows are {trained}, {trained / possible:.0%}. So most orders are new; "
    "their parts are not."
)

# %% [markdown]
# ## Exercise 3
#
# Prompts of other forms, with what each is to show. In mode `quick`, put them in place of the held-out rows and count
# as there.

# %%
tests = {
    "other order of words": ("Order: for table 4, two tea and one bun, please.\nNote:", " table 4: 2 tea, 1 bun"),
    "a new thing": ("Order: two cake and one bun for table 4, please.\nNote:", " table 4: 2 cake, 1 bun"),
    "a new number": ("Order: five tea and one bun for table 4, please.\nNote:", " table 4: 5 tea, 1 bun"),
    "three things": (
        "Order: two tea and one bun and one soup for table 4, please.\nNote:",
        " table 4: 2 tea, 1 bun, 1 soup",
    ),
}
for name, (prompt, completion) in tests.items():
    print(f"{name}: {prompt.splitlines()[0]} ->{completion}")

# %% [markdown]
# One prompt of each shows what to look at; forty of each, with their interval, what to believe. If copying a new thing
# works and a third thing is dropped, the model learned a template with two places. The remedy is in the data: rows as
# varied as the orders that will come.
