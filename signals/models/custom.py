"""Anybody's own model: a scikit-learn estimator, or any object with `fit` and `predict`, walk-forward."""

from __future__ import annotations

import copy
import inspect
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.import_objects import import_name
from signals.dataset.labels import Target
from signals.dataset.windows import MASKED, Samples
from signals.models.recurrent_settings import check_window

__all__ = ["CustomModel"]

LAYOUTS = ("flat", "windows")
SEED_NAMES = ("random_state", "seed")


@dataclass(frozen=True, slots=True)
class CustomModel:
    """A model of one's own.

    Parameters
    ----------
    factory : str or object
        `'package.module:Name'` of a class or function that returns an object with `fit(X, y)` and `predict(X)`, such
        as `"sklearn.linear_model:LogisticRegression"`; or such an object, which is copied, never fitted itself.
    options : dict
        Keyword arguments of the factory.
    lookback : int
        Periods in a window.
    layout : {"flat", "windows"}
        `X` of shape (n, lookback * n_features), oldest step first and features beside each other within a step, or
        (n, lookback, n_features).
    winsorize_quantile : float, optional
        Features are clipped at this quantile of the training slice and its mirror, then standardised; None leaves
        them as they are.
    min_steps : int, optional
        Shortest history that is scored; unknown steps are NaN, which the model then has to bear.

    Notes
    -----
    `y` is 0 or 1 for `up` and `above_median`, 0 to 2 for `terciles`, else the number itself, clipped at the same
    quantiles. The score is `predict_proba` of the upper class (of three: the highest less the lowest), else
    `decision_function`, else `predict`. `predict` is shown the rows of one date at a time, since a model that looks at
    all rows it is given would otherwise look ahead. A factory with an argument `random_state` or `seed` is given each
    seed in turn; the generators of Python, NumPy and Keras are seeded as well. An estimator of scikit-learn without
    such a setting has no chance in it and is fitted once. `fit` sees the training slice; with
    training.refit_on_validation = true the validation slice as well. Such models are not stored (that would take
    pickle), so a signals stage that is stopped fits them again. Keras models are fitted for `training.epochs` passes.
    """

    factory: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    lookback: int = 52
    layout: str = "flat"
    winsorize_quantile: float | None = 0.005
    min_steps: int | None = None

    def __post_init__(self) -> None:
        check_window(self.lookback, self.min_steps, self.winsorize_quantile or 0.0)
        if self.layout not in LAYOUTS:
            raise InputError(
                f"expected model.layout to be one of {', '.join(LAYOUTS)}; found {self.layout!r}; choose one"
            )

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return self.factory if isinstance(self.factory, str) else type(self.factory).__name__

    @property
    def seed_name(self) -> str | None:
        """Argument that takes the seed; None when the model has none, or it is fixed in the options."""
        factory = self._factory()
        if _is_instance(factory):
            settings = factory.get_params() if hasattr(factory, "get_params") else {}
        else:
            try:
                settings = inspect.signature(factory).parameters
            except (TypeError, ValueError):
                return None
        return next((name for name in SEED_NAMES if name in settings and name not in self.options), None)

    @property
    def has_chance(self) -> bool:
        """Whether seeds can make a difference: always, but for estimators of scikit-learn that are given none."""
        return self.seed_name is not None or not hasattr(self._factory(), "get_params")

    def make(self, seed: int) -> Any:
        """Make a fresh, untrained model, and seed everything random.

        Raises
        ------
        InputError
            When the factory does not exist, fails, or makes something without `fit` and `predict`.
        """
        factory, name = self._factory(), self.seed_name
        _seed_everything(seed)
        if _is_instance(factory):
            if self.options:
                raise InputError(f"expected model.options only with a class or function; found them with {self.name}")
            return _copied(factory, name, seed)
        options = dict(self.options)
        if name:
            options[name] = seed
        try:
            made = factory(**options)
        except Exception as error:
            raise InputError(_failed(f"{self.name}({', '.join(options)})", "make a model", error)) from error
        if not _is_instance(made):
            raise InputError(
                f"expected {self.name} to make an object with fit(X, y) and predict(X); found {type(made).__name__}"
            )
        return made

    def design(self, samples: Samples, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Lay out `X` of some rows."""
        windows = samples.windows.gather(rows)
        if self.min_steps is not None:
            windows[windows == MASKED] = np.nan
        return windows if self.layout == "windows" else windows.reshape(len(windows), -1)

    def fit(
        self,
        made: Any,
        samples: Samples,
        label: NDArray[np.float64],
        target: Target,
        *,
        epochs: int,
        batch_size: int,
    ) -> None:
        """Fit a fresh model to some rows; `label` is not standardised."""
        if target.is_numeric and _is_classifier(made):
            raise InputError(
                f"expected a regressor for numeric labels; found the classifier {self.name}; use a regressor, or "
                "labels.kind = above_median, up or terciles"
            )
        X = self.design(samples, slice(None))
        more = {"epochs": epochs, "batch_size": batch_size, "verbose": 0} if _is_keras(made) else {}
        try:
            made.fit(X, label, **more)
        except Exception as error:
            raise InputError(_failed(f"fit of {self.name}", f"take X of shape {X.shape}", error)) from error

    def predict(self, made: Any, samples: Samples, target: Target) -> NDArray[np.float64]:
        """Score rows sorted by date, one date at a time, shape (n, target.outputs), or (n, 1) for one number a row."""
        parts = []
        days = np.flatnonzero(np.diff(samples.windows.end, prepend=-1))
        for begin, end in zip(days, [*days[1:], len(samples)], strict=True):
            X = self.design(samples, np.arange(begin, end))
            try:
                said = np.asarray(_say(made, X, target), dtype=np.float64).reshape(len(X), -1)
            except Exception as error:
                raise InputError(_failed(f"predict of {self.name}", f"take X of shape {X.shape}", error)) from error
            # of several quantiles one says nothing
            widths = (target.outputs,) if target.levels else (1, target.outputs)
            if said.shape[1] not in widths or not np.isfinite(said).all():
                wanted = " or ".join(map(str, widths))
                raise InputError(
                    f"expected predict of {self.name} to say {wanted} finite numbers a row; found "
                    f"{said.shape[1]} a row, {int((~np.isfinite(said)).sum())} of them not finite"
                )
            parts.append(said)
        width = max((part.shape[1] for part in parts), default=target.outputs)
        return np.concatenate(parts) if parts else np.zeros((0, width))

    def _factory(self) -> Any:
        if isinstance(self.factory, str):
            return import_name(self.factory, "model.kind")
        return self.factory


def _is_instance(value: Any) -> bool:
    return not inspect.isclass(value) and all(callable(getattr(value, name, None)) for name in ("fit", "predict"))


def _is_keras(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "keras" or any(
        base.__module__.startswith("keras.") for base in type(value).__mro__
    )


def _is_classifier(value: Any) -> bool:
    if not hasattr(value, "get_params"):
        return False
    from sklearn.base import is_classifier

    return bool(is_classifier(value))


def _seed_everything(seed: int) -> None:
    """Seed the generators a model may draw from; Keras only where somebody uses it."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - other people's models draw from it
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)


def _copied(model: Any, seed_name: str | None, seed: int) -> Any:
    if _is_keras(model):
        from signals.models.keras_backend import load_keras

        keras = load_keras()
        made = keras.models.clone_model(model)  # fresh weights
        if not getattr(model, "compiled", False):
            raise InputError("expected a compiled Keras model as model of your own; found none; call compile() first")
        made.compile_from_config(model.get_compile_config())
        return made
    if hasattr(model, "get_params"):
        from sklearn.base import clone

        made = clone(model)
        return made.set_params(**{seed_name: seed}) if seed_name else made
    return copy.deepcopy(model)


def _say(made: Any, X: NDArray[np.float32], target: Target) -> Any:
    if _is_keras(made):
        return made.predict_on_batch(X)
    if not target.is_numeric:
        if hasattr(made, "predict_proba"):
            chances = np.asarray(made.predict_proba(X))
            # a training slice without some class makes a model that has never heard of it
            classes = [int(c) for c in getattr(made, "classes_", range(chances.shape[1]))]
            whole = np.zeros((len(X), max(target.outputs, 2)))
            whole[:, classes] = chances
            return whole[:, 1] if target.kind == "probability" else whole
        if hasattr(made, "decision_function"):
            said = np.asarray(made.decision_function(X))
            return said if said.ndim == 1 or said.shape[1] == target.outputs else said[:, -1]
    return made.predict(X)


def _failed(what: str, purpose: str, error: Exception) -> str:
    said = " ".join(str(error).split())[:300]
    return f"expected {what} to {purpose}; found {type(error).__name__}: {said}; mend it there"
