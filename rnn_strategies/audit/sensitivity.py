"""Check of the sensitivity of a result to seed, look-back, transaction costs and a delay of one session."""

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
# Settings of a network that cannot exceed the length of its window.
WINDOW_LIMITED = ("min_steps", "autoregressive_lags", "recurrent_skip_steps")

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
    """Backtest the same scores with other settings, and scores of networks with other look-backs.

    Parameters
    ----------
    config, observed, inputs
        Configuration, results and inputs of the run.
    artifacts : Path
        Folder of trained networks.
    jobs : int
        Number of training processes.
    record : callable
        Called with every other configuration that was trained, its scores, its returns and its Sharpe ratio, to
        register the experiment in the trial ledger.
    on_progress : callable
        Called with every `ProgressEvent`; ignores them by default.

    Returns
    -------
    Verdict
        Noted when the sign of the Sharpe ratio depends on one of the choices, else passed; this check never fails.
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
    skipped, lookbacks = _vary_lookback(
        config, inputs, seeds[0], artifacts=artifacts, jobs=jobs, on_progress=on_progress
    )
    rows += [(name, returns) for name, _, _, returns in lookbacks]

    table, sharpe = [], {}
    for name, returns in rows:
        metrics = compute_metrics(
            returns, risk_free_rate=config.report["risk_free_rate"], calendar=inputs.prices.calendar
        )
        sharpe[name] = metrics["sharpe_ratio"]
        annual = metrics["annual_return"]
        table.append({"choice": name, "annual return": _percent(annual), "Sharpe ratio": _ratio(sharpe[name])})
    for name, other, scores, returns in lookbacks:
        ratio = sharpe[name]
        record(other, scores, returns, ratio if isinstance(ratio, float) else None)
    evidence = [("break-even cost", _break_even(dict(rows)))]
    base = sharpe["as it is"]
    sign_changes = [name for name, value in sharpe.items() if _sign(value) != _sign(base)]
    known = [float(value) for value in sharpe.values() if isinstance(value, float)]
    evidence.append(("Sharpe ratio over all choices", f"{min(known):.2f} to {max(known):.2f}" if known else "unknown"))
    if sign_changes:
        finding = (
            f"The sign of the Sharpe ratio ({_ratio(base)}) depends on these choices: it changes with "
            f"{', '.join(sign_changes)}."
        )
        return Verdict("sensitivity", Status.NOTED, finding, evidence, table, skipped)
    finding = f"The Sharpe ratio ({_ratio(base)}) keeps its sign over {len(rows) - 1} other choices."
    return Verdict("sensitivity", Status.PASSED, finding, evidence, table, skipped)


def _vary_lookback(
    config: Config, inputs: Inputs, seed: int, *, artifacts: Path, jobs: int, on_progress: ProgressCallback
) -> tuple[list[str], list[tuple[str, Config, pd.DataFrame, pd.Series]]]:
    """Train networks of one seed with a look-back a tenth shorter and a tenth longer.

    Returns
    -------
    tuple of list and list
        Sentences about look-backs that were not possible; and name, configuration, signals and returns of the others.
    """
    if isinstance(config.model, SavedKerasModel):
        return ["The look-back of a saved network cannot be changed."], []
    results: list[tuple[str, Config, pd.DataFrame, pd.Series]] = []
    tenth = max(round(config.model.lookback / 10), 1)
    for lookback in (config.model.lookback - tenth, config.model.lookback + tenth):
        name = f"look-back {lookback} (seed {seed})"
        on_progress(ProgressEvent("audit", f"sensitivity: {name}"))
        tables = config.tables
        limited = {
            name: min(tables["model"].get(name) or 0, lookback) for name in WINDOW_LIMITED if tables["model"].get(name)
        }
        changed = {
            "model": tables["model"] | {"lookback": lookback} | limited,
            "training": tables["training"] | {"seeds": [seed]},
        }
        try:
            other = parse_config(tables | changed)
            result = compute_signals(
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
            return [f"A look-back of {lookback} is not possible: {error}."], results
        results.append((name, other, result.signals, variant_returns(other, inputs.prices, result.signals)))
    return [], results


def _break_even(rows: dict[str, pd.Series]) -> str:
    """Multiple of the costs at which the mean return is zero, by linear regression on the backtested multiples."""
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
