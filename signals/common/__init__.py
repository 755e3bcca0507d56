"""Errors, progress events, atomic storage, summary cards, and objects imported by name."""
