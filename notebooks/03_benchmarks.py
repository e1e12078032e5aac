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
# # 03 · Benchmarks
#
# **Goal**: score one item of each benchmark by hand, as slimnb and lm-evaluation-harness do, and see where scores go
# wrong. **Minutes**: 35. In `replay` the base model's scores are read, in the other modes they are measured.
#
# The paper uses HellaSwag, MMLU and GSM8K. The project's own sets are asked and graded in the same ways:
#
# | the paper's | here | the answer is |
# |---|---|---|
# | HellaSwag | `workshop_commonsense` | the ending that the model finds likeliest |
# | MMLU | `workshop_cs` | the choice that it finds likeliest |
# | GSM8K | `workshop_math` | a number, read out of what it writes |

# %%
import re
from collections import Counter

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop
from slimnb.analysis.exports import to_markdown

MODE = workshop.mode()
loaded = slimnb.load_model("smollm2-135m", dtype="float32", device="cpu")
model, tokenizer = loaded.model, loaded.tokenizer
shipped = workshop.runs("replay", "base")["base"]

commonsense = slimnb.get_benchmark("workshop_commonsense").load().items
item = next(item for item in commonsense if item.id.endswith(":936"))
print(item.prompt)
for number, choice in enumerate(item.choices, start=1):
    print(f"  {number}. {choice}")

# %% [markdown]
# ## The likeliest ending
#
# The log-likelihood of an ending is the sum of $\ln p(\text{token} \mid \text{all tokens before})$ over its tokens, in
# nats. One pass of the model gives all of them.


# %%
@torch.no_grad()
def log_likelihood(given: list[int], answer: list[int]) -> float:
    """Of the answer's tokens behind the given ones, in nats."""
    log_p = model(torch.tensor([given + answer])).logits[0].log_softmax(dim=-1)
    before = len(given) - 1  # the place that predicts the first token of the answer
    return sum(float(log_p[before + place, token]) for place, token in enumerate(answer))


def split(prompt: str, answer: str) -> tuple[list[int], list[int]]:
    """Both encoded together, and cut where the prompt alone ends."""
    start = len(tokenizer(prompt).input_ids)
    tokens = tokenizer(f"{prompt} {answer}").input_ids
    return tokens[:start], tokens[start:]


sums = np.array([log_likelihood(*split(item.prompt, choice)) for choice in item.choices])
lengths = np.array([len(choice) for choice in item.choices])
table = {
    "ending": item.choices,
    "sum": [f"{value:.1f}" for value in sums],
    "characters": lengths,
    "sum / characters": [f"{value:.3f}" for value in sums / lengths],
}
Markdown(to_markdown(pd.DataFrame(table)))

# %%
by_sum, by_length = int(sums.argmax()), int((sums / lengths).argmax())
Markdown(
    f"By the sum (`acc`) the model picks ending {by_sum + 1}, by the sum a character (`acc_norm`) ending "
    f"{by_length + 1}. Right is {item.gold + 1}."
)

# %% [markdown]
# Each further token lowers the sum, so short endings have a head start. `acc_norm` divides by the length in characters,
# not in tokens, which are another unit for each model.
#
# ### Checkpoint

# %%
theirs = slimnb.score_choices(model, tokenizer, [item])[0].log_likelihoods
assert np.allclose(sums, theirs, atol=1e-3), "not slimnb's: where does the answer begin, and which place predicts it?"
row = shipped.items("workshop_commonsense").set_index("id").loc[item.id]
assert row["prediction"] == by_length, "the shipped run picked another ending: are these the same weights?"
gap = np.abs(sums - row["log_likelihoods"]).max()
Markdown(
    f"**Checkpoint passed**: the sums are those of slimnb. The shipped run computed in bfloat16 and is up to {gap:.2f} "
    "nats away from float32: scores in two precisions do not compare item by item."
)

# %% [markdown]
# **Predict**: in how many percent of all items does the division change the pick?

# %%
changed = None  # your prediction in percent

# %%
answers = shipped.items("workshop_commonsense").set_index("id")
picks = []
for one in commonsense:
    found = np.array(answers.loc[one.id, "log_likelihoods"])
    picks.append((found.argmax(), (found / [len(choice) for choice in one.choices]).argmax(), one.gold))
summed, normalized, gold = np.array(picks).T
workshop.compare(changed, 100 * float((summed != normalized).mean()), "%")

# %%
metrics = shipped.record.scores["workshop_commonsense"].metrics
assert (summed == gold).sum() == metrics["acc"].k, "acc is the largest sum"
assert (normalized == gold).sum() == metrics["acc_norm"].k, "acc_norm is the largest sum a character"
Markdown(
    f"**Checkpoint passed**: acc {metrics['acc'].k} and acc_norm {metrics['acc_norm'].k} of {len(gold)}, as the run "
    "recorded. A score without its metric's name says little."
)

# %% [markdown]
# ## Where the answer begins
#
# The space before an answer belongs to its first token. If the space is left at the prompt's end, and the answer
# encoded by itself, the model is asked for tokens that it has hardly ever seen there:

# %%
answer = item.choices[item.gold]
together = split(item.prompt, answer)
apart = tokenizer(item.prompt + " ").input_ids, tokenizer(answer).input_ids
for name, (given, predicted) in {"together": together, "apart": apart}.items():
    ends, begins = tokenizer.convert_ids_to_tokens(given[-2:]), tokenizer.convert_ids_to_tokens(predicted[:3])
    print(f"{name:9} ... {ends} | {begins} ...   {log_likelihood(given, predicted):.1f} nats")

# %% [markdown]
# (`Ġ` is a space in this tokenizer.) The same ending, and far less likely. slimnb encodes prompt and answer together,
# as lm-evaluation-harness does.
#
# ## One beginning, or two
#
# Some tokenizers put a beginning-of-sequence token (BOS) in front of every text, this one does not. If the prompt has
# one already, it is doubled, and no error tells:

# %%
bos = tokenizer.bos_token_id
table = {"ending": item.choices, "no BOS": [f"{value:.2f}" for value in sums]}
for name, start in {"one BOS": [bos], "two BOS": [bos, bos]}.items():
    pairs = [split(item.prompt, choice) for choice in item.choices]
    table[name] = [f"{log_likelihood(start + given, predicted):.2f}" for given, predicted in pairs]
Markdown(to_markdown(pd.DataFrame(table)))

# %% [markdown]
# The sums move, and not alike: enough to change a close pick. slimnb takes one of two away, and compares runs only if
# they were asked with the same prompts.

# %%
from slimnb.compute.tokens import encode

assert encode(tokenizer, 2 * tokenizer.bos_token + item.prompt)[:2] != [bos, bos], "two BOS in front of the prompt"
print("Checkpoint passed.")

# %% [markdown]
# ## A letter, or the answer itself
#
# MMLU is asked in two ways. With letters, here for the first 20 questions:

# %%
from slimnb.benchmarks.mmlu_cs import MmluCsLetters

lettered = MmluCsLetters("with letters", ("workshop_cs",)).load(limit=20).items
print(lettered[0].prompt)

# %% [markdown]
# The answer is the likeliest of the tokens ` A`, ` B`, ` C`, ` D`. In the whole set each is right equally often.
# **Predict**: how many percent of its picks does the model spend on its favourite letter?

# %%
favourite = None  # your prediction in percent

# %%
found = slimnb.score_choices(model, tokenizer, lettered)
letters = Counter("ABCD"[int(np.argmax(one.log_likelihoods))] for one in found)
display(workshop.compare(favourite, 100 * max(letters.values()) / len(lettered), "%"))
right = Counter("ABCD"[question.gold] for question in lettered)
hits = sum(int(np.argmax(one.log_likelihoods)) == question.gold for one, question in zip(found, lettered, strict=True))
Markdown(
    f"Picks: {dict(sorted(letters.items()))}. Right: {dict(sorted(right.items()))}. Hits: {hits} of {len(lettered)}."
)

# %%
tokens = [split(lettered[0].prompt, letter)[1] for letter in "ABCD"]
assert all(len(one) == 1 for one in tokens), "a letter with its space is one token: one pass scores all four"
with torch.no_grad():
    log_p = model(torch.tensor([tokenizer(lettered[0].prompt).input_ids])).logits[0, -1].log_softmax(dim=-1)
by_hand = [float(log_p[one[0]]) for one in tokens]
assert np.allclose(by_hand, found[0].log_likelihoods, atol=1e-3), "read them at the last place of the prompt"
assert max(letters.values()) > len(lettered) / 2, "the model has no favourite: was another one loaded?"
print("Checkpoint passed.")

# %% [markdown]
# A letter that is always the same is right as often as chance puts the answer there, and says nothing of what the model
# knows. In the **cloze** form the choices themselves are compared, as the endings were, and no letter can be a
# favourite. `workshop_cs` is scored so. Whether that shows any knowledge is another question: see its score below.
# slimnb has both forms of MMLU, `mmlu_cs` and `mmlu_cs_cloze`, and never compares one with the other.
#
# ## Reading a number out of an answer
#
# Greedy decoding by hand: take the likeliest token, again and again, until the model ends or says a stop word.

# %%
mathematics = slimnb.get_benchmark("workshop_math")
problem = mathematics.load(limit=1).items[0]


@torch.no_grad()
def greedy(prompt: str, most: int) -> str:
    tokens, made = tokenizer(prompt).input_ids, []
    while len(made) < most:
        made.append(int(model(torch.tensor([tokens + made])).logits[0, -1].argmax()))
        text = tokenizer.decode(made, skip_special_tokens=True)
        if made[-1] == tokenizer.eos_token_id or any(word in text for word in mathematics.stop):
            break
    return re.split("|".join(map(re.escape, mathematics.stop)), text)[0]


text = greedy(problem.prompt, mathematics.max_new_tokens)
theirs = slimnb.generate(model, tokenizer, [problem.prompt], mathematics.max_new_tokens, mathematics.stop)[0].text
assert text == theirs, "not slimnb's: is the end-of-sequence token known, and are special tokens left out?"
print(problem.prompt + text)

# %% [markdown]
# Two ways to read it, both of lm-evaluation-harness: **strict-match** takes the number behind `####`,
# **flexible-extract** the last number anywhere. Commas, dollar signs and a final dot do not count. By hand:


# %%
def strict(text: str) -> str:
    found = re.search(r"#### (-?[0-9.,]+)", text)
    return found.group(1) if found else "nothing"


def flexible(text: str) -> str:
    found = re.findall(r"-?[$0-9.,]{2,}|-?[0-9]+", text)
    return found[-1] if found else "nothing"


def number(text: str) -> str:
    return re.sub(r"[,$]|\.$", "", text)


written = shipped.items("workshop_math").set_index("id")
strictly = [number(strict(text)) == right for text, right in zip(written["text"], written["gold"], strict=True)]
flexibly = [number(flexible(text)) == right for text, right in zip(written["text"], written["gold"], strict=True)]

# %%
score = shipped.record.scores["workshop_math"]
assert sum(strictly) == score.metrics["strict-match"].k, "the first number behind four hashes and a space"
assert sum(flexibly) == score.metrics["flexible-extract"].k, (
    "the last number; commas, dollars and a final dot do not count"
)
Markdown(
    f"**Checkpoint passed**: of the base model's {len(written)} answers {sum(strictly)} are right strictly and "
    f"{sum(flexibly)} flexibly, as the run recorded. {score.hit_limit.k} ran into the limit of "
    f"{mathematics.max_new_tokens} tokens: a number that would have come later is lost."
)

# %% [markdown]
# Neither reading is the truth. Three of the answers:

# %%
chosen = written.loc[[f"workshop_math:{name}" for name in ("937a7d222df1", "d020c2a7eae0", "cdcd7d3d8049")]]
questions = {one.id: one.question for one in mathematics.load().items}
for name, answer in chosen.iterrows():
    print(f"{questions[name]}{answer['text']}")
    print(f"   RIGHT {answer['gold']} | STRICT {strict(answer['text'])} | FLEXIBLE {flexible(answer['text'])}\n")
assert list(chosen["correct_flexible-extract"]) == [True, True, False], "the text below speaks of other answers"

# %% [markdown]
# The first is right, and strict sees nothing. The second is right and talks on: one number more, and flexible would
# have read that. The third is nonsense in which the right number stands twice: had it ended there, flexible would have
# called it right. So slimnb reports both readings, keeps every text, and judges a change by the one that was named
# before.
#
# ## The base model's scores
#
# **Predict**: how many percent of the computer-science questions does the untouched model get right in the cloze form?
# Guessing gets one in four.

# %%
computer_science = None  # your prediction in percent

# %%
from slimnb.figures import scores, scores_frame

base = workshop.runs(MODE, "base")["base"]
benchmark = next(name for name in base.record.scores if name in ("workshop_cs", "mmlu_cs_cloze"))
display(workshop.compare(computer_science, 100 * base.record.scores[benchmark].score.value, "%"))
scores(scores_frame([base]))

# %%
said = []
for name, result in base.record.scores.items():
    one = result.score
    line = f"- **{name}** ({result.primary}): {one.k} of {one.n}, {one.value:.1%} ({one.low:.1%} to {one.high:.1%})"
    if result.chance is not None:
        place = "above" if one.low > result.chance else "below" if one.high < result.chance else "not told apart from"
        line += f", {place} guessing ({result.chance:.0%})"
    said.append(line)
Markdown("\n".join(said))

# %% [markdown]
# A score below guessing is no contradiction. A guess has no habits; a model has some, and they can lead away from the
# right choice. And of twenty 95% intervals one misses the truth on average.
#
# ## Exercises
#
# **Exercise 1** (easy). Compute Wilson's 95% interval of the common-sense score yourself, and compare it with
# `slimnb.wilson`. It holds all $p$ with $\lvert k/n - p \rvert \le 1.96 \sqrt{p (1 - p) / n}$. How many items would
# halve its width?
#
# **Exercise 2** (medium). Divide the sums by the number of tokens, or of bytes, instead of characters
# (`answer_tokens` and `answer_bytes` in the items). How many picks change, and what are the scores?
#
# **Exercise 3** (open). Write a reading of your own, for example the number behind "answer is", else the last one. How
# many answers of the base model, and of the LoRA run, does it count as right? Why must one not choose the reading after
# seeing the scores?
#
# ## Key points
#
# - A score is a model, a prompt, a metric and a reading of answers. Change one, and it is another score.
# - Sums favour short answers; boundaries and doubled beginnings change them silently; letters measure habits, too.
# - Read what the model wrote, and count how often the limit cut it.
#
# **Next**: [04_train_lora](04_train_lora.ipynb)
