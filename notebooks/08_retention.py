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
# # 08 · Retention
#
# **Goal**: find what a fine-tune forgot of what it was not trained for, tell it from luck, and see what helps: rank,
# learning rate, mixing in. **Minutes**: 35. The study takes hours and is read. `quick` trains one small run beside it,
# with five times the learning rate; `full` measures the whole study.

# %%
import numpy as np
import pandas as pd
from IPython.display import Markdown, display

import slimnb
from slimnb import workshop
from slimnb.analysis.comparison import compare_pair
from slimnb.analysis.exports import to_markdown
from slimnb.analysis.fine_tunes import of_the_same_seeds
from slimnb.analysis.gains import gains_frame, plane_frame
from slimnb.analysis.retention import retention
from slimnb.figures import gains_matrix, retention_plane
from slimnb.findings.claims import at_floor
from slimnb.findings.words import bits
from slimnb.units import points_between

MODE = workshop.mode()
study = workshop.study(MODE)
workshop.progress(study)

# %% [markdown]
# ## One fine-tune, one benchmark
#
# Of all fine-tunes and all benchmarks that they were not trained for, take the pair whose base has most answers right
# (the first one, if several have as many): there is most to lose.

# %%
usual = [one for one in study.fine_tunes if not one.variant]
pairs = [(one, name) for one in usual for name in one.changes if name != one.target]
assert pairs, "no fine-tune is complete yet: there is nothing that could have been forgotten"
one, benchmark = max(pairs, key=lambda pair: study.benchmarks[pair[1]].score.k)
base, tuned = one.base, one.runs[0]
result = study.benchmarks[benchmark]
Markdown(
    f"**{one.name}**, seed {tuned.config.seed}, on **{benchmark}**. The base has {result.score.k} of {result.score.n} "
    f"right ({result.score.value:.1%}, 95% {result.score.low:.1%} to {result.score.high:.1%})."
)

# %% [markdown]
# **Predict**: of the items that the base has right, how many percent are still right after the training?

# %%
still_right = None  # your prediction in percent

# %%
column = f"correct_{result.primary}"
before, after = (run.items(benchmark).set_index("id")[column].astype(bool) for run in (base, tuned))
kept, lost, won = int((before & after).sum()), int((before & ~after).sum()), int((~before & after).sum())
display(workshop.compare(still_right, 100 * kept / (kept + lost), "%"))
Markdown(f"{kept} still right, {lost} lost, {won} won; net {won - lost:+d} of {len(before)} items.")

# %% [markdown]
# ### Checkpoint

# %%
theirs = next(found for found in retention([base, tuned])[0] if found.change.benchmark == benchmark)
assert (kept + lost, won) == (theirs.right, theirs.change.paired.fixed), "both runs answer the same items: join by id"
assert np.isclose(kept / (kept + lost), theirs.kept), "the share is of the base's right items, not of all"
print(f"Checkpoint passed: {theirs.verdict}.")

# %% [markdown]
# ## By luck
#
# Some right answers were guesses, and training can make a guess fall anew. Of a score $p$ with a chance of $c$, the
# share that is known is $q = (p - c) / (1 - c)$, if what is not known is guessed. If all guesses fell anew and
# **nothing were forgotten**, of the base's right items there would still be right only
#
# $$\frac{q + (1 - q)\,c^2}{q + (1 - q)\,c}.$$
#
# **Predict**: how many percent is that here?

# %%
by_luck = None  # your prediction in percent

# %%
chance = result.chance or 0.0
known = max(0.0, (result.score.value - chance) / (1 - chance))
formula = (known + (1 - known) * chance**2) / (known + (1 - known) * chance)
workshop.compare(by_luck, 100 * formula, "%")

# %% [markdown]
# The same by a model that forgets nothing, made of dice: it knows some items, and guesses the others twice.

# %%
dice = np.random.default_rng(0)
knows = dice.random((500, len(before))) < known
first, second = (knows | (dice.random(knows.shape) < chance) for _ in range(2))
simulated = (first & second).sum() / first.sum()
assert abs(simulated - formula) < 0.01, "guess anew for the second answer, and keep what is known"
assert np.isclose(formula, theirs.by_luck), "known are (p - c) / (1 - c) of all items"
Markdown(f"**Checkpoint passed**: the dice keep {simulated:.1%}, the formula says {formula:.1%}.")

# %%
net, paired = theirs.change, theirs.change.paired
between = points_between(paired.difference, paired.low, paired.high)
if net.resolved:
    said = f"a net {'loss' if paired.difference < 0 else 'gain'} is resolved"
else:
    said = "no net change is resolved"
Markdown(
    f"Measured: {kept / (kept + lost):.1%} kept. The net change is {between} points: {said}. Guesses move the net "
    "change up as often as down, so only a net loss says **forgotten**; the share kept says how much was shuffled. A "
    "net change near 0 can still hide a loss behind a gain."
)

# %% [markdown]
# A model that trains lightly does not guess anew everywhere, and may keep more than luck would. That does not show that
# it forgot nothing.
#
# ## All of it
#
# **Predict**: in how many percent of all cases (fine-tune x other benchmark) is a net loss resolved?

# %%
losses = None  # your prediction in percent

# %%
gains = gains_frame(study.runs)
plain = gains[gains["run"].isin([one.runs[0].path.name for one in usual])].dropna(subset=["difference"])
cases = plain[~plain["target"].astype(bool)]
floors = [name for name in study.benchmarks if at_floor(study, name)]
floor = cases["benchmark"].isin(floors)
down = cases["resolved"].astype(bool) & (cases["difference"] < 0)
up = cases["resolved"].astype(bool) & (cases["difference"] > 0)
display(workshop.compare(losses, 100 * float(down.mean()), "%"))
Markdown(
    f"Of {len(cases)} cases a net loss is resolved in {int(down.sum())} and a net gain in {int(up.sum())}. In "
    f"{int(cases['at_chance'].astype(bool).sum())} the base is not told from guessing, and in {int(floor.sum())} it is "
    "at the floor, with hardly an answer right: there a count shows no loss, whatever happened."
)

# %% [markdown]
# The eight with the most downward net change, above the floor. "Resolved" is after Holm's correction over the
# fine-tune's benchmarks ([06](06_compare.ipynb)). The intervals are not corrected: one may leave out 0 where nothing is
# resolved. And the base has 16 bits, so QLoRA's changes hold what 4 bits cost, too ([02](02_four_bits.ipynb)). Of
# several seeds, "still right" and the net change are means; lost and won are the items that are less and more often
# right than in the base, so their difference is not the net change.

# %%
rows = [
    {
        "fine-tune": f"{case.method} on {case.training_set}", "benchmark": case.benchmark,
        "still right": "-" if pd.isna(case.kept) else f"{case.kept:.1%} of {case.right:.0f}",
        "by luck": f"{case.by_luck:.0%}", "seeds": case.seeds,
        "lost / won": f"{case.broken:.0f} / {case.fixed:.0f}",
        "net change (95%), points": points_between(case.difference, case.low, case.high),
        "": "resolved" if case.resolved else "",
    }
    for case in cases[~floor].sort_values("difference").head(8).itertuples()
]  # fmt: skip
Markdown(to_markdown(pd.DataFrame(rows)))

# %% [markdown]
# Where no count moves, at the floor above all, the likelihood of the right answers still can. In bits per byte gained
# (95%), below 0 is less likely than before; in brackets what it was trained for:

# %%
rows, less = [], 0
for one in usual:
    cells = {name: bits(gold) for name, gold in one.gold.items()}
    less += sum(gold.low > 0 for name, gold in one.gold.items() if name != one.target)  # more bits are less likely
    rows.append({"fine-tune": one.name} | {k: f"[{said}]" if k == one.target else said for k, said in cells.items()})
Markdown(to_markdown(pd.DataFrame(rows).fillna("-")))

# %%
Markdown(
    f"Elsewhere the right answers became less likely in {less} of {len(cases)} cases, by the whole interval; a net "
    f"loss of right answers is resolved in {int(down.sum())}. A model that was taught one form finds others less "
    "likely, and may still choose right. So bits tell early, and not yet that knowledge is gone."
)

# %% [markdown]
# ## The learning-forgetting plane
#
# Up: gained on what it was trained for. Left: lost elsewhere, on average over the other benchmarks. A method that
# learns and does not forget is at the top, on the grey line or to the right of it. A set that is made for no benchmark,
# such as `alpaca`, has no place here.

# %%
retention_plane(plane_frame(plain[plain["method"] != "qlora"]))  # fewer points, easier to read

# %%
counts = ", ".join(f"{name} {int(one.items)}" for name, one in study.benchmarks.items())
said = f" At the floor, and counted all the same: {', '.join(floors)}." if floors else ""
Markdown(f"Items: {counts}.{said} `mmlu_cs` and `mmlu_cs_cloze` are the same questions, asked in two ways.")

# %% [markdown]
# ## Less learned, less forgotten?
#
# "LoRA Learns Less and Forgets Less" (arXiv 2405.09673) found so, for models of billions of weights and much longer
# trainings. Here full fine-tuning against LoRA on the same training set, item by item. Points above 0: full is better.

# %%
rows, learned, forgotten = [], [], []
for tuned in study.usual("full"):
    counterpart = study.on("lora", tuned.data)
    if counterpart is None:
        continue
    lora, full = of_the_same_seeds(counterpart, tuned)
    for found in compare_pair(lora.runs, full.runs, list(full.changes))[0]:
        paired = found.paired
        (learned if found.benchmark == full.target else forgotten).append(found)
        between = points_between(paired.difference, paired.low, paired.high)
        place = "trained for" if found.benchmark == full.target else "elsewhere"
        rows.append((full.training_set, found.benchmark, place, between, "yes" if found.resolved else ""))
columns = ["training set", "benchmark", "", "full less LoRA (95%), points", "resolved"]
Markdown(to_markdown(pd.DataFrame(rows, columns=columns)) if rows else "**Not measured** yet: no full fine-tuning.")


# %%
def resolved(found: list[slimnb.Comparison], sign: int) -> int:
    return sum(one.resolved and sign * one.paired.difference > 0 for one in found)


def outcome(claim: str, agree: int, against: int, cases: int) -> str:
    if not cases:
        return f"- {claim}: not measured yet."
    rest = cases - agree - against
    return f"- {claim}: {agree} of {cases} cases agree, {against} disagree, {rest} not resolved."


Markdown(
    "\n".join(
        [
            outcome("LoRA learns less", resolved(learned, 1), resolved(learned, -1), len(learned)),
            outcome("LoRA forgets less", resolved(forgotten, -1), resolved(forgotten, 1), len(forgotten)),
        ]
    )
)

# %% [markdown]
# Not resolved is not refuted: these trainings are short, and their effects may be smaller than so many items show. Two
# methods also compare at the learning rates that somebody chose for them.
#
# ## What helps: the rank
#
# A lower rank leaves less room to learn, and perhaps less to forget with. Yet arXiv 2410.21228 finds more of what it
# ties to forgetting at low ranks ([09](09_anatomy.ipynb)). **Predict**: the gain on HellaSwag in points of LoRA with
# rank 1 on `hellaswag_train`.

# %%
rank_one = None  # your prediction in points

# %%
ranked = {
    one.runs[0].path.name: one for one in study.fine_tunes if (one.method, one.data) == ("lora", "hellaswag_train")
}
ranks = {name: one.runs[0].config.lora.rank for name, one in ranked.items()}
whole = {name for name, one in ranked.items() if one.runs[0].config.lora.targets == "all-linear"}
in_order = sorted(ranked, key=lambda name: (name not in whole, ranks[name]))
called = {name: f"rank {ranks[name]}" if name in whole else "attention alone" for name in in_order}
varied = pd.concat([gains[gains["run"] == name].assign(variant=called[name]) for name in in_order] or [gains[:0]])
plane = plane_frame(varied)
lowest = plane[[ranks[run] == 1 for run in plane["run"]]] if len(plane) else plane
workshop.compare(rank_one, 100 * float(lowest["gain"].iloc[0]) if len(lowest) else None, " points")

# %%
rows = [
    {
        "rank": ranks[row.run], "layers": "all linear" if row.run in whole else "attention alone", "seeds": row.seeds,
        "trained": f"{ranked[row.run].runs[0].record.costs.trainable_parameters:,}",
        "gain on HellaSwag (95%), points": points_between(row.gain, row.gain_low, row.gain_high),
        "mean change elsewhere (95%), points": points_between(row.elsewhere, row.elsewhere_low, row.elsewhere_high),
    }
    for row in plane.itertuples()
]  # fmt: skip
Markdown(to_markdown(pd.DataFrame(rows)) if rows else "**Not measured** yet.")

# %%
gains_matrix(varied)

# %%
spread = sorted((ranks[name], name) for name in whole)
if len(spread) < 2:
    said = "Only one rank is measured yet: what the rank changes cannot be told."
else:
    (low, small), (high, large) = spread[0], spread[-1]
    found = compare_pair(ranked[small].runs[0], ranked[large].runs[0], list(study.benchmarks))[0]
    changed = [f"{pair.benchmark} {100 * pair.paired.difference:+.1f} points" for pair in found if pair.resolved]
    said = f"Rank {high} less rank {low}, one seed each, on the same items: "
    said += f"resolved are {', '.join(changed)}." if changed else "no difference is resolved on any benchmark."
Markdown(said)

# %% [markdown]
# ## What helps: the learning rate
#
# A larger step moves the weights further in as many steps, wherever it leads. The study does not vary it, `quick` does:
# five times the rate, on the workshop's word problems, which train in minutes. **Predict** its mean change elsewhere,
# in points. (The other modes show the usual rate alone.)

# %%
hotter = None  # your prediction in points

# %%
tried = [workshop.runs("replay", "base", "lora")]
if MODE == "quick":
    tried.append(workshop.runs("quick", "base") | {"lora": workshop.another("lora", learning_rate=5e-3)})
places = [plane_frame(gains_frame([runs["base"], runs["lora"]])).iloc[0] for runs in tried]
rows = [
    {
        "learning rate": f"{runs['lora'].config.training.learning_rate:g}",
        "gain on word problems (95%), points": points_between(at.gain, at.gain_low, at.gain_high),
        "mean change elsewhere (95%), points": points_between(at.elsewhere, at.elsewhere_low, at.elsewhere_high),
    }
    for runs, at in zip(tried, places, strict=True)
]  # fmt: skip
display(workshop.compare(hotter, 100 * places[1].elsewhere if len(places) > 1 else None, " points"))
Markdown(to_markdown(pd.DataFrame(rows)))

# %% [markdown]
# ## What helps: mixing in
#
# Rows of what must not be forgotten can be mixed among the others. A hundredth part of their rows was enough to keep
# earlier tasks in "Fine-tuned Language Models are Continual Learners" (arXiv 2205.12393). It costs their share of the
# steps, and needs such rows. The study has no such run: exercise 3 trains one.
#
# ## Explain
#
# A fine-tune with no resolved loss may have lost what no benchmark here asks: its chat form, other languages, long
# answers. And a base near chance has nothing to lose. So choose the benchmarks of retention by what your users do, and
# before you train.
#
# ## Exercises
#
# **Exercise 1** (easy). MMLU's items have a subject. In which of the four does the fine-tune of your choice lose most,
# and is that more than luck with so few items? (`run.items("mmlu_cs_cloze")` has a column `subject`.)
#
# **Exercise 2** (medium). Two simpler numbers: the new score over the old one, and the share of the score above chance
# that is left. Compute both for all cases. Where do they mislead?
#
# **Exercise 3** (open). Mix one row of `workshop_commonsense` into every ten of `workshop_math`, train, and compare
# with the run that was trained without. Predict both changes. What does it show, and what not?
#
# ## Key points
#
# - The share that is still right needs the share by luck beside it; only a net loss says "forgotten", and a gain can
#   hide one.
# - Learning and forgetting are two axes: show both, with intervals, for each method.
# - Not resolved is not "nothing forgotten": say how much so many items would have shown.
#
# **Next**: [09_anatomy](09_anatomy.ipynb)
