"""Verification: every figure of a run computed again from its files, and the first one that differs."""
