"""workshop_math: short word problems in the schema of openai/gsm8k, correct by construction."""

from collections.abc import Iterator
from random import Random

from _math_kinds import KINDS, NAMES, WORDS, Kind
from _rows import SEED, Row, interleave, variant_key

ROWS_PER_KIND = {"train": 20, "test": 6}
RESULT_NAMES = "xyz"  # a later step of a kind calls the results of the steps before it x, y, z
MOST_TRIES = 100_000  # far more than any kind needs; only a mistaken table reaches it


def calculate(left: int, operator: str, right: int) -> int | None:
    """The whole-number result, or None where a division leaves a rest."""
    if operator == "/":
        return None if left % right else left // right
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def work_out(kind: Kind, numbers: dict[str, int]) -> tuple[list[str], int] | None:
    """The equations of a problem and the last one's result; None where a result is unsuitable."""
    values = dict(numbers)
    equations = []
    result = 0
    for name, step in zip(RESULT_NAMES, kind.steps, strict=False):
        left, operator, right = step.split()
        a, b = (values[token] if token in values else int(token) for token in (left, right))
        outcome = calculate(a, operator, b)
        # At least 2, so that every noun in an answer is rightly in the plural.
        if outcome is None or not 2 <= outcome <= kind.largest:
            return None
        result = values[name] = outcome
        equations.append(f"{a} {operator} {b} = {outcome}")
    return equations, result


def fill_words(rng: Random) -> dict[str, str]:
    """A word for each placeholder of the wordings."""
    (first, pronoun), (second, _) = rng.sample(NAMES, 2)
    words = {pool: rng.choice(choices) for pool, choices in WORDS.items()}
    # Two kinds of goods in one question must differ; each is "singular/plural".
    good, other = rng.sample(WORDS["good"], 2)
    words["good"], words["goods"] = good.split("/")
    words["other_good"] = other.split("/")[0]
    return {**words, "A": first, "B": second, "she": pronoun, "She": pronoun.capitalize()}


def draw_row(kind: Kind, wording: str, rng: Random) -> Row | None:
    """One problem with random numbers and words, or None where the numbers drawn do not suit the kind."""
    numbers = {name: rng.choice(choices) for name, choices in kind.numbers.items()}
    worked = work_out(kind, numbers) if kind.when(**numbers) else None
    if worked is None:
        return None
    equations, result = worked
    words = fill_words(rng)
    work = f"{'. '.join(equations)} {kind.unit.format(**words)}".rstrip()
    return {"question": wording.format(**numbers, **words), "answer": f"{work}.\n#### {result}"}


def rows_of(kind: Kind) -> list[Row]:
    """Enough rows of a kind for all splits, no two of them trivial variants, its wordings taking turns."""
    rng = Random(f"{SEED}:{kind.name}")
    rows: dict[tuple[str, ...], Row] = {}
    for _ in range(MOST_TRIES):
        row = draw_row(kind, kind.wordings[len(rows) % len(kind.wordings)], rng)
        if row is not None:
            rows.setdefault(variant_key(kind.name, row["question"]), row)
        if len(rows) == sum(ROWS_PER_KIND.values()):
            return list(rows.values())
    raise ValueError(f"the ranges of {kind.name} hold too few problems")


def problems(split: str) -> Iterator[tuple[str, Row]]:
    """Yield (kind, row) for every row of a split, in file order."""
    size = ROWS_PER_KIND["train"]
    part = slice(None, size) if split == "train" else slice(size, None)
    return interleave({kind.name: rows_of(kind)[part] for kind in KINDS}, split)
