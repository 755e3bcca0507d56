"""Metrics of scores and forecasts, long-run variances, and naive predictors."""
