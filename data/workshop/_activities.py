"""Read the curated table of everyday activities."""

import re
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("activities.txt")

# Words that tell nothing about the objects of a sentence.
FUNCTION_WORDS = """
a all an and as at back before both by down each from her his in into is it its like more of off on one onto
other out over own so than that the them then through to two under until up when where with
"""


@dataclass(frozen=True)
class Activity:
    label: str  # "Washing dishes"
    doing: str  # "washing the dishes"
    places: tuple[str, ...]
    theme: str
    steps: tuple[str, ...]  # in order
    tied: frozenset[str]  # the steps that make no sense in an activity of another theme
    absurd: tuple[str, ...]  # endings that make no sense after any step

    def objects(self) -> frozenset[str]:
        """What the activity is about, as word stems."""
        return stems(" ".join((self.label, self.doing, *self.places, *self.steps)))


def stems(text: str) -> frozenset[str]:
    """The first four letters of each telling word: enough to match pan and pans, peel and peeling."""
    telling = set(re.findall(r"[a-z]+", text.lower())).difference(FUNCTION_WORDS.split())
    return frozenset(word[:4] for word in telling)


def marked(lines: list[str], marks: str) -> tuple[str, ...]:
    """The texts of the lines that begin with one of the marks."""
    return tuple(line[2:] for line in lines if line[0] in marks)


def read_activities() -> tuple[Activity, ...]:
    activities = []
    for block in TABLE.read_text(encoding="utf-8").split("\n== ")[1:]:
        head, *lines = block.strip().splitlines()
        label, doing, places, theme = head.split(" | ")
        steps, tied, absurd = marked(lines, "~-"), frozenset(marked(lines, "-")), marked(lines, "x")
        activities.append(Activity(label, doing, tuple(places.split(" ; ")), theme, steps, tied, absurd))
    return tuple(activities)
