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
# # 05 · Train with QLoRA: solutions

# %%

import pandas as pd
from IPython.display import Markdown

from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.figures import cost_frame
from slimnb.planning.architecture import of_fields
from slimnb.planning.memory import Setup, largest_micro_batch

MODE = workshop.mode()
runs = workshop.runs("replay")  # the shipped ones, whatever the mode

# %% [markdown]
# ## Exercise 1

# %%
frame = cost_frame([run for method, run in runs.items() if method != "base"]).drop_duplicates("run")
table = pd.DataFrame(
    {
        "method": frame["method"],
        "trained numbers": [f"{count:,}" for count in frame["trainable_parameters"]],
        "kept, MB": [f"{count / 1e6:.1f}" for count in frame["saved_bytes"]],
    }
)
Markdown(to_markdown(table))

# %% [markdown]
# No: the adapter is trained and kept in float32 in both. Only the frozen weights beneath are in 4 bits, and those are
# not kept with it.
#
# ## Exercise 2

# %%
shape = {
    "model_type": "llama", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 11_008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096,
}  # fmt: skip
large = of_fields("Llama-2-7B", shape)
rows = []
for method in ("lora", "qlora"):
    setups = [Setup(method, length=512, checkpointing=again, device="cuda") for again in (False, True)]
    rows.append((method, *(f"{largest_micro_batch(large, setup, 24 * 10**9):,}" for setup in setups)))
Markdown(to_markdown(pd.DataFrame(rows, columns=["method", "tokens", "tokens, with checkpointing"])))

# %% [markdown]
# What 4 bits free, a larger batch fills again. That is a good use of it, as long as nobody then compares the two peaks.
# Checkpointing frees what 4 bits cannot, the activations, and takes the time to compute each layer twice.
#
# ## Exercise 3
#
# In a terminal, each a few minutes on two cores:
#
#     options="--model smollm2-135m --method qlora --train-on workshop_math --epochs 0.7 --benchmarks workshop_math"
#     options="$options --limits workshop_math=120"
#     .venv/bin/slimnb run $options --four-bit-kind fp4
#     .venv/bin/slimnb run $options --no-double-quantization
#
# `slimnb compare` each with the QLoRA run of mode replay or quick, scored on the same 120 problems. By 02, FP4 has the
# larger error in the weights; scales in float32 have a smaller one, for the bits that 02 counted. Whether an answer
# changes is another matter: the column `resolvable` of `slimnb compare` says from which difference on so many items
# show it in four cases of five. If the difference is not resolved, say so, and add seeds and items before you say more.
