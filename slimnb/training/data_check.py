"""What training will make of a file of own data: its first row token by token, lengths, repetitions, bad rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from slimnb.compute.tokens import Encoded
from slimnb.data.own_data import BadRow, OwnData
from slimnb.errors import SlimnbError
from slimnb.training.loop import tokenize
from slimnb.training.training_sets import own_example, render


@dataclass(frozen=True)
class Token:
    id: int
    text: str
    """What it adds to the text: nothing where it only begins a character."""
    label: bool
    """Whether the loss is on it."""


@dataclass(frozen=True)
class Lengths:
    """Tokens of the rows that are trained on: of the shortest, of the one that half (95%) do not exceed, ..."""

    min: int
    median: int
    p95: int
    max: int


@dataclass(frozen=True)
class DataCheck:
    """All that `check_data` finds. Lines are counted from 1; in Parquet they are rows."""

    path: str
    form: str
    """A name in own_data.FORMS."""
    rows: int
    """Good ones."""
    bad: list[BadRow]
    """All of them, by line."""
    max_length: int
    example_line: int | None
    """Of the first row that is trained on; None where there is none."""
    example: list[Token]
    """That row as training reads it."""
    lengths: Lengths | None
    too_long: list[int]
    """Lines of the rows of more than `max_length` tokens: training leaves them out."""
    blank: list[int]
    """Lines of the rows whose completion is nothing or white space; training leaves out those with nothing."""
    repeated: list[list[int]]
    """Lines of each group of rows that are the same word for word."""
    ambiguous: list[list[int]]
    """Lines of each group of rows with one prompt and more than one completion. An empty prompt is none."""


def check_data(
    data: OwnData,
    tokenizer: Any,
    max_length: int = 1024,
    chat_template: bool = False,
    advance: Callable[[int], None] = lambda rows: None,
) -> DataCheck:
    """Look at every row as training would.

    A conversation that the chat template refuses is a bad row.

    Args:
        chat_template: as of a run: prompts are put into the model's chat form.
        advance: called with 1 after each row.

    Raises:
        SlimnbError: a chat template is needed, and the tokenizer has none.
    """
    if (chat_template or data.form == "messages") and not tokenizer.chat_template:
        raise SlimnbError(
            f"{data.path}: {'rows of messages need' if data.form == 'messages' else '--chat-template needs'} a model "
            "with a chat template, and this one's tokenizer has none: name another by --model"
        )
    bad, blank = list(data.bad), []
    lengths: dict[int, int] = {}
    first: tuple[int, Encoded] | None = None
    completions: Any = defaultdict(lambda: defaultdict(list))  # prompt -> completion -> lines
    for line, row in zip(data.lines, data.rows, strict=True):
        advance(1)
        example = own_example(row)
        try:
            sequence = tokenize(tokenizer, render(example, tokenizer, chat_template))
        except SlimnbError as error:
            bad.append(BadRow(line, str(error)))
            continue
        completions[example.messages or example.prompt][example.completion].append(line)
        if not example.completion.strip():
            blank.append(line)
        if example.completion:
            lengths[line] = len(sequence.ids)
            first = first or (line, sequence)
    return DataCheck(
        path=str(data.path),
        form=data.form,
        rows=len(data.rows) + len(data.bad) - len(bad),
        bad=sorted(bad, key=lambda one: one.line),
        max_length=max_length,
        example_line=first[0] if first else None,
        example=_tokens(tokenizer, first[1]) if first else [],
        lengths=_lengths(list(lengths.values())) if lengths else None,
        too_long=[line for line, length in lengths.items() if length > max_length],
        blank=blank,
        repeated=sorted(lines for answer in completions.values() for lines in answer.values() if len(lines) > 1),
        ambiguous=sorted(
            sorted(chain.from_iterable(answer.values()))
            for prompt, answer in completions.items()
            if prompt and len(answer) > 1
        ),
    )


def _lengths(lengths: list[int]) -> Lengths:
    # By this method each is the length of a row, not a number between two.
    return Lengths(*map(int, np.percentile(lengths, [0, 50, 95, 100], method="inverted_cdf")))


def _tokens(tokenizer: Any, sequence: Encoded) -> list[Token]:
    """The texts of all tokens, joined, are the text of the sequence.

    A token is decoded behind the one before, because alone it may lose its space; one that ends within a character
    adds nothing, and the next that ends a character adds it whole.
    """
    ids, tokens = sequence.ids, []
    start = done = 0
    for end in range(1, len(ids) + 1):
        before, text = (tokenizer.decode(ids[start:stop], clean_up_tokenization_spaces=False) for stop in (done, end))
        whole = end == len(ids) or not text.endswith("\N{REPLACEMENT CHARACTER}")
        added = text[len(before) :] if whole else ""
        tokens.append(Token(ids[end - 1], added, label=end > sequence.boundary))
        if whole:
            start, done = done, end
    return tokens
