"""Comparisons and tables as data frames, Markdown and LaTeX. Imports no torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd

from slimnb.analysis.comparison import Comparison, Side
from slimnb.stats import PairedDifference


def comparison_frame(comparisons: list[Comparison]) -> pd.DataFrame:
    """One row a comparison, in the words and numbers of a paper's table; points are percentage points."""
    rows = []
    for one in comparisons:
        paired = one.paired
        rows.append(
            {
                "benchmark": one.benchmark,
                "metric": one.metric,
                "first": one.first.name,
                "second": one.second.name,
                "n": paired.n,
                "seeds": f"{len(one.first.runs)}/{len(one.second.runs)}",
                "first %": _percent(one.first),
                "second %": _percent(one.second),
                "change (95%), points": _change(paired),
                "fixed": paired.fixed,
                "broken": paired.broken,
                "p (Holm)": f"{one.adjusted_p:.2g}",
                f"within {100 * one.equivalence.margin:g} points": "yes" if one.equivalence.equivalent else "not shown",
                "resolvable, points": "-" if one.smallest is None else f"{100 * one.smallest:.1f}",
                "verdict": "resolved" if one.resolved else f"not resolved with {paired.n} items",
            }
        )
    return pd.DataFrame(rows)


def comparison_record(one: Comparison) -> dict[str, Any]:
    """A comparison as plain JSON data, with what is derived from it."""
    sides = {
        name: {
            "name": side.name, "runs": side.runs, "value": side.value, "format_failures": side.format_failures,
            "scores": [asdict(score) for score in side.scores],
        }
        for name, side in (("first", one.first), ("second", one.second))
    }  # fmt: skip
    return {
        "benchmark": one.benchmark, "metric": one.metric, **sides, "paired": asdict(one.paired),
        "equivalence": asdict(one.equivalence), "smallest_resolvable": one.smallest, "adjusted_p": one.adjusted_p,
        "resolved": one.resolved, "verdict": one.verdict, "warnings": one.warnings,
    }  # fmt: skip


def to_markdown(frame: pd.DataFrame) -> str:
    """A Markdown table; a cell's own bars and line breaks do not break it."""

    def line(cells: Any) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(frame.columns), line("---" for _ in frame.columns), *map(line, frame.to_numpy())])


def to_latex(frame: pd.DataFrame) -> str:
    """A LaTeX tabular (booktabs), with everything escaped."""
    return frame.to_latex(index=False, escape=True)


def _percent(side: Side) -> str:
    if len(side.scores) == 1:
        score = side.scores[0]
        return f"{100 * score.value:.1f} ({score.k}/{score.n})"
    each = ", ".join(f"{100 * score.value:.1f}" for score in side.scores)
    return f"{100 * side.value:.1f} (seeds {each})"


def _change(paired: PairedDifference) -> str:
    return f"{100 * paired.difference:+.1f} ({100 * paired.low:+.1f} to {100 * paired.high:+.1f})"
