"""Prices and scores as backtrader feeds."""
