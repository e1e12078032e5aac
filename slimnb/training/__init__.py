"""A training set and a model -> an adapter."""
