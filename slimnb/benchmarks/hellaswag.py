"""HellaSwag (arXiv 1905.07830): which ending follows? Commonsense, scored by log-likelihood.

lm-eval's task `hellaswag`: brackets are WikiHow's artifacts and are removed; acc_norm divides an ending's
log-likelihood by its length in characters, so that short endings have no head start.
"""

from __future__ import annotations

import re
from typing import ClassVar

from slimnb.benchmarks.benchmark import Benchmark, ChoiceItem, chance_of
from slimnb.data.rows import HellaswagRow


def clean(text: str) -> str:
    """Remove what WikiHow's formatting left behind, as lm-eval's `preprocess` does."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


class Hellaswag(Benchmark):
    metrics: ClassVar = ("acc", "acc_norm")
    primary: ClassVar = "acc_norm"

    def question(self, row: HellaswagRow) -> str:
        return clean(f"{row.activity_label}: {row.ctx_a} {row.ctx_b.capitalize()}")

    def answer(self, row: HellaswagRow) -> str:
        return clean(row.endings[int(row.label)])

    def identity(self, row: HellaswagRow) -> str:
        # ind alone is unique only within ActivityNet or within WikiHow.
        return f"{row.source_id}:{row.ind}"

    def item(self, row: HellaswagRow, item_id: str, subject: str, prompt: str) -> ChoiceItem:
        choices = tuple(clean(ending) for ending in row.endings)
        return ChoiceItem(item_id, subject, prompt, choices, int(row.label))

    def chance(self, items: list[ChoiceItem]) -> float:
        return chance_of(items)
