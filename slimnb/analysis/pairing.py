"""Which runs belong together: seeds of one configuration, a fine-tune and its base, LoRA and QLoRA of one recipe."""

from __future__ import annotations

from collections.abc import Sequence

from slimnb.analysis.guard import beyond_the_method, question_differences
from slimnb.store.runs import RunFolder


def seeds_together(runs: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs in sets that differ in nothing but the seed, each in the order of its seeds; sets as they first appear."""
    sets: dict[str, list[RunFolder]] = {}
    for run in runs:
        fields = run.config.model_dump_json(exclude={"seed"})
        sets.setdefault(fields, []).append(run)
    return [sorted(seeds, key=lambda run: (run.config.seed, run.record.id)) for seeds in sets.values()]


def scored_on(runs: Sequence[RunFolder]) -> list[str]:
    """The benchmarks that all of the runs were scored on, in the first one's order."""
    return [name for name in runs[0].record.scores if all(name in run.record.scores for run in runs)]


NO_BASE = "no base run starts from the same weights in the same precision"


def base_of(tuned: RunFolder, runs: Sequence[RunFolder]) -> RunFolder | None:
    """The run of the untouched model that a fine-tune started from, in the same precision.

    Of several, the first of those that were asked the same on most benchmarks.
    """
    scores = tuned.record.scores

    def alike(base: RunFolder) -> tuple[int, int]:
        shared = base.record.scores.keys() & scores.keys()
        return sum(not question_differences(base.record.scores[name], scores[name]) for name in shared), len(shared)

    bases = [run for run in runs if run.is_base and run.record.lineage == tuned.record.lineage]
    return max(bases, key=alike, default=None)


def matched(lora: RunFolder, qlora: RunFolder) -> bool:
    """Whether the two are LoRA and QLoRA of one recipe."""
    return (lora.record.method, qlora.record.method) == ("lora", "qlora") and not beyond_the_method(lora, qlora)
