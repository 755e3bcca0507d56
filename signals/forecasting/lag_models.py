"""Baselines on lagged values: ridge and logistic regression, gradient boosting and a small network (scikit-learn)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.forecasting.fold_history import Fit, FoldHistory

__all__ = ["LAG_MODELS", "forecast_on_lags", "lag_features"]

Values = NDArray[np.float64]
Rows = tuple[Values, Values]  # features and targets
Predict = Callable[[Values], Values]

BOTH = ("change", "value")
ALPHAS = tuple(float(a) for a in np.logspace(-2, 5, 29))  # penalties of ridge regression, with standardised features
PENALTIES = tuple(float(c) for c in np.logspace(-4, 1, 11))  # inverse penalties of logistic regression
BLOCKS = 5  # validation blocks of ridge regression, each forecast from the rows before it
TREES, LEARNING_RATE, LEAVES = 100, 0.1, 8
HIDDEN, EPOCHS, PATIENCE, NETWORKS = 16, 100, 10, 3


def forecast_on_lags(name: str, history: FoldHistory, lags: int) -> Fit:
    """Forecast each step and series directly from the last `lags` rows.

    Parameters
    ----------
    name : str
        `"ridge"`, `"mlp"`, `"gradient_boosting"`, or `"logistic"`, which estimates the probability p that a value
        rises and forecasts the last value plus 2 p - 1 changes of mean absolute size (for returns: the probability that
        they are above zero).
    history : FoldHistory
        Training and validation rows.
    lags : int
        Number of rows, the origin's included.

    Returns
    -------
    values : ndarray of float64, shape (n_origins, horizon, k)
    parameters : int
        Number of parameters of the fitted models.
    details : tuple of str
        Choices made on the validation rows.

    Notes
    -----
    Models are fitted to the changes from the last value, and all except the neural network also to the values. For each
    step and series, the rows that choose the other settings choose between the two.
    """
    fold = history.fold
    if lags < 1:
        raise InputError(f"expected at least 1 lag; found {lags}")
    usable = range(max(fold.train.start, lags - 1), fold.train.stop)
    if len(usable) < 2:
        raise InputError(
            f"expected training origins with {lags} rows up to them; found {len(usable)}; use fewer lags, or give "
            "longer series"
        )
    both = np.r_[np.asarray(usable), np.asarray(fold.validation)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        forecast = _logistic if name == "logistic" else _regression(LAG_MODELS[name])
        values, parameters, details = forecast(history, lags, usable, both)
    if failed := sum("Convergence" in warning.category.__name__ for warning in caught):
        details = (*details, f"{failed} fits of {name} did not converge")
    return Fit(values, parameters, details)


def lag_features(history: FoldHistory, origins: range | NDArray[np.int64], lags: int) -> Values:
    """Features of an origin: the last value of every series of the table, and its `lags` - 1 changes before it.

    Returns
    -------
    ndarray of float64, shape (n, lags * all series)
        Features known at each origin. They are changes and not values, because the values of a series with a trend
        leave the range of the training rows.
    """
    table = history.problem.table.values
    windows = np.lib.stride_tricks.sliding_window_view(table, lags, axis=0)[np.asarray(origins) - (lags - 1)]
    changes = np.diff(windows, axis=2)
    return np.concatenate([windows[:, :, -1:], changes], axis=2).reshape(len(windows), -1)


class _LagModel(Protocol):
    """A model whose settings are chosen on validation rows; features and targets are standardised."""

    targets: tuple[str, ...]  # targets to which it may be fitted

    def choose(self, train: Rows, validation: Rows, gap: int, seed: int) -> tuple[Any, Values, tuple[str, ...]]:
        """Choose settings; returns the choice for each output, its mean squared error, and a description of it.

        The last `gap` rows before a row that is forecast may not be used for fitting: their targets are not known yet.
        """
        ...

    def fit(self, rows: Rows, choice: Any, seed: int) -> tuple[Predict, NDArray[np.int64]]:
        """Fit; returns a function from features to forecasts, and the number of parameters of each output."""
        ...


def _regression(model: _LagModel) -> Callable[..., tuple[Values, int, tuple[str, ...]]]:
    def forecast(
        history: FoldHistory, lags: int, usable: range, both: NDArray[np.int64]
    ) -> tuple[Values, int, tuple[str, ...]]:
        problem, fold = history.problem, history.fold
        shape = (problem.horizon, len(problem.names))
        error, forecasts, descriptions, n_parameters = [], [], [], []
        for target in model.targets:

            def base(origins: Any, target: str = target) -> Values:
                last = np.repeat(problem.last(origins)[:, None, :], shape[0], axis=1)
                return (last if target == "change" else np.zeros_like(last)).reshape(len(last), -1)

            def actual(origins: Any) -> Values:
                return problem.actual(origins).reshape(len(origins), -1)

            inputs = _Standard(lag_features(history, usable, lags))
            outputs = _Standard(actual(usable) - base(usable))
            validation = (
                inputs(lag_features(history, fold.validation, lags)),
                outputs(actual(fold.validation) - base(fold.validation)),
            )
            train = inputs(inputs.raw), outputs(outputs.raw)
            choice, squared_error, text = model.choose(train, validation, shape[0] - 1, history.seed)
            error.append(squared_error * outputs.deviation**2)

            inputs = _Standard(lag_features(history, both, lags))
            outputs = _Standard(actual(both) - base(both))
            predict, parameters = model.fit((inputs(inputs.raw), outputs(outputs.raw)), choice, history.seed)
            restored = outputs.restore(predict(inputs(lag_features(history, fold.origins, lags))))
            forecasts.append(restored + base(fold.origins))
            descriptions.append(text)
            n_parameters.append(parameters)
        best = np.argmin(error, axis=0)
        chosen = np.choose(best, forecasts).reshape(-1, *shape)
        labels = [
            f"{name} t+{step + 1}" if shape[0] > 1 else name for step in range(shape[0]) for name in problem.names
        ]
        details = tuple(
            f"{label}: {model.targets[i]}, {descriptions[i][j]}"
            for j, (label, i) in enumerate(zip(labels, best, strict=True))
        )
        return chosen, int(np.choose(best, n_parameters).sum()), details

    return forecast


class _Standard:
    """Standardisation to mean 0 and standard deviation 1 of the given rows; a constant column becomes 0."""

    def __init__(self, raw: Values) -> None:
        self.raw, self.mean = raw, raw.mean(axis=0)
        spread = raw.std(axis=0)
        self.deviation = np.where(spread > 1e-12 * np.maximum(np.abs(self.mean), 1e-300), spread, 1.0)

    def __call__(self, values: Values) -> Values:
        return np.asarray((values - self.mean) / self.deviation)

    def restore(self, values: Values) -> Values:
        return np.asarray(values * self.deviation + self.mean)


class _Ridge:
    """Ridge regression; the penalty is chosen by expanding-window validation, block after block.

    Fits are fast, so the validation uses blocks of all rows and not only the validation rows, of which there may be
    only a few dozen.
    """

    targets: tuple[str, ...] = BOTH

    def choose(self, train: Rows, validation: Rows, gap: int, seed: int) -> tuple[Any, Values, tuple[str, ...]]:
        x, y = (np.concatenate(pair) for pair in zip(train, validation, strict=True))
        edges = np.linspace(len(x) / (BLOCKS + 1), len(x), BLOCKS + 1).astype(int)
        squares = np.zeros((len(ALPHAS), y.shape[1]))
        for begin, end in pairwise(edges):
            known = max(begin - gap, 1)
            ahead = _ridge_path(x[:known], y[:known], x[begin:end])
            squares += ((ahead - y[begin:end]) ** 2).sum(axis=1)
        best = squares.argmin(axis=0)
        error = squares.min(axis=0) / (edges[-1] - edges[0])
        return np.array(ALPHAS)[best], error, tuple(f"alpha {ALPHAS[i]:.2g}" for i in best)

    def fit(self, rows: Rows, choice: Any, seed: int) -> tuple[Predict, NDArray[np.int64]]:
        from sklearn.linear_model import Ridge

        x, y = rows
        fitted = Ridge(choice).fit(x, y)
        return lambda ahead: _as_rows(fitted.predict(ahead), y), np.full(y.shape[1], x.shape[1] + 1)


def _ridge_path(x: Values, y: Values, ahead: Values) -> Values:
    """Forecasts of ridge regression for every one of `ALPHAS`, shape (alphas, n, outputs), from one decomposition."""
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    u, size, v = np.linalg.svd(x - mean_x, full_matrices=False)
    shrunk = size / (size**2 + np.array(ALPHAS)[:, None])
    return np.asarray((ahead - mean_x) @ v.T @ (shrunk[:, :, None] * (u.T @ (y - mean_y))) + mean_y)


class _GradientBoosting:
    """Gradient boosting of small trees for each output (Friedman 2001), their number chosen on the validation rows."""

    targets: tuple[str, ...] = BOTH

    def choose(self, train: Rows, validation: Rows, gap: int, seed: int) -> tuple[Any, Values, tuple[str, ...]]:
        trees, error = [], []
        for j in range(train[1].shape[1]):
            stages = self._trees(TREES, seed).fit(train[0], train[1][:, j]).staged_predict(validation[0])
            losses = [float(((stage - validation[1][:, j]) ** 2).mean()) for stage in stages]
            trees.append(int(np.argmin(losses)) + 1)
            error.append(min(losses))
        return trees, np.array(error), tuple(f"{count} trees" for count in trees)

    def fit(self, rows: Rows, choice: Any, seed: int) -> tuple[Predict, NDArray[np.int64]]:
        fitted = [self._trees(count, seed).fit(rows[0], rows[1][:, j]) for j, count in enumerate(choice)]
        leaves = [sum(tree.tree_.n_leaves for tree in ensemble.estimators_[:, 0]) for ensemble in fitted]
        return lambda ahead: np.column_stack([ensemble.predict(ahead) for ensemble in fitted]), np.array(leaves)

    @staticmethod
    def _trees(count: int, seed: int) -> Any:
        from sklearn.ensemble import GradientBoostingRegressor

        return GradientBoostingRegressor(
            learning_rate=LEARNING_RATE,
            n_estimators=count,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=10,
            random_state=seed,
        )


class _SmallNetwork:
    """Network with one hidden layer for all outputs; early stopping on the validation rows, mean over some seeds."""

    targets: tuple[str, ...] = ("change",)

    def choose(self, train: Rows, validation: Rows, gap: int, seed: int) -> tuple[Any, Values, tuple[str, ...]]:
        (x, y), epochs, mean = train, [], np.zeros_like(validation[1])
        for number in range(NETWORKS):
            network, best, lowest, kept_forecast = self._network(seed + number), 0, np.inf, mean
            for epoch in range(1, EPOCHS + 1):
                network.partial_fit(x, _column(y))
                y_pred = _as_rows(network.predict(validation[0]), y)
                if (loss := float(((y_pred - validation[1]) ** 2).mean())) < lowest:
                    best, lowest, kept_forecast = epoch, loss, y_pred
                elif epoch - best >= PATIENCE:
                    break
            epochs.append(best)
            mean += kept_forecast / NETWORKS
        text = f"{min(epochs)} to {max(epochs)} epochs, mean of {NETWORKS} networks"
        return epochs, ((mean - validation[1]) ** 2).mean(axis=0), (text,) * y.shape[1]

    def fit(self, rows: Rows, choice: Any, seed: int) -> tuple[Predict, NDArray[np.int64]]:
        (x, y), fitted = rows, []
        for number, epochs in enumerate(choice):
            network = self._network(seed + number)
            for _ in range(epochs):
                network.partial_fit(x, _column(y))
            fitted.append(network)
        # the parameters of the hidden layer are counted once
        size = np.full(y.shape[1], HIDDEN + 1)
        size[0] += (x.shape[1] + 1) * HIDDEN
        return lambda ahead: np.asarray(sum(_as_rows(epoch.predict(ahead), y) for epoch in fitted) / NETWORKS), size

    @staticmethod
    def _network(seed: int) -> Any:
        from sklearn.neural_network import MLPRegressor

        return MLPRegressor(
            hidden_layer_sizes=(HIDDEN,), learning_rate_init=0.003, batch_size=64, alpha=1e-3, random_state=seed
        )


LAG_MODELS: dict[str, _LagModel] = {"ridge": _Ridge(), "mlp": _SmallNetwork(), "gradient_boosting": _GradientBoosting()}


def _logistic(
    history: FoldHistory, lags: int, usable: range, both: NDArray[np.int64]
) -> tuple[Values, int, tuple[str, ...]]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    problem, fold = history.problem, history.fold
    horizon, k = problem.horizon, len(problem.names)

    def rises(origins: Any) -> NDArray[np.bool_]:
        return np.asarray((history.moves(origins) > 0).reshape(len(origins), -1))

    def probability(x: Values, up: NDArray[np.bool_], penalty: float, rows: Values) -> Values:
        if up.all() or not up.any():  # only one class
            return np.full(len(rows), float(up[0]))
        fitted = LogisticRegression(C=penalty, max_iter=1000).fit(x, up)
        return np.asarray(fitted.predict_proba(rows)[:, 1])

    early = _Standard(lag_features(history, usable, lags))
    late = _Standard(lag_features(history, both, lags))
    validation, test = (
        early(lag_features(history, fold.validation, lags)),
        late(lag_features(history, fold.origins, lags)),
    )
    up, up_validation, up_both = rises(usable), rises(fold.validation), rises(both)
    scaled_moves, details = np.empty((len(fold.origins), horizon * k)), []
    for j in range(horizon * k):
        loss = [
            log_loss(up_validation[:, j], probability(early(early.raw), up[:, j], c, validation), labels=[False, True])
            for c in PENALTIES
        ]
        best = PENALTIES[int(np.argmin(loss))]
        scaled_moves[:, j] = 2 * probability(late(late.raw), up_both[:, j], best, test) - 1
        details.append(f"{problem.names[j % k]}: penalty {1 / best:.2g}")
    size = np.abs(history.moves(fold.both)).mean(axis=0)
    values = history.start(fold.origins)[:, None, :] + scaled_moves.reshape(-1, horizon, k) * size
    return values, horizon * k * (test.shape[1] + 1), tuple(details)


def _as_rows(values: Values, like: Values) -> Values:
    """Reshape forecasts to two axes, because scikit-learn drops the second axis for a single output."""
    return np.asarray(values, dtype=np.float64).reshape(-1, like.shape[1])


def _column(y: Values) -> Values:
    return y[:, 0] if y.shape[1] == 1 else y
