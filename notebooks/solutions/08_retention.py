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
# # 08 · Retention: solutions

# %%
import pandas as pd
from IPython.display import Markdown

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.analysis.gains import gains_frame

MODE = workshop.mode()
study = workshop.study(MODE)

# %% [markdown]
# ## Exercise 1

# %%
one = next(one for one in study.fine_tunes if "mmlu_cs_cloze" in one.changes and one.target != "mmlu_cs_cloze")
column = f"correct_{study.benchmarks['mmlu_cs_cloze'].primary}"
before, after = (run.items("mmlu_cs_cloze").set_index("id") for run in (one.base, one.runs[0]))
rows, p_values = [], []
for subject, items in before.groupby("subject"):
    first, second = (side.loc[items.index, column].to_numpy(dtype=bool) for side in (before, after))
    paired = slimnb.paired_difference(first, second)
    p_values.append(paired.p_value)
    rows.append((subject, paired.n, paired.broken, paired.fixed, f"{100 * paired.difference:+.1f}"))
table = pd.DataFrame(rows, columns=["subject", "items", "lost", "won", "net, points"])
table["p (Holm)"] = [f"{p:.2g}" for p in slimnb.holm(p_values)]
Markdown(f"{one.name}, seed {one.runs[0].config.seed}, `mmlu_cs_cloze`:\n\n" + to_markdown(table))

# %%
changed = sum(row[2] + row[3] for row in rows) / len(before)
smallest = slimnb.smallest_difference(min(row[1] for row in rows), changed)
found = sum(p < 0.05 for p in slimnb.holm(p_values))
Markdown(
    f"{found} of {len(rows)} subjects show a change after the correction for having looked at {len(rows)}. "
    + (
        f"Before it, the smallest subject shows a change of {100 * smallest:.0f} points in 4 cases of 5, and hardly "
        "smaller ones."
        if smallest
        else f"Where so few answers change ({changed:.0%}), the smallest subject does not show it in 4 cases of 5, "
        "even if all of them change one way."
    )
)

# %% [markdown]
# ## Exercise 2

# %%
gains = gains_frame(study.runs).dropna(subset=["difference"])
cases = gains[~gains["target"].astype(bool)]
rows = []
for case in cases.itertuples():
    result = study.benchmarks[case.benchmark]
    old, chance = result.score.value, result.chance or 0.0
    new = old + case.difference
    over = f"{new / old:.2f}" if old else "-"
    left = f"{(new - chance) / (old - chance):.2f}" if abs(old - chance) > 1e-9 else "-"
    name = f"{case.method} on {case.training_set}" + (f", {case.variant}" if case.variant else "")
    rows.append((name, case.benchmark, over, left, case.broken, "yes" if case.resolved else ""))
table = pd.DataFrame(
    rows,
    columns=["fine-tune", "benchmark", "new / old", "left above chance", "lost (less often right)", "net resolved"],
)
shown = table.iloc[cases["difference"].abs().to_numpy().argsort()[::-1][:10]]
Markdown(to_markdown(shown))

# %% [markdown]
# `new / old` near 1 hides items that were lost behind as many that were won. `left above chance` divides by nearly
# nothing where the base is near chance: a change of a few items looks like all of the knowledge, or like more than
# there was, or less than none.
#
# ## Exercise 3
#
# A file of your own is a training set, too (`slimnb data check` shows how it is read):
#
#     import json, random
#     from slimnb import load_training_set
#     problems = load_training_set("workshop_math").examples
#     others = load_training_set("workshop_commonsense").examples[: len(problems) // 10]
#     rows = random.Random(0).sample(problems + others, len(problems) + len(others))
#     with open("mixed.jsonl", "w") as file:
#         for row in rows:
#             print(json.dumps({"prompt": row.prompt, "completion": row.completion}), file=file)
#
# Then, in a terminal:
#
#     options="--model smollm2-135m --method lora --benchmarks workshop_math,workshop_commonsense,workshop_cs"
#     .venv/bin/slimnb run $options --train-on mixed.jsonl --epochs 1.5
#     .venv/bin/slimnb run $options --train-on workshop_math --epochs 1.5
#     .venv/bin/slimnb compare RUN RUN
#
# The mixed run takes a tenth more steps: for equal steps, give both `--steps 150` instead of `--epochs 1.5`.
# `workshop_commonsense` is no test of retention any more, since it was trained for. What mixing in does for the rest is
# seen on `workshop_cs`, if at all.
# Retention is best mixed in from general rows (with the Hub: `alpaca`), and judged on benchmarks that nobody mixed in.
