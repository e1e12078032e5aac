"""Faults planted in real `slimnb` commands, and what is left after them. `make chaos` runs all of it."""
