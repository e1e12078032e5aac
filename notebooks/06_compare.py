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
# # 06 · Compare
#
# **Goal**: say whether two models differ, whether they are equally good, or that so many items cannot tell; by tests
# that you have computed yourself. **Minutes**: 40. Nothing is trained here: in `quick` the runs of 04 and 05 are read.

# %%
from functools import partial

import numpy as np
import pandas as pd
from IPython.display import Markdown, display
from scipy.stats import binom, binomtest, norm

import slimnb
from slimnb import workshop
from slimnb.analysis.comparison import MARGIN
from slimnb.analysis.drilldown import drill_down, items_frame
from slimnb.analysis.exports import comparison_frame, to_markdown
from slimnb.data.load import data_directory
from slimnb.evaluation.evaluate import evaluate
from slimnb.evaluation.noise import evaluation_noise, measure_noise
from slimnb.figures import differences, pair_frame, scores, scores_frame
from slimnb.units import points_between

MODE = workshop.mode()
runs = workshop.runs(MODE, "base", "lora", "qlora")
base, lora, qlora = runs.values()
benchmark = next(iter(lora.record.scores))
column = f"correct_{lora.record.scores[benchmark].primary}"
first, second = (run.items(benchmark).sort_values("id")[column].to_numpy(dtype=bool) for run in (lora, qlora))
n = len(first)
Markdown(f"Is QLoRA as good as LoRA? On {benchmark} LoRA has {first.sum()} of {n} right, and QLoRA {second.sum()}.")

# %% [markdown]
# ## Two intervals are not a test

# %%
scores(scores_frame([lora, qlora]))

# %% [markdown]
# Each interval says where a model's score may be on other items, and a good part of that doubt is how hard the items
# are. But both models had the *same* items. **Predict**: how many of them did only one of the two answer right?

# %%
discordant_items = None  # your prediction

# %%
fixed, broken = int((~first & second).sum()), int((first & ~second).sum())
display(workshop.compare(discordant_items, fixed + broken))
table = pd.crosstab(np.where(first, "LoRA right", "LoRA wrong"), np.where(second, "QLoRA right", "QLoRA wrong"))
Markdown(to_markdown(table.rename_axis(index="items").reset_index()))

# %% [markdown]
# ## McNemar's test
#
# Items that both got right, or both wrong, cannot tell the two apart. If the models are equally good, each of the
# others, the **discordant** ones, is a coin: heads for LoRA, tails for QLoRA. **Predict**: how often would equal models
# share the coins out at least as unevenly as here, in percent? That is the p-value.

# %%
p_value = None  # your prediction in percent

# %%
pair = slimnb.compare(lora, qlora, benchmark)
p = binomtest(fixed, fixed + broken).pvalue
display(workshop.compare(p_value, 100 * p, "%"))
assert (fixed, broken) == (pair.paired.fixed, pair.paired.broken), (
    "fixed: LoRA wrong and QLoRA right; are items aligned?"
)
assert abs(p - pair.paired.p_value) < 1e-9, "count the coins of both sides: a test for worse alone is another test"
Markdown(f"**Checkpoint passed**: {fixed} coins for QLoRA, {broken} for LoRA, p = {p:.2g}, as `slimnb.compare` says.")

# %% [markdown]
# ## The interval of the difference
#
# A p-value does not say how large the difference is. The **paired bootstrap** draws n items, with replacement, ten
# thousand times, and looks at how the difference moves. slimnb adds two made-up items, one fixed and one broken:
# without them, two models that never differ would get an interval of no width.
#
# **Predict**: how wide is the 95% interval, in points?

# %%
width = None  # your prediction in points

# %%
changes = np.append(second.astype(int) - first, (1, -1))
draws = np.random.default_rng(1).choice(changes, size=(10_000, n)).mean(axis=1)
low, high = np.quantile(draws, (0.025, 0.975))
workshop.compare(width, 100 * (high - low), " points")

# %%
paired = pair.paired
assert abs(low - paired.low) + abs(high - paired.high) < 4 / n, "not slimnb's: draw whole items, and n of them"
apart = 2 * norm.ppf(0.975) * np.sqrt((first.var() + second.var()) / n)
border = (
    "The interval excludes zero and p is above 5%: at the border the exact test is the stricter, and slimnb goes by it."
)
Markdown(
    f"**Checkpoint passed**: {100 * low:+.1f} to {100 * high:+.1f} points; slimnb, by other draws: "
    f"{100 * paired.low:+.1f} to {100 * paired.high:+.1f}. If the two had had different items, it would be "
    f"{100 * apart:.1f} points wide: pairing is worth {(apart / (high - low)) ** 2:.1f} times as many items. "
    + (border if low * high > 0 and p > 0.05 else "")
)

# %% [markdown]
# ## What could so many items have shown?
#
# The **power** of a test: how often it finds a difference that is there. **Predict**: how many points must two models
# truly differ, so that these n items show it in 4 of 5 cases?

# %%
needed = None  # your prediction in points

# %%
discordant = (fixed + broken) / n
smallest = slimnb.smallest_difference(n, discordant)
assert smallest, "so few items changed that even all of them in one direction would be no evidence: take more items"
workshop.compare(needed, 100 * smallest, " points")

# %% [markdown]
# Tried out: two thousand pairs of models that truly differ by so much, with our share of discordant items.

# %%
generator = np.random.default_rng(2)
up = (discordant + smallest) / 2
ups, downs, _ = generator.multinomial(n, [up, discordant - up, 1 - discordant], size=2000).T
found = (2 * binom.cdf(np.minimum(ups, downs), ups + downs, 0.5) < 0.05).mean()
assert abs(found - 0.8) < 0.04, "is up - down the true difference, and up + down the discordant share?"
Markdown(f"**Checkpoint passed**: McNemar's test found it in {found:.0%} of them.")

# %% [markdown]
# And the other question: two models that are truly equal. In how many cases do n items **show** that they differ by
# less than 2 points? The same for as many items as the paper's benchmarks have, with our share of discordant items, and
# as if they were independent. (slimnb allows for MMLU's four subjects as well, and shows a difference there more
# seldom.)


# %%
def shown_equal(items: int, repeats: int = 200) -> float:
    """Of equal models with our share of discordant items: the share that the equivalence test shows to be equal."""
    place = np.arange(items)
    drawn = generator.multinomial(items, [discordant / 2, discordant / 2, 1 - discordant], size=repeats)
    pairs = ((place < down, (place >= down) & (place < down + up)) for up, down, _ in drawn)
    return float(np.mean([slimnb.equivalence(*answers, MARGIN).equivalent for answers in pairs]))


sizes = {f"{benchmark}, here": n, "mmlu_cs": 412, "gsm8k": 1319, "hellaswag": 10_042}
resolvable = {name: slimnb.smallest_difference(size, discordant) for name, size in sizes.items()}
equal = {name: shown_equal(size) for name, size in sizes.items()}
told = {name: "none" if least is None else f"{100 * least:.1f}" for name, least in resolvable.items()}
rows = [(name, f"{size:,}", told[name], f"{equal[name]:.0%}") for name, size in sizes.items()]
columns = ["benchmark", "items", "difference shown in 4 of 5 cases, points", "equal models shown within 2 points"]
Markdown(to_markdown(pd.DataFrame(rows, columns=columns)))

# %% [markdown]
# ## Noise
#
# An **A/A test** compares a model with itself: here the untouched one, on 24 items, in bfloat16. Once more in the same
# way; then in other batches, where sums may be rounded in another order; then in float32. **Predict**: how many of the
# 24 answers turn from right to wrong, or back, in float32?

# %%
flips = None  # your prediction

# %% tags=["machine"]
common_sense = slimnb.get_benchmark("workshop_commonsense")
questions, metrics = common_sense.load(limit=24), common_sense.metrics
loaded = [slimnb.load_model("smollm2-135m", dtype=dtype, device="cpu") for dtype in ("bfloat16", "float32")]
ask, precise = (partial(evaluate, model, common_sense, questions) for model in loaded)
once = ask()[0]
noise = measure_noise(ask, once, metrics, repeat=2)
again = {"in the same way": noise["identical"][0], "in other batches": noise["other_batches"]}
again["in float32"] = evaluation_noise(once, precise()[0], metrics)

# %% tags=["machine"]
flipped = {way: one["flipped"][common_sense.primary] for way, one in again.items()}
display(workshop.compare(flips, flipped["in float32"]))
rows = [(way, flipped[way], f"{one['largest_log_likelihood_difference']:.3f}") for way, one in again.items()]
Markdown(to_markdown(pd.DataFrame(rows, columns=["asked again", "turned, of 24", "largest change, nats"])))

# %%
assert flipped["in the same way"] <= 1, (
    "the same question and weights gave other answers: is something drawn at random?"
)
assert max(flipped.values()) / 24 < discordant, "the noise is as large as what the runs differ in: judge nothing by it"
Markdown(
    f"**Checkpoint passed**: LoRA and QLoRA differ in {discordant:.0%} of the items of {benchmark}, a larger share "
    "than turned here, on another benchmark. Even so, slimnb refuses to compare runs of different precision."
)

# %% [markdown]
# More changes than noise makes are not yet an improvement: any training changes answers, in both directions.
#
# ## Seeds are not items
#
# With another seed a training starts from another $A$, sees its rows in another order and ends elsewhere. So train with
# several. But three seeds are three answers to the *same* items, not three times as many items. Take it to the extreme:
# three seeds that answer exactly alike. **Predict**: which p-value do they give, in percent, if somebody counts them as
# 3n items?

# %%
pooled_p = None  # your prediction in percent

# %%
pooled = slimnb.paired_difference(np.tile(first, 3), np.tile(second, 3))
averaged = slimnb.paired_over_seeds(np.tile(first, (3, 1)), np.tile(second, (3, 1)))
display(workshop.compare(pooled_p, 100 * pooled.p_value, "%"))
ways = {"one seed": pair.paired, "three, as 3n items": pooled, "three, averaged within an item": averaged}
rows = [
    (name, one.n, f"{100 * one.low:+.1f} to {100 * one.high:+.1f}", f"{one.p_value:.2g}") for name, one in ways.items()
]
Markdown(to_markdown(pd.DataFrame(rows, columns=["way", "n", "95% interval, points", "p"])))

# %%
assert np.isclose(averaged.p_value, pair.paired.p_value), "copies say nothing new: average within an item first"
assert pooled.high - pooled.low < pair.paired.high - pair.paired.low, "copies pretend to know more: are there three?"
used = ", ".join(f"{method}: {run.config.seed}" for method, run in runs.items() if method != "base")
Markdown(
    f"**Checkpoint passed.** Our runs have one seed each ({used}). So their intervals speak of other "
    "items, and say nothing of another training: that takes more seeds (exercise 3)."
)

# %% [markdown]
# The project's reference study, on the real benchmarks, trains some recipes with three seeds. By how many points do the
# scores of one recipe differ (standard deviation), beside the change against the untouched model?

# %%
try:
    recipes = [tuned for tuned in workshop.study("replay").usual("lora", "qlora") if len(tuned.runs) > 1]
except slimnb.SlimnbError:
    recipes = []
rows = []
for tuned in recipes:
    one = tuned.changes.get(tuned.target or "")
    if one and one.paired.seed_spread[1] is not None:
        each = ", ".join(f"{100 * score.value:.1f}" for score in one.second.scores)
        change = points_between(one.paired.difference, one.paired.low, one.paired.high)
        rows.append((tuned.name, one.benchmark, each, f"{100 * one.paired.seed_spread[1]:.1f}", change))
columns = ["recipe", "benchmark", "scores, %", "spread of seeds, points", "change (95%), points"]
Markdown(to_markdown(pd.DataFrame(rows, columns=columns)) if rows else "No recipe has several seeds there yet.")

# %% [markdown]
# ## Many tests
#
# The two runs were scored on several benchmarks. Take the tests as independent, and as wrong in exactly 5% of cases.
# **Predict**: if LoRA and QLoRA are truly equal on all of them, what is the chance, in percent, that at least one test
# says otherwise?

# %%
false_alarm = None  # your prediction in percent

# %%
tests = len(lora.record.scores)
workshop.compare(false_alarm, 100 * (1 - 0.95**tests), "%")

# %% [markdown]
# **Holm's correction**: multiply the smallest p-value by the number of tests, the next by one less, and so on; none may
# become smaller than the one before, or larger than 1.

# %%
done, refused = slimnb.compare_all([base, lora, qlora])
family = [one for one in done if one.first.runs == (lora.record.id,)]
p_values = sorted(one.paired.p_value for one in family)
by_hand = np.maximum.accumulate([min(1.0, (tests - place) * p) for place, p in enumerate(p_values)])
assert np.allclose(by_hand, sorted(one.adjusted_p for one in family)), "the family is all benchmarks of one pair"
table = comparison_frame(done).assign(**{"p alone": [f"{one.paired.p_value:.2g}" for one in done]})
display(Markdown("**Checkpoint passed**: the family's corrected p-values are those of `slimnb.compare_all`."))
columns = ["first", "second", "benchmark", "n", "change (95%), points", "p alone", "p (Holm)", "verdict"]
Markdown(to_markdown(table[columns]))

# %% [markdown]
# ## Fixed and broken items
#
# Before you believe a number, read. In brackets: the number that the benchmark read.

# %%
for show in ("fixed", "broken"):
    for item in drill_down(lora, qlora, benchmark, show, data_directory(), limit=1):
        print(f"{show.upper()}: {item['text']}\nLORA: {item['first'].strip()}\nQLORA: {item['second'].strip()}")
        print(f"RIGHT: {item['gold']}\n")

# %% [markdown]
# Are they of a kind? Here by the number of steps that the right answer takes. **Predict**: of the items that changed,
# how many percent take more than one step?

# %%
several = None  # your prediction in percent

# %%
known = {item.id: item for item in slimnb.get_benchmark(benchmark).load(data_directory(), shots=0).items}
frame = items_frame(lora, qlora, benchmark)
frame["steps"] = [known[name].gold.count("<<") or known[name].gold.count(" = ") for name in frame["id"]]
changed = frame[frame["change"].isin(["fixed", "broken"])]
assert len(changed) == fixed + broken, "an item changed if exactly one of the two is right"
display(workshop.compare(several, 100 * (changed["steps"] > 1).mean(), "%"))
display(Markdown(f"**Checkpoint passed.** Of all items {(frame['steps'] > 1).mean():.0%} take more than one step."))
Markdown(to_markdown(pd.crosstab(frame["steps"], frame["change"]).reset_index()))

# %% [markdown]
# Such a table is a source of questions. Who looks at many kinds and reports the one that stands out has made as many
# tests as there are kinds: ask new items.
#
# ## The verdict
#
# The band is the margin of 2 points, named before; the lines are 95% intervals. A corrected p below 5% shows a
# difference; a 90% interval inside the band shows that the two are equally good within it; in all other cases so many
# items cannot tell.

# %%
differences(pair_frame(lora, qlora), "QLoRA against LoRA", MARGIN)

# %%
assert all(f"{one.paired.n} items" in one.verdict for one in family), "a verdict without its n says nothing"
Markdown("**Checkpoint passed**: every verdict has its n.\n\n" + "\n".join(f"- {one.verdict}" for one in family))

# %%
gain, here = done[0], next(iter(sizes))
Markdown(
    f"**What {n} items can and cannot tell.** LoRA's gain of {100 * gain.paired.difference:+.1f} points over the "
    f"untouched model is {'' if gain.resolved else 'not '}resolved. Between two trained models, which differ in "
    f"{discordant:.0%} of items, {n} items show differences from {told[here]} points on, in 4 of 5 "
    f"cases. Two truly equal ones they would show to be within 2 points in {equal[here]:.0%} of cases; "
    f"GSM8K's {sizes['gsm8k']:,} in {equal['gsm8k']:.0%}, HellaSwag's {sizes['hellaswag']:,} in "
    f"{equal['hellaswag']:.0%}."
)

# %% [markdown]
# The paper's findings are about gains; large ones a few hundred items resolve. "QLoRA keeps LoRA's quality" is a claim
# of equality: it takes a margin, many items and several seeds.
#
# ## Exercises
#
# **Exercise 1** (easy). Has LoRA's training changed `workshop_commonsense`, for which it was not made? Write the
# sentence that you would print in a paper. With which margin could you have said "equally good"? (`slimnb.compare`
# takes it as a proportion: `margin=0.03`.)
#
# **Exercise 2** (medium). Simulate two equally good methods with three seeds each, where some items suit one method and
# some the other. How often does McNemar's test over 3n items reject at 5%, and how often `slimnb.paired_over_seeds`?
#
# **Exercise 3** (open). Train LoRA and QLoRA with seeds 1 and 2, and compare the two sets. How much do seeds of one
# method differ, beside the difference of the methods?
#
# ## Key points
#
# - Same items: test the pairs. Overlapping intervals are no test, and separate ones waste items.
# - Not resolved is not equal. Equal needs a margin, named before, and many items. `slimnb.smallest_difference` says
#   which difference so many items show.
# - Average seeds within an item first; correct for the number of tests; know the noise; read items.
#
# **Next**: [07_alignment](07_alignment.ipynb)
