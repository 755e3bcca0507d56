"""Checks of indices before compiled training: none may read or write outside an array."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from network_cases import CASES, samples_for, weights_for

from signals.common.errors import InputError
from signals.trainers.base import FitTask, TrainingSettings
from signals.trainers.compiled import CompiledTrainer

NETWORK = CASES["classes"]


def last(array, value):
    return np.concatenate([array[:-1], [value]]).astype(array.dtype)


def changed(rows, name, value):
    if name in ("ticker", "end"):
        return replace(rows, windows=replace(rows.windows, **{name: last(getattr(rows.windows, name), value)}))
    return replace(rows, **{name: last(getattr(rows, name), value)})


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("ticker", 10**6, "rows of the panel"),
        ("ticker", -1, "rows of the panel"),
        ("end", 1, "last dates of windows"),
        ("end", 10**6, "last dates of windows"),
        ("category", 10**6, "ticker ids"),
        ("category", -1, "ticker ids"),
        ("month", 12, "months"),
        ("label", 3, "labels"),
        ("label", np.nan, "labels"),
    ],
)
def test_indices_out_of_bounds_raise_an_error(name, value, what):
    rows = changed(samples_for(NETWORK, 20), name, value)
    task = FitTask(NETWORK, rows, None, TrainingSettings(epochs=1), 1)
    with pytest.raises(InputError, match=f"expected {what} from .* found .* give samples made for this network"):
        next(CompiledTrainer().fit([task]))
    if name != "label":
        with pytest.raises(InputError, match=what):
            CompiledTrainer().predict(NETWORK, weights_for(NETWORK), rows)


def test_fractional_classes_raise_an_error():
    task = FitTask(NETWORK, changed(samples_for(NETWORK, 20), "label", 0.5), None, TrainingSettings(epochs=1), 1)
    with pytest.raises(InputError, match="expected whole numbers as classes"):
        next(CompiledTrainer().fit([task]))


@pytest.mark.parametrize("change", ["another shape", "one number", "missing"])
def test_weights_of_another_network_raise_an_error(change):
    weights = dict(weights_for(NETWORK))
    if change == "another shape":
        weights["dense/kernel"] = weights["dense/kernel"].T.copy()
    elif change == "one number":
        weights["dense/kernel"] = np.ones(1, np.float32)
    else:
        del weights["dense/kernel"]
    with pytest.raises(InputError, match="expected weights of this network, dense/kernel of shape"):
        CompiledTrainer().predict(NETWORK, weights, samples_for(NETWORK, 20))


def test_zero_threads_raise_an_error():
    with pytest.raises(InputError, match="at least one thread"):
        CompiledTrainer(threads=0)


def test_samples_of_another_network_raise_an_error():
    rows = samples_for(NETWORK, 20)
    other = replace(NETWORK, n_features=NETWORK.n_features + 1)
    with pytest.raises(InputError, match="expected windows of"):
        CompiledTrainer().predict(other, weights_for(other), rows)
    with pytest.raises(InputError, match="arrays of one length"):
        CompiledTrainer().predict(NETWORK, weights_for(NETWORK), replace(rows, month=rows.month[:-1]))
