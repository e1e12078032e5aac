"""A model and a benchmark -> items and scores."""
