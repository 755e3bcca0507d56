"""Verification of a run: every figure is recomputed from its files and compared."""
