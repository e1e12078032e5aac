"""The README of the sets, with their counts."""

from collections import Counter
from collections.abc import Callable, Iterator
from textwrap import fill

from _rows import SPLITS, Row

Problems = Callable[[str], Iterator[tuple[str, Row]]]

TEXT = """\
# Workshop data sets

Three small sets of exercises in English, made by a program, in the schemas of three well-known
benchmarks. They let a study run from end to end without a network, and are short and plain enough for a
language model of some 135 million parameters. `python data/workshop/generate.py` writes them and this
file.

| set | schema | train | test | kinds |
|---|---|---:|---:|---:|
{table}

- **math**: word problems of one to three steps with whole numbers. The answer gives the work as short
  equations and ends with `#### N`.
- **commonsense**: somebody is in the middle of an everyday activity; which of four endings goes on
  sensibly?
- **cs**: computer-science questions with four choices, computed for most kinds, curated facts for two
  (`structures_and_algorithms`, `computing_terms`). A choice of Python output is what Python 3.11 prints.

## Licence

Apache-2.0. All texts were written for this project; nothing is copied from the benchmarks.

## How they are made

`python data/workshop/generate.py [--out DIR]` needs only the standard library of Python 3.11 or later
and writes the same bytes each time. Each kind draws from its own seeded generator, so that adding a kind
to math or cs leaves the rows of the others alone (in commonsense it may change their wrong endings). The
answers of math and of the computed kinds of cs are calculated from the numbers drawn;
`tests/test_workshop_data.py` recomputes each of them from the text of the question.

The endings of commonsense come from `activities.txt`: for each activity twelve steps in order and six
endings that make no sense at any point of it. A row's right ending is the step after its context. Its
wrong endings are two of the six and a step of an activity of another theme that shares no word with this
one (where that would give the length of the right ending away: one and two).

Rows are interleaved: each round holds one row of every kind, in random order. Right answers stand at
each of the four places equally often. In commonsense and cs, picking the longest or the shortest choice
is right in about a quarter of the rows.

## Train and test

No test row is a row of train or a trivial variant of one, and no split holds two variants of the same
row. Two rows are trivial variants if their questions are the same once they are in lower case, without
punctuation, and with the names of persons, places and objects replaced by placeholders. In code:

- math and cs: the same kind with the same numbers and quoted strings, in any order (`variant_key` in
  `_rows.py`); for facts, which have none, the same words.
- commonsense: the same activity and the same step as the context, whoever does it and wherever. Beyond
  that, no step and no senseless ending of a test row, right or wrong, occurs in any train row.

## Limits

- The sets are easy and were made by a program. They are no substitute for the real GSM8K, HellaSwag and
  MMLU: a score on them says nothing about a score on those, and must not be reported as one.
- Test rows are of the same kinds, wordings and activities as train rows. A gain shows that the kinds
  were learned, not that the model reasons better in general.
- The wrong endings of commonsense are often odd in tone. A model may learn the tone rather than the
  sense.
- Names, things and customs are those of one author; money is in dollars and lengths in meters.
- Read a few rows before you trust a number.

## Counts per kind

{counts}
"""

SCHEMAS = {"math": "openai/gsm8k", "commonsense": "Rowan/hellaswag", "cs": "cais/mmlu"}


def readme(sets: dict[str, Problems]) -> str:
    table, counts = [], []
    for name, problems in sets.items():
        train, test = (Counter(kind for kind, _ in problems(split)) for split in SPLITS)
        table.append(f"| {name} | {SCHEMAS[name]} | {train.total()} | {test.total()} | {len(train)} |")
        for train_rows, test_rows in sorted({(train[kind], test[kind]) for kind in train}):
            kinds = sorted(kind for kind in train if (train[kind], test[kind]) == (train_rows, test_rows))
            heading = f"**{name}**, {train_rows} train and {test_rows} test rows a kind, {len(kinds)} kinds:"
            counts.append(fill(f"{heading} {', '.join(kinds)}.", 105, break_on_hyphens=False))
    return TEXT.format(table="\n".join(table), counts="\n\n".join(counts))
