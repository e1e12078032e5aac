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
# # 11 · Your own
#
# **Goal**: train on data of your own, test on rows that were held out, take the adapter with you, merge it, and bring
# in results of lm-evaluation-harness. **Minutes**: 35. In `quick` and `full` SmolLM2 is trained here, in about a
# minute. In `replay` the random model `tiny` takes its place: its few steps teach it nothing, but every cell works.

# %%
import json
import random
import tempfile
from pathlib import Path

import pandas as pd
import torch
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown
from slimnb.data.own_data import read_own_data, told
from slimnb.errors import SlimnbError
from slimnb.figures import differences, differences_frame
from slimnb.machine.progress import reported_to
from slimnb.machine.quiet import known_noise_hidden
from slimnb.models.load import load_tokenizer
from slimnb.training.data_check import check_data

MODE = workshop.mode()
MODEL = "tiny" if MODE == "replay" else "smollm2-135m"
scratch = tempfile.TemporaryDirectory()  # all that is made here; gone at the end
place = Path(scratch.name)

# %% [markdown]
# ## Data
#
# A café wants its orders as notes of one form. The rows are made here; yours come from a file. A row has `prompt` and
# `completion`, or `instruction`, `input` and `output`, or `messages`, in JSON Lines, CSV or Parquet.

# %%
dice = random.Random(0)
NUMBERS, THINGS = ("one", "two", "three"), ("tea", "coffee", "juice", "bun", "soup", "salad")


def order() -> dict[str, str]:
    (first, second), table = dice.sample(THINGS, 2), dice.randint(1, 12)
    many = [dice.randint(1, 3) for _ in range(2)]
    said = f"{NUMBERS[many[0] - 1]} {first} and {NUMBERS[many[1] - 1]} {second} for table {table}, please"
    return {"prompt": f"Order: {said}.\nNote:", "completion": f" table {table}: {many[0]} {first}, {many[1]} {second}"}


rows = list({row["prompt"]: row for row in (order() for _ in range(200))}.values())
held_out, training = rows[:40], rows[40:]
print(training[0]["prompt"] + training[0]["completion"])

# %% [markdown]
# ## Look before you train
#
# Real files have faults. Put four into this one: a row without its answer, one that is no JSON, one twice, and one
# whose prompt has another answer elsewhere. **Predict**: how many of the four does training refuse to read?

# %%
refused = None  # your prediction

# %%
lines = [json.dumps(row) for row in training]
faults = [
    json.dumps({"prompt": training[3]["prompt"]}),
    lines[4][:-1],
    lines[5],
    json.dumps({**training[6], "completion": " table 0: nothing"}),
]
file = place / "orders.jsonl"
file.write_text("\n".join([*lines[:10], *faults, *lines[10:]]) + "\n", encoding="utf-8")

found = check_data(read_own_data(file), load_tokenizer("smollm2-135m"))
workshop.compare(refused, len(found.bad))

# %%
print(*told(file.name, found.bad, 5), sep="\n")
print(f"\nrepeated: lines {found.repeated}\none prompt, several answers: lines {found.ambiguous}")

# %% [markdown]
# The two that can be read are told, and it is for you to judge: a row twice counts double, and of these two answers to
# one prompt only one is right. `slimnb data check FILE` prints all this. Where a row cannot be read, training stops
# before it starts:

# %%
try:
    slimnb.load_training_set(str(file))
except SlimnbError as error:
    print(str(error).replace(f"{place}/", ""))

# %%
file.write_text("\n".join(lines) + "\n", encoding="utf-8")
found = check_data(read_own_data(file), load_tokenizer("smollm2-135m"))
labels = [token for token in found.example if token.label]
assert not found.bad and not found.repeated and not found.ambiguous, "every fault named above has to go"
assert not {row["prompt"] for row in held_out} & {row["prompt"] for row in training}, "a test row was trained on"
assert len(labels) < len(found.example), "the prompt is given, and only the completion is learned"
print("GIVEN:", repr("".join(token.text for token in found.example if not token.label)))
print("LABELS:", [token.text for token in labels])
Markdown(
    f"**Checkpoint passed.** {found.rows} rows of {found.lengths.min} to {found.lengths.max} tokens, none longer than "
    f"{found.max_length}; {len(labels)} of the first row's {len(found.example)} tokens are labels."
)

# %% [markdown]
# ## Train
#
# In a terminal, with a file of yours: first the advice, then the training.
#
#     options="--model smollm2-135m --train-on orders.jsonl --benchmarks workshop_commonsense"
#     .venv/bin/slimnb advise $options
#     .venv/bin/slimnb run --method lora $options
#
# The cell below trains for one epoch only, and scores the base, too, each on the benchmark's first items.
#
# A benchmark that the rows were not made for is scored as well: what a fine-tune costs elsewhere is not seen on its own
# rows.

# %%
asked = {"model": MODEL, "benchmarks": ["workshop_commonsense"], "limit": 20 if MODE == "replay" else 60}
configs = {
    "base": slimnb.make_run_config(method="base", **asked),
    "lora": slimnb.make_run_config(method="lora", train_on=str(file), epochs=1, **asked),
}
with reported_to(place / "progress.json"):  # where a terminal shows bars
    runs = {method: slimnb.run(config, place / "runs", "own") for method, config in configs.items()}
costs, adapter = runs["lora"].record.costs, runs["lora"].path / "adapter"
Markdown(f"{costs.steps} steps on {costs.label_tokens:,} labels, {costs.trainable_parameters:,} trained numbers.")

# %% [markdown]
# **Predict**: how many of the 40 orders that were held out does the trained model note without a fault? (In `replay` it
# is `tiny`.)

# %%
noted = None  # your prediction

# %%
loaded = {name: slimnb.load_model(MODEL, device="cpu") for name in ("base", "lora")}
loaded["lora"] = slimnb.load_adapter(loaded["lora"], adapter)


def written(model) -> list[str]:
    answers = slimnb.generate(model.model, model.tokenizer, [row["prompt"] for row in held_out], 24, ["\n"])
    return [answer.text for answer in answers]


texts = {name: written(model) for name, model in loaded.items()}
right = {
    name: pd.Series([text.strip() == row["completion"].strip() for text, row in zip(some, held_out, strict=True)])
    for name, some in texts.items()
}
workshop.compare(noted, int(right["lora"].sum()), f" of {len(held_out)}")

# %%
change = slimnb.paired_difference(right["base"].to_numpy(), right["lora"].to_numpy())
rows = []
for name, one in right.items():
    low, high = slimnb.wilson(int(one.sum()), len(one))
    rows.append((name, f"{int(one.sum())} of {len(one)}", f"{low:.1%} to {high:.1%}"))
display(Markdown(to_markdown(pd.DataFrame(rows, columns=["model", "right", "95% interval"]))))
Markdown(f"Change: {100 * change.difference:+.1f} points ({100 * change.low:+.1f} to {100 * change.high:+.1f}).")

# %% tags=["machine"]
print(held_out[0]["prompt"] + held_out[0]["completion"])
for name, some in texts.items():
    print(f"{name.upper()}: {some[0]!r}")

# %% [markdown]
# These 40 are of the same kinds as the training rows, and so the easiest test there is. And elsewhere:

# %% tags=["machine"]
differences(differences_frame(list(runs.values())))

# %% tags=["machine"]
elsewhere = slimnb.compare(runs["base"], runs["lora"], "workshop_commonsense").paired
assert elsewhere.n == asked["limit"], "both runs must be asked the same items"
Markdown(
    f"**Checkpoint passed.** With {elsewhere.n} items a change elsewhere is known to "
    f"{50 * (elsewhere.high - elsewhere.low):.0f} points up or down: enough to see a disaster, no more."
)

# %% [markdown]
# ## Take the adapter with you
#
# It is a plain PEFT directory, which knows nothing of slimnb. **Predict**: how large is SmolLM2's adapter of rank 16,
# in MB?

# %%
megabytes = None  # your prediction in MB

# %%
shipped = workshop.runs("replay", "base", "lora")
workshop.compare(megabytes, 4 * shipped["lora"].record.costs.trainable_parameters / 1e6, " MB")

# %%
known = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
print("files:", ", ".join(sorted(path.name for path in adapter.iterdir())))
kinds = sorted({name.rpartition(".")[2] for name in known["target_modules"]})
print(known["peft_type"], "of rank", known["r"], "and alpha", known["lora_alpha"], "at", *kinds)

# %%
from peft import PeftModel
from transformers import AutoModelForCausalLM

with known_noise_hidden():
    plain = AutoModelForCausalLM.from_pretrained(slimnb.get_model(MODEL), dtype=torch.float32)
    plain = PeftModel.from_pretrained(plain, adapter)
tokens = loaded["base"].tokenizer(held_out[0]["prompt"], return_tensors="pt").input_ids


@torch.no_grad()
def logits(model) -> torch.Tensor:
    return model(tokens).logits


before = logits(slimnb.load_model(MODEL, "float32", device="cpu").model)
after = logits(slimnb.load_adapter(slimnb.load_model(MODEL, "float32", device="cpu"), adapter).model)


def apart(one: torch.Tensor) -> float:
    """From the adapter's logits, as a share of how far training moved them."""
    return float((one - after).norm() / (after - before).norm())


assert apart(logits(plain)) < 0.01, "another base, or another precision, than the adapter was put on"
print("Checkpoint passed: by PEFT alone the logits are the same, but for rounding.")

# %% [markdown]
# `adapter_config.json` names the base as it was loaded *here*, by a directory: before you share an adapter, put the
# model's public name there.
#
# ## Merge
#
# In 16 bits the sum is rounded once. In 4 bits it is quantized: [02](02_four_bits.ipynb) and
# [09](09_anatomy.ipynb) say what to fear. **Predict**: how far are the logits of the 4-bit merge from those of the
# adapter, in percent of what training moved?

# %%
lost = None  # your prediction in percent

# %% tags=["machine"]
table, distance = [("adapter", "", f"{right['lora'].sum()} of {len(held_out)}")], {}
for form in ("16bit", "4bit"):
    out = slimnb.merge_run(runs["lora"], form, place / form)
    merged = slimnb.load_model(str(out), device="cpu")
    distance[form] = apart(logits(merged.model).float())
    good = sum(text.strip() == row["completion"].strip() for text, row in zip(written(merged), held_out, strict=True))
    table.append((f"merged, {form}", f"{distance[form]:.1%}", f"{good} of {len(held_out)}"))
workshop.compare(lost, 100 * distance["4bit"], "%")

# %% tags=["machine"]
display(Markdown(to_markdown(pd.DataFrame(table, columns=["form", "logits apart", "held-out orders right"]))))
assert distance["16bit"] < distance["4bit"], "4 bits round more than 16: was the merged model loaded?"
Markdown("**Checkpoint passed.** Score what you deploy, not what you trained.")

# %% [markdown]
# ## A model of your own
#
# `--model` takes any directory in transformers' form with safetensors, or a Hub id. The merged model is one:

# %%
mine = slimnb.load_model(str(place / "16bit"), device="cpu")
parameters = {name: sum(one.numel() for one in model.model.parameters()) for name, model in
              {"base": slimnb.load_model(MODEL, device="cpu"), "mine": mine}.items()}  # fmt: skip
assert parameters["base"] == parameters["mine"], "merged, nothing of LoRA is left"
assert mine.weights_sha256 != loaded["base"].weights_sha256, "the weights are the base's: was the adapter merged?"
print(f"Checkpoint passed: {parameters['mine']:,} parameters, as before, with other weights.")

# %% [markdown]
# A model that comes as a pickle is refused, since reading one can run any program:

# %%
stranger = place / "stranger"
stranger.mkdir()
(stranger / "config.json").write_text("{}")
(stranger / "pytorch_model.bin").write_bytes(b"")
try:
    slimnb.load_model(str(stranger))
except SlimnbError as error:
    print(str(error).replace(f"{place}/", ""))

# %% [markdown]
# ## Results of lm-evaluation-harness
#
# You have scores already? `lm_eval ... --log_samples --output_path DIR` writes each item, and
#
#     .venv/bin/slimnb import lm-eval DIR --model smollm2-135m
#
# makes a run of it. Here the shipped base run is written in lm-eval's layout, and read as if it were yours.
# **Predict**: in how many items does the imported run differ from the one that was exported?

# %%
different = None  # your prediction

# %%
slimnb.export_run(shipped["base"], place / "lm-eval")
imported = slimnb.import_results(place / "lm-eval", place / "runs", "imported", "smollm2-135m")[0]
differ = 0
for name, result in shipped["base"].record.scores.items():
    column = f"correct_{result.primary}"
    ours, theirs = (run.items(name).set_index("id")[column] for run in (shipped["base"], imported))
    differ += int((ours != theirs[ours.index]).sum())
workshop.compare(different, differ)

# %%
change = slimnb.compare(imported, shipped["lora"], "workshop_math").paired
own = slimnb.compare(shipped["base"], shipped["lora"], "workshop_math").paired
assert (change.fixed, change.broken) == (own.fixed, own.broken), "the imported run is another base"
Markdown(
    f"**Checkpoint passed.** Against the imported run LoRA fixed {change.fixed} and broke {change.broken} of "
    f"{change.n} items, as against slimnb's own. Without `--model` the two would not be compared: nobody could say "
    "that they started from the same weights."
)

# %% [markdown]
# ## The dashboard
#
#     make dashboard
#     .venv/bin/streamlit run dashboard/app.py -- --runs data/runs --lm-eval DIR
#
# shows your runs beside the shipped ones: every item, every comparison and every reason why there is none. A link holds
# the view. It asks no other host, and changes nothing.

# %%
scratch.cleanup()  # place is gone: an exercise needs a directory of its own

# %% [markdown]
# ## Exercises
#
# **Exercise 1** (easy). Write five rows of your own task as `messages`, with a system message, and look at what the
# model is given and what it learns.
#
# **Exercise 2** (medium). How many orders would you have to hold out, to know a score of 90% to 5 points up or down?
# And how many of the possible orders did the training rows cover?
#
# **Exercise 3** (open). Make a harder test: orders of another form ("For table 4: two teas"), or with a thing that was
# never in training. What did the model learn, the notes or the template? Train on your own file, and test it so.
#
# ## Key points
#
# - Check the file, hold out rows before training, and score something else beside them.
# - The adapter is PEFT's own and small; it belongs to the exact weights and precision that it was trained on.
# - A merged model is another model: in 16 bits nearly the same, in 4 bits to be scored anew.
# - Results are comparable where prompts, items and starting weights are the same, whoever measured them.
#
# **Next**: `slimnb advise`, with your own file.
