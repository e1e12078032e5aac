"""What the three generators share: the seed, the order of the rows, and what counts as a trivial variant."""

import re
from collections.abc import Iterator
from random import Random
from typing import Any

SEED = 20240
SPLITS = ("train", "test")

Row = dict[str, Any]

# Quoted strings and words with a digit (12, 0x2f): what is left when names and objects are gone.
DATA = re.compile(r"'[\w ]*'|\w*\d\w*")


def data_of(question: str) -> tuple[str, ...]:
    """The numbers and quoted strings in a question, sorted, so that their order makes no new question."""
    return tuple(sorted(DATA.findall(question.lower())))


def plain_words(text: str) -> str:
    """The text in lower case without punctuation."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def variant_key(kind: str, question: str) -> tuple[str, ...]:
    """Two questions with the same key are trivial variants of each other.

    With names of persons and objects replaced by placeholders, a question of a kind is known by its
    numbers and quoted strings; a question without any (a curated fact) is known by its plain words.
    """
    return (kind, *(data_of(question) or (plain_words(question),)))


def interleave(rows_by_kind: dict[str, list[Row]], split: str) -> Iterator[tuple[str, Row]]:
    """Yield (kind, row) in rounds of one row a kind, so that the first rows cover all kinds evenly."""
    rng = Random(f"{SEED}:{split}:order")
    for turn in range(max(map(len, rows_by_kind.values()))):
        kinds = [kind for kind, rows in rows_by_kind.items() if turn < len(rows)]
        rng.shuffle(kinds)
        for kind in kinds:
            yield kind, rows_by_kind[kind][turn]
