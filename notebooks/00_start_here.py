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
# # Start here
#
# **Goal**: see what one fine-tuning of a small model gained, cost and left alone, before any code is explained.
# **Minutes**: 10. Nothing is trained here: the runs ship with the project.

# %%
from pathlib import Path

from IPython.display import Markdown, display

import slimnb
from slimnb.exports import comparison_frame, to_markdown
from slimnb.figures import differences, differences_frame, scores, scores_frame

ROOT = next(place for place in [Path.cwd(), *Path.cwd().parents] if (place / "data" / "runs").is_dir())
runs, broken = slimnb.scan(ROOT / "data" / "runs")
runs = [run for run in runs if run.path.parent.name == "reference"]
[run.record.id for run in runs]

# %% [markdown]
# ## Predict
#
# The model is SmolLM2-135M-Instruct. It was trained on 800 word problems of 40 kinds and then asked 240 new ones.
# How many of the 240 does it solve before training, and how many after? Write your numbers down.

# %%
before, after = 50, 120  # your prediction

# %% [markdown]
# ## Look
#
# A bar is a score with its 95% interval; the dashes are what guessing would score.

# %%
scores(scores_frame(runs))

# %%
base, lora = (next(run for run in runs if run.record.method == method) for method in ("base", "lora"))
measured = [run.record.scores["workshop_math"].score for run in (base, lora)]
display(
    Markdown(
        f"Before training: {measured[0].k} of {measured[0].n} (you said {before}). "
        f"After LoRA: {measured[1].k} of {measured[1].n} (you said {after})."
    )
)

# %% [markdown]
# ## Explain
#
# Each training run against the untouched model, on the same items. An interval that holds 0 means: not resolved with so
# many items. It does not mean that nothing changed.

# %%
differences(differences_frame(runs))

# %%
done, refused = slimnb.compare_all(runs)
display(Markdown(to_markdown(comparison_frame(done))))

# %% [markdown]
# A score of 0 before training need not mean that the model can do nothing. Here is an item that training "fixed":

# %%
from slimnb.drilldown import drill_down

item = drill_down(base, lora, "workshop_math", "fixed", limit=1)[0]
print(item["text"], "\n\nbefore:", item["first"], "\n\nafter:", item["second"])

# %% [markdown]
# The number may be right and the form wrong: the benchmark reads the number behind `####`. Count how often:

# %%
items = base.items("workshop_math")
right_number = int(items["correct_flexible-extract"].sum())
display(Markdown(f"{right_number} of {len(items)} answers of the untouched model have the right number in any form."))
assert right_number >= measured[0].k, "an answer that is right strictly is right flexibly too"

# %% [markdown]
# **Key points**
#
# - A score is k of n with an interval; a change is judged on the same items.
# - Part of a gain can be the form of an answer. Look at items before you believe a number.
# - What is not resolved is not equal.
#
# **Next**: `make dashboard` shows the same runs; `make demo` makes them on your machine.
