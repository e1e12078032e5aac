"""The five questions that a study is made for, answered in plain words from its comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from dashboard.computed import compared, cost_reasons
from dashboard.saved import SavedRun
from dashboard.wording import as_good, costs_apart, points, spent, verdict
from slimnb.analysis.fine_tunes import FineTune, of_the_same_seeds
from slimnb.analysis.pairing import matched, seeds_together
from slimnb.figures.drawing import rows_of


@dataclass(frozen=True)
class Answer:
    """A question, its answer a line each, and the page that holds the evidence."""

    question: str
    lines: list[str]
    page: str = ""
    link: str = ""
    choices: dict[str, Any] | None = None
    """What the page opens with."""


def answers(
    runs: Sequence[SavedRun], about: Sequence[FineTune], gains: pd.DataFrame, names: dict[str, str]
) -> list[Answer]:
    """In the order in which a reader asks.

    Args:
        runs: what is shown, with their bases.
        about: the fine-tunes among them.
        gains: `gains_frame` of the runs.
        names: run -> its short name; a fine-tune goes by its first run.
    """
    rows: list[Any] = rows_of(gains)
    return [
        _helped(rows, names, about),
        _as_good(about, runs),
        _cost(rows, names, runs),
        _forgot(rows, names, about),
        _which_items(rows, names, about),
    ]


def aimed(rows: list[Any]) -> list[Any]:
    """Those of a benchmark that the training set was made for; all where there are none."""
    return [row for row in rows if row.target] or rows


def _helped(rows: list[Any], names: dict[str, str], about: Sequence[FineTune]) -> Answer:
    shown = aimed([row for row in rows if row.method == "lora"])
    lines = [verdict(names[row.run], row) for row in shown]
    lines = lines or ["This study has no LoRA run with a base run beside it."]
    choices = _against_base(shown or rows, about)
    return Answer("Did LoRA help?", lines, "compare", "Compare base with what was trained", choices)


def _against_base(rows: list[Any], about: Sequence[FineTune]) -> dict[str, Any] | None:
    """The base of the first of the rows that has one, and all that was trained from it: a study can have two models."""
    bases = _bases(about)
    base = next((bases[row.run] for row in rows if row.run in bases), None)
    other = [run.path.name for one in about if bases.get(one.runs[0].path.name) == base for run in one.runs]
    return {"first": base, "other": other} if base else None


def _bases(about: Sequence[FineTune]) -> dict[str, str]:
    """A fine-tune's first run -> its base run."""
    return {one.runs[0].path.name: one.base.path.name for one in about if one.base}


def _as_good(about: Sequence[FineTune], runs: Sequence[SavedRun]) -> Answer:
    question = "Was QLoRA as good?"
    loras, qloras = ([one for one in about if one.method == method] for method in ("lora", "qlora"))
    pairs = [
        of_the_same_seeds(lora, qlora) for lora, qlora in product(loras, qloras) if matched(lora.runs[0], qlora.runs[0])
    ]
    aimed_at = [pair for pair in pairs if _has_target(pair[0])] or pairs
    if not aimed_at:
        return Answer(question, ["This study has no LoRA and QLoRA run of one recipe."])
    lines, saved = [], {run.path: run for run in runs}
    for lora, qlora in aimed_at:
        done, refused = compared([saved[run.path] for run in (*lora.runs, *qlora.runs)])
        alone = len(aimed_at) == 1
        lines += [as_good(one, "" if alone else _recipe(lora, qlora)) for one in done
                  if alone or not _has_target(lora) or one.benchmark == lora.target]  # fmt: skip
        lines += refused
    lora, qlora = aimed_at[0]
    choices = {"first": lora.runs[0].path.name, "other": [run.path.name for run in (*lora.runs[1:], *qlora.runs)]}
    return Answer(question, lines, "compare", "Compare LoRA and QLoRA", choices)


def _has_target(one: FineTune) -> bool:
    """Whether the benchmark that the training set was made for was scored."""
    return one.target in one.runs[0].record.scores


def _recipe(lora: FineTune, qlora: FineTune) -> str:
    """What tells this pair from the others: the training set, and a rank or a model that is not the usual one."""
    variant = qlora.variant or lora.variant
    return lora.training_set + (f", {variant}" if variant else "")


def _cost(rows: list[Any], names: dict[str, str], runs: Sequence[SavedRun]) -> Answer:
    lines = [spent(names[seeds[0].path.name], seeds) for seeds in seeds_together(runs)]
    benchmark = next((row.benchmark for row in rows if row.target), next(iter(runs[0].record.scores)))
    choices: dict[str, Any] = {"benchmark": benchmark}
    if reasons := cost_reasons(runs):
        lines.append(costs_apart(reasons))
        choices["run"] = [run.path.name for run in runs]  # with all seeds, so that the page has each of the reasons
    return Answer("What did it cost?", lines, "cost", "Costs", choices)


def _forgot(rows: list[Any], names: dict[str, str], about: Sequence[FineTune]) -> Answer:
    question, link = "What did the model forget?", "Compare on every benchmark"
    done = [row for row in rows if pd.isna(row.refused)]
    if not done:
        return Answer(question, ["Nothing was compared with a base run."])
    others = [row for row in done if not row.target]
    if not others:
        return Answer(question, ["No benchmark but the one that was trained for was compared."])
    fallen = [row for row in others if row.resolved and row.difference < 0]
    if fallen:
        lines = [verdict(names[row.run], row) for row in fallen]
        return Answer(question, lines, "compare", link, _against_base(fallen, about))
    worst = min(others, key=lambda row: row.difference)
    tried = ", ".join(dict.fromkeys(row.benchmark for row in others))
    lines = [f"No fall is resolved on what was not trained for ({tried})."]
    if worst.difference < 0:
        lines.append(f"The largest is that of {names[worst.run]} on {worst.benchmark}: {points(worst)}.")
    return Answer(question, lines, "compare", link, _against_base([worst], about))


def _which_items(rows: list[Any], names: dict[str, str], about: Sequence[FineTune]) -> Answer:
    rows = [row for row in rows if pd.isna(row.refused)]
    shown = [row for row in rows if row.method == "lora"] or rows
    if len({row.training_set for row in shown}) > 1:
        shown = aimed(shown)
    if not shown:
        return Answer("On which items?", ["No two runs were compared item by item."])
    lines = [
        f"{names[row.run]} fixed {row.fixed:.0f} and broke {row.broken:.0f} of the {row.n:.0f} items of "
        f"{row.benchmark}{' (more and less often right over the seeds)' if row.seeds > 1 else ''}."
        for row in shown
    ]
    most = max(shown, key=lambda row: row.broken)
    choices = {"first": _bases(about)[most.run], "second": most.run, "benchmark": most.benchmark, "change": ["broken"]}
    return Answer("On which items?", lines, "items", "Items that broke", choices)
