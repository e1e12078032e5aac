"""workshop_cs: computer-science questions with four choices in the schema of cais/mmlu."""

from collections.abc import Iterator
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

COMPUTED = {draw.__name__: draw for module in (_cs_numbers, _cs_structures, _cs_code) for draw in module.KINDS}


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


def even_positions(rng: Random) -> list[int]:
    """A place for each right answer, each of the four places equally often in train and in test."""
    halves = [[place for place in range(4) for _ in range(size // 4)] for size in ROWS_PER_KIND.values()]
    for places in halves:
        rng.shuffle(places)
    return [place for places in halves for place in places]


def rows_of(kind: str) -> list[Row]:
    rng = Random(f"{SEED}:{kind}")
    items = computed_items(kind, rng) if kind in COMPUTED else fact_items(kind, rng)
    rows = []
    for drawn, place in zip(items, even_positions(rng), strict=True):
        choices = rng.sample(drawn.wrongs, 3)
        choices.insert(place, drawn.right)
        rows.append({"question": drawn.question, "subject": kind, "choices": choices, "answer": place})
    return rows


def problems(split: str) -> Iterator[tuple[str, Row]]:
    """Yield (kind, row) for every row of a split, in file order."""
    size = ROWS_PER_KIND["train"]
    part = slice(None, size) if split == "train" else slice(size, None)
    return interleave({kind: rows_of(kind)[part] for kind in (*COMPUTED, *FACTS)}, split)
