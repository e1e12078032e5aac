"""A training set's name, or a user's file -> prompt/completion rows.

A set made for a benchmark asks as the benchmark asks, so that training and scoring see the same form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimnb.benchmarks import Benchmark, get_benchmark
from slimnb.data import Rows, load_rows
from slimnb.errors import SlimnbError
from slimnb.rows import InstructionRow, Row, Text, fingerprint, read_json_lines, validate_row


@dataclass(frozen=True)
class Example:
    """One training row. The loss is on the completion and the end-of-sequence token behind it."""

    prompt: str
    completion: str
    """With the space or line break that joins it to the prompt."""


class PromptCompletionRow(Row):
    """The plainest form of own data."""

    prompt: str
    completion: Text


def _like(benchmark: Benchmark) -> Callable[[Any], Example]:
    return lambda row: Example(benchmark.question(row), f" {benchmark.answer(row)}")


def _instruction(row: InstructionRow) -> Example:
    """Stanford Alpaca's template."""
    given = f"### Input:\n{row.input}\n\n" if row.input else ""
    context = ", paired with an input that provides further context" if row.input else ""
    prompt = (
        f"Below is an instruction that describes a task{context}. Write a response that appropriately completes the "
        f"request.\n\n### Instruction:\n{row.instruction}\n\n{given}### Response:\n"
    )
    return Example(prompt, row.output)


@dataclass(frozen=True)
class TrainingSet:
    name: str
    data: str
    """The data set whose training split it is."""
    example: Callable[[Any], Example]


_ALL = [
    TrainingSet("hellaswag_train", "hellaswag", _like(get_benchmark("hellaswag"))),
    TrainingSet("gsm8k_train", "gsm8k", _like(get_benchmark("gsm8k"))),
    TrainingSet("openbookqa", "openbookqa", _like(get_benchmark("mmlu_cs_cloze"))),
    TrainingSet("alpaca", "alpaca", _instruction),
    TrainingSet("dolly", "dolly", _instruction),
    TrainingSet("code_alpaca", "code_alpaca", _instruction),
    TrainingSet("workshop_commonsense", "workshop_commonsense", _like(get_benchmark("workshop_commonsense"))),
    TrainingSet("workshop_math", "workshop_math", _like(get_benchmark("workshop_math"))),
    TrainingSet("workshop_cs", "workshop_cs", _like(get_benchmark("workshop_cs"))),
]
TRAINING_SETS = {training_set.name: training_set for training_set in _ALL}


@dataclass(frozen=True)
class Examples:
    examples: list[Example]
    sha256: str
    """Over all the set's rows, limit or not."""
    source: str


def load_training_set(name: str, directory: Path | None = None, limit: int | None = None) -> Examples:
    """The first `limit` examples of a named set or of a JSON Lines file.

    A file's rows have prompt and completion, or instruction, input (may be left out) and output.

    Raises:
        SlimnbError: unknown name, missing or empty file, a wrong row (named with file and line).
    """
    if name in TRAINING_SETS:
        training_set = TRAINING_SETS[name]
        rows, example = load_rows(training_set.data, "train", directory), training_set.example
    else:
        rows, example = _own_rows(name)
    examples = [
        example(row) for row in rows.rows[:limit] if getattr(row, "output", None) != ""
    ]  # Alpaca has rows with no output: nothing to learn from
    if not examples:
        raise SlimnbError(f"{rows.source}: no row has anything to learn from")
    return Examples(examples, rows.sha256, rows.source)


def _own_rows(name: str) -> tuple[Rows, Callable[[Any], Example]]:
    path = Path(name)
    if not path.is_file():
        raise SlimnbError(
            f"{name} is neither a training set nor a file: there are {', '.join(TRAINING_SETS)}, or name a JSON Lines "
            "file of your own"
        )
    numbered = list(read_json_lines(path))
    if not numbered:
        raise SlimnbError(f"{path}: has no rows")
    _, first = numbered[0]
    if isinstance(first, dict) and "instruction" in first:
        model, example = InstructionRow, _instruction
    else:
        model, example = PromptCompletionRow, _prompt_completion
    rows = [validate_row(model, fields, where) for where, fields in numbered]
    return Rows(rows, fingerprint(rows), str(path)), example


def _prompt_completion(row: PromptCompletionRow) -> Example:
    return Example(row.prompt, row.completion)
