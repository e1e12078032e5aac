"""MMLU's four computer-science subjects (arXiv 2009.03300), pooled: knowledge, scored by log-likelihood.

Two forms. Letters (lm-eval's task `mmlu_SUBJECT`): the choices stand in the prompt and the model picks A, B, C or D;
a small model often cannot, and stays near chance. Cloze (`mmlu_SUBJECT_continuation`): the choices themselves are
compared as continuations, which a model can do long before it can pick letters.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

from slimnb.benchmarks.benchmark import Benchmark, ChoiceItem, chance_of, subject_of
from slimnb.data.rows import MmluRow

LETTERS = "ABCDEFGHIJ"


class MmluCs(Benchmark):
    """The cloze form: `Question: ...` and the choices as continuations."""

    metrics: ClassVar = ("acc", "acc_norm")
    primary: ClassVar = "acc_norm"

    def question(self, row: MmluRow) -> str:
        return f"Question: {row.question.strip()}\nAnswer:"

    def answer(self, row: MmluRow) -> str:
        return row.choices[row.answer]

    def choices(self, row: MmluRow) -> tuple[str, ...]:
        return tuple(row.choices)

    def identity(self, row: MmluRow) -> str:
        text = "\x1f".join((row.question, *row.choices))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def description(self, data_set: str) -> str:
        return f"The following are questions (with answers) about {_topic(data_set)}.\n\n"

    def item(self, row: MmluRow, item_id: str, subject: str, prompt: str) -> ChoiceItem:
        return ChoiceItem(item_id, row.subject or subject, prompt, self.choices(row), row.answer)

    def chance(self, items: list[Any]) -> float:
        return chance_of(items)


class MmluCsLetters(MmluCs):
    """The letter form: the choices are listed and a letter is the answer."""

    metrics: ClassVar = ("acc",)
    primary: ClassVar = "acc"

    def question(self, row: MmluRow) -> str:
        listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, row.choices, strict=False))
        return f"{row.question.strip()}\n{listed}\nAnswer:"

    def answer(self, row: MmluRow) -> str:
        return LETTERS[row.answer]

    def choices(self, row: MmluRow) -> tuple[str, ...]:
        return tuple(LETTERS[: len(row.choices)])

    def description(self, data_set: str) -> str:
        return f"The following are multiple choice questions (with answers) about {_topic(data_set)}.\n\n"


@dataclass(frozen=True)
class WorkshopCs(MmluCs):
    """The project's own exercises, in the cloze form, without MMLU's heading."""

    def description(self, data_set: str) -> str:
        return ""


def _topic(data_set: str) -> str:
    return subject_of(data_set).replace("_", " ")
