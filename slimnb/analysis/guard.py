"""Whether two runs may be compared, and what is odd about a run's scores. Imports no torch.

A difference between two scores belongs to the training only if everything else was the same. What differs is listed:
what makes a difference meaningless is refused, what only weakens it is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from slimnb.machine.contention import NOTICED
from slimnb.machine.environment import runs_at_once
from slimnb.store.records import BenchmarkResult
from slimnb.store.runs import RunFolder

MORE_AT_THE_LIMIT = 0.05
"""A rise in the share of generations that ran into the token limit from which a reader is warned."""


@dataclass(frozen=True)
class Comparability:
    """What differs between two runs: reasons against a comparison, and reasons for care."""

    refused: tuple[str, ...]
    weakened: tuple[str, ...]


def comparability(first: RunFolder, second: RunFolder, benchmark: str) -> Comparability:
    """Hold two runs against each other on one benchmark."""
    refused = _lineage_differences(first, second)
    one, two = (run.record.scores.get(benchmark) for run in (first, second))
    for run, result in ((first, one), (second, two)):
        if result is None:
            refused.append(f"{run.record.id} was not scored on {benchmark}")
    if one is not None and two is not None:
        refused += question_differences(one, two)
    return Comparability(tuple(refused), tuple(_weaknesses(first, second, one, two)))


def _lineage_differences(first: RunFolder, second: RunFolder) -> list[str]:
    one, two = first.record.lineage, second.record.lineage
    if one is None or two is None:
        return ["a run does not say which weights it started from"]
    found = []
    if one.weights_sha256 != two.weights_sha256:
        found.append(
            f"they start from different weights ({one.model} {one.weights_sha256[:12]} and "
            f"{two.model} {two.weights_sha256[:12]})"
        )
    if one.dtype != two.dtype:
        found.append(f"they compute in different precision ({one.dtype} and {two.dtype})")
    return found


def question_differences(one: BenchmarkResult, two: BenchmarkResult) -> list[str]:
    """In what two runs were not asked the same; empty where they were."""
    found = []
    for what, left, right in (
        ("metrics", one.primary, two.primary),
        ("numbers of items", one.items, two.items),
        ("numbers of shots", one.shots, two.shots),
        ("chat templates", _on(one.chat_template), _on(two.chat_template)),
    ):
        if left != right:
            found.append(f"they have different {what} ({left} and {right})")
    if not found and one.prompts_sha256 != two.prompts_sha256:
        found.append("they were asked different items or prompts")
    return found


def _on(switch: bool) -> str:
    return "on" if switch else "off"


def _weaknesses(
    first: RunFolder, second: RunFolder, one: BenchmarkResult | None, two: BenchmarkResult | None
) -> list[str]:
    found = []
    packages = [run.environment().get("packages") or {} for run in (first, second)]
    for package in ("torch", "transformers", "peft", "bitsandbytes"):
        left, right = (versions.get(package) for versions in packages)
        if left != right:
            found.append(f"{package} {left} and {right}")
    if one and two and one.hit_limit and two.hit_limit:
        rise = two.hit_limit.value - one.hit_limit.value
        if abs(rise) >= MORE_AT_THE_LIMIT:
            found.append(
                f"{one.hit_limit.k} and {two.hit_limit.k} of {two.hit_limit.n} answers ran into the length limit"
            )
    if first.config.training and second.config.training:
        others = [field for field in beyond_the_method(first, second) if field != "benchmarks"]
        if others:
            found.append(f"they differ in more than the method: {', '.join(others)}")
        if first.config.training.data == second.config.training.data and len(trained_on([first, second])) > 1:
            found.append(f"{first.config.training.data} had other rows when the other was trained")
    return found


def trained_on(runs: Sequence[RunFolder]) -> set[str]:
    """Hashes of the rows that the runs were trained on, as far as they say so."""
    sets = [run.environment().get("training_set") for run in runs]
    return {str(one["sha256"]) for one in sets if isinstance(one, dict) and one.get("sha256")}


def costs_differ_in(first: RunFolder, second: RunFolder) -> list[str]:
    """Why two runs' costs may not be held against each other: another batch, length limit or way of training, another
    machine, several of them, or one shared with other runs or programs."""
    one, two = first.config.training, second.config.training
    found = []
    if one and two:
        for field in ("batch_size", "max_length", "gradient_checkpointing", "optimizer", "validation"):
            left, right = getattr(one, field), getattr(two, field)
            if left != right:
                found.append(f"{field} {left} and {right}")
    machines = [run.environment() for run in (first, second)]
    for field in ("processor", "accelerator", "cores", "threads", "processes"):
        left, right = (machine.get(field) for machine in machines)
        if left != right:
            found.append(f"{field} {left} and {right}")
    if any(machine.get("earlier_attempts") for machine in machines):
        found.append("one was trained in several attempts, on different machines or beside others")
    jobs = [runs_at_once(machine) for machine in machines]
    if jobs[0] != jobs[1]:
        found.append(f"{jobs[0]} and {jobs[1]} runs at once on the machine")
    shares = [_others_share(run, at_once) for run, at_once in zip((first, second), jobs, strict=True)]
    if jobs[0] == jobs[1] and max(shares) >= NOTICED:
        found.append(f"other programs took {shares[0]:.0%} and {shares[1]:.0%} of the machine")
    return found


def contention(run: RunFolder) -> float:
    """What other programs took of a run's machine while it trained; 0 where not known.

    Of the runs at once each has an equal part of it, and what the others do in theirs is no other program's.
    """
    return _others_share(run, runs_at_once(run.environment()))


def _others_share(run: RunFolder, at_once: int) -> float:
    return max(0.0, 1 - at_once * (1 - (run.record.costs.train_contention or 0.0)))


def config_difference(first: RunFolder, second: RunFolder) -> dict[str, tuple[Any, Any]]:
    """Dotted field -> (first's value, second's value) for every field in which two configurations differ."""
    one, two = (_flat(run.config.model_dump(mode="json")) for run in (first, second))
    return {key: (one.get(key), two.get(key)) for key in sorted({*one, *two}) if one.get(key) != two.get(key)}


def beyond_the_method(lora: RunFolder, qlora: RunFolder) -> list[str]:
    """Fields in which two runs differ beside those that make one LoRA and the other QLoRA, and the seed."""
    return [name for name in config_difference(lora, qlora) if name.split(".")[0] not in ("method", "four_bit", "seed")]


def _flat(fields: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def changed_nothing(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Whether two runs' items are the same to the last log-likelihood or letter: an adapter that was not applied."""
    if "log_likelihoods" in first and "log_likelihoods" in second:
        pairs = zip(first["log_likelihoods"], second["log_likelihoods"], strict=True)
        return all(np.array_equal(a, b) for a, b in pairs)
    if "text" in first and "text" in second:
        return bool((first["text"].to_numpy() == second["text"].to_numpy()).all())
    return False


FORMAT_COLUMNS = ("correct_flexible-extract", "correct_strict-match")


def format_failures(items: pd.DataFrame) -> int | None:
    """Answers with the right number in the wrong form: right by the last number, wrong by the one behind `####`."""
    if any(column not in items for column in FORMAT_COLUMNS):
        return None
    number, form = (items[column].to_numpy(dtype=bool) for column in FORMAT_COLUMNS)
    return int((number & ~form).sum())
