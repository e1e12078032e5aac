"""Results in and out: lm-evaluation-harness's. Imports no torch."""
