"""slimnb's results in words. Plain text: names of runs and benchmarks are data, never markup."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from slimnb.analysis.comparison import Comparison
from slimnb.store.records import RunRecord
from slimnb.store.runs import RunFolder
from slimnb.units import duration

WHERE_TO_LOOK = """
1. **Did LoRA help?** The first answer on *Overview*; then *Compare base with what was trained*: a change that the
   table's column *verdict* calls resolved is one that chance does not explain.
2. **Was QLoRA as good?** The second answer; then *Compare LoRA and QLoRA*: the table's column *within 2 points* says
   whether "as good" is shown.
3. **What did it cost?** The third answer; then *Costs*.
4. **What did the model forget?** The fourth answer, of the benchmarks that it was not trained for; then *Compare on
   every benchmark*, where a fall is forgetting, and *Alignment and retention* in the sidebar for what is still right.
5. **On which items?** The fifth answer; then *Items that broke*, or *The items that changed* on *Compare*: choose one,
   and read both answers to it.
"""
"""The way by clicks to the five questions that the app answers; tests/browser walks it."""

HOW_TO_READ = {
    "scores": "A bar is the share of right answers, of several seeds their mean; the line on it is the 95% interval: "
    "with other items of the same kind the score would lie there. Bars whose lines overlap may still differ, since the "
    "runs answered the same items: look at the changes. The dashes are what guessing would score.",
    "differences": "A point is the change on the same items and its line the 95% interval. A line that crosses 0 means "
    "that the change is not resolved with so many items, which is not the same as no change. One that does not cross 0 "
    "may be unresolved, too, once several benchmarks are corrected for: the verdict counts.",
    "equivalence": "The grey band is what counts as no difference. Only a line that lies wholly within the band shows "
    "that the two are as good as each other; one that crosses 0 but leaves the band shows nothing.",
    "curves": "A falling loss means that the model predicts the training answers better, and says nothing of new "
    "questions: for that look at the scores. With smoothing the pale line is what was measured.",
    "cost": "Up is better and left is cheaper. The dotted line joins the runs that no other beats in both; two points "
    "whose lines overlap may still differ, since the runs answered the same items: *Compare* tells.",
    "predicted": "A point is one training. On the diagonal the prediction is exact; in the grey band it misses by less "
    "than a fifth. Below the band more memory was taken than foreseen.",
    "gains": "A cell is the change of a benchmark (column) by training on a set (row), in points. Blue gained, orange "
    "lost; grey cells are not resolved with so many items, which is not the same as no change. A frame marks what the "
    "training set was made for.",
    "alignment": "The darker, the nearer the training set is to the benchmark in this predictor's eyes, before "
    "anything was trained. If it foresees well, dark cells here are blue cells above.",
    "retention": "Up is more gained on what was trained for, left is more lost on average over the other benchmarks. "
    "The upper right corner learns without forgetting; a line across 0 is not resolved.",
    "spectra": "How fast the update's singular values fall: a steep line is an update of few directions, whatever rank "
    "it was allowed. The line is the median over matrices, the band their range.",
    "by_layer": "Where in the model training did most: the line is the median over a layer's matrices, the band their "
    "range.",
    "intruders": "Leading singular vectors of the trained matrix that point where none of the original's does. Further "
    "right the test is stricter, so every line rises; LoRA's usually lies above full fine-tuning's.",
    "quantization": "What rounding the weights to 4 bits changes, of their size, before any training. Open markers are "
    "with double quantization, which should change next to nothing.",
    "items": "Confidence is the right answer's share of the probability of all choices. It can move far without the "
    "answer changing, and an answer can change by a hair: a run of another seed would break other items.",
}
"""A sentence or two under each figure, for those who see it for the first time."""


def verdict(name: str, row: Any) -> str:
    """One sentence about a row of `slimnb.analysis.gains.gains_frame`."""
    if pd.notna(row.refused):
        return f"{name} on {row.benchmark}: not compared. {row.refused}"
    end = "resolved" if row.resolved else f"not resolved with {row.n:.0f} items{_corrected(row, row.adjusted_p)}"
    return f"{name[:1].upper()}{name[1:]} changed {row.benchmark} by {points(row)}: {end}."


def as_good(one: Comparison, after: str = "") -> str:
    """Whether the second is as good as the first: a difference, equality within a margin, or neither shown.

    Args:
        after: what both were trained on, where it has to be said.
    """
    margin = f"{100 * one.equivalence.margin:g} points"
    if one.resolved:
        end = "better" if one.paired.difference > 0 else "worse"
    elif one.equivalence.equivalent:
        end = f"as good within {margin}"
    else:
        corrected = _corrected(one.paired, one.adjusted_p)
        end = f'neither a difference nor "as good within {margin}" is shown{corrected}'
    after = f", after training on {after}," if after else ""
    return f"On {one.benchmark}{after} QLoRA is {points(one.paired)} from LoRA: {end}."


def _corrected(row: Any, adjusted_p: float) -> str:
    """Why a change is not resolved although its interval leaves 0 out."""
    if row.low <= 0 <= row.high:
        return ""
    return f" (p = {adjusted_p:.2g} once corrected for the number of benchmarks, whatever the interval alone says)"


def points(row: Any) -> str:
    numbers = 100 * row.difference, 100 * row.low, 100 * row.high
    return "{:+.1f} points (95% {:+.1f} to {:+.1f}, ".format(*numbers) + f"{row.n:.0f} items)"


def spent(name: str, runs: Sequence[RunFolder]) -> str:
    """What a run took, or each of several seeds, as far as it is known."""
    costs, said = [run.record.costs for run in runs], []
    if runs[0].config.training:
        times = sorted(cost.train_seconds for cost in costs if cost.train_seconds is not None)
        if times:
            ends = dict.fromkeys(duration(seconds) for seconds in (times[0], times[-1]))
            said.append(f"{' to '.join(ends)} of training{' a seed' if len(runs) > 1 else ''}")
        if (trained := costs[0].trainable_parameters) is not None:
            whole = costs[0].total_parameters
            said.append(
                f"{trained / 1e6:,.1f} million trained parameters{f' ({trained / whole:.1%})' if whole else ''}"
            )
    peaks = [peak for cost in costs if (peak := cost.train_peak_bytes or cost.eval_peak_bytes)]
    if peaks:
        scoring = "" if runs[0].config.training else ", scoring"
        said.append(f"{max(peaks) / 1e9:.2f} GB of memory at most{scoring}")
    return f"{name}: {', '.join(said) or 'not recorded'}."


def costs_apart(reasons: Sequence[str]) -> str:
    """One sentence of all that keeps costs from being compared: reasons of `slimnb.analysis.guard.costs_differ_in`."""
    said = "; ".join(dict.fromkeys(map(_in_short, reasons)))
    return f"These do not compare everywhere ({said}): the page Cost says which."


def _in_short(reason: str) -> str:
    """A reason without its numbers, which are others for each pair of runs."""
    if reason.endswith(" runs at once on the machine"):
        return "runs at once"
    if reason.startswith("other programs "):
        return "other programs' load"
    field = re.match("([a-z_]+) .* and ", reason)
    return f"other {field[1].replace('_', ' ')}" if field else reason


def score_cell(row: Any) -> str:
    return f"{100 * row.value:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"


def change_cell(row: Any) -> str:
    if pd.notna(row.refused):
        return "refused"
    return f"{100 * row.difference:+.1f} ({100 * row.low:+.1f} to {100 * row.high:+.1f})"


def why_ended(record: RunRecord) -> str | None:
    """Why a run is not complete; None where it is, or still runs."""
    if record.status in ("completed", "running"):
        return record.error
    if record.status == "interrupted" and not record.error:
        return f"its process is gone without a word; last sign of life {moment(record.heartbeat) or 'unknown'}"
    return record.error or "no reason was written"


def moment(seconds: float) -> str | None:
    """A time of this machine's clock to the minute; None if the number is none."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M}"
    except (OSError, OverflowError, ValueError):
        return None


def setting(value: Any) -> str | None:
    """A configuration's value as text; one that is not set stays None."""
    return None if value is None else str(value)
