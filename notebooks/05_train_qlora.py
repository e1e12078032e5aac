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
# # 05 · Train with QLoRA
#
# **Goal**: change one thing, the precision of the frozen weights; see what that saves, what it costs, when it does not
# pay, and whether the result is as good. **Minutes**: 30. In `quick` the training runs here.

# %%
from dataclasses import replace
from functools import partial
from time import perf_counter

import pandas as pd
import torch
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop
from slimnb.analysis.comparison import MARGIN
from slimnb.analysis.exports import to_markdown
from slimnb.analysis.guard import beyond_the_method
from slimnb.config import FourBit
from slimnb.data.load import data_directory
from slimnb.figures import cost, cost_frame, differences, differences_frame, pair_frame
from slimnb.planning.architecture import Architecture, of_fields, read_architecture
from slimnb.planning.memory import Setup, predict

MODE = workshop.mode()
runs = workshop.runs(MODE, "base", "lora", "qlora")
base, lora, qlora = runs.values()
training, costs = qlora.config.training, {method: run.record.costs for method, run in runs.items()}
benchmark = next(iter(qlora.record.scores))
Markdown(
    f"QLoRA on {training.data}, epochs: {training.epochs:g}, in batches of {training.batch_size}: LoRA's recipe of 04."
)

# %% [markdown]
# ## One change
#
# **Predict**: in how many settings do the two runs differ?

# %%
settings = None  # your prediction

# %%
changes = slimnb.config_difference(lora, qlora)
display(workshop.compare(settings, len(changes)))
rows = [(name, *("-" if value is None else value for value in values)) for name, values in changes.items()]
Markdown(to_markdown(pd.DataFrame(rows, columns=["setting", "LoRA", "QLoRA"])))

# %%
same_seed = lora.config.seed == qlora.config.seed
assert same_seed and not beyond_the_method(lora, qlora), (
    "a difference in scores would not be that of 4 bits: what else was changed?"
)
print("Checkpoint passed: the settings above say 4 bits, no more. Same rows, rank, steps, learning rate and seed.")

# %% [markdown]
# ## One layer by hand
#
# The matrix is stored in 4 bits, as 02 did it. To multiply, it is unpacked. The adapter stays in float32:
#
# $$y = \mathrm{unpack}(W_4)\, x + \frac{\alpha}{r} B A x$$

# %%
loaded = slimnb.load_model("smollm2-135m", dtype="float32", four_bit=FourBit(), device="cpu")
adapted = slimnb.add_lora(loaded, qlora.config.lora, seed=0)
layer = adapted.model.base_model.model.model.layers[0].mlp.down_proj
packed, A, B = layer.base_layer.weight, layer.lora_A["default"].weight, layer.lora_B["default"].weight
torch.nn.init.normal_(B, std=0.01)  # it starts as 0, which would hide a mistake

from bitsandbytes.functional import dequantize_4bit

W = dequantize_4bit(packed.data, packed.quant_state)
x = torch.randn(8, W.shape[1], requires_grad=True)
by_hand = x @ W.T + qlora.config.lora.alpha / qlora.config.lora.rank * x @ A.T @ B.T
y = layer(x)
y.sum().backward()

# %%
assert (by_hand - y).abs().max() < 1e-4, "not PEFT's: which scale has the update, and which side is transposed?"
assert A.grad is not None and B.grad is not None, "the adapter learns: its factors need a gradient"
assert packed.grad is None and not packed.requires_grad, "the packed weights are frozen"
Markdown(
    f"**Checkpoint passed**: the layer's {W.numel():,} weights lie in {packed.nbytes:,} bytes (and their scales, see "
    f"02) and get no gradient; the {A.numel() + B.numel():,} of A and B do."
)

# %% [markdown]
# ## Memory
#
# **Predict**: QLoRA's peak in GB. LoRA's is shown.

# %%
Markdown(
    f"LoRA's peak was {costs['lora'].train_peak_bytes / 1e9:.2f} GB. Its weights and the adapter are "
    f"{costs['lora'].weights_bytes / 1e9:.2f} GB of that; QLoRA's are {costs['qlora'].weights_bytes / 1e9:.2f} GB."
)

# %%
peak = None  # your prediction in GB

# %%
workshop.compare(peak, costs["qlora"].train_peak_bytes / 1e9, " GB")

# %% [markdown]
# Beside the scores. LoRA's and QLoRA's peaks are those of training; the untouched model was not trained, so its point
# is the peak while it was scored, and no measure of what training adds.

# %%
cost(cost_frame(list(runs.values())), "memory", benchmark)

# %% [markdown]
# Where does it go? `slimnb plan` predicts the peak item by item. Here for the longest rows of the training set:

# %%
examples = slimnb.load_training_set(training.data, data_directory()).examples
longest = max(len(slimnb.tokenize(loaded.tokenizer, example).ids) for example in examples)
here = Setup(
    "qlora", qlora.config.lora.rank, training.batch_size, min(longest, training.max_length),
    device="cuda" if qlora.environment()["accelerator"] else "cpu",
)  # fmt: skip
small = read_architecture("smollm2-135m")


def itemized(architecture: Architecture, setup: Setup) -> pd.DataFrame:
    """MB at the peak, a row an item, a column a method."""
    peaks = {name: predict(architecture, replace(setup, method=name)) for name in ("lora", "qlora")}
    found = {name: {one.name: one.bytes / 1e6 for one in peak.items} for name, peak in peaks.items()}
    return pd.DataFrame(found).fillna(0)


items = itemized(small, here)
items.loc["peak"] = items.sum()
more = items["qlora"] - items["lora"]
table = items.assign(more=more).map("{:,.0f}".format).set_axis(["LoRA", "QLoRA", "QLoRA less LoRA"], axis=1)
Markdown(to_markdown(table.rename_axis("MB").reset_index()))

# %%
held = items.reindex(["weights", "quantization constants", "adapters"]).fillna(0).sum() * 1e6
for method in ("lora", "qlora"):
    assert abs(held[method] / costs[method].weights_bytes - 1) < 0.01, f"{method}: which weights, in which form?"
ratio = items.loc["activations", "qlora"] / items.loc["activations", "lora"]
assert 0.95 < ratio < 1.05, "the batch's activations do not know how the weights are stored"
lost = more.drop(["weights", "activations", "peak"])
Markdown(
    f"**Checkpoint passed.** Four bits take {-more['weights']:,.0f} MB from the weights. The activations, "
    f"{items.loc['activations', 'qlora']:,.0f} MB, are {ratio:.2f} times LoRA's: a batch is a batch. What comes on "
    f"top, above all the {lost.idxmax()}, is {lost.sum():+,.0f} MB. QLoRA's peak: predicted "
    f"{items.loc['peak', 'qlora'] / 1e3:.2f} GB, {more['peak']:+,.0f} MB beside LoRA's; measured "
    f"{costs['qlora'].train_peak_bytes / 1e9:.2f} GB, "
    f"{(costs['qlora'].train_peak_bytes - costs['lora'].train_peak_bytes) / 1e6:+,.0f} MB."
)

# %% [markdown]
# On a CPU the weights are read through a mapped file, which still counts after they were quantized (`weights file`),
# and unpacked matrices leave holes in the heap (`gaps`); `overhead` is Python and its libraries. So with a small model
# there is little to save, and something to pay. On a CPU the plan also leaves out what a library keeps for each length
# of rows that it has met (see 10): for LoRA and for QLoRA alike, the measured peak may be well above the predicted one.
#
# ## At equal batch
#
# What a step computes at once, its batch, takes much of the memory. **Predict** what the plan says: how many GB does
# QLoRA need in batches of a quarter of the size, of rows of 128 tokens at most?

# %%
quarter = None  # your prediction in GB

# %%
short = min(here.length, 128)  # of longer rows a micro-batch may hold one alone, whatever the batch
batches = [replace(here, length=short, batch_size=training.batch_size // part) for part in (4, 2, 1)]
peaks = [itemized(small, setup).sum() / 1e3 for setup in batches]
rows = [(setup.batch_size, *peak.map("{:.2f}".format)) for setup, peak in zip(batches, peaks, strict=True)]
display(workshop.compare(quarter, peaks[0]["qlora"], " GB"))
display(Markdown(to_markdown(pd.DataFrame(rows, columns=["batch", "LoRA, GB (predicted)", "QLoRA, GB (predicted)"]))))
Markdown(
    f"Who holds QLoRA in batches of {batches[-1].batch_size} against LoRA in batches of {batches[0].batch_size} finds "
    f"it {peaks[-1]['qlora'] / peaks[0]['lora']:.1f} times as hungry, and has measured the batch."
)

# %% [markdown]
# slimnb says what stands against comparing the costs of two runs:

# %%
against = slimnb.costs_differ_in(lora, qlora)
assert not [one for one in against if one.startswith(("batch_size", "max_length"))], "costs compare at equal batches"
Markdown(
    "**Checkpoint passed**: batches and length limit are the same. "
    + (f"Care is needed all the same: {'; '.join(against)}." if against else "So are the machine and its load.")
)

# %% [markdown]
# ## Time
#
# Each 4-bit matrix is unpacked at each use, forwards and backwards. **Predict**: how many percent longer than LoRA did
# QLoRA train? (Negative: shorter.)

# %%
longer = None  # your prediction in percent

# %%
seconds = {method: costs[method].train_seconds for method in ("lora", "qlora")}
display(workshop.compare(longer, 100 * (seconds["qlora"] / seconds["lora"] - 1), "%"))
Markdown(
    f"LoRA: {costs['lora'].tokens / seconds['lora']:,.0f} tokens a second for {seconds['lora']:.0f} s, QLoRA: "
    f"{costs['qlora'].tokens / seconds['qlora']:,.0f} for {seconds['qlora']:.0f} s. One training each: a few percent "
    "may be the machine's."
)

# %% [markdown]
# One matrix alone, on your machine: the first `down_proj` as it is, and in 4 bits. **Predict**: how many times as long
# does the 4-bit one take for a single token?

# %%
times = None  # your prediction

# %% tags=["machine"]


def milliseconds(work: partial, repeats: int = 9) -> float:
    """The fastest of some."""
    took = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        took.append(perf_counter() - start)
    return 1000 * min(took)


rows = []
for tokens in (1, 64, 1024):
    x = torch.randn(tokens, W.shape[1], requires_grad=True)  # as in training
    plain, four = milliseconds(partial(torch.matmul, x, W.T)), milliseconds(partial(layer.base_layer, x))
    rows.append((tokens, f"{plain:.2f}", f"{four:.2f}", f"{four / plain:.1f}"))
display(workshop.compare(times, float(rows[0][-1])))
Markdown(to_markdown(pd.DataFrame(rows, columns=["tokens at once", "as it is, ms", "4 bits, ms", "times as long"])))

# %% [markdown]
# Unpacking takes as long for one token as for a thousand: large batches hide it. (To generate, bitsandbytes has kernels
# that unpack while they multiply.)
#
# ## When it pays
#
# Now a model of Llama-2-7B's shape on a GPU, with the same batch. **Predict** what the plan says: how many percent of
# LoRA's peak does QLoRA need there?

# %%
share = None  # your prediction in percent

# %%
shape = {
    "model_type": "llama", "vocab_size": 32_000, "hidden_size": 4096, "intermediate_size": 11_008,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "max_position_embeddings": 4096,
}  # fmt: skip
large = of_fields("Llama-2-7B", shape)

rows, peaks = [], {}
for name, architecture, device in (("135M", small, "cpu"), ("135M", small, "cuda"), ("7B", large, "cuda")):
    found = itemized(architecture, replace(here, device=device))
    peaks[name, device] = found.sum()
    of_it = found.loc["weights", "lora"] / found["lora"].sum()
    both = (f"{found[method].sum() / 1e3:.2f}" for method in ("lora", "qlora"))
    rows.append((name, device, *both, f"{of_it:.0%}", f"{found['qlora'].sum() / found['lora'].sum():.0%}"))
display(workshop.compare(share, 100 * peaks["7B", "cuda"]["qlora"] / peaks["7B", "cuda"]["lora"], "%"))
columns = ["model", "device", "LoRA, GB", "QLoRA, GB", "weights' share of LoRA's", "QLoRA of LoRA"]
Markdown(to_markdown(pd.DataFrame(rows, columns=columns)))

# %%
saved = {name: (peak["lora"] - peak["qlora"]) / peak["lora"] for name, peak in peaks.items()}
assert saved["7B", "cuda"] > saved["135M", "cuda"], "only weights shrink: of which peak are they the larger share?"
full = predict(small, replace(here, method="full"))
moments = {
    "qlora": items.loc["optimizer", "qlora"],
    "full": next(one.bytes for one in full.items if one.name == "optimizer") / 1e6,
}
Markdown(
    f"**Checkpoint passed**: on a GPU {saved['7B', 'cuda']:.0%} less for the large model, and "
    f"{saved['135M', 'cuda']:.0%} for the small one. QLoRA's third part, **paged optimizers**, moves the "
    f"optimizer's moments to the computer's memory when the GPU's is short. An adapter's are {moments['qlora']:,.0f} "
    f"MB here, those of all weights would be {moments['full']:,.0f} MB. A CPU has no other memory to move them to."
)

# %% [markdown]
# ## The gain
#
# **Predict**: QLoRA's change against the untouched model, in points.

# %%
points = None  # your prediction

# %%
change = slimnb.compare(base, qlora, benchmark)
workshop.compare(points, 100 * change.paired.difference, " points")

# %%
differences(differences_frame(list(runs.values())))

# %%
assert change.paired.low > 0, "the gain is not resolved: has the loss fallen, and are there enough items?"
Markdown(
    f"**Checkpoint passed**: {100 * change.paired.low:+.1f} to {100 * change.paired.high:+.1f} points, the interval "
    f"excludes zero. {change.paired.fixed} answers were fixed and {change.paired.broken} broken, of {change.paired.n}."
)

# %% [markdown]
# ## As good as LoRA?
#
# "As good" needs a margin that was named before looking: a difference within 2 points shall not matter. It is **shown**
# if the 90% interval of the difference lies inside (two one-sided tests at 5% each). The shaded band is the margin; the
# lines are 95% intervals.

# %%
differences(pair_frame(lora, qlora), "QLoRA against LoRA", MARGIN)

# %%
pair = slimnb.compare(lora, qlora, benchmark)
low, high, margin = pair.equivalence.low, pair.equivalence.high, pair.equivalence.margin
assert (-margin < low and high < margin) == pair.equivalence.equivalent, "the whole 90% interval must lie in the margin"
Markdown(
    f"**Checkpoint passed**: the 90% interval is {100 * low:+.1f} to {100 * high:+.1f} points, "
    f"about {100 * (high - low):.0f} wide, and the margin's band {200 * margin:.0f}.\n\n> {pair.verdict}"
)

# %% [markdown]
# The paper's first finding, that LoRA-based methods improve the task at low cost, holds here for QLoRA's gain. Whether
# QLoRA is *as good* as LoRA is another question, and needs many more items than whether it gains: see 06.
#
# ## Exercises
#
# **Exercise 1** (easy). How large is what each run leaves to keep: the adapter of LoRA, of QLoRA, and a whole model
# after full fine-tuning? Does 4-bit training make the adapter smaller? (`cost_frame` has `saved_bytes`;
# `workshop.runs("replay")` has a full run, too.)
#
# **Exercise 2** (medium). A card of 24 GB and the 7B model: how many tokens fit into a micro-batch of rows of 512, with
# LoRA and with QLoRA? And with gradient checkpointing? (`slimnb.planning.memory.largest_micro_batch` takes `large`, a
# `Setup` and the bytes.)
#
# **Exercise 3** (open). Change one more thing: FP4 for NF4, or scales in float32, by `slimnb run`. Predict first
# whether the score or the memory moves, and say which difference so many items could show.
#
# ## Key points
#
# - QLoRA is LoRA over frozen weights in 4 bits. Nothing else may differ when the two are compared.
# - It saves on weights alone. Activations stay; unpacking takes time; on a CPU, with a small model, it may cost memory.
# - Costs are compared at equal batches. "As good as" needs a margin and enough items.
#
# **Next**: [06_compare](06_compare.ipynb)
