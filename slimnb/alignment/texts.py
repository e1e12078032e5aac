"""Predictors that read the text alone: its words, and its form. They import no torch and take seconds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import ks_2samp

from slimnb.training.training_sets import Example

EVERYWHERE = 0.9
"""Share of a set's rows from which a word counts as its form, as in "Below is an instruction that describes ..."."""


def lexical(training: list[Example], benchmark: list[Example]) -> float:
    """Mean cosine, between 0 and 1, of each item's TF-IDF vector with that of the nearest training row.

    Words and weights are of these two sets alone, so that a number does not depend on what else was asked for.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    sides = [[f"{row.prompt} {row.completion}" for row in side] for side in (training, benchmark)]
    tokens = TfidfVectorizer().build_analyzer()
    form = {word for texts in sides for word in _everywhere([set(tokens(text)) for text in texts])}
    vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words=sorted(form))
    try:
        vectorizer.fit([text for texts in sides for text in texts])
    except ValueError:  # no word is left
        return 0.0
    rows, items = (vectorizer.transform(texts) for texts in sides)
    cosines: Any = items @ rows.T
    return float(cosines.max(axis=1).toarray().mean())


def _everywhere(rows: list[set[str]]) -> list[str]:
    counts = Counter(word for row in rows for word in row)
    return [word for word, count in counts.items() if count >= EVERYWHERE * len(rows) and len(rows) > 1]


Measure = Callable[[Example], float]
MEASURES: dict[str, Measure] = {
    "characters of the prompt": lambda row: len(row.prompt),
    "characters of the answer": lambda row: len(row.completion),
    "letters of the answer": lambda row: _share(str.isalpha, row.completion),
    "numerals of the answer": lambda row: _share(str.isdigit, row.completion),
    "numerals of the prompt": lambda row: _share(str.isdigit, row.prompt),
    "lines of the prompt": lambda row: row.prompt.count("\n"),
    "lines of the answer": lambda row: row.completion.strip().count("\n"),
}
SHAPES: dict[str, Callable[[Example], str]] = {
    "what the prompt ends with": lambda row: row.prompt[-8:],
    "how the answer begins": lambda row: shape(row.completion[:4]),
    "how the answer ends": lambda row: shape(row.completion[-6:]),
}


def form(training: list[Example], benchmark: list[Example]) -> float:
    """1 less the mean distance between the two sets' prompts and answers over MEASURES and SHAPES; 1 is the same form.

    Distances are between 0 and 1 and need no scale: of numbers the Kolmogorov-Smirnov statistic, of shapes the total
    variation. Two samples of one set differ a little, by chance.
    """
    distances = []
    for measure in MEASURES.values():
        one, two = ([measure(row) for row in side] for side in (training, benchmark))
        found: Any = ks_2samp(one, two, method="asymp")
        distances.append(float(found.statistic))
    for kind in SHAPES.values():
        one, two = (Counter(map(kind, side)) for side in (training, benchmark))
        shared = sum(min(one[key] / len(training), two[key] / len(benchmark)) for key in one)
        distances.append(1 - shared)
    return 1 - float(np.mean(distances))


def shape(text: str) -> str:
    """The text with letters, capitals and numerals each put for their kind: " The 4" gives " Aaa 9"."""
    text = re.sub(r"\d", "9", text)
    return re.sub(r"[^\W\d_]", lambda match: "A" if match.group().isupper() else "a", text)


def _share(kind: Callable[[str], bool], text: str) -> float:
    text = text.strip()
    return sum(map(kind, text)) / max(1, len(text))
