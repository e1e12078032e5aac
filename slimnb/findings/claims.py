"""The paper's claims (arXiv 2506.10885), each held against a study: what was measured, and agree or disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal

from slimnb.analysis.comparison import ALPHA, MARGIN, Comparison, compare_pair
from slimnb.analysis.fine_tunes import FineTune, gold_of, of_the_same_seeds
from slimnb.analysis.guard import beyond_the_method, costs_differ_in
from slimnb.evaluation.gold import GoldChange
from slimnb.findings.study import Study
from slimnb.findings.words import bits, change, gain, join, score, seeds
from slimnb.stats import holm
from slimnb.store.runs import RunFolder
from slimnb.units import duration, gigabytes, points, points_between

Verdict = Literal["agree", "disagree", "not resolved", "not measured"]
FLOOR = 0.1
"""A generated answer's score whose interval lies below this says little: bits per byte of the right answers judge."""
SAME_TIME = 0.1
"""Trainings that differ by less than this share of their time are as fast: the same work varies by as much."""
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
    details: tuple[Case, ...] = ()
    """The cases taken apart; they are not counted."""
    one_is_enough: bool = False
    """Whether a case that agrees makes the claim true, as with "up to"."""

    @property
    def verdict(self) -> str:
        """The cases' verdict where they are of one mind, else how many of each."""
        counts = Counter(case.verdict for case in self.cases)
        if len(counts) < 2:
            return next(iter(counts), "not measured")
        if self.one_is_enough:
            return "agree" if counts["agree"] else "not resolved"
        total, kinds = len(self.cases), ("agree", "disagree", "not resolved", "not measured")
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
            "Against full fine-tuning on the same training set: seconds a label token and the peak memory of training, "
            "means over the seeds, on one machine; of so few runs there is no interval. agree: less time or less "
            f"memory, and not more of the other; times within {SAME_TIME:.0%} count as the same. disagree: the other "
            "way round.",
            tuple(_costs(study)),
        ),
        Claim(
            "QLoRA is as good as LoRA",
            "With the seeds that both have, all training sets together and as many seeds of each, averaged within an "
            f"item. agree: two one-sided tests at 5% show that they differ by less than {within}. disagree: QLoRA is "
            "worse, resolved after Holm's correction over the benchmarks. not resolved: neither, most often for want "
            "of items. The 90% interval is the tests', "
            "of one seed Tango's score interval with its continuity correction (over subjects the clustered one, where "
            "wider), of several a bootstrap's: it can be wider than the 95% interval beside it.",
            *_as_good(study),
        ),
        Claim(
            "The gain depends on how well the training set aligns with the benchmark",
            "LoRA on the set made for a benchmark against LoRA on all others, of which as many seeds each. agree: "
            "better, resolved after Holm's correction over the benchmarks. disagree: worse, resolved, or shown to be "
            f"within {within}. At the floor as above. One by one below, with Holm's correction over the other sets.",
            *_alignment_matters(study),
        ),
    ]  # fmt: skip


def at_floor(study: Study, benchmark: str) -> bool:
    result = study.benchmarks.get(benchmark)
    return result is not None and result.chance is None and result.score.high < FLOOR


def _aligned(study: Study) -> Iterator[tuple[FineTune, Comparison, str]]:
    """LoRA and QLoRA on the benchmark that their training set is made for."""
    for one in study.usual("lora", "qlora"):
        if one.target and (found := one.changes.get(one.target)):
            yield one, found, f"{one.name} ({seeds(one.runs)}), {one.target}"


def _improvements(study: Study) -> Iterator[Case]:
    for tuned, found, what in _aligned(study):
        gold, floor = tuned.gold.get(found.benchmark), at_floor(study, found.benchmark)
        yield _better(f"{what}: {gain(found)}", found, found.resolved, gold, floor)


def _better(said: str, pair: Comparison, resolved: bool, gold: GoldChange | None, floor: bool) -> Case:
    """Whether the second is better: by the items, or at the base's floor by the right answers' log-likelihood."""
    verdict: Verdict = "not resolved"
    if resolved:
        verdict = "agree" if pair.paired.difference > 0 else "disagree"
    elif floor and gold:
        verdict = "agree" if gold.high < 0 else "disagree" if gold.low > 0 else "not resolved"
    elif not floor and pair.equivalence.equivalent:
        verdict = "disagree"
    said += f"; the right answers' log-likelihood {bits(gold)} bits per byte" if gold else ""
    return Case(verdict, said + ("; the base is at the floor, where these decide" if floor else ""))


def _large(study: Study, relative: bool) -> Iterator[Case]:
    for _, found, what in _aligned(study):
        whole = found.first.value if relative else 1.0
        if relative and (not whole or at_floor(study, found.benchmark)):
            continue
        paired = found.paired
        low, middle, high = (end / whole for end in (paired.low, paired.difference, paired.high))
        verdict: Verdict = "agree" if low > LARGE else "disagree" if high < LARGE else "not resolved"
        unit = f"% of the base's {score(found.first)}" if relative else " points"
        yield Case(verdict, f"{what}: {points_between(middle, low, high)}{unit}")


def _costs(study: Study) -> Iterator[Case]:
    for tuned in study.usual("lora", "qlora"):
        full = study.on("full", tuned.data)
        if full is None:
            continue
        alike, fulls, differing = _of_one_machine(tuned.runs, full.runs)
        what = f"{tuned.name} ({seeds(alike or tuned.runs)}) against full ({seeds(fulls or full.runs)})"
        if not alike:
            reasons = [f"{seeds(runs)}: {why}" if len(differing) > 1 else why for why, runs in differing.items()]
            yield Case("not measured", f"{what}: costs do not compare ({'; '.join(reasons)})")
            continue
        time = [mean_cost(runs, lambda run: run.record.costs.train_seconds) for runs in (fulls, alike)]
        labels = [mean_cost(runs, lambda run: run.record.costs.label_tokens) for runs in (fulls, alike)]
        memory = [mean_cost(runs, lambda run: run.record.costs.train_peak_bytes) for runs in (fulls, alike)]
        (slow, quick), (many, few), (large, small) = time, labels, memory
        if not slow or quick is None or not many or not few or not large or small is None:
            yield Case("not measured", f"{what}: time, label tokens or memory were not recorded")
            continue
        faster = (quick / few) / (slow / many) - 1
        changes = (faster if abs(faster) > SAME_TIME else 0.0, small / large - 1)
        verdict: Verdict = "agree" if min(changes) < 0 >= max(changes) else "not resolved"
        verdict = "disagree" if min(changes) >= 0 < max(changes) else verdict
        yield Case(
            verdict,
            f"{what}: {duration(quick)} against {duration(slow)} ({points(faster)}% a label token), peak memory "
            f"{gigabytes(round(small))} against {gigabytes(round(large))} ({points(small / large - 1)}%)",
        )


def _of_one_machine(
    tuned: Sequence[RunFolder], full: Sequence[RunFolder]
) -> tuple[list[RunFolder], list[RunFolder], dict[str, list[RunFolder]]]:
    """Of two sets of seeds the largest parts whose costs compare, and why others don't with full's first: reason ->
    runs."""
    found = [([run for run in tuned if not costs_differ_in(run, one)],
              [run for run in full if not costs_differ_in(run, one)]) for one in full]  # fmt: skip
    alike, fulls = max(found, key=lambda both: (min(map(len, both)), len(both[0])))
    differing: dict[str, list[RunFolder]] = {}
    for run in tuned:
        if reason := join(costs_differ_in(run, full[0])):
            differing.setdefault(reason, []).append(run)
    return alike, fulls, differing


def mean_cost(runs: Sequence[RunFolder], what: Callable[[RunFolder], float | None]) -> float | None:
    """A cost's mean over runs; None where one has not recorded it."""
    known = [cost for run in runs if (cost := what(run)) is not None]
    return mean(known) if len(known) == len(runs) else None


def _as_good(study: Study) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """All training sets together, and one by one."""
    matched, details = [], []
    for qlora in study.usual("qlora"):
        lora = study.on("lora", qlora.data)
        if lora is None:
            continue
        if others := beyond_the_method(lora.runs[0], qlora.runs[0]):
            said = f"{qlora.training_set}: the two differ in {join(others)} as well"
            details.append(Case("not measured", said))
            continue
        lora, qlora = of_the_same_seeds(lora, qlora)
        matched.append((lora, qlora))
        details += [
            _evenness(pair, f"{qlora.training_set} ({seeds(qlora.runs)})") for pair in _pairs(study, [lora], [qlora])
        ]
    if len(matched) < 2:
        return tuple(details), ()
    together = _pairs(study, [lora for lora, _ in matched], [qlora for _, qlora in matched])
    what = f"{len(matched)} training sets ({_seeds_of_each([lora for lora, _ in matched])})"
    return tuple(_evenness(pair, what) for pair in together), tuple(details)


def _evenness(pair: Comparison, what: str) -> Case:
    even, paired = pair.equivalence, pair.paired
    verdict: Verdict = "agree" if even.equivalent else "not resolved"
    if pair.resolved and paired.difference < 0:
        verdict = "disagree"
    ninety = f"90% {points(even.low)} to {points(even.high)}"
    return Case(verdict, f"{what}, {pair.benchmark}: QLoRA less LoRA {change(paired)} points, {ninety}")


def _alignment_matters(study: Study) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
    """The set made for each benchmark against all others together, and against each."""
    together, details = [], []
    for made in study.usual("lora"):
        others = [one for one in study.usual("lora") if one is not made]
        if made.target not in made.changes or not others:
            continue
        together += [([made], others, pair) for pair in _pairs(study, others, [made], [made.target])]
        single = [([made], [one], pair) for one in others for pair in _pairs(study, [one], [made], [made.target])]
        details += _nearer(study, single)
    return tuple(_nearer(study, together)), tuple(details)


def _nearer(study: Study, found: list[tuple[list[FineTune], list[FineTune], Comparison]]) -> Iterator[Case]:
    for (made, others, pair), p in zip(found, holm([pair.paired.p_value for *_, pair in found]), strict=True):
        floor, gold = at_floor(study, pair.benchmark), gold_of(_evenly(others), _evenly(made), pair.benchmark)
        against = others[0].training_set if len(others) == 1 else f"{len(others)} other sets"
        said = (
            f"{pair.benchmark}: {made[0].name} ({seeds(made[0].runs)}) against {against} ({_seeds_of_each(others)}), "
            f"{change(pair.paired)} points"
        )
        yield _better(said, pair, p < ALPHA, gold, floor)


def _pairs(
    study: Study, first: Sequence[FineTune], second: Sequence[FineTune], benchmarks: Sequence[str] | None = None
) -> list[Comparison]:
    everywhere = [name for name in study.benchmarks if all(name in one.changes for one in (*first, *second))]
    return compare_pair(
        _evenly(first), _evenly(second), [name for name in benchmarks or everywhere if name in everywhere]
    )[0]


def _evenly(tuned: Sequence[FineTune]) -> list[RunFolder]:
    """The runs of several training sets, as many seeds of each, so that all count alike."""
    fewest = min(len(one.runs) for one in tuned)
    return [run for one in tuned for run in one.runs[:fewest]]


def _seeds_of_each(tuned: Sequence[FineTune]) -> str:
    """The seeds that `_evenly` takes: their numbers, where they are the same of each."""
    fewest = min(len(one.runs) for one in tuned)
    said = dict.fromkeys(seeds(one.runs[:fewest]) for one in tuned)
    alike = next(iter(said)) if len(said) == 1 else f"{fewest} seed{'s' if fewest > 1 else ''}"
    return alike + (" of each" if len(tuned) > 1 else "")
