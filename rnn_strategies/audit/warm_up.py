"""How much history a value needs before it stops changing: each feature's sessions, and the network's steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.audit.perturbed_inputs import Inputs
from rnn_strategies.audit.snapshots import Observed
from rnn_strategies.config.panel_config import Config
from signals.data.panel import PRICE_COLUMNS, PricePanel
from signals.dataset.windows import Samples, Windows
from signals.execution.artifacts import ArtifactStore
from signals.execution.fold_tasks import Task, network_of, task_key
from signals.execution.trainer_choice import choose_trainer
from signals.features import FeatureContext, compute_features
from signals.models.custom import CustomModel
from signals.models.saved_keras import SavedKerasModel

__all__ = ["warm_up"]

TOLERANCE = 1e-6
# Rank correlation with the scores of whole windows from which the steps in front count as forgotten.
ALIKE = 0.99
MOST_ROWS = 4000


def warm_up(config: Config, observed: Observed, inputs: Inputs, *, artifacts: Path) -> Verdict:
    """Cut the beginning of history, and blank the first steps of windows, until something changes.

    Parameters
    ----------
    config : Config
        Settings of the run.
    observed : Observed
        The run as it is.
    inputs : Inputs
        What it was computed from.
    artifacts : Path
        Trained networks.

    Returns
    -------
    Verdict
        Failed when a feature needs more sessions than it declares.
    """
    rows, wrong = [], []
    data = observed.prepared.data
    for f, name in enumerate(data.features.names):
        declared, needed = data.features.warm_up[f], _needed(observed, inputs, name, f)
        rows.append(
            {
                "what": name,
                "declared": f"{declared} sessions",
                "needed": "no value" if needed is None else f"{needed} sessions",
            }
        )
        if needed is not None and needed > declared:
            wrong.append(f"{name} ({needed}, declares {declared})")
    steps = _steps(config, observed, artifacts)
    if steps is not None:
        rows.append({"what": "network", "declared": f"{config.model.lookback} steps", "needed": f"{steps} steps"})
    evidence = [] if steps is None else [("last steps that decide the scores (rank correlation 0.99)", str(steps))]
    if wrong:
        finding = f"More history is needed than declared by {', '.join(wrong)}; declare a larger warm_up."
        return Verdict("warm-up", Status.FAILED, finding, evidence, rows)
    finding = f"No value of the {len(rows) - (steps is not None)} features needs more sessions than it declares."
    unproved = ["The sessions needed were measured on one decision date near the end."]
    return Verdict("warm-up", Status.PASSED, finding, evidence, rows, unproved)


def _needed(observed: Observed, inputs: Inputs, name: str, f: int) -> int | None:
    """Fewest sessions before a late decision date with which every value of that date is what it is with all."""
    data = observed.prepared.data
    k = len(data.dates) - 1
    whole = data.features.values[:, k, f]
    if np.isnan(whole).all():
        return None
    sectors = None
    if inputs.reference_data.sectors is not None:
        sectors = inputs.reference_data.sectors.codes(data.panel.tickers, data.dates)
    # membership as drawn; what `eligible` adds to it needs the windows themselves
    context = FeatureContext(data.panel, data.decisions, data.member, sectors, inputs.reference_data.macro)
    low, high = 0, int(data.decisions[k])
    if not _same(_with(context, name, k, high - low), whole):
        return high
    while low < high:
        middle = (low + high) // 2
        if _same(_with(context, name, k, middle), whole):
            high = middle
        else:
            low = middle + 1
    return low


def _with(context: FeatureContext, name: str, k: int, history: int) -> NDArray[np.float64]:
    """Values at date k when nothing older than so many sessions before it is there."""
    first = int(context.decisions[k]) - history
    kept = context.decisions >= first
    panel = context.panel
    cut = PricePanel(
        dates=panel.dates[first:],
        tickers=panel.tickers,
        **{column: getattr(panel, column)[first:] for column in PRICE_COLUMNS},
        raw_known=panel.raw_known,
        close_only=panel.close_only,
        volume_known=panel.volume_known,
        calendar=panel.calendar,
    )
    cut_context = replace(
        context,
        panel=cut,
        decisions=context.decisions[kept] - first,
        member=context.member[:, kept],
        sectors=None if context.sectors is None else context.sectors[:, kept],
    )
    return np.asarray(compute_features([name], cut_context).values[:, -1, 0])


def _same(some: NDArray[np.float64], whole: NDArray[np.float64]) -> bool:
    spread = float(np.nanstd(whole))
    with np.errstate(invalid="ignore"):
        close = np.abs(some - whole) <= TOLERANCE * (np.abs(whole) + spread)
    return bool((close | np.isnan(whole)).all())


def _steps(config: Config, observed: Observed, artifacts: Path) -> int | None:
    """Fewest last steps of a window with which the last fold's network ranks rows as with all of them."""
    model = config.model
    if isinstance(model, CustomModel | SavedKerasModel):
        return None
    trainer, fold = choose_trainer(config.training, model).trainer, observed.prepared.folds[-1]
    task = Task(fold, model, config.training, config.seeds[0])
    artifact = ArtifactStore(artifacts).load(task_key(task, trainer))
    if artifact is None:
        return None
    rows = np.linspace(0, len(fold.test) - 1, min(len(fold.test), MOST_ROWS)).astype(np.int64)
    whole = fold.test.windows.gather(rows)
    n, lookback = whole.shape[:2]
    place = np.arange(n, dtype=np.int32), np.full(n, lookback - 1, dtype=np.int32)

    def scores(last: int) -> pd.Series:
        steps = whole.copy()
        steps[:, : lookback - last] = 0.0  # the mean of what it was trained on
        samples = Samples(
            Windows(steps, *place, lookback),
            fold.test.category[rows],
            fold.test.month[rows],
            np.zeros(0, np.float32),
            {name: ids[rows] for name, ids in fold.test.groups.items()},
        )
        said = trainer.predict(network_of(task), artifact.fitted.weights, samples)
        return pd.Series(said[:, said.shape[1] // 2 if fold.target.levels else -1])

    reference = scores(lookback)
    low, high = 1, lookback
    while low < high:
        middle = (low + high) // 2
        if reference.corr(scores(middle), method="spearman") >= ALIKE:
            high = middle
        else:
            low = middle + 1
    return low
