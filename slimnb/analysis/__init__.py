"""Finished runs -> what changed and how sure one can be. Imports no torch."""
