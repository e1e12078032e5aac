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
# # 10 · What fits
#
# **Goal**: foretell what a training will need, item by item and before anything is loaded; know how far to trust it;
# choose a method for the card that you have. **Minutes**: 35. Nothing is trained in `replay`; in the other modes the
# prediction is held against this machine's own LoRA run.
#
# The paper (arXiv 2506.10885) promises guidance for developers with limited resources. Here it is computed.

# %%
import json
from dataclasses import replace

import pandas as pd
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.config import METHODS
from slimnb.data.load import data_directory
from slimnb.figures import METHOD_STYLE, predicted_memory, predictions_frame
from slimnb.figures.budget import memory_items
from slimnb.io.places import PROJECT
from slimnb.models.load import load_tokenizer
from slimnb.planning.architecture import Architecture, of_fields, read_architecture
from slimnb.planning.memory import Setup, predict
from slimnb.planning.plan import CARDS, recommended

MODE = workshop.mode()
small = read_architecture("smollm2-135m")
Markdown(f"SmolLM2: {small.parameters:,} parameters in {small.layers} layers, by its configuration alone.")

# %% [markdown]
# ## Item by item
#
# Bytes that can be counted: a weight in bfloat16 has 2; each number of LoRA's $A$ and $B$ has 4, and 8 more for AdamW's
# moments. Its gradient has 4 as well, from the backward pass on: if the peak comes before that, it is not in the table.
# The rest, what a micro-batch leaves for the backward pass, is found by going through a step with tensors that have
# shapes and no memory. **Predict**: of the peak of LoRA on a CUDA card, with 8 rows of 1,024 tokens, how many percent
# are weights?

# %%
weights_share = None  # your prediction in percent

# %%
prediction = predict(small, Setup("lora", batch_size=8, length=1024, device="cuda"))
held = {item.name: item.bytes for item in prediction.items}
workshop.compare(weights_share, 100 * held["weights"] / prediction.peak, "%")

# %%
rows = [(item.name, f"{item.bytes / 1e9:.3f}", item.why) for item in prediction.items]
Markdown(to_markdown(pd.DataFrame(rows, columns=["item", "GB", "what it is"])))

# %%
trained = 16 * sum(matrix.inputs + matrix.outputs for matrix in small.matrices if matrix.adapted)
assert trained == prediction.trainable, "A and B of rank 16 at every linear layer but the head: r (inputs + outputs)"
assert held["adapters"] == 4 * trained and held["optimizer"] == 8 * trained, "float32, and two moments of each"
assert abs(held["weights"] / (2 * small.parameters) - 1) < 0.001, "two bytes a weight, and a few buffers"
Markdown(
    f"**Checkpoint passed.** What LoRA trains takes {(held['adapters'] + held['optimizer']) / 1e6:.0f} MB. "
    f"{held['activations'] / prediction.peak:.0%} of the peak are activations."
)

# %% [markdown]
# ## A small model and a large one
#
# A model's shapes are enough, so a large one can be asked about here. These are Llama-3-8B's:

# %%
sizes = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
}  # fmt: skip

large = of_fields("Llama-3-8B", sizes)
asked = Setup("lora", batch_size=1, length=1024, device="cuda")
Markdown(f"{large.name}: {large.parameters:,} parameters.")

# %% [markdown]
# **Predict**: with one row of 1,024 tokens, by which factor is the peak of QLoRA smaller than that of LoRA? For SmolLM2
# first, then for Llama-3-8B.

# %%
small_factor = None  # your prediction, for example 2
large_factor = None

# %%
peaks = {
    (model.name, method): predict(model, replace(asked, method=method))
    for model in (small, large)
    for method in METHODS
}
factors = {model.name: peaks[model.name, "lora"].peak / peaks[model.name, "qlora"].peak for model in (small, large)}
display(workshop.compare(small_factor, factors[small.name]), workshop.compare(large_factor, factors[large.name]))


# %%
def items(model: Architecture) -> pd.DataFrame:
    rows = [
        {"setup": METHOD_STYLE[method].name, "item": item.name, "bytes": item.bytes}
        for method in METHODS
        for item in peaks[model.name, method].items
    ]
    return pd.DataFrame(rows)


memory_items(items(large), 24 * 10**9).update_yaxes(title=f"{large.name}, 1 x 1,024 tokens")

# %%
memory_items(items(small)).update_yaxes(title="SmolLM2, 1 x 1,024 tokens")

# %%
for model in (small, large):
    assert peaks[model.name, "full"].peak > peaks[model.name, "lora"].peak > peaks[model.name, "base"].peak
assert factors[large.name] > factors[small.name], "4 bits save most where weights are most of the memory"
Markdown(
    f"**Checkpoint passed.** 4 bits make the weights of both models smaller, but the peak by a factor of "
    f"{factors[small.name]:.2f} and of {factors[large.name]:.2f}. QLoRA is for models whose weights are what is too "
    f"large. The dashed line is a card of 24 GB: full fine-tuning of {large.name} needs "
    f"{peaks[large.name, 'full'].peak / 24e9:.1f} of them."
)

# %% [markdown]
# ## What moves the peak
#
# **Predict**: LoRA of rank 64 instead of 16 trains four times as many numbers. By how many percent does Llama-3-8B's
# peak grow?

# %%
growth = None  # your prediction in percent

# %%
start = peaks[large.name, "lora"].peak
workshop.compare(growth, 100 * (predict(large, replace(asked, rank=64)).peak / start - 1), "%")

# %%
changes = {
    "as above": {}, "rank 64": {"rank": 64}, "rank 256": {"rank": 256}, "2 rows": {"batch_size": 2},
    "8 rows": {"batch_size": 8}, "32 rows": {"batch_size": 32}, "512 tokens": {"length": 512},
    "4,096 tokens": {"length": 4096}, "checkpointing": {"checkpointing": True},
    "8 rows, checkpointing": {"batch_size": 8, "checkpointing": True},
}  # fmt: skip
rows = []
for name, change in changes.items():
    cells = []
    for model in (small, large):
        setup = replace(asked, **change)
        there, now = predict(model, asked).peak, predict(model, setup).peak
        cells.append(f"{now / 1e9:.2f} ({100 * (now / there - 1):+.0f}%)")
    rows.append((name, f"{setup.rows} x {setup.length}", *cells))
heads = ["LoRA, 1 row of 1,024 tokens, but", "micro-batch", "SmolLM2, GB", f"{large.name}, GB"]
Markdown(to_markdown(pd.DataFrame(rows, columns=heads)))

# %%
eight, many = (predict(large, replace(asked, batch_size=rows)) for rows in (8, 32))
assert many.setup.rows == eight.setup.rows, "rows beyond the token budget wait for the next micro-batch"
spared = 1 - predict(large, replace(asked, checkpointing=True)).peak / start
most = predict(large, replace(asked, rank=256)).peak / start - 1
Markdown(
    f"**Checkpoint passed.** A step of 32 rows is computed in micro-batches of {many.setup.rows}: it takes longer, and "
    f"{100 * (many.peak / eight.peak - 1):.1f}% more memory. What moves the peak is tokens at once, and checkpointing "
    f"(here -{spared:.0%}), which computes each layer's forward pass twice: a third more work in full fine-tuning, up "
    f"to a half in LoRA, whose backward pass is shorter. Rank is cheap, and not free: rank 256 takes {most:.0%} more."
)

# %% [markdown]
# ## Is it true?
#
# The project trained and scored two small architectures in several setups, and kept the peaks. **Predict**: by how many
# percent is the worst of these predictions off?

# %%
worst_error = None  # your prediction in percent

# %%
cells = predictions_frame(PROJECT / "data" / "perf" / "memory.json")
cells["error"] = 100 * (cells["predicted_bytes"] / cells["measured_bytes"] - 1)
display(workshop.compare(worst_error, float(cells["error"].abs().max()), "%"))
predicted_memory(cells).update_xaxes(title=f"measured peak (GB), n = {len(cells)} runs")

# %%
order = cells["error"].abs().sort_values(ascending=False).index
worst = cells.loc[order].head(4)
said = worst.apply(
    lambda row: (
        f"- {row['model']}, {row['method']}, {row['rows']} x {row['length']} tokens"
        f"{', checkpointing' if row['checkpointing'] else ''}: {row['error']:+.1f}%"
    ),
    axis=1,
)
below = int((cells["error"] < 0).sum())
Markdown(
    f"Half of them are within {cells['error'].abs().median():.1f}%. {below} of {len(cells)} are too low, so leave some "
    "room. The furthest off:\n\n" + "\n".join(said)
)

# %% [markdown]
# The constants were found with a tiny model and with SmolLM2, some of them on points of this figure, those that are off
# by hardly anything. So the other model tells more of what to expect of yours. And where was it measured? The
# predictions for other machines are held against published numbers: of trainings with checkpointing, in GiB of $2^{30}$
# bytes, and without the CUDA context where the source gives what the allocator held.

# %%
measured = json.loads((PROJECT / "data" / "perf" / "memory.json").read_text("utf-8"))
device = measured["environment"]["accelerator"] or f"a CPU with {measured['environment']['cores']} cores"
medians = cells["error"].abs().groupby(cells["model"]).median()
told = "; ".join(f"{name} {value:.1f}%" for name, value in medians.items())
Markdown(f"All of these were measured on {device}. Median error by model: {told}.")

# %%
published = measured["published"]
rows, why = [], []
for case in published:
    there, ours = case["published_bytes"], case["compared_bytes"]
    apart = ("fits" if ours <= there else "does not fit") if case["is_card"] else f"{100 * (ours / there - 1):+.0f}%"
    name = f"{case['model']}, {case['method']} rank {case['rank']}"
    rows.append((name, f"{ours / 2**30:.1f}", f"{there / 2**30:.1f}", apart))
    why.append(f"- {name}: {case['source']}. {case['why'][0].upper()}{case['why'][1:]}.")
heads = ["training", "predicted, GiB", "published, GiB", "difference"]
display(Markdown(to_markdown(pd.DataFrame(rows, columns=heads))))
Markdown("\n".join(why))

# %%
off = [case["compared_bytes"] / case["published_bytes"] - 1 for case in published if not case["is_card"]]
cards = [case for case in published if case["is_card"]]
assert all(case["compared_bytes"] <= case["published_bytes"] for case in cards), "where it was trained it must fit"
Markdown(
    f"**Checkpoint passed.** Of {len(off)} published peaks {sum(abs(one) <= 0.1 for one in off)} are met within 10%; "
    f"the worst is off by {100 * max(off, key=abs):+.0f}%. Another program is another recipe: the reasons above are "
    "what could be found in the sources, and no measurement of ours."
)

# %% [markdown]
# ## A run of your own
#
# The longest rows decide, since a step's rows are of similar length. **Predict**: the peak of the workshop's LoRA run
# in GB. (On a CPU it is the whole process's, Python included.)

# %%
own_peak = None  # your prediction in GB

# %%
run = workshop.runs(MODE, "lora")["lora"]
training, costs = run.config.training, run.record.costs
tokenizer = load_tokenizer(run.config.model)
examples = slimnb.load_training_set(training.data, data_directory()).examples
longest = max(len(slimnb.tokenize(tokenizer, example).ids) for example in examples)
device = "cuda" if run.environment()["accelerator"] else "cpu"
rank, longest = run.config.lora.rank, min(longest, training.max_length)
setup = Setup("lora", rank, training.batch_size, longest, device=device)
foretold = predict(read_architecture(run.config.model), setup)
workshop.compare(own_peak, costs.train_peak_bytes / 1e9, " GB")

# %%
off, rate = foretold.peak / costs.train_peak_bytes - 1, costs.tokens / costs.train_seconds
assert abs(off) < 0.5, "more than half off: look at the rows, the length and the device that were foretold"
kept = (
    "The predictions above were tested on rows of one length, and these have many: on a CPU oneDNN keeps working "
    "memory for each shape of product that it has met, which is not counted. "
)
Markdown(
    f"**Checkpoint passed.** Foretold for {setup.rows} rows of {setup.length} tokens: {foretold.peak / 1e9:.2f} GB, "
    f"off by {100 * off:+.0f}%. {kept if device == 'cpu' and off < -0.1 else ''}The run read {rate:,.0f} tokens a "
    f"second: 10,000 rows of 200 tokens, three times, take {10_000 * 200 * 3 / rate / 3600:.1f} hours on such a "
    "machine. `slimnb plan --probe` measures the rate of yours in ten seconds."
)

# %% [markdown]
# ## Which method for which card
#
# The rule, from what costs least in quality and time:
#
# 1. **LoRA**, if it fits: weights as they are, nothing computed twice.
# 2. Else LoRA with **checkpointing**: the same result, a third to a half more work.
# 3. Else **QLoRA**: 4-bit weights, rounded, and unpacked at each use.
# 4. Else QLoRA with checkpointing.
# 5. Else shorter rows, a smaller model, or another card. **Full** fine-tuning only where it fits and is asked for.
#
# `slimnb plan` follows it. For one row of 1,024 tokens:

# %%
seven = {**sizes, "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 32000}
wide = {"hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64}
models = [
    replace(small, name="SmolLM2-135M"),
    of_fields("Llama-2-7B", seven),
    large,
    of_fields("LLaMA-65B", {**seven, **wide, "num_key_value_heads": 64, "intermediate_size": 22016}),
]
advice = {}
for model in models:
    for card in CARDS:
        chosen = recommended(model, asked, card * 10**9)
        name = chosen.setup.method + (" + checkpointing" if chosen.setup.checkpointing else "")
        advice[model.name, card] = name if chosen.peak <= card * 10**9 else "nothing"
table = pd.Series(advice).unstack(sort=False)
Markdown(to_markdown(table.rename(columns="{} GB".format).rename_axis("model").reset_index()))

# %%
easiest = ["lora", "lora + checkpointing", "qlora", "qlora + checkpointing", "nothing"]
for name in table.index:
    steps = [easiest.index(advice[name, card]) for card in CARDS]
    assert steps == sorted(steps, reverse=True), "a larger card never asks for more sparing: is memory in bytes?"
cheapest = {name: next((card for card in CARDS if advice[name, card] != "nothing"), None) for name in table.index}
said = [f"{name} on {card} GB by {advice[name, card]}" for name, card in cheapest.items() if card]
none = [name for name, card in cheapest.items() if card is None]
Markdown(
    "**Checkpoint passed.** The smallest card that trains each: " + "; ".join(said) + "."
    + (f" On none of these: {', '.join(none)}." if none else "")
)  # fmt: skip

# %% [markdown]
# And how long may a row be? The longest of 256, 512, 1,024, ... tokens that fits, by memory alone: this model was made
# for rows of up to 8,192.

# %%
lengths, rows = [2**power for power in range(8, 18)], []
for method in ("lora", "qlora"):
    for checkpointing in (False, True):
        setups = [replace(asked, method=method, checkpointing=checkpointing, length=length) for length in lengths]
        at = [predict(large, setup).peak for setup in setups]
        fits = [[length for length, peak in zip(lengths, at, strict=True) if peak <= card * 10**9] for card in CARDS]
        name = method + (" + checkpointing" if checkpointing else "")
        rows.append((name, *(f"{max(some):,}" if some else "-" for some in fits)))
Markdown(to_markdown(pd.DataFrame(rows, columns=[large.name, *(f"{card} GB" for card in CARDS)])))

# %%
Markdown(
    f"A card sold as 24 GB has 24 GiB, {2**30 / 10**9 - 1:.0%} more than is counted here: room for what the prediction "
    "misses."
)

# %% [markdown]
# ## Exercises
#
# **Exercise 1** (easy). Your machine: which of the four models can you train, by which method? Take its free memory, on
# a CPU or a card.
#
# **Exercise 2** (medium). Count Llama-3-8B's weights in 4 bits by hand, with their constants, as in
# [02](02_four_bits.ipynb). How much of what is left is still in 16 bits, and what is it?
#
# **Exercise 3** (open). How does the peak of LoRA on Llama-3-8B grow with the length of one row, from 256 to 16,384
# tokens, with checkpointing and without? Which multiple of 64 tokens is the longest on a card of 24 GB?
#
# ## Key points
#
# - Weights, what is trained, tokens at once, the rest: four parts, of which each method saves others.
# - 4 bits pay where weights are most of the memory: large models, few tokens at once.
# - A prediction is no measurement. Know on what it was tested, and leave room.
#
# **Next**: [11_your_own](11_your_own.ipynb)
