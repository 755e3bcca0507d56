"""Rows to train on and to score: universe, labels, folds, windows and fold data."""
