"""Which rows of a training set occur in a benchmark's test items: a score on items trained on says little.

The rule is GPT-3's (arXiv 2005.14165, appendix C): an item is found where it has 13 words in a row in common with a
row, words being lower case, without punctuation, divided by white space. An item of 8 to 12 words is compared whole;
below 8, "what is it" would be found everywhere. What more than 10 items say is boilerplate and ignored (GPT-3 counts
training documents, but here a leaked item may stand in many rows). Paraphrases are not found. Imports no torch.
"""

from __future__ import annotations

import itertools
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from slimnb.benchmarks import ChoiceItem, OpenItem, Questions
from slimnb.store.records import Contamination, OverlapKind, Pair
from slimnb.training.training_sets import Example

LONGEST, SHORTEST = 13, 8  # words of a run, and of a text that is compared whole
BOILERPLATE = 10  # what occurs in more items than this is ignored
PAIRS_KEPT = 1000

Words = tuple[str, ...]
Index = defaultdict[Words, set[int]]  # text or run -> the places of the items or rows that have it

# How a question is put and not what it asks: Alpaca's frame, "Question:" and "Answer:", a letter before a choice.
FORM = re.compile(
    r"(?ims)\Abelow is an instruction.*?### instruction:|### (?:instruction|input|response):"
    r"|\b(?:question|answer):|^\s*\(?[a-jq][.:)](?=\s)"
)
PUNCTUATION = re.compile(r"[^\w\s]|_")


def words(text: str) -> Words:
    """The words that are compared: as one person's keyboard and another's write them, without the form."""
    text = unicodedata.normalize("NFKC", FORM.sub(" ", text)).casefold()
    return tuple(map(sys.intern, PUNCTUATION.sub("", text).split()))  # one copy of each word in memory


def overlap(examples: list[Example], questions: Questions) -> Contamination:
    """Every pair of an item and a row with an exact or a 13-gram overlap.

    An item's text is its question without the worked examples and, where choices are given, the right one. A text of
    fewer than 8 words is found only in a row that is this question with this answer.
    """
    items = questions.items
    rows = [(words(example.prompt), words(example.completion)) for example in examples]
    whole, compared = _texts(items)
    shared = _sharing_a_run(compared, [prompt + completion for prompt, completion in rows])
    found: dict[tuple[int, int], OverlapKind] = dict.fromkeys(shared, "13-gram")
    for row, (prompt, completion) in enumerate(rows):
        for item in whole.get(prompt, set()) | whole.get(prompt + completion, set()):
            found[item, row] = "exact"
    ordered = sorted(found.items())
    return Contamination(
        n_items=len(items),
        n_examples=len(rows),
        items_exact=len({item for (item, _), kind in ordered if kind == "exact"}),
        items_13gram=len({item for item, _ in found}),
        examples_found=len({row for _, row in found}),
        n_pairs=len(found),
        pairs=[Pair(item_id=items[item].id, example=row, kind=kind) for (item, row), kind in ordered[:PAIRS_KEPT]],
    )


def _texts(items: list[Any]) -> tuple[Index, list[tuple[int, Words]]]:
    """Text -> the items that a row of this text is, and (item, text) to be searched for common runs."""
    whole, compared = Index(set), []
    for place, item in enumerate(items):
        for question, answer in _asked(item):
            text = question if isinstance(item, OpenItem) else question + answer
            if len(text) >= SHORTEST:
                whole[text].add(place)
                compared.append((place, text))
            if question:
                whole[question + answer].add(place)  # however short: a row that says all this is the item
    return whole, compared


def _asked(item: ChoiceItem | OpenItem) -> Iterator[tuple[Words, Words]]:
    """Question and right answer, as the benchmark puts them and as a training row may."""
    answer = item.gold if isinstance(item, OpenItem) else item.choices[item.gold]
    yield words(item.question), words(answer)
    # Where the question lists its choices by letter, a row may ask it without the list.
    if isinstance(item, ChoiceItem) and (listed := re.search(rf"(?m)^{re.escape(answer)}\. (.*)$", item.question)):
        yield words(item.question.partition("\nA. ")[0]), words(listed[1])


def _sharing_a_run(compared: list[tuple[int, Words]], rows: list[Words]) -> Iterator[tuple[int, int]]:
    """(item, row) for each common run. Few rows share even 8 words with an item, so only their runs are kept."""
    starts = {hash(start) for _, text in compared for start in _runs(text, SHORTEST)}
    lengths = {min(LONGEST, len(text)) for _, text in compared}
    rows_with, items_with = Index(set), Index(set)
    for row, text in enumerate(rows):
        for place, start in enumerate(_runs(text, SHORTEST)):
            if hash(start) in starts:
                for length in lengths:
                    rows_with[text[place : place + length]].add(row)
    for item, text in compared:
        for run in _runs(text, min(LONGEST, len(text))):
            if run in rows_with:
                items_with[run].add(item)
    for run, items in items_with.items():
        if len(items) <= BOILERPLATE:
            yield from itertools.product(items, rows_with[run])


def _runs(text: Words, length: int) -> Iterator[Words]:
    return zip(*(text[start:] for start in range(length)), strict=False)


def explain(contamination: Contamination, benchmark: str, training_set: str) -> str:
    """One sentence for people. Rows are counted from 1 here, as the lines of a file are."""
    found, items = contamination, f"{contamination.n_items:,} items of {benchmark}"
    if not found.n_pairs:
        return f"no overlap found between {items} and {found.n_examples:,} rows of {training_set}"
    exact = f" ({found.items_exact:,} word for word)" if found.items_exact else ""
    rows = sorted({pair.example + 1 for pair in found.pairs})[:10]
    more = f" and {found.examples_found - len(rows):,} more" if found.examples_found > len(rows) else ""
    share = f"{found.items_13gram:,} of {items} {'share' if found.items_13gram > 1 else 'shares'}"
    where = f"row{'s' if found.examples_found > 1 else ''} {', '.join(map(str, rows))}{more}"
    return f"{share} {LONGEST} words in a row with the training set {training_set}{exact}: {where}"
