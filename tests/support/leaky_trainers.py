"""A trainer that would peek if it could."""

from __future__ import annotations

import numpy as np
from linear_trainer import LinearTrainer


class Peeping(LinearTrainer):
    """Fits, and then leans towards what it finds behind its last training row."""

    name = "peeping"

    def fit(self, tasks):
        for task, fitted in zip(tasks, super().fit(tasks), strict=True):
            behind = task.training.windows.panel[:, int(task.validation.windows.end.max()) + 1 :]
            lean = np.float32(behind.mean()) if behind.size else np.float32(0.0)
            yield type(fitted)({"w": fitted.weights["w"] + lean}, fitted.epochs, fitted.history)
