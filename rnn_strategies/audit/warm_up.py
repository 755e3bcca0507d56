"""Check of warm-up periods: sessions of history that each feature needs, and window steps that the network uses."""

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
# Rank correlation with the scores of whole windows from which the earlier steps count as unused.
MIN_RANK_CORRELATION = 0.99
MAX_ROWS = 4000


def warm_up(config: Config, observed: Observed, inputs: Inputs, *, artifacts: Path) -> Verdict:
    """Find the shortest history with which features, and scores of the network, stay the same.

    Parameters
    ----------
    config : Config
        Settings of the run.
    observed : Observed
        Results of the run.
    inputs : Inputs
        Inputs of the run.
    artifacts : Path
        Folder of trained networks.

    Returns
    -------
    Verdict
        Failed when a feature needs more sessions than it declares.
    """
    rows, wrong = [], []
    data = observed.prepared.data
    for f, name in enumerate(data.features.names):
        declared, needed = data.features.warm_up[f], _needed_sessions(observed, inputs, name, f)
        rows.append(
            {
                "what": name,
                "declared": f"{declared} sessions",
                "needed": "no value" if needed is None else f"{needed} sessions",
            }
        )
        if needed is not None and needed > declared:
            wrong.append(f"{name} ({needed}, declares {declared})")
    steps = _needed_steps(config, observed, artifacts)
    if steps is not None:
        rows.append({"what": "network", "declared": f"{config.model.lookback} steps", "needed": f"{steps} steps"})
    evidence = [] if steps is None else [("last steps that determine the scores (rank correlation 0.99)", str(steps))]
    if wrong:
        finding = f"These features need more history than they declare: {', '.join(wrong)}; declare a larger warm_up."
        return Verdict("warm-up", Status.FAILED, finding, evidence, rows)
    finding = f"None of the {len(rows) - (steps is not None)} features needs more sessions than it declares."
    unproved = ["The sessions needed were measured on one decision date near the end."]
    return Verdict("warm-up", Status.PASSED, finding, evidence, rows, unproved)


def _needed_sessions(observed: Observed, inputs: Inputs, name: str, f: int) -> int | None:
    """Fewest sessions before the last decision date with which its values equal those with the whole history.

    None when the feature has no value on that date.
    """
    data = observed.prepared.data
    k = len(data.dates) - 1
    whole = data.features.values[:, k, f]
    if np.isnan(whole).all():
        return None
    sectors = None
    if inputs.reference_data.sectors is not None:
        sectors = inputs.reference_data.sectors.codes(data.panel.tickers, data.dates)
    # membership without the condition of `eligible` that windows are complete, since windows are shortened here
    context = FeatureContext(data.panel, data.decisions, data.member, sectors, inputs.reference_data.macro)
    low, high = 0, int(data.decisions[k])
    if not _equal_values(_values_with_history(context, name, k, high - low), whole):
        return high
    while low < high:
        middle = (low + high) // 2
        if _equal_values(_values_with_history(context, name, k, middle), whole):
            high = middle
        else:
            low = middle + 1
    return low


def _values_with_history(context: FeatureContext, name: str, k: int, history: int) -> NDArray[np.float64]:
    """Values at date k computed from `history` sessions before it."""
    first = int(context.decisions[k]) - history
    kept = context.decisions >= first
    panel = context.panel
    short_panel = PricePanel(
        dates=panel.dates[first:],
        tickers=panel.tickers,
        **{column: getattr(panel, column)[first:] for column in PRICE_COLUMNS},
        raw_known=panel.raw_known,
        close_only=panel.close_only,
        volume_known=panel.volume_known,
        calendar=panel.calendar,
    )
    short_context = replace(
        context,
        panel=short_panel,
        decisions=context.decisions[kept] - first,
        member=context.member[:, kept],
        sectors=None if context.sectors is None else context.sectors[:, kept],
    )
    return np.asarray(compute_features([name], short_context).values[:, -1, 0])


def _equal_values(values: NDArray[np.float64], whole: NDArray[np.float64]) -> bool:
    spread = float(np.nanstd(whole))
    with np.errstate(invalid="ignore"):
        close = np.abs(values - whole) <= TOLERANCE * (np.abs(whole) + spread)
    return bool((close | np.isnan(whole)).all())


def _needed_steps(config: Config, observed: Observed, artifacts: Path) -> int | None:
    """Fewest last steps of a window with which the network of the last fold ranks rows as with the whole window.

    None for custom and saved models, and when the network is not stored.
    """
    model = config.model
    if isinstance(model, CustomModel | SavedKerasModel):
        return None
    trainer, fold = choose_trainer(config.training, model).trainer, observed.prepared.folds[-1]
    task = Task(fold, model, config.training, config.seeds[0])
    artifact = ArtifactStore(artifacts).load(task_key(task, trainer))
    if artifact is None:
        return None
    rows = np.linspace(0, len(fold.test) - 1, min(len(fold.test), MAX_ROWS)).astype(np.int64)
    whole = fold.test.windows.gather(rows)
    n, lookback = whole.shape[:2]
    place = np.arange(n, dtype=np.int32), np.full(n, lookback - 1, dtype=np.int32)

    def scores(last: int) -> pd.Series:
        steps = whole.copy()
        steps[:, : lookback - last] = 0.0  # the mean of the standardised training inputs
        samples = Samples(
            Windows(steps, *place, lookback),
            fold.test.category[rows],
            fold.test.month[rows],
            np.zeros(0, np.float32),
            {name: ids[rows] for name, ids in fold.test.groups.items()},
        )
        output = trainer.predict(network_of(task), artifact.fitted.weights, samples)
        return pd.Series(output[:, output.shape[1] // 2 if fold.target.levels else -1])

    reference = scores(lookback)
    low, high = 1, lookback
    while low < high:
        middle = (low + high) // 2
        if reference.corr(scores(middle), method="spearman") >= MIN_RANK_CORRELATION:
            high = middle
        else:
            low = middle + 1
    return low
