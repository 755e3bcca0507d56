"""ARIMA and vector autoregressions as baselines (statsmodels): fitted once per fold, then updated with each new row."""

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
        parameters of the fit; number of parameters (coefficients, variance and, without differences, the mean); the
        orders as details; warnings about orders that were rejected.

    Notes
    -----
    Box and Jenkins (1970). For d = 0 and 1, Akaike's criterion ranks p and q on the training rows. It cannot compare
    the likelihoods of different d, so d is chosen by the forecast error on the validation rows. An order whose fit
    fails later (estimates may be non-invertible on the longer rows), or whose forecasts are not finite, is replaced by
    the next order with the same d; when no order is left, the series is forecast by `stand_in`.
    """
    problem, fold = history.problem, history.fold
    forecasts = np.empty((len(fold.origins), problem.horizon, len(problem.names)))
    parameters, details, warning_texts = 0, [], []
    for j, name in enumerate(problem.names):
        series = problem.values[history.first : fold.origins.stop, j]
        train, known = (problem.values[rows.start : rows.stop, j] for rows in (history.train_rows, history.rows))
        ranked = {d: _ranked_orders(train, d, largest) for d in (0, 1)}
        rejected: list[str] = []
        chosen = None
        while chosen is None and (best := _best_by_validation(history, j, ranked, rejected)) is not None:
            order = ranked[best].pop(0)[0]
            try:
                fitted, scale = _fit(known, order)
                origins = np.asarray(fold.origins) - history.first
                ahead = _filter_forecasts(series, order, fitted.params, scale, origins, problem.horizon)
            except Exception as error:
                if isinstance(error, MemoryError):
                    raise
                rejected.append(f"ARIMA{order} ({reason_of(error)})")
                continue
            if usable(ahead).all():
                chosen = order, fitted, ahead
            else:
                rejected.append(f"ARIMA{order} (its forecasts are not finite)")
        count = forecasts[:, :, j].size
        rejection = f"rejected: {', '.join(rejected)}; " if rejected else ""
        if chosen is None:
            rule, fallback = stand_in(history)
            forecasts[:, :, j] = fallback[:, :, j]
            warning_texts.append(f"{name}: {rejection}no ARIMA order is left; {rule} is used for {count:,} forecasts")
            continue
        order, fitted, forecasts[:, :, j] = chosen
        if rejected:
            warning_texts.append(f"{name}: {rejection}ARIMA{order} is used for {count:,} forecasts instead")
        parameters += len(fitted.params) + (order[1] == 0)
        details.append(f"{name}: ARIMA{order}")
        if order[0] + order[2] and not fitted.fit_details.minimize_results.success:
            details.append(f"{name}: the fit of ARIMA{order} did not converge")
    return Fit(forecasts, parameters, tuple(details), tuple(warning_texts))


def var(history: FoldHistory, largest: int) -> Fit:
    """Forecast all series of the table by one vector autoregression of an order up to `largest` (Sims 1980).

    Akaike's criterion chooses the order on training and validation rows; coefficients are estimated by least squares.
    An order that cannot be fitted, or whose forecasts are not finite, is replaced by the next best order.

    Returns
    -------
    Fit
        Values, shape (n_origins, horizon, k); number of coefficients of all equations; the order as detail; warnings
        about orders that were rejected.

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
        raise ValueError(
            f"{problem.table.names[int(np.argmin(deviation))]} is constant in the training and validation rows"
        )
    scaled = (table - mean) / deviation
    n, width = known.shape
    highest = max(min(largest, (n - 1) // (2 * width + 1)), 1)  # so that an equation has no more coefficients than rows
    model = VAR(scaled[history.rows.start : history.rows.stop])
    rejected: list[str] = []
    for order in _ranked_var_orders(model, highest, rejected):
        try:
            with _without_warnings():
                fitted = model.fit(order, trend="c")
            coefficients, constant = np.asarray(fitted.coefs), np.asarray(fitted.intercept)
            ahead = _iterated_forecasts(
                scaled, coefficients, constant, np.asarray(history.fold.origins), problem.horizon
            )
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            rejected.append(f"VAR({order}) ({reason_of(error)})")
            continue
        forecasts = (ahead * deviation + mean)[:, :, list(problem.targets)]
        if not usable(forecasts).all():
            rejected.append(f"VAR({order}) (its forecasts are not finite)")
            continue
        rejection = f"rejected: {', '.join(rejected)}; VAR({order}) is used for {forecasts.size:,} forecasts instead"
        parameters = coefficients.size + constant.size
        return Fit(forecasts, parameters, (f"VAR({order}) of up to {highest}",), (rejection,) if rejected else ())
    raise ValueError(f"no order is left; rejected: {', '.join(rejected)}")


def _ranked_var_orders(model: Any, highest: int, rejected: list[str]) -> list[int]:
    """Orders of a vector autoregression by Akaike's criterion, up to the largest order that can be fitted."""
    for largest in range(highest, 0, -1):
        try:
            with _without_warnings():
                criterion = np.asarray(model.select_order(largest, trend="c").ics["aic"], dtype=np.float64)
        except Exception as error:
            if isinstance(error, MemoryError):
                raise
            rejected.append(f"VAR({largest}) ({reason_of(error)})")
            continue
        return [int(order) + 1 for order in np.argsort(criterion[1:], kind="stable")]
    return []


def _iterated_forecasts(
    scaled: Values, coefficients: Values, constant: Values, origins: NDArray[np.int64], steps: int
) -> Values:
    """Compute iterated forecasts from the rows up to each origin, shape (n_origins, steps, width)."""
    recent = [scaled[origins - lag] for lag in range(len(coefficients))]  # newest first
    forecasts = []
    for _ in range(steps):
        ahead = constant + sum(row @ matrix.T for row, matrix in zip(recent, coefficients, strict=True))
        recent = [ahead, *recent[:-1]]
        forecasts.append(ahead)
    return np.stack(forecasts, axis=1)


def _ranked_orders(train: Values, d: int, largest: int) -> list[tuple[Order, Values, tuple[float, float]]]:
    """Orders that can be fitted, sorted by Akaike's criterion, with their parameters and scale."""
    candidates = []
    for p, q in product(range(largest + 1), repeat=2):
        try:
            fitted, scale = _fit(train, (p, d, q))
        except Exception as error:  # statsmodels finds no starting values
            if isinstance(error, MemoryError):
                raise
            continue
        if np.isfinite(fitted.aic):
            candidates.append((float(fitted.aic), ((p, d, q), np.asarray(fitted.params), scale)))
    return [order for _, order in sorted(candidates, key=lambda candidate: candidate[0])]


def _best_by_validation(
    history: FoldHistory,
    column: int,
    ranked: dict[int, list[tuple[Order, Values, tuple[float, float]]]],
    rejected: list[str],
) -> int | None:
    """Choose the number of differences by the validation error of its best order; None when no order is left.

    Orders that cannot forecast the validation rows are removed from `ranked` and added to `rejected`.
    """
    problem, rows = history.problem, history.fold.validation
    series = problem.values[history.first : rows.stop, column]
    truth = problem.actual(rows)[:, 0, column]
    errors: dict[int, float] = {}
    for d, orders in ranked.items():
        while orders and d not in errors:
            order, parameters, scale = orders[0]
            try:
                ahead = _filter_forecasts(series, order, parameters, scale, np.asarray(rows) - history.first, 1)[:, 0]
                reason = "" if usable(ahead).all() else "its forecasts are not finite"
            except Exception as error:
                if isinstance(error, MemoryError):
                    raise
                reason = reason_of(error)
            if reason:
                rejected.append(f"ARIMA{order} ({reason})")
                orders.pop(0)
            else:
                errors[d] = float(((ahead - truth) ** 2).mean())
    return min(errors, key=lambda d: errors[d]) if errors else None


def _fit(known: Values, order: Order) -> tuple[Any, tuple[float, float]]:
    """Fit to standardised rows; returns the fit, and the mean and standard deviation of the rows."""
    from statsmodels.tsa.arima.model import ARIMA

    scale = float(known.mean()), float(known.std()) or 1.0
    with _without_warnings():
        fitted = ARIMA((known - scale[0]) / scale[1], order=order, trend="n").fit(
            method="innovations_mle", cov_type="none"
        )
    return fitted, scale


def _filter_forecasts(
    series: Values, order: Order, parameters: Values, scale: tuple[float, float], origins: NDArray[np.int64], steps: int
) -> Values:
    """Forecast from each origin (rows of `series`) with fixed parameters, shape (n_origins, steps).

    The filter's state after an origin depends only on that row and those before it.
    """
    from statsmodels.tsa.arima.model import ARIMA

    with _without_warnings():
        model = ARIMA((series - scale[0]) / scale[1], order=order, trend="n")
        states = model.filter(np.asarray(parameters)).predicted_state  # column t + 1 is the prediction after row t
    design, transition = model.ssm["design"][0], model.ssm["transition"]
    state, forecasts = states[:, origins + 1], []
    for _ in range(steps):
        forecasts.append(design @ state)
        state = transition @ state
    return np.column_stack(forecasts) * scale[1] + scale[0]


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress statsmodels' warnings about starting values and convergence, which the details report instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
