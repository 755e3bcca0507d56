"""Runs of a configuration: panel runs, imported scores and series forecasts."""
