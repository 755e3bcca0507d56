"""A trainer of series without a network: ridge regression of every output on the window, exact and fast."""

from __future__ import annotations

import numpy as np

from signals.trainers.base import EpochLoss, Fitted

SHOWN: list = []  # tasks that were asked for, for tests that look at them


class SeriesTrainer:
    name = "series"
    tasks_at_once = 1
    batch_size = 32

    def versions(self):
        return {"numpy": np.__version__}

    def fit(self, tasks):
        for task in tasks:
            SHOWN.append(task)
            X, target = _design(task.network, task.training), task.network.target
            y = np.repeat(task.training.label.astype(np.float64), max(len(target.levels), 1), axis=1)
            shift = np.asarray(target.levels or (0.5,)) - 0.5  # quantiles: something that differs by level
            w = np.linalg.solve(X.T @ X + 1e-6 * np.eye(X.shape[1]), X.T @ y)
            w[-1] += np.tile(shift, target.values) + 1e-3 * task.seed
            yield Fitted({"w": w}, 1, (EpochLoss(0.5, 0.5),))

    def predict(self, network, weights, samples):
        # row by row: a matrix product may round a row differently with other rows beside it
        X = _design(network, samples)
        return np.stack([(x[:, None] * weights["w"]).sum(axis=0) for x in X])


def _design(network, samples):
    X = samples.windows.gather(slice(None)).astype(np.float64)
    months = np.eye(12)[samples.month] if network.model.month_onehot else np.zeros((len(X), 0))
    return np.concatenate([X.reshape(len(X), -1), months, np.ones((len(X), 1))], axis=1)
