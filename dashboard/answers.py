"""The five questions that a study is made for, answered in plain words from its comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.computed import changes, compared
from dashboard.saved import SavedRun
from dashboard.wording import as_good, points, spent, verdict
from slimnb.analysis.guard import config_difference
from slimnb.figures import labels, scores_frame
from slimnb.figures.drawing import rows_of
from slimnb.training.training_sets import made_for


@dataclass(frozen=True)
class Answer:
    """A question, its answer a line each, and the page that holds the evidence."""

    question: str
    lines: list[str]
    page: str = ""
    link: str = ""
    choices: dict[str, Any] | None = None
    """What the page opens with."""


def answers(runs: Sequence[SavedRun]) -> list[Answer]:
    """In the order in which a reader asks."""
    changed = changes(runs)
    names = labels(scores_frame(runs))
    rows = [] if changed.empty else rows_of(changed)
    bases = [run.path.name for run in runs if run.config.method == "base"]
    trained = [run.path.name for run in runs if run.config.method != "base"]
    benchmark = next((row.benchmark for row in rows if _target(row)), next(iter(runs[0].record.scores)))
    against_base = {"first": bases[0], "other": trained} if bases and trained else None
    return [
        _helped(rows, names, against_base),
        _as_good(runs),
        Answer("What did it cost?", [spent(names[run.path.name], run) for run in runs], "cost", "Costs",
               {"benchmark": benchmark}),
        _forgot(rows, names, against_base),
        _which_items(rows, names, bases),
    ]  # fmt: skip


def _helped(rows: list[Any], names: dict[str, str], choices: dict[str, Any] | None) -> Answer:
    rows = [row for row in rows if row.method == "lora"]
    lines = [verdict(names[row.run], row) for row in rows if _target(row)]
    lines = lines or [verdict(names[row.run], row) for row in rows]  # trained for none of the benchmarks
    lines = lines or ["This study has no LoRA run with a base run beside it."]
    return Answer("Did LoRA help?", lines, "compare", "Compare base with what was trained", choices)


def _as_good(runs: Sequence[SavedRun]) -> Answer:
    loras, qloras = ([run for run in runs if run.config.method == method] for method in ("lora", "qlora"))
    pair = next(([one, other] for one in loras for other in qloras if _one_recipe(one, other)), None)
    if pair is None:
        return Answer("Was QLoRA as good?", ["This study has no LoRA and QLoRA run of one recipe."])
    done, refused = compared(pair)
    choices = {"first": pair[0].path.name, "other": [pair[1].path.name]}
    lines = [*map(as_good, done), *refused]
    return Answer("Was QLoRA as good?", lines, "compare", "Compare LoRA and QLoRA", choices)


def _forgot(rows: list[Any], names: dict[str, str], choices: dict[str, Any] | None) -> Answer:
    question, link = "What did the model forget?", "Compare on every benchmark"
    others = [row for row in rows if not _target(row) and pd.isna(row.refused)]
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
    if not shown:
        return Answer("On which items?", ["No two runs were compared item by item."])
    lines = [f"{names[row.run]} fixed {row.fixed:.0f} and broke {row.broken:.0f} of the {row.n:.0f} items of "
             f"{row.benchmark}." for row in shown]  # fmt: skip
    most = max(shown, key=lambda row: row.broken)
    choices = {"first": bases[0], "second": most.run, "benchmark": most.benchmark, "change": ["broken"]}
    return Answer("On which items?", lines, "items", "Items that broke", choices)


def _target(row: Any) -> bool:
    """Whether the run was trained for this benchmark: on a set in whose form it asks."""
    return isinstance(row.training_set, str) and made_for(row.training_set) == row.benchmark


def _one_recipe(lora: SavedRun, qlora: SavedRun) -> bool:
    return {field.split(".")[0] for field in config_difference(lora, qlora)} <= {"method", "four_bit"}
