"""ARIMA and vector autoregressions as baselines, by statsmodels: fitted once, then fed each new row."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.forecasting.fallbacks import reason_of, stand_in, usable
from signals.forecasting.fold_history import Fit, FoldHistory

__all__ = ["arima", "var"]

Values = NDArray[np.float64]
Order = tuple[int, int, int]


def arima(history: FoldHistory, largest: int) -> Fit:
    """Forecast each series by its own ARIMA(p, d, q), p and q up to `largest`.

    Returns
    -------
    Fit
        Values, shape (n_origins, horizon, k), each from the rows up to its origin, by the Kalman filter with the
        parameters of the fit; coefficients, variance and, without differences, the mean as parameters; the orders as
        notes; warnings about orders that had to be given up.

    Notes
    -----
    Box and Jenkins (1970). For d = 0 and 1, Akaike's criterion ranks p and q on the training rows; d, between whose
    likelihoods it cannot judge, is what forecasts the validation rows better. An order whose estimates are refused
    later (they may be non-invertible on the longer rows), or whose forecasts are no finite numbers, gives way to the
    next of its d, and so on; where none is left, the series is forecast by `stand_in`.
    """
    problem, fold = history.problem, history.fold
    made = np.empty((len(fold.origins), problem.horizon, len(problem.names)))
    parameters, details, warned = 0, [], []
    for j, name in enumerate(problem.names):
        series = problem.values[history.first : fold.origins.stop, j]
        train, known = (problem.values[rows.start : rows.stop, j] for rows in (history.train_rows, history.rows))
        ranked = {d: _ranked_orders(train, d, largest) for d in (0, 1)}
        refused: list[str] = []
        chosen = None
        while chosen is None and (best := _best_by_validation(history, j, ranked, refused)) is not None:
            order = ranked[best].pop(0)[0]
            try:
                fitted, scale = _fit(known, order)
                origins = np.asarray(fold.origins) - history.first
                ahead = _filtered(series, order, fitted.params, scale, origins, problem.horizon)
            except Exception as error:
                if isinstance(error, MemoryError):
                    raise
                refused.append(f"ARIMA{order} ({reason_of(error)})")
                continue
            if usable(ahead).all():
                chosen = order, fitted, ahead
            else:
                refused.append(f"ARIMA{order} (its forecasts are no finite numbers)")
        count = made[:, :, j].size
        gave_way = f"{', '.join(refused)} was refused; " if refused else ""
        if chosen is None:
            rule, other = stand_in(history)
            made[:, :, j] = other[:, :, j]
            warned.append(f"{name}: {gave_way}no ARIMA order is left; {rule} is used for {count:,} forecasts")
            continue
        order, fitted, made[:, :, j] = chosen
        if refused:
            warned.append(f"{name}: {gave_way}ARIMA{order} is used for {count:,} forecasts instead")
        parameters += len(fitted.params) + (order[1] == 0)
        details.append(f"{name}: ARIMA{order}")
        if order[0] + order[2] and not fitted.fit_details.minimize_results.success:
            details.append(f"{name}: ARIMA{order} stopped before it had converged")
    return Fit(made, parameters, tuple(details), tuple(warned))


def var(history: FoldHistory, largest: int) -> Fit:
    """Forecast all series of the table by one vector autoregression of an order up to `largest` (Sims 1980).

    Akaike's criterion chooses the order on training and validation rows; coefficients by least squares. An order that
    cannot be fitted, or whose forecasts are no finite numbers, gives way to the next best.

    Returns
    -------
    Fit
        Values, shape (n_origins, horizon, k); coefficients of all equations as parameters; the order as note; warnings
        about orders that had to be given up.

    Raises
    ------
    ValueError
        When no order can be used, as for a series that does not vary; `forecast_baselines` then uses `stand_in`.
    """
    from statsmodels.tsa.api import VAR

    problem = history.problem
    table = problem.table.values
    known = table[history.rows.start : history.rows.stop]
    mean, deviation = known.mean(axis=0), known.std(axis=0)
    if not (deviation > 0).all():
        raise ValueError(f"{problem.table.names[int(np.argmin(deviation))]} does not vary in the rows to learn from")
    scaled = (table - mean) / deviation
    n, width = known.shape
    highest = max(min(largest, (n - 1) // (2 * width + 1)), 1)  # at least as many rows as coefficients of an equation
    model = VAR(scaled[history.rows.start : history.rows.stop])
    refused: list[str] = []
    for order in _ranked_var_orders(model, highest, refused):
        try:
            with _quiet():
                fitted = model.fit(order, trend="c")
            coefficients, constant = np.asarray(fitted.coefs), np.asarray(fitted.intercept)
            ahead = _iterated(scaled, coefficients, constant, np.asarray(history.fold.origins), problem.horizon)
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            refused.append(f"VAR({order}) ({reason_of(error)})")
            continue
        made = (ahead * deviation + mean)[:, :, list(problem.targets)]
        if not usable(made).all():
            refused.append(f"VAR({order}) (its forecasts are no finite numbers)")
            continue
        gave_way = f"{', '.join(refused)} was refused; VAR({order}) is used for {made.size:,} forecasts instead"
        parameters = coefficients.size + constant.size
        return Fit(made, parameters, (f"VAR({order}) of up to {highest}",), (gave_way,) if refused else ())
    raise ValueError(f"no order is left after {', '.join(refused)}")


def _ranked_var_orders(model: Any, highest: int, refused: list[str]) -> list[int]:
    """Orders of a vector autoregression, the lowest value of Akaike's criterion first; all of them where it fails."""
    for largest in range(highest, 0, -1):
        try:
            with _quiet():
                criterion = np.asarray(model.select_order(largest, trend="c").ics["aic"], dtype=np.float64)
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            refused.append(f"VAR({largest}) ({reason_of(error)})")
            continue
        return [int(order) + 1 for order in np.argsort(criterion[1:], kind="stable")]
    return []


def _iterated(scaled: Values, coefficients: Values, constant: Values, origins: NDArray[np.int64], steps: int) -> Values:
    """Forecast step after step from the rows up to each origin, shape (n_origins, steps, width)."""
    recent = [scaled[origins - lag] for lag in range(len(coefficients))]  # newest first
    made = []
    for _ in range(steps):
        ahead = constant + sum(row @ matrix.T for row, matrix in zip(recent, coefficients, strict=True))
        recent = [ahead, *recent[:-1]]
        made.append(ahead)
    return np.stack(made, axis=1)


def _ranked_orders(train: Values, d: int, largest: int) -> list[tuple[Order, Values, tuple[float, float]]]:
    """Orders that can be fitted, the lowest value of Akaike's criterion first, with their parameters and scale."""
    found = []
    for p, q in product(range(largest + 1), repeat=2):
        try:
            fitted, scale = _fit(train, (p, d, q))
        except Exception as error:  # a model that statsmodels cannot start from
            if isinstance(error, MemoryError):
                raise
            continue
        if np.isfinite(fitted.aic):
            found.append((float(fitted.aic), ((p, d, q), np.asarray(fitted.params), scale)))
    return [order for _, order in sorted(found, key=lambda one: one[0])]


def _best_by_validation(
    history: FoldHistory,
    column: int,
    ranked: dict[int, list[tuple[Order, Values, tuple[float, float]]]],
    refused: list[str],
) -> int | None:
    """Choose the number of differences whose best order forecasts the validation rows better; None without orders.

    Orders that cannot forecast them are taken out of `ranked` and named in `refused`.
    """
    problem, rows = history.problem, history.fold.validation
    series = problem.values[history.first : rows.stop, column]
    truth = problem.actual(rows)[:, 0, column]
    errors: dict[int, float] = {}
    for d, orders in ranked.items():
        while orders and d not in errors:
            order, parameters, scale = orders[0]
            try:
                ahead = _filtered(series, order, parameters, scale, np.asarray(rows) - history.first, 1)[:, 0]
                reason = "" if usable(ahead).all() else "its forecasts are no finite numbers"
            except Exception as error:
                if isinstance(error, MemoryError):
                    raise
                reason = reason_of(error)
            if reason:
                refused.append(f"ARIMA{order} ({reason})")
                orders.pop(0)
            else:
                errors[d] = float(((ahead - truth) ** 2).mean())
    return min(errors, key=lambda d: errors[d]) if errors else None


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
