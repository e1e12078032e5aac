"""What a computer-science kind draws, and the distractors that several kinds share."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Item:
    question: str
    right: str
    wrongs: tuple[str, ...]  # typical mistakes, at least three of them other than the right answer


Draw = Callable[[Random], Item]


def item(question: str, right: object, mistakes: Iterable[object]) -> Item:
    """An item whose mistakes are made distinct; one of them may happen to equal the right answer and goes."""
    wrongs = dict.fromkeys(map(str, mistakes))
    wrongs.pop(str(right), None)
    return Item(question, str(right), tuple(wrongs))


def near(number: int, step: int = 1) -> list[int]:
    """The numbers around a right one, none below zero."""
    return [number + step * offset for offset in range(-3, 4) if offset and number + step * offset >= 0]
