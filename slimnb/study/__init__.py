"""A grid of runs: what is there already, what is missing, each in a process of its own. Imports no torch."""

from slimnb.study.engine import run_study
from slimnb.study.state import Cell, cells

__all__ = ["Cell", "cells", "run_study"]
