"""The paper's claims (arXiv 2506.10885), each held against a study: what was measured, and agree or disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from slimnb.comparison import ALPHA, MARGIN, Comparison, compare_pair
from slimnb.findings.study import FineTune, Study, gold_of
from slimnb.findings.words import bits, change, gain, join, points, score, seeds
from slimnb.guard import config_difference, costs_differ_in
from slimnb.runs import RunFolder
from slimnb.stats import holm
from slimnb.tables import duration, gigabytes

Verdict = Literal["agree", "disagree", "not resolved", "not measured"]
FLOOR = 0.05
"""A generated answer's score whose interval lies below this says little: bits per byte of the right answers judge."""
LARGE = 0.2
"""The paper's "up to 20% and more"."""


@dataclass(frozen=True)
class Case:
    """One place where a claim was looked at."""

    verdict: Verdict
    evidence: str


@dataclass(frozen=True)
class Claim:
    text: str
    rule: str
    """How a case is judged."""
    cases: tuple[Case, ...]
    one_is_enough: bool = False
    """Whether a case that agrees makes the claim true, as with "up to"."""

    @property
    def verdict(self) -> str:
        """The cases' verdict where they are of one mind, else how many of each."""
        counts = Counter(case.verdict for case in self.cases if case.verdict != "not measured")
        if len(counts) < 2:
            return next(iter(counts), "not measured")
        if self.one_is_enough:
            return "agree" if counts["agree"] else "not resolved"
        total, kinds = sum(counts.values()), ("agree", "disagree", "not resolved")
        return ", ".join(f"{kind} {counts[kind]}" for kind in kinds if counts[kind]) + f" of {total}"


def claims(study: Study) -> list[Claim]:
    """Every claim, in the paper's order."""
    within = f"{100 * MARGIN:g} points"
    return [
        Claim(
            "LoRA-based methods improve the task that they are trained for",
            "Of each training set made for a benchmark. agree: the paired change is resolved (Holm's correction over "
            f"the fine-tune's benchmarks) and a gain. disagree: a resolved loss, or shown to be within {within} of no "
            f"change. Where the base is at the floor (its interval below {100 * FLOOR:g}%), the bits per byte of the "
            "right answers decide instead.",
            tuple(_improvements(study)),
        ),
        Claim(
            "The improvement is up to 20 points and more",
            'agree: the whole interval is above 20 points. disagree: all of it is below. "Up to" asks for one case.',
            tuple(_large(study, relative=False)),
            one_is_enough=True,
        ),
        Claim(
            "The improvement is up to 20% of the base's score and more",
            "The other reading of 20%, judged likewise; the base's own uncertainty is left aside, and a base at the "
            "floor has no share worth the name.",
            tuple(_large(study, relative=True)),
            one_is_enough=True,
        ),
        Claim(
            "The cost is low",
            "Against full fine-tuning on the same training set, means over the seeds. agree: less time and less peak "
            "memory. disagree: more of both. One machine, so no interval.",
            tuple(_costs(study)),
        ),
        Claim(
            "QLoRA is as good as LoRA",
            f"agree: two one-sided tests at 5% show that they differ by less than {within}. disagree: QLoRA is worse, "
            "resolved after Holm's correction over the benchmarks. not resolved: neither, most often too few items.",
            tuple(_as_good(study)),
        ),
        Claim(
            "The gain depends on how well the training set aligns with the benchmark",
            "LoRA on the set made for a benchmark against LoRA on every other set, on that benchmark's items. agree: "
            "better, resolved after Holm's correction over the other sets. disagree: worse, resolved, or shown to be "
            f"within {within}.",
            tuple(_alignment_matters(study)),
        ),
    ]  # fmt: skip


def at_floor(study: Study, benchmark: str) -> bool:
    result = study.benchmarks.get(benchmark)
    return result is not None and result.chance is None and result.score.high < FLOOR


def _aligned(study: Study) -> Iterator[tuple[FineTune, Comparison, str]]:
    """LoRA and QLoRA on the benchmark that their training set is made for."""
    for one in study.usual("lora", "qlora"):
        if one.target and (found := one.changes.get(one.target)):
            yield one, found, f"{one.name} ({seeds(one)}), {one.target}"


def _improvements(study: Study) -> Iterator[Case]:
    for tuned, found, what in _aligned(study):
        gold, floor = tuned.gold.get(found.benchmark), at_floor(study, found.benchmark)
        verdict: Verdict = "not resolved"
        if found.resolved:
            verdict = "agree" if found.paired.difference > 0 else "disagree"
        elif floor and gold:
            verdict = "agree" if gold.high < 0 else "disagree" if gold.low > 0 else "not resolved"
        elif not floor and found.equivalence.equivalent:
            verdict = "disagree"
        said = f"{what}: {gain(found)}"
        said += f"; right answers likelier by {bits(gold)} bits per byte" if gold else ""
        yield Case(verdict, said + ("; the base is at the floor" if floor else ""))


def _large(study: Study, relative: bool) -> Iterator[Case]:
    for _, found, what in _aligned(study):
        whole = found.first.value if relative else 1.0
        if relative and (not whole or at_floor(study, found.benchmark)):
            continue
        paired = found.paired
        low, middle, high = (end / whole for end in (paired.low, paired.difference, paired.high))
        verdict: Verdict = "agree" if low > LARGE else "disagree" if high < LARGE else "not resolved"
        unit = f"% of the base's {score(found.first)}" if relative else " points"
        yield Case(verdict, f"{what}: {points(middle)} ({points(low)} to {points(high)}){unit}")


def _costs(study: Study) -> Iterator[Case]:
    for tuned in study.usual("lora", "qlora"):
        full = study.on("full", tuned.data)
        if full is None:
            continue
        what = f"{tuned.name} against {full.name}"
        if reasons := costs_differ_in(full.runs[0], tuned.runs[0]):
            yield Case("not measured", f"{what}: costs do not compare ({join(reasons)})")
            continue
        time = [mean_cost(one, lambda run: run.record.costs.train_seconds) for one in (full, tuned)]
        memory = [mean_cost(one, lambda run: run.record.costs.train_peak_bytes) for one in (full, tuned)]
        (slow, quick), (large, small) = time, memory
        if slow is None or quick is None or large is None or small is None:
            yield Case("not measured", f"{what}: time or memory was not recorded")
            continue
        less = (quick < slow, small < large)
        verdict: Verdict = "agree" if all(less) else "not resolved" if any(less) else "disagree"
        yield Case(
            verdict,
            f"{what}: {duration(quick)} against {duration(slow)} ({points(quick / slow - 1)}%), peak memory "
            f"{gigabytes(round(small))} against {gigabytes(round(large))} ({points(small / large - 1)}%)",
        )


def mean_cost(tuned: FineTune, what: Callable[[RunFolder], float | None]) -> float | None:
    """A cost's mean over the seeds; None where a run has not recorded it."""
    known = [cost for run in tuned.runs if (cost := what(run)) is not None]
    return mean(known) if len(known) == len(tuned.runs) else None


def _as_good(study: Study) -> Iterator[Case]:
    for qlora in study.usual("qlora"):
        lora = study.on("lora", qlora.data)
        if lora is None:
            continue
        what = f"{qlora.training_set} ({seeds(lora)} and {seeds(qlora)})"
        if others := _beyond_the_method(lora.runs[0], qlora.runs[0]):
            yield Case("not measured", f"{what}: the two differ in {join(others)} as well")
            continue
        for found in _pairs(study, lora, qlora):
            even, paired = found.equivalence, found.paired
            verdict: Verdict = "agree" if even.equivalent else "not resolved"
            if found.resolved and paired.difference < 0:
                verdict = "disagree"
            said = f"{what}, {found.benchmark}: {gain(found)}; 90% {points(even.low)} to {points(even.high)}"
            yield Case(verdict, said)


def _alignment_matters(study: Study) -> Iterator[Case]:
    for made in study.usual("lora"):
        if made.target not in made.changes:
            continue
        others = [one for one in study.usual("lora") if one is not made]
        found = [(other, pair) for other in others for pair in _pairs(study, other, made, [made.target])]
        for (other, pair), p in zip(found, holm([pair.paired.p_value for _, pair in found]), strict=True):
            floor = at_floor(study, made.target)
            gold = gold_of(other.runs, made.runs, made.target)
            verdict: Verdict = "not resolved"
            if p < ALPHA:
                verdict = "agree" if pair.paired.difference > 0 else "disagree"
            elif floor and gold:
                verdict = "agree" if gold.high < 0 else "disagree" if gold.low > 0 else "not resolved"
            elif not floor and pair.equivalence.equivalent:
                verdict = "disagree"
            said = f"{made.target}: {made.name} against {other.training_set}, {change(pair.paired)} points"
            yield Case(verdict, said + (f"; right answers likelier by {bits(gold)} bits per byte" if gold else ""))


def _pairs(
    study: Study, first: FineTune, second: FineTune, benchmarks: Sequence[str] | None = None
) -> list[Comparison]:
    scored = [name for name in benchmarks or study.benchmarks if name in first.changes and name in second.changes]
    return compare_pair(first.runs, second.runs, scored)[0]


def _beyond_the_method(lora: RunFolder, qlora: RunFolder) -> list[str]:
    return [name for name in config_difference(lora, qlora) if name.split(".")[0] not in ("method", "four_bit", "seed")]
