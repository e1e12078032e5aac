"""A training set's name, or a user's file -> prompt/completion rows.

A set made for a benchmark asks as the benchmark asks, so that training and scoring see the same form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from slimnb.benchmarks import Benchmark, get_benchmark
from slimnb.compute.tokens import as_chat
from slimnb.data.load import Rows, load_rows
from slimnb.data.own_data import MessagesRow, PromptCompletionRow, read_own_data, told
from slimnb.data.rows import InstructionRow, fingerprint
from slimnb.errors import SlimnbError


@dataclass(frozen=True)
class Example:
    """One training row. The loss is on the completion and the end-of-sequence token behind it."""

    prompt: str
    completion: str
    """With the space or line break that joins it to the prompt."""
    messages: tuple[tuple[str, str], ...] = ()
    """In a conversation (role, content) of each turn before the completion; `prompt` is then their bare text, for the
    search for benchmark items, and `render` puts the one that the model reads in its place."""


def render(example: Example, tokenizer: Any, chat_template: bool = False) -> Example:
    """The example as the model reads it: a conversation, and with `chat_template` any prompt, in the model's chat form.

    Raises:
        SlimnbError: the tokenizer has no chat template, or its template refuses the conversation.
    """
    if not example.messages:
        return replace(example, prompt=as_chat(tokenizer, example.prompt)) if chat_template else example
    if not tokenizer.chat_template:
        raise SlimnbError(
            "the rows are conversations, and the model's tokenizer has no chat template: take a model that was tuned "
            "to chat, or rows of prompt and completion"
        )
    turns = [{"role": role, "content": content} for role, content in example.messages]
    try:
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program of the model's maker's, and may raise anything
        raise SlimnbError(f"the model's chat template refuses the conversation ({error})") from error
    return Example(prompt, example.completion)


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
    made_for: str | None = None
    """The benchmark in whose form it asks and answers; None for one of a form of its own."""


def _in_the_form_of(benchmark: str, name: str, data: str) -> TrainingSet:
    return TrainingSet(name, data, _like(get_benchmark(benchmark)), benchmark)


_ALL = [
    _in_the_form_of("hellaswag", "hellaswag_train", "hellaswag"),
    _in_the_form_of("gsm8k", "gsm8k_train", "gsm8k"),
    _in_the_form_of("mmlu_cs_cloze", "openbookqa", "openbookqa"),
    TrainingSet("alpaca", "alpaca", _instruction),
    TrainingSet("dolly", "dolly", _instruction),
    TrainingSet("code_alpaca", "code_alpaca", _instruction),
    _in_the_form_of("workshop_commonsense", "workshop_commonsense", "workshop_commonsense"),
    _in_the_form_of("workshop_math", "workshop_math", "workshop_math"),
    _in_the_form_of("workshop_cs", "workshop_cs", "workshop_cs"),
]
TRAINING_SETS = {training_set.name: training_set for training_set in _ALL}


def made_for(name: str) -> str | None:
    """The benchmark that a training set is made for; None for one of a form of its own, such as a user's file."""
    return TRAINING_SETS[name].made_for if name in TRAINING_SETS else None


@dataclass(frozen=True)
class Examples:
    examples: list[Example]
    sha256: str
    """Over all the set's rows, limit or not."""
    source: str
    """The file, from the data directory on, or `Hub: REPOSITORY`."""


def load_training_set(
    name: str, directory: Path | None = None, limit: int | None = None, columns: Mapping[str, str] | None = None
) -> Examples:
    """The first `limit` examples of a named set or of a user's file (JSON Lines, CSV or Parquet).

    Args:
        columns: slimnb's name of a column -> the file's, where they differ; see `own_data.read_own_data`.

    Raises:
        SlimnbError: unknown name, missing or empty file, wrong rows (the first five are named with file and line).
    """
    if name in TRAINING_SETS:
        if columns:
            raise SlimnbError(f"{name} is a training set of slimnb's: columns are named for a file of your own only")
        training_set = TRAINING_SETS[name]
        rows, example = load_rows(training_set.data, "train", directory), training_set.example
    else:
        rows, example = _own_rows(name, columns), own_example
    examples = [
        example(row) for row in rows.rows[:limit] if getattr(row, "output", None) != ""
    ]  # Alpaca has rows with no output: nothing to learn from
    if not examples:
        raise SlimnbError(f"{rows.source}: no row has anything to learn from")
    source = rows.source.removeprefix(f"{directory}{os.sep}") if directory else rows.source
    return Examples(examples, rows.sha256, source)


def _own_rows(name: str, columns: Mapping[str, str] | None) -> Rows:
    path = Path(name)
    if not path.is_file():
        raise SlimnbError(
            f"{name} is neither a training set nor a file: there are {', '.join(TRAINING_SETS)}, or name a JSON Lines, "
            "CSV or Parquet file of your own"
        )
    data = read_own_data(path, columns)
    if data.bad:
        advice = f" (`slimnb data check {path}` lists them)" if len(data.bad) > 5 else ""
        raise SlimnbError("\n".join(told(path, data.bad, 5)) + advice)
    return Rows(data.rows, fingerprint(data.rows), str(path))


def own_example(row: Any) -> Example:
    """A row of a user's file, of a type in `own_data.FORMS`, as an example."""
    if isinstance(row, InstructionRow):
        return _instruction(row)
    if isinstance(row, PromptCompletionRow):
        return Example(row.prompt, row.completion)
    assert isinstance(row, MessagesRow)
    *before, last = row.messages
    text = "\n\n".join(message.content for message in before)
    return Example(text, last.content, tuple((message.role, message.content) for message in before))
