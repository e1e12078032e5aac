"""workshop_commonsense: which of four endings goes on sensibly, in the schema of Rowan/hellaswag.

An activity's steps are cut in two: a few neighboring steps for test, the rest for train. No step of one part
is a context, a right ending or a wrong ending in the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from random import Random

from _activities import Activity, read_activities, stems
from _rows import SEED, Row, interleave

ROWS_PER_ACTIVITY = {"train": 8, "test": 3}
OTHERS_WEIGHED = 24  # endings of other activities to choose from for each row

# How a person is first named, named again, and the pronouns.
PERSONS = (
    ("Anna", "she", "she", "her"), ("Ben", "he", "he", "his"), ("Clara", "she", "she", "her"),
    ("David", "he", "he", "his"), ("Emma", "she", "she", "her"), ("Frank", "he", "he", "his"),
    ("Grace", "she", "she", "her"), ("Henry", "he", "he", "his"), ("Kate", "she", "she", "her"),
    ("Leo", "he", "he", "his"), ("Mia", "she", "she", "her"), ("Tom", "he", "he", "his"),
    ("A woman", "the woman", "she", "her"), ("A man", "the man", "he", "his"),
    ("A young woman", "the young woman", "she", "her"), ("An old man", "the old man", "he", "his"),
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """An activity's share of a split; None as a context is the mere start of the activity."""

    pairs: tuple[tuple[int, str | None, str], ...]  # number of the row, step that is the context, next step
    absurd: tuple[str, ...]


def cut(activity: Activity) -> dict[str, Part]:
    """Both parts of an activity; the pair of steps on the border between them goes unused."""
    rng = Random(f"{SEED}:{activity.label}:cut")
    pairs = tuple(zip(range(len(activity.steps)), (None, *activity.steps), activity.steps, strict=False))
    absurd = sorted(activity.absurd, key=len)  # every other one, so that both parts get short and long ones
    train, test = ROWS_PER_ACTIVITY.values()
    test_comes_first = rng.random() < 0.5
    test_pairs = pairs[:test] if test_comes_first else pairs[-test:]
    train_pairs = pairs[-train:] if test_comes_first else pairs[:train]
    if test_comes_first:
        absurd.reverse()
    return {"train": Part(train_pairs, tuple(absurd[::2])), "test": Part(test_pairs, tuple(absurd[1::2]))}


def pick_wrongs(right: str, absurd: Sequence[str], others: Sequence[str], shorter: int) -> list[str]:
    """Two absurd endings and another activity's, of like lengths, `shorter` of them shorter than the right.

    Where the lengths do not allow it, one absurd ending and two of other activities.
    """

    def misfit(wrongs: Sequence[str]) -> tuple[int, bool, int]:
        gaps = [len(wrong) - len(right) for wrong in wrongs]
        misplaced = abs(sum(gap < 0 for gap in gaps) - shorter) + gaps.count(0)
        return misplaced, wrongs[1] not in absurd, sum(map(abs, gaps))

    usual = ((*pair, other) for pair, other in product(combinations(absurd, 2), others))
    fallback = ((one, *pair) for one, pair in product(absurd, combinations(others, 2)))
    return list(min(chain(usual, fallback), key=misfit))


def other_endings(activity: Activity, split: str, activities: Sequence[Activity]) -> list[str]:
    """The split's steps of activities of another theme that share no object with this one."""
    objects = activity.objects()
    return [
        step
        for other in activities
        if other.theme != activity.theme
        for _, _, step in cut(other)[split].pairs
        if step in other.tied and not stems(step) & objects
    ]


def rows_of(number: int, activity: Activity, split: str, activities: Sequence[Activity]) -> list[Row]:
    rng = Random(f"{SEED}:{activity.label}:{split}")
    part = cut(activity)[split]
    others = other_endings(activity, split, activities)
    size = len(part.pairs)
    # Going round by the activity's number spreads places and lengths evenly over all activities.
    places = rng.sample([(number * size + turn) % 4 for turn in range(size)], size)
    ranks = [(number * size + turn) % 4 for turn in range(size)]
    rows = []
    by_length = sorted(part.pairs, key=lambda pair: len(pair[2]))
    for (step_number, context, right), place, rank in zip(by_length, places, sorted(ranks), strict=True):
        name, again, she, her = rng.choice(PERSONS)
        endings = pick_wrongs(right, part.absurd, rng.sample(others, OTHERS_WEIGHED), rank)
        rng.shuffle(endings)
        endings.insert(place, right)
        start = f"{name} is {activity.doing} {rng.choice(activity.places)}."
        ctx_a = f"{start} {she.capitalize()} {context}." if context else start
        ctx_a, *endings = (text.format(she=she, her=her) for text in (ctx_a, *endings))
        index = number * len(activity.steps) + step_number
        rows.append(
            {
                "ind": index,
                "activity_label": activity.label,
                "ctx_a": ctx_a,
                "ctx_b": again,
                "ctx": f"{ctx_a} {again}",
                "endings": [f"{ending}." for ending in endings],
                "source_id": f"workshop~{index:04}",
                "split": split,
                "split_type": "indomain",
                "label": str(place),
            }
        )
    return rng.sample(rows, size)


def problems(split: str) -> Iterator[tuple[str, Row]]:
    """Yield (activity, row) for every row of a split, in file order."""
    activities = read_activities()
    rows = {activity.label: rows_of(i, activity, split, activities) for i, activity in enumerate(activities)}
    return interleave(rows, split)
