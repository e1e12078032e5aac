"""The report's section on predicted alignment beside measured gains."""

from __future__ import annotations

from collections.abc import Iterator

from slimnb.alignment.record import PREDICTORS, Alignment
from slimnb.findings.claims import Case, Claim, Verdict
from slimnb.findings.prediction import (
    SAME_NAME,
    TRIVIAL,
    Judgement,
    ceiling,
    gains,
    gains_in_bits,
    judge,
    predictions,
)
from slimnb.findings.results import table
from slimnb.findings.study import Study
from slimnb.findings.words import bullets, code, join
from slimnb.units import duration

AIM = 0.7
"""The rank correlation that the project asks of a predictor."""
HALF_WIDTH = 1.96
"""Of a 95% interval, in standard errors."""


def foretold(study: Study) -> Claim:
    """The project's own question, as a claim."""
    return Claim(
        "Alignment foretells the gain, before anything is trained (this project's own question)",
        f"agree: a predictor's rank correlation with LoRA's gains is at least {AIM}, its interval above 0, and the "
        "gains are measured well enough to be foretold so well: measured again on other items they would correlate "
        f"with themselves at {AIM} or more. disagree: the intervals of all lie below {AIM}.",
        tuple(
            Case(_foretells(found, best_possible), _said(found, unit, best_possible))
            for found, unit, best_possible, _ in _judgements(study)
        ),
    )


def _foretells(found: list[Judgement], best_possible: float | None) -> Verdict:
    measured = [one for one in _of_all_cells(found) if one.predictor not in TRIVIAL]
    reached = any((one.correlation or 0) >= AIM and (one.low or 0) > 0 for one in measured)
    if reached and (best_possible is None or best_possible >= AIM):
        return "agree"
    known = [one.high for one in measured if one.high is not None]
    return "disagree" if known and max(known) < AIM else "not resolved"


def predicted(study: Study) -> Iterator[str]:
    alignment = study.alignment
    if alignment is None:
        yield "The study has no alignment.json: `slimnb alignment ... --save` writes one into its directory."
    else:
        yield _looked_at(alignment)
        for name, predictor in alignment.predictors.items():
            yield f"**{name}**, {PREDICTORS.get(name, 'a predictor of another slimnb')} ({duration(predictor.seconds)})"
            yield table(
                [
                    {"training set": one} | {at: _number(row.get(at)) for at in alignment.benchmarks}
                    for one, row in predictor.values.items()
                ]
            )
    yield "### Against the measured gains"
    judged = list(_judgements(study))
    if not judged:
        yield f"{len(gains(study))} measured cells of LoRA are too few to correlate."
        return
    yield bullets([f"{name}: {what}." for name, what in TRIVIAL.items()])
    yield (
        "Cells are LoRA's training set x benchmark. Correlations are Spearman's, the 95% interval is a bootstrap over "
        "training sets and rough with so few. Within: mean of the correlations among one benchmark's training sets. "
        "Left out: the lowest and highest correlation without one training set. Error: mean absolute error of a line "
        "fitted without the training set that it predicts."
    )
    for found, unit, best_possible, scale in judged:
        yield f"Gain in {unit}:"
        yield table([_judgement_row(one, scale) for one in found])
        yield _said(found, unit, best_possible)


def _judgements(study: Study) -> Iterator[tuple[list[Judgement], str, float | None, float]]:
    """The predictors' judgements against each measure of gain, its unit, the ceiling, and the unit's scale."""
    tuned = study.usual("lora")
    of_points = {(one.data, name): found.paired.error for one in tuned for name, found in one.changes.items()}
    of_bits = {(one.data, name): (found.high - found.low) / 2 / HALF_WIDTH
               for one in tuned for name, found in one.gold.items()}  # fmt: skip
    for measured, errors, unit, scale in (
        (gains(study), of_points, "points of the main metric", 100.0),
        (gains_in_bits(study), of_bits, "bits per byte of the right answers", 1.0),
    ):
        found = [one for name, numbers in predictions(study).items() if (one := judge(name, numbers, measured))]
        if found:
            yield found, unit, ceiling(measured, errors), scale


def _of_all_cells(found: list[Judgement]) -> list[Judgement]:
    """Those with a number for every cell: correlations over other cells are not held against theirs."""
    most = max(one.cells for one in found)
    return [one for one in found if one.cells == most]


def _judgement_row(one: Judgement, scale: float) -> dict[str, str]:
    whole = f" ({_signed(one.low)} to {_signed(one.high)})" if one.low is not None else ""
    left_out = "-" if one.left_out is None else f"{_signed(one.left_out[0])} to {_signed(one.left_out[1])}"
    return {
        "predictor": one.predictor, "cells": str(one.cells), "all cells (95%)": _signed(one.correlation) + whole,
        "within": _signed(one.within), "left out": left_out,
        "error": "-" if one.error is None else f"{scale * one.error:.3g}",
    }  # fmt: skip


def _said(found: list[Judgement], unit: str, best_possible: float | None) -> str:
    """What the table comes to, in words, of the predictors that have a number for every cell."""
    whole = _of_all_cells(found)
    fewer = [f"{code(one.predictor)} has {one.cells} of {whole[0].cells} cells" for one in found if one not in whole]
    known = {one.predictor: one.correlation for one in whole if one.correlation is not None}
    measured = {name: value for name, value in known.items() if name not in TRIVIAL}
    limit = "" if best_possible is None else (
        f" Measured again on other items, these gains would correlate with themselves at about {best_possible:+.2f}."
    )  # fmt: skip
    if not measured:
        return f"No predictor has been computed for these cells.{limit}"
    best = max(measured, key=measured.__getitem__)
    reached = [name for name, value in measured.items() if value >= AIM]
    said = (
        f"A correlation of {AIM} with the gain in {unit} is reached by {join(map(code, reached))}"
        if reached
        else f"No predictor reaches a correlation of {AIM} with the gain in {unit}"
    )
    said += f"; the best of {len(measured)} is {code(best)} with {measured[best]:+.2f}, and the best of several "
    said += "flatters itself."
    if best_possible is not None and measured[best] > best_possible:
        limit += f" {code(best)} is above that, so part of its correlation is luck."
    if (trivial := known.get(SAME_NAME)) is not None:
        better = [name for name, value in measured.items() if value > trivial]
        said += f" Higher than the name alone ({trivial:+.2f}): {join(map(code, better)) or 'none'}."
    clear = [one.predictor for one in found if one.low is not None and one.low > 0 and one.predictor in measured]
    said += f" Interval above 0: {join(map(code, clear)) or 'none'}."
    return f"{said}{limit}" + (f" Left aside here: {join(fewer)}." if fewer else "")


def _looked_at(alignment: Alignment) -> str:
    rows = sorted({one.rows for one in (*alignment.training_sets.values(), *alignment.benchmarks.values())})
    asked = join([f"{name} behind {one.shots}" for name, one in alignment.benchmarks.items() if one.shots])
    shots = f". A rehearsal asks {asked} worked examples" if asked else ", without worked examples"
    return (
        f"Computed before any training, of {join([str(count) for count in rows], 'or')} rows of each training set and "
        f"items of each benchmark, drawn with seed {alignment.seed}{shots}. Higher is nearer, each on a scale "
        "of its own. The predictors see questions and right answers of the sample, scored items among them: this "
        "foretells a gain, and is no way to choose a training set whose score is then believed."
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"
