"""The items that two runs answer, side by side, with their text joined by id where the data set is present.

Run folders hold no benchmark text, so the text is looked up anew each time. Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from slimnb.benchmarks import ChoiceItem, OpenItem, get_benchmark
from slimnb.errors import SlimnbError
from slimnb.store.runs import RunFolder

Show = Literal["fixed", "broken", "both-wrong"]
CHANGES = ("fixed", "broken", "both wrong", "both right")
"""What can happen to an item from the first run to the second."""
SIDES = ("first", "second")


@dataclass(frozen=True)
class Texts:
    """A benchmark's items by id, or in `missing` how to get them."""

    items: dict[str, ChoiceItem | OpenItem] = field(default_factory=dict)
    missing: str | None = None


def texts(benchmark: str, data: Path | None) -> Texts:
    """The texts of a benchmark's items. The Hub is not asked: looking at items must not start a download."""
    try:
        asked = get_benchmark(benchmark)
        if data is None and not benchmark.startswith("workshop_"):
            return Texts(missing="name the directory of the data set by --data or SLIMNB_DATA")
        return Texts({item.id: item for item in asked.load(data, shots=0).items})
    except SlimnbError as error:
        return Texts(missing=str(error))


def items_frame(first: RunFolder, second: RunFolder, benchmark: str, known: Texts | None = None) -> pd.DataFrame:
    """One row an item that both runs answered, in the first run's order.

    Returns:
        Columns id, subject, change (one of CHANGES), length (characters of the question; NaN without its text), gold,
        first and second (what each answered), and for multiple choice first_confidence, second_confidence and
        confidence_change: the right answer's probability among the choices, from their summed log-likelihoods, and how
        it changed. A column is NaN where it does not apply.

    Raises:
        SlimnbError: a run was not scored on the benchmark, or its items cannot be read.
    """
    result = second.record.scores.get(benchmark) or first.record.scores.get(benchmark)
    column = f"correct_{result.primary if result else 'acc'}"
    sides = {}
    for side, run in zip(SIDES, (first, second), strict=True):
        items = run.items(benchmark)
        if missing := [name for name in ("id", "gold", "prediction", column) if name not in items]:
            raise SlimnbError(f"{run.path / 'eval' / benchmark / 'items.parquet'}: no column {', '.join(missing)}")
        sides[side] = items.drop_duplicates("id").set_index("id")
    both = sides["first"].index.intersection(sides["second"].index, sort=False)
    one, two = (items.loc[both] for items in sides.values())
    was, now = (items[column].to_numpy(dtype=bool) for items in (one, two))
    found = known.items if known else {}
    frame = pd.DataFrame(
        {
            "id": both.to_numpy(),
            "subject": one["subject"].to_numpy() if "subject" in one else None,
            "change": np.select([~was & now, was & ~now, ~was & ~now], CHANGES[:3], CHANGES[3]),
            "length": [len(found[item].question) if item in found else np.nan for item in both],
            "gold": one["gold"].astype(str).to_numpy(),
            "first": one["prediction"].astype(str).to_numpy(),
            "second": two["prediction"].astype(str).to_numpy(),
            "first_confidence": _confidence(one),
            "second_confidence": _confidence(two),
        }
    )
    return frame.assign(confidence_change=frame["second_confidence"] - frame["first_confidence"])


def item_detail(
    first: RunFolder, second: RunFolder, benchmark: str, item_id: str, known: Texts | None = None
) -> dict[str, Any]:
    """All there is about one item.

    Returns:
        text (None without the data set), text_missing, gold (in words where the text is present), answers (one a run:
        text, prediction in words, and for generated answers generated, extracted, hit_limit) and choices (one a choice
        of multiple choice: choice, right, and by run first_log_likelihood, first_probability, first_picks, ...).

    Raises:
        SlimnbError: a run has no such item, or its items cannot be read.
    """
    rows = [_row(run, benchmark, item_id) for run in (first, second)]
    item = known.items.get(item_id) if known else None
    missing = known.missing if known else None
    return {
        "text": item.question if item else None,
        "text_missing": None if item else missing or "the data set has no item of this id",
        "gold": _in_words(item, rows[0]["gold"]),
        "answers": [_answer_detail(item, row) for row in rows],
        "choices": _choices(item, rows),
    }


def drill_down(
    first: RunFolder, second: RunFolder, benchmark: str, show: Show, data: Path | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Items by what changed from the first run to the second.

    Args:
        show: `fixed` (wrong, then right), `broken` (right, then wrong) or `both-wrong`.
        data: the data directory; without it only the project's own sets have their text.
        limit: at most so many items.

    Returns:
        For each item: benchmark, id, subject, text (None with text_missing saying why), gold, first, second: the
        right answer and what each run answered, in words where the text is present.

    Raises:
        SlimnbError: a run was not scored on the benchmark, or its items cannot be read.
    """
    known = texts(benchmark, data)
    frame = items_frame(first, second, benchmark)
    chosen = []
    answers = [run.items(benchmark).drop_duplicates("id").set_index("id") for run in (first, second)]
    for item_id, subject in frame.loc[frame["change"] == show.replace("-", " "), ["id", "subject"]].to_numpy()[:limit]:
        item, rows = known.items.get(item_id), [items.loc[item_id] for items in answers]
        chosen.append(
            {
                "benchmark": benchmark,
                "id": item_id,
                "subject": subject,
                "text": item.question if item else None,
                "text_missing": None if item else known.missing or "the data set has no item of this id",
                "gold": _in_words(item, rows[0]["gold"]),
                "first": _answer(item, rows[0]),
                "second": _answer(item, rows[1]),
            }
        )
    return chosen


def _confidence(items: pd.DataFrame) -> np.ndarray:
    """The right answer's probability among the choices; NaN where there are none or the row does not say."""
    if "log_likelihoods" not in items:
        return np.full(len(items), np.nan)
    return np.array([_softmax_at(row, gold) for row, gold in zip(items["log_likelihoods"], items["gold"], strict=True)])


def _softmax_at(log_likelihoods: Any, place: Any) -> float:
    shares = _softmax(log_likelihoods)
    place = _place(place, len(shares))
    return float("nan") if place is None else float(shares[place])


def _softmax(log_likelihoods: Any) -> np.ndarray:
    if not isinstance(log_likelihoods, np.ndarray | list) or not len(log_likelihoods):
        return np.array([])
    values = np.asarray(log_likelihoods, dtype=float)
    shares = np.exp(values - values.max())
    return shares / shares.sum()


def _place(answer: Any, choices: int) -> int | None:
    """An answer as the number of a choice; None if it is none."""
    try:
        place = int(answer)
    except (TypeError, ValueError, OverflowError):
        return None
    return place if 0 <= place < choices else None


def _row(run: RunFolder, benchmark: str, item_id: str) -> Any:
    items = run.items(benchmark)
    rows = items.loc[items["id"] == item_id] if "id" in items else items.head(0)
    if rows.empty or not {"gold", "prediction"} <= set(rows.columns):
        raise SlimnbError(f"{run.path / 'eval' / benchmark / 'items.parquet'}: no item {item_id}")
    return rows.iloc[0]


def _answer_detail(item: ChoiceItem | OpenItem | None, row: Any) -> dict[str, Any]:
    right = {name.removeprefix("correct_"): bool(row[name]) for name in row.index if name.startswith("correct_")}
    detail: dict[str, Any] = {"prediction": _in_words(item, row["prediction"]), "right": right}
    if "text" in row:
        names = [name for name in row.index if name.startswith("extracted_")]
        detail["generated"] = str(row["text"])
        detail["extracted"] = {name.removeprefix("extracted_"): str(row[name]) for name in names}
        limited = row.get("hit_limit")
        detail["hit_limit"] = isinstance(limited, bool | np.bool_) and bool(limited)  # imported runs may not know
    return detail


def _choices(item: ChoiceItem | OpenItem | None, rows: list[Any]) -> list[dict[str, Any]]:
    likelihoods = [row.get("log_likelihoods") for row in rows]
    shares = [_softmax(one) for one in likelihoods]
    count = min(map(len, shares))
    words = item.choices if isinstance(item, ChoiceItem) else ()
    gold = _place(rows[0]["gold"], count)
    table = []
    for place in range(count):
        line: dict[str, Any] = {"choice": words[place] if place < len(words) else f"({place})", "right": place == gold}
        for side, row, given, share in zip(SIDES, rows, likelihoods, shares, strict=True):
            picks = place == _place(row["prediction"], count)
            line |= {
                f"{side}_log_likelihood": float(given[place]), f"{side}_probability": float(share[place]),
                f"{side}_picks": picks,
            }  # fmt: skip
        table.append(line)
    return table


def _answer(item: ChoiceItem | OpenItem | None, row: Any) -> str:
    if "text" in row:
        return f"{row['text'].strip() or '(nothing)'} [{str(row['prediction']).strip('[]')}]"
    return _in_words(item, row["prediction"])


def _in_words(item: ChoiceItem | OpenItem | None, answer: Any) -> str:
    if isinstance(item, ChoiceItem) and (place := _place(answer, len(item.choices))) is not None:
        return f"({answer}) {item.choices[place]}"
    return str(answer)
