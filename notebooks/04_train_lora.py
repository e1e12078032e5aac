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
# # 04 · Train with LoRA
#
# **Goal**: fine-tune a model with LoRA on word problems; see what it is trained on, how the loss falls, what it answers
# before and after, and whether the gain is one. **Minutes**: 30. In `quick` the training runs here.

# %%
import torch
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop
from slimnb.analysis.drilldown import drill_down
from slimnb.analysis.exports import comparison_frame, to_markdown
from slimnb.data.load import data_directory
from slimnb.figures import curves_frame, differences, differences_frame, training_curves

MODE = workshop.mode()
runs = workshop.runs(MODE, "base", "lora")
base, lora = runs["base"], runs["lora"]
training, costs = lora.config.training, lora.record.costs
benchmark = next(iter(lora.record.scores))
examples = slimnb.load_training_set(training.data, data_directory()).examples
Markdown(
    f"Trained on {training.data}, {len(examples)} rows, epochs: {training.epochs:g}, in batches of "
    f"{training.batch_size}; LoRA of rank {lora.config.lora.rank}, learning rate {training.learning_rate:g}."
)

# %% [markdown]
# ## What is learned from
#
# A row is a prompt and a completion. The loss counts the tokens of the completion, and the end of sequence, by which
# the model learns to stop. The prompt is read and not learned: its labels are masked.

# %%
loaded = slimnb.load_model("smollm2-135m", dtype="float32", device="cpu")
row = slimnb.tokenize(loaded.tokenizer, examples[0])
prompt, labels = row.ids[: row.boundary], row.ids[row.boundary :]
print("MASKED:", repr(loaded.tokenizer.decode(prompt)))
print("LABELS:", [loaded.tokenizer.decode(token) for token in labels])

# %% [markdown]
# The mask by hand: transformers leaves out tokens whose label is -100. The loss is the mean of $-\ln p$ over the
# others, in nats. A token is predicted at the place before its own; transformers shifts the labels itself.

# %%
ids = torch.tensor([row.ids])
masked = torch.tensor([[-100] * len(prompt) + labels])
with torch.no_grad():
    log_p = loaded.model(ids).logits[0].log_softmax(dim=-1)
    theirs = float(loaded.model(ids, labels=masked).loss)
    unmasked = float(loaded.model(ids, labels=ids).loss)
by_hand = -sum(float(log_p[row.boundary - 1 + place, token]) for place, token in enumerate(labels)) / len(labels)
assert abs(by_hand - theirs) < 1e-4, (
    "the token before predicts: the first label is predicted at the prompt's last place"
)
Markdown(
    f"**Checkpoint passed**: the untouched model's loss of this row is {by_hand:.2f} nats a label. With the prompt "
    f"counted as well it would be {unmasked:.2f}."
)

# %% [markdown]
# **Predict**: how many percent of all the tokens that were read are labels?

# %%
label_share = None  # your prediction in percent

# %%
workshop.compare(label_share, 100 * costs.label_tokens / costs.tokens, "%")

# %% [markdown]
# ## The loss
#
# **Predict**: what is the loss over the last ten steps, in nats a label? The first step's is shown.

# %%
log = lora.metrics()
Markdown(f"The first step's loss was {log['loss'].iloc[0]:.2f}, and there were {len(log)} steps.")

# %%
last_loss = None  # your prediction

# %%
workshop.compare(last_loss, float(log["loss"].tail(10).mean()), " nats")

# %%
training_curves(curves_frame([lora]), smoothing=0.8)

# %% [markdown]
# Steep at first, then slowly. A low training loss says nothing about new problems: that takes a benchmark.
#
# ## Before and after
#
# In brackets: the number that the benchmark read behind `####`, or `[invalid]` where there is none; `(nothing)`: the
# model ended at once.

# %%
for show in ("fixed", "both-wrong"):
    for item in drill_down(base, lora, benchmark, show, data_directory(), limit=1):
        print(f"{show.upper()}: {item['text']}\nBEFORE: {item['first'].strip()}\nAFTER: {item['second'].strip()}")
        print(f"RIGHT: {item['gold']}\n")

# %% [markdown]
# ## The gain
#
# Judged on the same items, before and after. **Predict**: the change in points.

# %%
points = None  # your prediction

# %%
change = slimnb.compare(base, lora, benchmark)
workshop.compare(points, 100 * change.paired.difference, " points")

# %%
differences(differences_frame([base, lora]))

# %%
assert change.paired.low > 0, "the gain is not resolved: has the loss fallen, and are there enough items?"
done, refused = slimnb.compare_all([base, lora])
columns = ["benchmark", "n", "first %", "second %", "change (95%), points", "fixed", "broken", "verdict"]
display(Markdown("**Checkpoint passed**: the interval of the gain excludes zero."))
Markdown(to_markdown(comparison_frame(done)[columns]))

# %% [markdown]
# A gain can be one of form. How large is it if the last number counts, wherever it stands?

# %%
before, after = (run.record.scores[benchmark].metrics["flexible-extract"] for run in (base, lora))
Markdown(
    f"By the last number the untouched model has {before.k} of {before.n} right, and LoRA {after.k}: "
    f"{100 * (after.value - before.value):+.1f} points, beside {100 * change.paired.difference:+.1f} with the form."
)

# %% [markdown]
# The paper's first finding is that such training improves the task; here it did. Its second is that the gain depends on
# how well the training data fit the task. The workshop's (modes replay and quick) fit as well as can be: test problems
# are of the same kinds and from the same generator. How many share a run of words with a training row?

# %%
shared = lora.contamination(benchmark)
Markdown(
    f"{shared.items_13gram} of {shared.n_items} test items share thirteen words in a row with a training row, "
    f"{shared.items_exact} of them are a training row word for word. Exercise 2 leaves them out."
)

# %% [markdown]
# ## What it cost

# %%
machine = lora.environment()
place = machine["accelerator"] or f"{machine['processor']} with {machine['cores']} cores"
Markdown(
    f"{costs.trainable_parameters:,} trained numbers, {costs.steps} steps, {costs.tokens:,} tokens in "
    f"{costs.train_seconds / 60:.1f} minutes, {costs.train_peak_bytes / 1e9:.2f} GB at the peak, on {place}."
)

# %% [markdown]
# ## Exercises
#
# **Exercise 1** (easy). How many answers of either run have a line `####` at all, and how many ran into the length
# limit? How long are they, in tokens? (`lora.items(benchmark)` has a row an answer: see `text`, `hit_limit`, `tokens`.)
#
# **Exercise 2** (medium). Is there still a gain on the items that share no run of words with a training row?
# (`shared.pairs` names those that do; `slimnb.paired_difference` takes two arrays of right and wrong.)
#
# **Exercise 3** (open). Train once with rank 1 and once on the first 100 rows, for as many steps as here, by
# `slimnb run`. Predict both gains first. Which of the two changes loses more of the gain?
#
# ## Key points
#
# - The loss is on the completion and the end of sequence; the prompt is masked.
# - The gain is a paired difference on the same items, with its interval; the workshop's training and test data come
#   from one generator.
# - Look at what stayed wrong, not only at what was fixed.
#
# **Next**: [05_train_qlora](05_train_qlora.ipynb)
