"""Significance of a Sharpe ratio: bootstrap, multiple testing, overfitting and seeds."""
