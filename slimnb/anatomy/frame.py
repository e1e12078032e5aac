"""Stored anatomies as a data frame, for slimnb.figures and notebooks. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from slimnb.analysis.frames import identity
from slimnb.anatomy.record import FORMATS, Anatomy, read_anatomy
from slimnb.store.runs import RunFolder


def anatomy_frame(runs: Sequence[RunFolder], anatomies: Sequence[Anatomy | None] | None = None) -> pd.DataFrame:
    """One row run x trained matrix; runs without a stored anatomy have none.

    Args:
        anatomies: the runs' own, one a run, where they have been read already.

    Returns:
        run, method, training_set; layer, kind; the quantities of `slimnb.anatomy.record.Matrix` under its names, with
        singular_values and cosines as lists (cosines None where they were not computed); intruders (at 0.5);
        error_FORMAT, ||W - Q(W)||_F / ||W||_F; and error_over_update, NF4's over ||dW||_F. NaN where there is none.

    Raises:
        SlimnbError: an anatomy.json is damaged, or of a newer slimnb.
    """
    if anatomies is None:
        anatomies = [read_anatomy(run.path) for run in runs]
    rows = []
    for run, anatomy in zip(runs, anatomies, strict=True):
        for matrix in anatomy.matrices if anatomy else ():
            errors = {f"error_{form}": matrix.quantization.get(form) for form in FORMATS}
            row = identity(run) | matrix.model_dump(exclude={"quantization"}) | errors
            rows.append(row | {"intruders": matrix.intruders(), "error_over_update": matrix.error_over_update()})
    frame = pd.DataFrame(rows)
    lists = ("run", "method", "training_set", "name", "kind", "shape", "singular_values", "cosines")
    numbers = [name for name in frame if name not in lists]
    return frame.astype(dict.fromkeys(numbers, float)) if rows else frame
