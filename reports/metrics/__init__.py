"""Figures of `metrics.json`: performance, trading, round trips and quality of scores."""
