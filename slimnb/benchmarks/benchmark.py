"""What a benchmark is: rows -> items that a model can be asked, and the grading of what it answers.

Prompts and grading follow lm-evaluation-harness 0.4.13, so that scores compare with published ones. A benchmark is a
class of a few short methods; how a prompt is put together, once for all of them, is here.
"""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from slimnb.compute.tokens import as_chat
from slimnb.data.load import load_rows
from slimnb.errors import SlimnbError


@dataclass(frozen=True)
class ChoiceItem:
    """A question with given answers: the model's answer is the one it finds most likely after the prompt."""

    id: str
    subject: str
    prompt: str
    """Everything before the answer, worked examples included."""
    choices: tuple[str, ...]
    gold: int
    joint: str = " "
    """What joins an answer to the prompt; nothing where a chat template has opened the answer."""
    question: str = ""
    """The text that asks, without the worked examples."""

    @property
    def lengths(self) -> list[int]:
        """Characters of each choice, by which lm-eval's acc_norm divides; an empty one counts as one."""
        return [max(1, len(choice)) for choice in self.choices]


@dataclass(frozen=True)
class OpenItem:
    """A question that the model answers in its own words."""

    id: str
    subject: str
    prompt: str
    gold: str
    """The right answer in full, as a worked example shows it."""
    joint: str = " "
    """What joins an answer to the prompt; nothing where a chat template has opened the answer."""
    question: str = ""
    """The text that asks, without the worked examples."""

    def with_its_answer(self) -> ChoiceItem:
        """The right answer as the only choice, to ask how likely it is."""
        return ChoiceItem(self.id, self.subject, self.prompt, (self.gold,), 0, self.joint, self.question)


Item = ChoiceItem | OpenItem


@dataclass(frozen=True)
class Questions:
    """A benchmark made ready to be asked."""

    items: list[Any]
    """ChoiceItem or OpenItem, all of one kind."""
    shots: int
    data_sha256: str
    """Over the rows of the scored split, limit or not."""

    def as_chat(self, tokenizer: Any) -> Questions:
        """The same with each prompt in the model's chat form, behind which nothing joins an answer."""
        items = [replace(item, prompt=as_chat(tokenizer, item.prompt), joint="") for item in self.items]
        return replace(self, items=items)

    @property
    def prompts_sha256(self) -> str:
        """Over every prompt and choice in order: equal hashes were asked the same things."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update("\x1f".join((item.id, item.prompt, *getattr(item, "choices", ()))).encode() + b"\x1e")
        return digest.hexdigest()


@dataclass(frozen=True)
class Benchmark(ABC):
    """A benchmark by name. Subclasses say how a row is asked and answered."""

    name: str
    data: tuple[str, ...]
    """The data sets that are pooled; each is a subject."""
    split: str = "test"
    shots_split: str = "train"
    default_shots: int = 0

    metrics: ClassVar[tuple[str, ...]]
    primary: ClassVar[str]
    """The metric that tables show."""

    @abstractmethod
    def question(self, row: Any) -> str:
        """The text that asks, up to but without the space before the answer."""

    @abstractmethod
    def answer(self, row: Any) -> str:
        """The right answer as a worked example shows it."""

    @abstractmethod
    def item(self, row: Any, item_id: str, subject: str, prompt: str) -> Item:
        """The row as an item."""

    def identity(self, row: Any) -> str:
        """What tells the row from all others; hashed where it is long."""
        return hashlib.sha256(self.question(row).encode()).hexdigest()[:12]

    def item_ids(self, data_set: str, rows: list[Any]) -> list[str]:
        """A stable id for each row: its subject and identity; rows that occur again are numbered in their order."""
        seen: Counter[str] = Counter()
        ids = []
        for identity in map(self.identity, rows):
            seen[identity] += 1
            again = f"#{seen[identity]}" if seen[identity] > 1 else ""
            ids.append(f"{subject_of(data_set)}:{identity}{again}")
        return ids

    def description(self, data_set: str) -> str:
        """What stands at the top of the prompt."""
        return ""

    def chance(self, items: list[Any]) -> float | None:
        """What guessing scores, between 0 and 1; None where there is nothing to guess among."""
        return None

    def load(self, directory: Path | None = None, shots: int | None = None, limit: int | None = None) -> Questions:
        """All items, or the first `limit`; the subjects take turns, so that a limit covers them evenly.

        The worked examples are the first `shots` rows of `shots_split`, the same for every item of a subject.

        Raises:
            SlimnbError: a data set is missing or damaged, or has fewer examples than shots.
        """
        shots = self.default_shots if shots is None else shots
        by_subject, hashes = [], []
        for data_set in self.data:
            loaded = load_rows(data_set, self.split, directory)
            hashes.append(loaded.sha256)
            prefix = self.description(data_set)
            if shots:
                examples = load_rows(data_set, self.shots_split, directory).rows[:shots]
                if len(examples) < shots:
                    raise SlimnbError(
                        f"{self.name}: {shots} shots asked for, but {data_set} {self.shots_split} has {len(examples)}"
                    )
                prefix += "".join(f"{self.question(row)} {self.answer(row)}\n\n" for row in examples)
            subject = subject_of(data_set)
            items = []
            for row, item_id in zip(loaded.rows, self.item_ids(data_set, loaded.rows), strict=True):
                question = self.question(row)
                items.append(replace(self.item(row, item_id, subject, prefix + question), question=question))
            by_subject.append(items)
        turns = itertools.chain.from_iterable(itertools.zip_longest(*by_subject))
        items = [item for item in turns if item is not None][:limit]
        return Questions(items, shots, hashlib.sha256("".join(hashes).encode()).hexdigest())


def subject_of(data_set: str) -> str:
    """A data set's name as a subject: MMLU's without the benchmark's own."""
    return data_set.removeprefix("mmlu/")


def chance_of(items: list[ChoiceItem]) -> float:
    """Expected share of right answers when guessing evenly among each item's choices."""
    return sum(1 / len(item.choices) for item in items) / len(items)
