"""ARIMA and vector autoregressions as baselines, by statsmodels: fitted once, then fed each new row."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.errors import InputError
from signals.series.baselines import FoldHistory

__all__ = ["arima", "var"]

Values = NDArray[np.float64]
Order = tuple[int, int, int]


def arima(history: FoldHistory, largest: int) -> tuple[Values, int, tuple[str, ...]]:
    """Forecast each series by its own ARIMA(p, d, q), p and q up to `largest`.

    Returns
    -------
    values : ndarray of float64, shape (n_test, horizon, k)
        Each from the rows up to its origin, by the Kalman filter with the parameters of the fit.
    parameters : int
        Coefficients, variance and, without differences, the mean.
    notes : tuple of str
        The orders.

    Notes
    -----
    Box and Jenkins (1970). For d = 0 and 1, Akaike's criterion chooses p and q on the training rows; d, between whose
    likelihoods it cannot judge, is what forecasts the validation rows better.
    """
    problem, fold = history.problem, history.fold
    made = np.empty((len(fold.test), problem.horizon, len(problem.names)))
    parameters, notes = 0, []
    for j, name in enumerate(problem.names):
        series = problem.values[: fold.test.stop, j]
        train = series[history.train_rows.start : history.train_rows.stop]
        known = series[history.rows.start : history.rows.stop]
        orders: dict[int, tuple[Order, float]] = {}
        for d in (0, 1):
            found = _best_order(train, d, largest)
            if found is not None:
                ahead = _filtered(
                    series[history.first : fold.validation.stop], *found, np.asarray(fold.validation) - history.first, 1
                )
                truth = problem.actual(fold.validation)[:, 0, j]
                orders[d] = found[0], float(((ahead[:, 0] - truth) ** 2).mean())
        if not orders:
            raise InputError(
                f"expected an ARIMA model that can be fitted to {name}; found none; leave arima out of the baselines"
            )
        order = min(orders.values(), key=lambda one: one[1])[0]
        fitted, scale = _fit(known, order)
        made[:, :, j] = _filtered(
            series[history.first :],
            order,
            fitted.params,
            scale,
            np.asarray(fold.test) - history.first,
            problem.horizon,
        )
        parameters += len(fitted.params) + (order[1] == 0)
        notes.append(f"{name}: ARIMA{order}")
        if order[0] + order[2] and not fitted.fit_details.minimize_results.success:
            notes.append(f"{name}: ARIMA{order} stopped before it had converged")
    return made, parameters, tuple(notes)


def var(history: FoldHistory, largest: int) -> tuple[Values, int, tuple[str, ...]]:
    """Forecast all series of the table by one vector autoregression of an order up to `largest` (Sims 1980).

    Akaike's criterion chooses the order on training and validation rows; coefficients by least squares.

    Returns
    -------
    values : ndarray of float64, shape (n_test, horizon, k)
    parameters : int
        Coefficients of all equations.
    notes : tuple of str
        The order.
    """
    from statsmodels.tsa.api import VAR

    problem, fold = history.problem, history.fold
    table = problem.table.values
    known = table[history.rows.start : history.rows.stop]
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    if not (deviation > 0).all():
        name = problem.table.names[int(np.argmin(deviation))]
        raise InputError(f"expected series that vary for var; found {name} constant; leave it out")
    scaled = (table - mean) / deviation
    n, width = known.shape
    highest = max(min(largest, (n - 1) // (2 * width + 1)), 1)  # at least as many rows as coefficients of an equation
    with _quiet():
        model = VAR(scaled[history.rows.start : history.rows.stop])
        order = max(int(model.select_order(highest, trend="c").aic), 1)
        fitted = model.fit(order, trend="c")
    coefficients, constant = np.asarray(fitted.coefs), np.asarray(fitted.intercept)
    origins = np.asarray(fold.test)
    recent = [scaled[origins - lag] for lag in range(order)]  # newest first
    made = []
    for _ in range(problem.horizon):
        ahead = constant + sum(row @ matrix.T for row, matrix in zip(recent, coefficients, strict=True))
        recent = [ahead, *recent[:-1]]
        made.append((ahead * deviation + mean)[:, list(problem.targets)])
    return np.stack(made, axis=1), coefficients.size + constant.size, (f"VAR({order}) of up to {highest}",)


def _best_order(train: Values, d: int, largest: int) -> tuple[Order, Values, tuple[float, float]] | None:
    """Order of the lowest AIC, with its parameters and scale; None when none can be fitted."""
    best, lowest = None, np.inf
    for p, q in product(range(largest + 1), repeat=2):
        try:
            fitted, scale = _fit(train, (p, d, q))
        except (np.linalg.LinAlgError, ValueError):  # what statsmodels raises for a model it cannot start from
            continue
        if np.isfinite(fitted.aic) and fitted.aic < lowest:
            best, lowest = ((p, d, q), np.asarray(fitted.params), scale), fitted.aic
    return best


def _fit(known: Values, order: Order) -> tuple[Any, tuple[float, float]]:
    """Fit to standardised rows; returns what statsmodels does, and the mean and deviation of the rows."""
    from statsmodels.tsa.arima.model import ARIMA

    scale = float(known.mean()), float(known.std()) or 1.0
    with _quiet():
        fitted = ARIMA((known - scale[0]) / scale[1], order=order, trend="n").fit(
            method="innovations_mle", cov_type="none"
        )
    return fitted, scale


def _filtered(
    series: Values, order: Order, parameters: Values, scale: tuple[float, float], origins: NDArray[np.int64], steps: int
) -> Values:
    """Forecast from each origin (rows of `series`) with fixed parameters, shape (n_origins, steps).

    The filter's state after an origin knows that row and those before it, whatever comes later.
    """
    from statsmodels.tsa.arima.model import ARIMA

    with _quiet():
        model = ARIMA((series - scale[0]) / scale[1], order=order, trend="n")
        states = model.filter(np.asarray(parameters)).predicted_state  # column t + 1 is what row t says of the next
    design, transition = model.ssm["design"][0], model.ssm["transition"]
    state, made = states[:, origins + 1], []
    for _ in range(steps):
        made.append(design @ state)
        state = transition @ state
    return np.column_stack(made) * scale[1] + scale[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep statsmodels' remarks on starting values and convergence off the screen; the notes say what matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
