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
# # 10 · What fits: solutions

# %%

import pandas as pd
import psutil
from IPython.display import Markdown

from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.planning.architecture import Architecture, of_fields, read_architecture
from slimnb.planning.memory import Setup, predict
from slimnb.planning.plan import recommended

MODE = workshop.mode()


def llama(name: str, **sizes: int) -> Architecture:
    return of_fields(name, {"model_type": "llama", "tie_word_embeddings": False, **sizes})


seven = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32}
models = {
    "SmolLM2-135M": read_architecture("smollm2-135m"),
    "Llama-2-7B": llama("Llama-2-7B", **seven, intermediate_size=11008, vocab_size=32000),
    "Llama-3-8B": llama(
        "Llama-3-8B", **{**seven, "num_key_value_heads": 8}, intermediate_size=14336, vocab_size=128256
    ),
    "LLaMA-65B": llama(
        "LLaMA-65B", hidden_size=8192, num_hidden_layers=80, num_attention_heads=64, num_key_value_heads=64,
        intermediate_size=22016, vocab_size=32000,
    ),
}  # fmt: skip

# %% [markdown]
# ## Exercise 1
#
# On a CPU; with a card, `device="cuda"` and its memory.

# %% tags=["machine"]
free = psutil.virtual_memory().available
rows = []
for name, model in models.items():
    chosen = recommended(model, Setup("lora", batch_size=1, length=1024), free)
    method = chosen.setup.method + (" with checkpointing" if chosen.setup.checkpointing else "")
    rows.append((name, method if chosen.peak <= free else f"nothing: {method} needs least", f"{chosen.peak / 1e9:.1f}"))
Markdown(
    f"{free / 1e9:.1f} GB are free here.\n\n{to_markdown(pd.DataFrame(rows, columns=['model', 'method', 'peak, GB']))}"
)

# %% [markdown]
# It fits does not mean that it is done this year: `slimnb plan --probe` measures the rate.
#
# ## Exercise 2
#
# Llama-3-8B: 32 layers, each with two matrices of 4096 x 4096, two of 4096 x 1024 and three of 4096 x 14336; embeddings
# and head of 128,256 x 4096 each, in 16 bits.

# %%
linear = 32 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
kept = 2 * 2 * 128256 * 4096
packed, scales = linear // 2, linear * (8 / 64 + 32 / (64 * 256)) / 8
prediction = predict(models["Llama-3-8B"], Setup("qlora", batch_size=1, length=1024, device="cuda"))
held = {item.name: item.bytes for item in prediction.items}
assert abs((packed + kept) / held["weights"] - 1) < 0.001, "half a byte a weight, two for embeddings and head"
assert abs(scales / held["quantization constants"] - 1) < 0.01, "8 bits a block of 64, 32 for each 256 of those"
share, of_all = kept / (packed + scales + kept), kept / 2 / models["Llama-3-8B"].parameters
Markdown(
    f"{packed / 1e9:.2f} GB in 4 bits, {scales / 1e9:.2f} GB of constants, {kept / 1e9:.2f} GB in 16 bits: embeddings "
    f"and head are {of_all:.0%} of the weights and {share:.0%} of the bytes. A large vocabulary does not shrink."
)

# %% [markdown]
# ## Exercise 3

# %%
lengths = [2**power for power in range(8, 15)]


def peak(length: int, checkpointing: bool) -> int:
    setup = Setup("lora", batch_size=1, length=length, checkpointing=checkpointing, device="cuda")
    return predict(models["Llama-3-8B"], setup).peak


table = pd.DataFrame({"tokens": [f"{length:,}" for length in lengths]})
for name, checkpointing in {"plain": False, "checkpointing": True}.items():
    table[f"{name}, GB"] = [f"{peak(length, checkpointing) / 1e9:.1f}" for length in lengths]
Markdown(to_markdown(table))

# %%
said = []
for name, checkpointing in {"without checkpointing": False, "with it": True}.items():
    fits = [length for length in range(64, 32769, 64) if peak(length, checkpointing) <= 24 * 10**9]
    each = (peak(16384, checkpointing) - peak(8192, checkpointing)) / 8192
    early = (peak(512, checkpointing) - peak(256, checkpointing)) / 256
    said.append(f"{name} {fits[-1]:,} tokens, at {early / 1e6:.2f} MB a token at first and {each / 1e6:.2f} at the end")
Markdown("The longest row on 24 GB: " + "; ".join(said) + ".")

# %% [markdown]
# The peak is the highest of several moments, and each grows in a straight line with the tokens: which of them is the
# highest can change, so that a token may cost more at the end. Nothing grows with the square of the length: attention
# on CUDA keeps no table of scores. Weights, adapters and moments do not grow at all, and checkpointing keeps each
# layer's input alone.
