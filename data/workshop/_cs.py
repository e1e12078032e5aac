"""workshop_cs: computer-science questions with four choices in the schema of cais/mmlu."""

from collections.abc import Iterator
from itertools import combinations
from random import Random

import _cs_code
import _cs_numbers
import _cs_structures
from _cs_facts import FACTS
from _cs_item import Item, item
from _rows import SEED, Row, interleave, variant_key

ROWS_PER_KIND = {"train": 20, "test": 8}  # multiples of four, so that right answers spread evenly
TOTAL = sum(ROWS_PER_KIND.values())
MOST_TRIES = 100_000  # far more than any kind needs; only a mistaken kind reaches it

COMPUTED = {draw.__name__: draw for draw in (*_cs_numbers.KINDS, *_cs_structures.KINDS, *_cs_code.KINDS)}


def computed_items(kind: str, rng: Random) -> list[Item]:
    """Drawn items with at least three distractors, no two of them trivial variants."""
    items: dict[tuple[str, ...], Item] = {}
    for _ in range(MOST_TRIES):
        drawn = COMPUTED[kind](rng)
        if len(drawn.wrongs) >= 3:
            items.setdefault(variant_key(kind, drawn.question), drawn)
        if len(items) == TOTAL:
            return list(items.values())
    raise ValueError(f"{kind} can draw too few different items")


def fact_items(kind: str, rng: Random) -> list[Item]:
    facts = FACTS[kind]
    return [item(question, facts[question], facts.values()) for question in rng.sample(list(facts), TOTAL)]


def size(choice: str) -> float:
    """The value of a number; the length of any other choice."""
    try:
        return float(choice)
    except ValueError:
        return len(choice)


def pick_wrongs(drawn: Item, smaller: int, rng: Random) -> list[str]:
    """Three distractors, as nearly as can be `smaller` of them smaller than the right answer."""
    triples = list(combinations(rng.sample(drawn.wrongs, len(drawn.wrongs)), 3))
    right = size(drawn.right)
    return list(min(triples, key=lambda wrongs: abs(sum(size(wrong) < right for wrong in wrongs) - smaller)))


def even_ranks(rng: Random) -> list[int]:
    """A number from 0 to 3 for each row, each equally often in train and in test."""
    parts = ([*range(4)] * (rows // 4) for rows in ROWS_PER_KIND.values())
    return [rank for part in parts for rank in rng.sample(part, len(part))]


def rows_of(kind: str) -> list[Row]:
    rng = Random(f"{SEED}:{kind}")
    items = computed_items(kind, rng) if kind in COMPUTED else fact_items(kind, rng)
    rows = []
    # Neither the place nor the size of the right answer may give it away.
    for drawn, place, smaller in zip(items, even_ranks(rng), even_ranks(rng), strict=True):
        choices = pick_wrongs(drawn, smaller, rng)
        choices.insert(place, drawn.right)
        rows.append({"question": drawn.question, "subject": kind, "choices": choices, "answer": place})
    return rows


def problems(split: str) -> Iterator[tuple[str, Row]]:
    """Yield (kind, row) for every row of a split, in file order."""
    border = ROWS_PER_KIND["train"]
    part = slice(None, border) if split == "train" else slice(border, None)
    return interleave({kind: rows_of(kind)[part] for kind in (*COMPUTED, *FACTS)}, split)
