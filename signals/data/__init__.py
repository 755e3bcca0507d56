"""Prices: the checked table, its index, the panel of arrays, and corporate actions."""
