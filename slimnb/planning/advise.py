"""One page of advice before a fine-tuning: what fits, how near the data is, what saved runs say, the command to run.

Every number comes from slimnb.planning.plan, from slimnb.alignment's comparison of texts, or from a saved run; the page
names which. What the saved runs do not cover is said first of all.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from slimnb.analysis.gains import gains_frame
from slimnb.planning.evidence import Expectation, elsewhere, expect, model_to_learn_from, rows_of
from slimnb.planning.plan import EPOCHS, Plan, command
from slimnb.store.runs import RunFolder
from slimnb.units import duration, gigabytes

Nearness = dict[str, dict[str, float | None]]
"""Benchmark -> training set -> how near it is by words, on slimnb.alignment's scale."""


@dataclass(frozen=True)
class Advice:
    plan: Plan
    train_on: str
    gaps: tuple[str, ...]
    """What the evidence does not cover."""
    nearness: Nearness
    expected: tuple[Expectation, ...]
    forgetting: str
    cost: str
    command: str

    def document(self) -> dict[str, Any]:
        """All of it for JSON; proportions, bytes and seconds."""
        return {
            "plan": self.plan.document(), "train_on": self.train_on, "not_covered": list(self.gaps),
            "nearness_by_words": self.nearness, "expected": [asdict(one) for one in self.expected],
            "forgetting": self.forgetting, "cost": self.cost, "command": self.command,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """The page, a paragraph a line."""
        setup = self.plan.prediction.setup
        said = [f"Fine-tune {self.plan.model} on {self.train_on}, method {setup.method}", ""]
        said += [f"Not covered: {gap}." for gap in self.gaps]
        said += ["", "What to expect, in points of right answers against the untouched model (95% intervals):"]
        said += [f"  {one.benchmark}: {one.said}." for one in self.expected]
        said += ["", f"What may be forgotten: {self.forgetting}.", "", f"Cost: {self.cost}"]
        return [*said, *self.plan.advice[:1], f"To run it: {self.command}"]


def advise(
    plan: Plan,
    train_on: str,
    benchmarks: Sequence[str],
    runs: Sequence[RunFolder],
    nearness: Nearness,
    missing: Sequence[str] = (),
    epochs: float = EPOCHS,
    columns: Mapping[str, str] | None = None,
) -> Advice:
    """Put the page together, for the method and setup of the plan.

    Args:
        runs: saved ones, to learn from: those of one model, the plan's where there are any.
        missing: what could not be found out, in words.
        epochs, columns: of the training, for the command to run.
    """
    setup = plan.prediction.setup
    of = model_to_learn_from(plan.model, [run.config.model for run in runs if run.config.method == setup.method])
    runs = [run for run in runs if run.config.model == of]
    rows = rows_of(gains_frame(runs), setup.method)
    expected = tuple(expect(rows, train_on, benchmark, nearness.get(benchmark, {})) for benchmark in benchmarks)
    gaps = list(missing)
    if not rows:
        gaps.append(f"no saved run of method {setup.method} is here to learn from")
    elif of != plan.model:
        gaps.append(
            f"the saved runs are of {of}, not of {plan.model}: a gain there says that the data can teach, not how much "
            "this model will learn from it"
        )
    gaps += _other_lengths(plan, [run for run in runs if run.record.id in {row["run"] for row in rows}])
    unknown = [one.benchmark for one in expected if one.kind == "none"]
    if unknown and rows:
        gaps.append(f"no saved run of method {setup.method} on {of} was scored on {', '.join(unknown)}")
    if any(one.kind == "others" for one in expected):
        gaps.append(
            f"no saved run of {of} was trained on {train_on}; the intervals below are of other training sets, and "
            "yours may lie outside all of them"
        )
    run_it = command(plan.model, setup, train_on, epochs, columns)
    return Advice(
        plan=plan, train_on=train_on, gaps=tuple(gaps), nearness=nearness, expected=expected,
        forgetting=elsewhere(rows, train_on), cost=_cost(plan),
        command=f"{run_it} --benchmarks {shlex.quote(','.join(benchmarks))}",
    )  # fmt: skip


def _other_lengths(plan: Plan, runs: Sequence[RunFolder]) -> list[str]:
    """That the runs trained on more or fewer tokens than is planned, where that is known and differs by a tenth."""
    seen = [run.record.costs.tokens for run in runs if run.record.costs and run.record.costs.tokens]
    if not seen or plan.work is None:
        return []
    if all(abs(tokens - plan.work.tokens) <= plan.work.tokens / 10 for tokens in seen):
        return []
    span = f"{min(seen):,}" if min(seen) == max(seen) else f"{min(seen):,} to {max(seen):,}"
    return [f"the saved runs trained on {span} tokens, and {plan.work.tokens:,} are planned here"]


def _cost(plan: Plan) -> str:
    prediction = plan.prediction
    fits = "fits" if plan.fits else "does not fit"
    said = f"{gigabytes(prediction.peak)} of memory, which {fits} into {gigabytes(plan.memory)}; "
    said += f"{prediction.saved_bytes / 1e6:.1f} MB on disk; "
    if plan.seconds is not None and plan.work is not None:
        return f"{said}{duration(plan.seconds)} for {plan.work.tokens:,} tokens, by a probe of this machine."
    return f"{said}the time is not known ({plan.no_seconds})."


def near_by_words(
    train_on: str,
    others: Sequence[str],
    benchmarks: Sequence[str],
    data: Path | None,
    columns: Mapping[str, str] | None = None,
) -> tuple[Nearness, list[str]]:
    """How near training sets are to benchmarks by words, which needs no model, and what could not be compared."""
    from slimnb.alignment.sample import sample_benchmark, sample_training_set
    from slimnb.alignment.texts import lexical
    from slimnb.errors import SlimnbError

    sets, missing = {}, []
    for name in dict.fromkeys([train_on, *others]):
        try:
            sets[name] = sample_training_set(name, ROWS, 0, data, columns if name == train_on else None)
        except SlimnbError as error:
            if name == train_on:
                raise
            missing.append(f"how near {name} is: {error}")
    found: Nearness = {}
    for name in benchmarks:
        try:
            items = sample_benchmark(name, ROWS, 0, data, 0)
        except SlimnbError as error:
            missing.append(f"how near the data is to {name}: {error}")
            continue
        found[name] = {one: lexical(some.examples, items.examples) for one, some in sets.items()}
    return found, missing


ROWS = 64
"""Of each training set and items of each benchmark that are looked at."""
