"""Plotly figures as pure functions of data frames, for notebooks and the dashboard. Imports no torch.

  drawing.py    each method's look, short names of runs, what every figure has
  results.py    scores, and changes of scores
  curves.py     how training went
  costs.py      score against cost, and memory as predicted and measured; budget.py: item by item
  alignment.py  training set x benchmark: gains, predicted alignment; what was lost elsewhere
  mechanism.py  what training did to the weights

`slimnb.analysis.frames`, `slimnb.analysis.gains` and `slimnb.anatomy` make the frames from run folders. Every figure
has its text alternative in `figure.layout.meta["alt"]`. Frames hold proportions, bytes and seconds, figures percent,
gigabytes and minutes. Names from run files are escaped, since Plotly reads some HTML.
"""

from slimnb.analysis.frames import (
    comparisons_frame,
    cost_frame,
    curves_frame,
    differences_frame,
    pair_frame,
    predictions_frame,
    scores_frame,
)
from slimnb.figures.alignment import alignment_matrix, gains_matrix, retention_plane
from slimnb.figures.budget import memory_items
from slimnb.figures.costs import COSTS, cost, predicted_memory
from slimnb.figures.curves import CURVES, training_curves
from slimnb.figures.drawing import METHOD_STYLE, NO_TEXT, labels
from slimnb.figures.mechanism import QUANTITIES, by_layer, intruders, quantization, spectra
from slimnb.figures.results import differences, scores

__all__ = [
    "COSTS", "CURVES", "METHOD_STYLE", "NO_TEXT", "QUANTITIES", "alignment_matrix", "by_layer", "comparisons_frame",
    "cost", "cost_frame", "curves_frame", "differences", "differences_frame", "gains_matrix", "intruders", "labels",
    "memory_items", "pair_frame", "predicted_memory", "predictions_frame", "quantization", "retention_plane",
    "scores", "scores_frame", "spectra", "training_curves",
]  # fmt: skip
