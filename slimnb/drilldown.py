"""The items that two runs answer differently, with their text joined by id where the data set is present.

Run folders hold no benchmark text, so the text is looked up anew each time. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from slimnb.benchmarks import ChoiceItem, OpenItem, get_benchmark
from slimnb.errors import SlimnbError
from slimnb.runs import RunFolder

Show = Literal["fixed", "broken", "both-wrong"]


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
    metric = second.record.scores[benchmark].primary if benchmark in second.record.scores else "acc"
    one, two = first.items(benchmark).set_index("id"), second.items(benchmark).set_index("id")
    column = f"correct_{metric}"
    both = one.index.intersection(two.index)
    was, now = one.loc[both, column].to_numpy(dtype=bool), two.loc[both, column].to_numpy(dtype=bool)
    wanted = {"fixed": ~was & now, "broken": was & ~now, "both-wrong": ~was & ~now}[show]
    texts, missing = _texts(benchmark, data)
    chosen = []
    for item_id in both[wanted][:limit]:
        item = texts.get(item_id)
        left, right = one.loc[item_id], two.loc[item_id]
        chosen.append(
            {
                "benchmark": benchmark,
                "id": item_id,
                "subject": left["subject"],
                "text": item.question if item else None,
                "text_missing": None if item else missing or "the data set has no item of this id",
                "gold": _in_words(item, left["gold"]),
                "first": _answer(item, left),
                "second": _answer(item, right),
            }
        )
    return chosen


def _texts(benchmark: str, data: Path | None) -> tuple[dict[str, ChoiceItem | OpenItem], str | None]:
    """Id -> item, or why there is none. The Hub is not asked: looking at items must not start a download."""
    asked = get_benchmark(benchmark)
    if data is None and not benchmark.startswith("workshop_"):
        return {}, "name the directory of the data set by --data or SLIMNB_DATA"
    try:
        return {item.id: item for item in asked.load(data, shots=0).items}, None
    except SlimnbError as error:
        return {}, str(error)


def _answer(item: ChoiceItem | OpenItem | None, row: Any) -> str:
    if "text" in row:
        return f"{row['text'].strip()} [{row['prediction']}]"
    return _in_words(item, row["prediction"])


def _in_words(item: ChoiceItem | OpenItem | None, answer: Any) -> str:
    if isinstance(item, ChoiceItem):
        return f"({answer}) {item.choices[int(answer)]}"
    return str(answer)
