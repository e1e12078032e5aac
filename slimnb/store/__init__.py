"""The run folder: what a run leaves behind, and who works on it. Imports no torch."""
