"""Custom models: a scikit-learn estimator, or any object with `fit` and `predict`, trained walk-forward."""

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
    """A user-defined model with `fit` and `predict`.

    Parameters
    ----------
    factory : str or object
        `'package.module:Name'` of a class or function that returns an object with `fit(X, y)` and `predict(X)`, such
        as `"sklearn.linear_model:LogisticRegression"`; or such an object, of which copies are fitted.
    options : dict
        Keyword arguments of the factory.
    lookback : int
        Periods in a window.
    layout : {"flat", "windows"}
        `X` of shape (n, lookback * n_features), oldest step first and the features of a step adjacent, or of shape
        (n, lookback, n_features).
    winsorize_quantile : float, optional
        Features are clipped at this quantile q and at 1 - q of the training slice, then standardised; None for neither.
    min_steps : int, optional
        Shortest history that is scored. Unknown steps are NaN, which the model must support.

    Notes
    -----
    `y` is 0 or 1 for `up` and `above_median`, 0 to 2 for `terciles`, else the value itself, clipped at the same
    quantiles. The score is `predict_proba` of the upper class (of three classes: the highest less the lowest), else
    `decision_function`, else `predict`. `predict` receives the rows of one date at a time, so that a model which uses
    all rows of its input cannot look ahead. A factory with an argument `random_state` or `seed` receives each seed in
    turn; the generators of Python, NumPy and Keras are seeded as well. A scikit-learn estimator without such an
    argument is deterministic and is fitted once. `fit` receives the training slice, and with
    training.refit_on_validation = true the validation slice as well. Custom models are not stored, because that would
    need pickle; a signals stage that is resumed fits them again. Keras models are fitted for `training.epochs` epochs.
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
        """Name of the model in messages."""
        return self.factory if isinstance(self.factory, str) else type(self.factory).__name__

    @property
    def seed_name(self) -> str | None:
        """Argument that receives the seed; None when the model has none, or when the options fix it."""
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
    def uses_seed(self) -> bool:
        """Whether seeds can change the result: not for scikit-learn estimators without a seed argument."""
        return self.seed_name is not None or not hasattr(self._factory(), "get_params")

    def make(self, seed: int) -> Any:
        """Make an untrained model, and seed all random number generators.

        Raises
        ------
        InputError
            When the factory does not exist, fails, or returns an object without `fit` and `predict`.
        """
        factory, name = self._factory(), self.seed_name
        _seed_everything(seed)
        if _is_instance(factory):
            if self.options:
                raise InputError(
                    f"expected model.options only with a class or function; found options with the object {self.name}"
                )
            return _copy_with_seed(factory, name, seed)
        options = dict(self.options)
        if name:
            options[name] = seed
        try:
            model = factory(**options)
        except Exception as error:
            raise InputError(_failure_message(f"{self.name}({', '.join(options)})", "return a model", error)) from error
        if not _is_instance(model):
            raise InputError(
                f"expected {self.name} to return an object with fit(X, y) and predict(X); found {type(model).__name__}"
            )
        return model

    def design(self, samples: Samples, rows: NDArray[np.int64] | slice) -> NDArray[np.float32]:
        """Return `X` of some rows, in the configured layout."""
        windows = samples.windows.gather(rows)
        if self.min_steps is not None:
            windows[windows == MASKED] = np.nan
        return windows if self.layout == "windows" else windows.reshape(len(windows), -1)

    def fit(
        self,
        model: Any,
        samples: Samples,
        label: NDArray[np.float64],
        target: Target,
        *,
        epochs: int,
        batch_size: int,
    ) -> None:
        """Fit an untrained model to some rows; `label` is not standardised."""
        if target.is_numeric and _is_classifier(model):
            raise InputError(
                f"expected a regressor for numeric labels; found the classifier {self.name}; use a regressor, or "
                "labels.kind = above_median, up or terciles"
            )
        X = self.design(samples, slice(None))
        more = {"epochs": epochs, "batch_size": batch_size, "verbose": 0} if _is_keras(model) else {}
        try:
            model.fit(X, label, **more)
        except Exception as error:
            raise InputError(_failure_message(f"fit of {self.name}", f"accept X of shape {X.shape}", error)) from error

    def predict(self, model: Any, samples: Samples, target: Target) -> NDArray[np.float64]:
        """Score rows sorted by date, one date at a time, shape (n, target.outputs), or (n, 1) for one number a row."""
        parts = []
        days = np.flatnonzero(np.diff(samples.windows.end, prepend=-1))
        for begin, end in zip(days, [*days[1:], len(samples)], strict=True):
            X = self.design(samples, np.arange(begin, end))
            try:
                y_pred = np.asarray(_raw_predictions(model, X, target), dtype=np.float64).reshape(len(X), -1)
            except Exception as error:
                raise InputError(
                    _failure_message(f"predict of {self.name}", f"accept X of shape {X.shape}", error)
                ) from error
            # a single number cannot stand for several quantiles
            widths = (target.outputs,) if target.levels else (1, target.outputs)
            if y_pred.shape[1] not in widths or not np.isfinite(y_pred).all():
                wanted = " or ".join(map(str, widths))
                raise InputError(
                    f"expected predict of {self.name} to return {wanted} finite numbers per row; found "
                    f"{y_pred.shape[1]} per row, {int((~np.isfinite(y_pred)).sum())} of the numbers not finite"
                )
            parts.append(y_pred)
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
    """Seed the global generators that a model may use; Keras only when it is already imported."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - custom models may use the global generator
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(seed)


def _copy_with_seed(model: Any, seed_name: str | None, seed: int) -> Any:
    if _is_keras(model):
        from signals.models.keras_backend import load_keras

        keras = load_keras()
        copied = keras.models.clone_model(model)  # with new initial weights
        if not getattr(model, "compiled", False):
            raise InputError(
                "expected a compiled Keras model as custom model; found one that is not compiled; call compile() first"
            )
        copied.compile_from_config(model.get_compile_config())
        return copied
    if hasattr(model, "get_params"):
        from sklearn.base import clone

        copied = clone(model)
        return copied.set_params(**{seed_name: seed}) if seed_name else copied
    return copy.deepcopy(model)


def _raw_predictions(model: Any, X: NDArray[np.float32], target: Target) -> Any:
    if _is_keras(model):
        return model.predict_on_batch(X)
    if not target.is_numeric:
        if hasattr(model, "predict_proba"):
            probabilities = np.asarray(model.predict_proba(X))
            # `predict_proba` lacks the classes that do not occur in the training slice
            classes = [int(c) for c in getattr(model, "classes_", range(probabilities.shape[1]))]
            all_classes = np.zeros((len(X), max(target.outputs, 2)))
            all_classes[:, classes] = probabilities
            return all_classes[:, 1] if target.kind == "probability" else all_classes
        if hasattr(model, "decision_function"):
            decision = np.asarray(model.decision_function(X))
            return decision if decision.ndim == 1 or decision.shape[1] == target.outputs else decision[:, -1]
    return model.predict(X)


def _failure_message(call: str, purpose: str, error: Exception) -> str:
    text = " ".join(str(error).split())[:300]
    return f"expected {call} to {purpose}; found {type(error).__name__}: {text}; correct the model"
