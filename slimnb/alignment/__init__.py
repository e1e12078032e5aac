"""How near a training set is to a benchmark, before anything is trained.

The names below need no torch, so that a dashboard can read what is stored.
"""

from slimnb.alignment.record import Alignment, Predictor, Sample, read_alignment, write_alignment

__all__ = ["Alignment", "Predictor", "Sample", "read_alignment", "write_alignment"]
