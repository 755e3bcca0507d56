"""How much of a result hangs on choices that should not matter: the seed, the look-back, the costs, a day's delay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from reports.metrics.performance import compute_metrics
from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.audit.perturbed_inputs import Inputs
from rnn_strategies.audit.snapshots import Observed, settings_of
from rnn_strategies.config.panel_config import Config, parse_config
from rnn_strategies.runs.backtest_variants import delayed, seed_signals, variant_returns
from signals.common.errors import InputError
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.execution.trainer_choice import with_recorded_trainer
from signals.models.saved_keras import SavedKerasModel
from signals.walk_forward.panel_walk_forward import compute_signals

__all__ = ["sensitivity"]

COSTS = (0.0, 1.0, 2.0, 3.0)
# Settings of a network that count steps of its window.
WITHIN = ("min_steps", "autoregressive_lags", "recurrent_skip_steps")


Record = Callable[[Config, pd.DataFrame, pd.Series, float | None], None]


def sensitivity(
    config: Config,
    observed: Observed,
    inputs: Inputs,
    *,
    artifacts: Path,
    jobs: int,
    record: Record = lambda config, signals, returns, sharpe: None,
    on_progress: ProgressCallback = ignore_progress,
) -> Verdict:
    """Trade the same scores otherwise, and scores of slightly other networks.

    Parameters
    ----------
    config, observed, inputs
        The run.
    artifacts : Path
        Where trained networks are kept.
    jobs : int
        Training processes.
    record : callable
        Called with every other configuration that was trained, its scores, its returns and its Sharpe ratio, so that
        the trial ledger knows of this experiment.
    on_progress : callable
        Told of progress.

    Returns
    -------
    Verdict
        Noted when the sign of the Sharpe ratio hangs on one of the choices; nothing here can fail.
    """
    rows: list[tuple[str, pd.Series]] = [("as it is", observed.result.returns)]
    signals = observed.signals.signals

    def trade(name: str, frame: pd.DataFrame, *, cost: float = 1.0) -> None:
        on_progress(ProgressEvent("audit", f"sensitivity: {name}"))
        rows.append((name, variant_returns(config, inputs.prices, frame, cost=cost)))

    seeds = sorted({int(seed) for seed in observed.signals.seed_scores["seed"]})
    if len(seeds) > 1:
        for seed in seeds:
            trade(f"seed {seed} alone", seed_signals(signals, observed.signals.seed_scores, seed))
    for cost in COSTS:
        if cost != 1.0:
            trade(f"costs × {cost:g}", signals, cost=cost)
    trade("executed one session later", delayed(signals, inputs.prices))
    skipped, tried = _lookbacks(config, inputs, seeds[0], artifacts=artifacts, jobs=jobs, on_progress=on_progress)
    rows += [(name, returns) for name, _, _, returns in tried]

    table, sharpe = [], {}
    for name, returns in rows:
        figures = compute_metrics(
            returns, risk_free_rate=config.report["risk_free_rate"], calendar=inputs.prices.calendar
        )
        sharpe[name] = figures["sharpe_ratio"]
        annual = figures["annual_return"]
        table.append({"choice": name, "annual return": _percent(annual), "Sharpe ratio": _ratio(sharpe[name])})
    for name, other, scores, returns in tried:
        figure = sharpe[name]
        record(other, scores, returns, figure if isinstance(figure, float) else None)
    evidence = [("break-even cost", _break_even(dict(rows)))]
    base = sharpe["as it is"]
    turned = [name for name, value in sharpe.items() if _sign(value) != _sign(base)]
    known = [float(value) for value in sharpe.values() if isinstance(value, float)]
    evidence.append(("Sharpe ratio over all choices", f"{min(known):.2f} to {max(known):.2f}" if known else "unknown"))
    if turned:
        finding = f"The sign of the Sharpe ratio ({_ratio(base)}) hangs on choices: it turns with {', '.join(turned)}."
        return Verdict("sensitivity", Status.NOTED, finding, evidence, table, skipped)
    finding = f"The Sharpe ratio ({_ratio(base)}) keeps its sign over {len(rows) - 1} other choices."
    return Verdict("sensitivity", Status.PASSED, finding, evidence, table, skipped)


def _lookbacks(
    config: Config, inputs: Inputs, seed: int, *, artifacts: Path, jobs: int, on_progress: ProgressCallback
) -> tuple[list[str], list[tuple[str, Config, pd.DataFrame, pd.Series]]]:
    """Train networks of one seed that look back a tenth less, and a tenth more; say what could not be tried."""
    if isinstance(config.model, SavedKerasModel):
        return ["The look-back of a network that comes trained cannot be changed."], []
    tried: list[tuple[str, Config, pd.DataFrame, pd.Series]] = []
    tenth = max(round(config.model.lookback / 10), 1)
    for lookback in (config.model.lookback - tenth, config.model.lookback + tenth):
        name = f"look-back {lookback} (seed {seed})"
        on_progress(ProgressEvent("audit", f"sensitivity: {name}"))
        tables = config.tables
        # what reaches back further than the window does reaches as far as that
        inside = {name: min(tables["model"].get(name) or 0, lookback) for name in WITHIN if tables["model"].get(name)}
        changed = {
            "model": tables["model"] | {"lookback": lookback} | inside,
            "training": tables["training"] | {"seeds": [seed]},
        }
        try:
            other = parse_config(tables | changed)
            made = compute_signals(
                inputs.prices,
                reference_data=inputs.reference_data,
                training=with_recorded_trainer(other.training, config.training.trainer),
                seeds=other.seeds,
                artifacts=artifacts,
                jobs=jobs,
                on_progress=on_progress,
                **settings_of(other),
            )
        except InputError as error:
            return [f"A look-back of {lookback} cannot be tried: {error}."], tried
        tried.append((name, other, made.signals, variant_returns(other, inputs.prices, made.signals)))
    return [], tried


def _break_even(rows: dict[str, pd.Series]) -> str:
    """Multiple of the costs at which the mean return is zero, on a line through those that were tried."""
    costs = [1.0 if name == "as it is" else float(name.removeprefix("costs × ")) for name in rows if _is_cost(name)]
    means = [float(returns.mean()) for name, returns in rows.items() if _is_cost(name)]
    slope, level = np.polyfit(costs, means, 1)
    if slope >= 0 or level <= 0:
        return "none: the result loses money without costs" if level <= 0 else "none: nothing is traded"
    return f"{-level / slope:.1f} times the costs"


def _is_cost(name: str) -> bool:
    return name == "as it is" or name.startswith("costs × ")


def _sign(value: object) -> int:
    return int(np.sign(value)) if isinstance(value, float) else 0


def _percent(value: object) -> str:
    return f"{value:+.1%}" if isinstance(value, float) else "unknown"


def _ratio(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "unknown"
