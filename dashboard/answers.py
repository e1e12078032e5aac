"""The five questions that a study is made for, answered in plain words from its comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from dashboard.computed import compared
from dashboard.saved import SavedRun
from dashboard.wording import as_good, points, spent, verdict
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
    bases = [run.path.name for run in runs if run.config.method == "base"]
    trained = [run.path.name for run in runs if run.config.method != "base"]
    benchmark = next((row.benchmark for row in rows if row.target), next(iter(runs[0].record.scores)))
    against_base = {"first": bases[0], "other": trained} if bases and trained else None
    costs = [spent(names[seeds[0].path.name], seeds) for seeds in seeds_together(runs)]
    return [
        _helped(rows, names, against_base),
        _as_good(about, runs),
        Answer("What did it cost?", costs, "cost", "Costs", {"benchmark": benchmark}),
        _forgot(rows, names, against_base),
        _which_items(rows, names, bases),
    ]


def aimed(rows: list[Any]) -> list[Any]:
    """Those of a benchmark that the training set was made for; all where there are none."""
    return [row for row in rows if row.target] or rows


def _helped(rows: list[Any], names: dict[str, str], choices: dict[str, Any] | None) -> Answer:
    lines = [verdict(names[row.run], row) for row in aimed([row for row in rows if row.method == "lora"])]
    lines = lines or ["This study has no LoRA run with a base run beside it."]
    return Answer("Did LoRA help?", lines, "compare", "Compare base with what was trained", choices)


def _as_good(about: Sequence[FineTune], runs: Sequence[SavedRun]) -> Answer:
    question = "Was QLoRA as good?"
    loras, qloras = ([one for one in about if one.method == method] for method in ("lora", "qlora"))
    pairs = [
        of_the_same_seeds(lora, qlora) for lora, qlora in product(loras, qloras) if matched(lora.runs[0], qlora.runs[0])
    ]
    aimed_at = [pair for pair in pairs if pair[0].target in pair[0].runs[0].record.scores] or pairs[:1]
    if not aimed_at:
        return Answer(question, ["This study has no LoRA and QLoRA run of one recipe."])
    lines, saved = [], {run.path: run for run in runs}
    for lora, qlora in aimed_at:
        done, refused = compared([saved[run.path] for run in (*lora.runs, *qlora.runs)])
        alone = len(aimed_at) == 1
        lines += [as_good(one, "" if alone else lora.training_set) for one in done
                  if alone or one.benchmark == lora.target]  # fmt: skip
        lines += refused
    lora, qlora = aimed_at[0]
    choices = {"first": lora.runs[0].path.name, "other": [run.path.name for run in (*lora.runs[1:], *qlora.runs)]}
    return Answer(question, lines, "compare", "Compare LoRA and QLoRA", choices)


def _forgot(rows: list[Any], names: dict[str, str], choices: dict[str, Any] | None) -> Answer:
    question, link = "What did the model forget?", "Compare on every benchmark"
    others = [row for row in rows if not row.target and pd.isna(row.refused)]
    if not others:
        return Answer(question, ["No benchmark but the one that was trained for was compared."])
    fallen = [row for row in others if row.resolved and row.difference < 0]
    if fallen:
        return Answer(question, [verdict(names[row.run], row) for row in fallen], "compare", link, choices)
    worst = min(others, key=lambda row: row.difference)
    tried = ", ".join(dict.fromkeys(row.benchmark for row in others))
    lines = [f"No fall is resolved on what was not trained for ({tried})."]
    if worst.difference < 0:
        lines.append(f"The largest is that of {names[worst.run]} on {worst.benchmark}: {points(worst)}.")
    return Answer(question, lines, "compare", link, choices)


def _which_items(rows: list[Any], names: dict[str, str], bases: list[str]) -> Answer:
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
    choices = {"first": bases[0], "second": most.run, "benchmark": most.benchmark, "change": ["broken"]}
    return Answer("On which items?", lines, "items", "Items that broke", choices)
