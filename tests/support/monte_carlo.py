"""Means of simulated figures and their Monte Carlo standard errors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

# With the 30 and more draws that the tests take, one test in two hundred fails by chance with three standard errors
# when it is given other draws.
ERRORS = 3.0


def mean_and_error(draws: Iterable[float]) -> tuple[float, float]:
    """Mean of independent draws and the standard error of that mean."""
    values = np.asarray(list(draws), dtype=np.float64)
    assert len(values) >= 30, "too few draws for a standard error"
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
