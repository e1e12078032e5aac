"""What training did to the weights, matrix by matrix, and what quantization would do to them.

  spectrum.py      rank, amplification, intruder dimensions, overlap: functions on tensors
  quantization.py  what 4 bits lose
  update.py        a run's folder -> its updates, one matrix at a time
  examine.py       runs -> anatomies, each stored with its run
  record.py        what anatomy.json holds
  frame.py         stored anatomies as a data frame
  report.py        tables and sentences: what the literature expects, what a run shows

The names below need no torch, so that a dashboard can read what is stored.
"""

from slimnb.anatomy.frame import anatomy_frame
from slimnb.anatomy.record import Anatomy, Matrix, Overlap, read_anatomy
from slimnb.anatomy.report import Finding, findings, overlap_finding

__all__ = ["Anatomy", "Finding", "Matrix", "Overlap", "anatomy_frame", "findings", "overlap_finding", "read_anatomy"]
