"""Data of a run as reports read it, and formats of numbers and dates."""
