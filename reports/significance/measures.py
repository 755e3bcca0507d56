"""Significance measures of a run, computed once for `metrics.json`, the table and the charts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.common.run_data import RunData
from reports.metrics.performance import Metrics, json_number
from reports.significance.bootstrap import RealityCheck, percentile_interval, reality_check, resampled_figures
from reports.significance.comparable_trials import TrialFamily, trial_family
from reports.significance.overfitting import Overfitting, probability_of_backtest_overfitting
from reports.significance.seed_dispersion import SeedDispersion, closed_accounts, measure_seeds
from reports.significance.sharpe_ratio import (
    Moments,
    deflated_sharpe_ratio,
    effective_trials,
    mean_correlation,
    min_track_record_length,
    moments,
    probabilistic_sharpe_ratio,
    robust_sharpe_error,
    sharpe_error,
)
from signals.annualization import Periodicity

__all__ = ["MIN_SESSIONS", "Deflation", "Path", "Significance", "measure_significance", "significance_metrics"]

MIN_SESSIONS = 60  # with fewer, skew and kurtosis are not estimable and bootstrap blocks hardly differ
_BLOCKS = 16
_BLOCK_SESSIONS = 20  # shortest block with a meaningful Sharpe ratio


@dataclass(frozen=True, slots=True)
class Path:
    """Significance of the Sharpe ratio of one history of returns; Sharpe ratios per session.

    Parameters
    ----------
    found : Moments
        Moments of the returns in excess of the risk-free rate.
    error, robust_error : float
        Standard errors of the Sharpe ratio, without and with an adjustment for serial correlation.
    probability, robust_probability : float
        Probabilistic Sharpe ratio against zero with each of the two errors.
    needed : float
        Minimum track record length in sessions; infinite when the Sharpe ratio is not above zero.
    sharpe, drawdown : ndarray
        Sharpe ratios and maximum drawdowns of resampled histories.
    block : float
        Mean length of the resampled blocks.
    """

    found: Moments
    error: float
    robust_error: float
    probability: float
    robust_probability: float
    needed: float
    sharpe: NDArray[np.float64]
    drawdown: NDArray[np.float64]
    block: float


@dataclass(frozen=True, slots=True)
class Deflation:
    """Deflated Sharpe ratio against the comparable trials; Sharpe ratios per session.

    Parameters
    ----------
    ratios : tuple of float
        Sharpe ratios of the trials that can be compared, in the order of `TrialFamily.returns`.
    spread : float
        Their standard deviation (ddof 1).
    assumed : bool
        True when fewer than two trials, or less than half of the trials started, have returns; `spread` is then at
        least that of trials without skill, 1 / sqrt(T - 1).
    correlation : float
        Mean correlation of the trials' returns; NaN when fewer than two can be compared.
    effective : float
        Effective number of independent trials; NaN when `correlation` is NaN.
    probability, threshold : float
        Deflated Sharpe ratio, and the expected best Sharpe ratio of all trials started without skill.
    effective_probability, effective_threshold : float
        The same for the effective number.
    """

    ratios: tuple[float, ...]
    spread: float
    assumed: bool
    correlation: float
    effective: float
    probability: float
    threshold: float
    effective_probability: float
    effective_threshold: float


@dataclass(frozen=True, slots=True)
class Significance:
    """All significance measures of a run; a part that cannot be computed is None, with the reason in `reasons`.

    Parameters
    ----------
    path : Path or None
    family : TrialFamily or None
    deflation : Deflation or None
    overfitting : Overfitting or None
    checks : dict
        Reality checks by comparison: `"benchmark"`, `"universe"`, `"zero"`.
    seeds : SeedDispersion or None
    reasons : dict
        Clause on why a part is missing, by the names above.
    periodicity : Periodicity
        Frequency of the returns and number of sessions a year.
    """

    path: Path | None
    family: TrialFamily | None
    deflation: Deflation | None
    overfitting: Overfitting | None
    checks: dict[str, RealityCheck]
    seeds: SeedDispersion | None
    reasons: dict[str, str]
    periodicity: Periodicity


def measure_significance(run: RunData) -> Significance:
    """Compute the significance measures of a run.

    Parameters
    ----------
    run : RunData
        Needs `returns`; `trials` and `seed_returns` add the measures on trials and seeds.

    Returns
    -------
    Significance
        Equal inputs give equal bits, because every random number comes from a fixed seed.
    """
    periodicity = run.periodicity
    rate = (1.0 + run.risk_free_rate) ** (1.0 / periodicity.periods_per_year) - 1.0
    reasons: dict[str, str] = {}
    path = _path(run.returns, rate, reasons)
    family = trial_family(run)
    if family is None:
        not_recorded = "the number of variants that were tried was not recorded"
        reasons |= dict.fromkeys(("family", "deflation", "overfitting", "checks"), not_recorded)
    seeds = None
    if run.seed_returns is None:
        reasons["seeds"] = "there are no returns of single seeds"
    else:
        seeds = measure_seeds(run.seed_returns, run.returns, risk_free=rate)
        if seeds is None:
            closed = closed_accounts(run.seed_returns, run.returns.index)
            ended = "".join(f"; seed {seed} was {closure}" for seed, (closure, _) in closed.items())
            reasons["seeds"] = f"fewer than two seeds traded{' to the end' if ended else ''}{ended}"
    return Significance(
        path=path,
        family=family,
        deflation=_deflation(family, path, rate, reasons),
        overfitting=_overfitting(family, rate, reasons),
        checks=_checks(family, run, rate, reasons),
        seeds=seeds,
        reasons=reasons,
        periodicity=periodicity,
    )


def _path(returns: pd.Series, rate: float, reasons: dict[str, str]) -> Path | None:
    values = returns.to_numpy(dtype=np.float64)
    found = moments(values - rate)
    if found.sessions < MIN_SESSIONS:
        reasons["path"] = f"{MIN_SESSIONS} sessions are needed; there are {found.sessions}"
    elif math.isnan(found.sharpe):
        reasons["path"] = "the account's return never changed"
    if "path" in reasons:
        return None
    robust = robust_sharpe_error(values - rate)
    sharpe, drawdown, block = resampled_figures(values, risk_free=rate)
    return Path(
        found=found,
        error=sharpe_error(found),
        robust_error=robust,
        probability=probabilistic_sharpe_ratio(found),
        robust_probability=probabilistic_sharpe_ratio(found, error=robust),
        needed=min_track_record_length(found),
        sharpe=sharpe,
        drawdown=drawdown,
        block=block,
    )


def _deflation(family: TrialFamily | None, path: Path | None, rate: float, reasons: dict[str, str]) -> Deflation | None:
    if family is None:
        return None
    if path is None:
        reasons["deflation"] = reasons["path"]
        return None
    values = family.returns.to_numpy(dtype=np.float64) - rate
    several = values.shape[1] > 1 and len(values) >= MIN_SESSIONS
    ratios = tuple(moments(values[:, trial]).sharpe for trial in range(values.shape[1])) if several else ()
    chance = 1.0 / math.sqrt(path.found.sessions - 1)
    # a few similar trials do not measure the spread of the many trials without returns
    unknown = 2 * len(ratios) < family.started
    if several:
        spread, correlation = float(np.std(ratios, ddof=1)), mean_correlation(values)
        effective = effective_trials(correlation, family.started)
    else:
        spread, correlation = chance, math.nan
        effective = 1.0 if family.started == 1 else math.nan
    assumed = not several or (unknown and spread < chance)
    spread = chance if assumed else spread
    full = deflated_sharpe_ratio(path.found, trials=family.started, trial_variance=spread**2)
    fewer = (
        (math.nan, math.nan)
        if math.isnan(effective)
        else deflated_sharpe_ratio(path.found, trials=effective, trial_variance=spread**2)
    )
    return Deflation(ratios, spread, assumed, correlation, effective, *full, *fewer)


def _overfitting(family: TrialFamily | None, rate: float, reasons: dict[str, str]) -> Overfitting | None:
    if family is None:
        return None
    sessions, count = family.returns.shape
    blocks = min(_BLOCKS, sessions // _BLOCK_SESSIONS // 2 * 2)
    if count < 2:
        reasons["overfitting"] = f"two trials with different returns are needed; there are {count}"
        return None
    if blocks < _BLOCKS // 2:
        needed = _BLOCKS // 2 * _BLOCK_SESSIONS
        reasons["overfitting"] = f"{needed} sessions that all trials have are needed; there are {sessions}"
        return None
    return probability_of_backtest_overfitting(family.returns.to_numpy(dtype=np.float64) - rate, blocks=blocks)


def _checks(family: TrialFamily | None, run: RunData, rate: float, reasons: dict[str, str]) -> dict[str, RealityCheck]:
    if family is None:
        return {}
    risk_free = pd.Series(rate, index=run.returns.index)
    found = {}
    for name, other in (("benchmark", run.benchmark), ("universe", run.universe), ("zero", risk_free)):
        if other is None or family.returns.empty:
            continue
        excess = family.returns.sub(other, axis=0).dropna()
        if len(excess) >= MIN_SESSIONS:
            found[name] = reality_check(excess.to_numpy(dtype=np.float64))
    if not found:
        sessions, count = family.returns.shape
        short = f"{MIN_SESSIONS} sessions that all trials have are needed; there are {sessions}"
        reasons["checks"] = short if count else "the returns of every trial are constant"
    return found


def significance_metrics(significance: Significance) -> Metrics:
    """Figures on significance for `metrics.json`; unknown figures are None.

    Returns
    -------
    dict
        Sharpe ratios a year (times the root of the sessions a year), lengths in sessions, probabilities and p-values as
        fractions.
        `probabilistic_sharpe_ratio` and `sharpe_ratio_standard_error` assume serially independent returns,
        `…_robust` do not. `deflated_sharpe_ratio` is against the best of all `trials` started (those on the same days
        with other universes, `trials_other_universes`, are not among them),
        `deflated_sharpe_ratio_effective` against that of the `effective_trials`. `sharpe_ratio_low`, `…_high`,
        `max_drawdown_low` and `…_high` hold 95 % of resampled histories.
    """
    path, family, deflation, seeds, overfitting = (
        significance.path,
        significance.family,
        significance.deflation,
        significance.seeds,
        significance.overfitting,
    )
    year = math.sqrt(significance.periodicity.periods_per_year)
    low, high = percentile_interval(path.sharpe) if path else (math.nan, math.nan)
    deep, shallow = percentile_interval(path.drawdown) if path else (math.nan, math.nan)
    out: dict[str, float | int | None] = {
        "sharpe_ratio_low": low * year,
        "sharpe_ratio_high": high * year,
        "sharpe_ratio_standard_error": path.error * year if path else None,
        "sharpe_ratio_standard_error_robust": path.robust_error * year if path else None,
        "probabilistic_sharpe_ratio": path.probability if path else None,
        "probabilistic_sharpe_ratio_robust": path.robust_probability if path else None,
        "min_track_record_length": path.needed if path else None,
        "max_drawdown_low": deep,
        "max_drawdown_high": shallow,
        "bootstrap_block_length": path.block if path else None,
        "trials": family.started if family else None,
        "trials_finished": family.finished if family else None,
        "trials_compared": family.returns.shape[1] if family else None,
        "trials_other_universes": family.other_universes if family else None,
        "effective_trials": deflation.effective if deflation else None,
        "trial_correlation": deflation.correlation if deflation else None,
        "trial_sharpe_ratio_std": deflation.spread * year if deflation and not deflation.assumed else None,
        "expected_best_sharpe_ratio": deflation.threshold * year if deflation else None,
        "expected_best_sharpe_ratio_effective": deflation.effective_threshold * year if deflation else None,
        "deflated_sharpe_ratio": deflation.probability if deflation else None,
        "deflated_sharpe_ratio_effective": deflation.effective_probability if deflation else None,
        "probability_of_backtest_overfitting": overfitting.probability if overfitting else None,
        "probability_of_loss_out_of_sample": overfitting.loss if overfitting else None,
        **{
            f"reality_check_p_value{suffix}": significance.checks[name].p_value if name in significance.checks else None
            for name, suffix in (("benchmark", ""), ("universe", "_universe"), ("zero", "_zero"))
        },
        "sharpe_ratio_seeds": len(seeds.sharpe) if seeds else None,
        "sharpe_ratio_seeds_mean": float(seeds.sharpe.mean()) * year if seeds else None,
        "sharpe_ratio_seeds_std": float(seeds.sharpe.std(ddof=1)) * year if seeds else None,
        "sharpe_ratio_seeds_min": float(seeds.sharpe.min()) * year if seeds else None,
        "sharpe_ratio_seeds_max": float(seeds.sharpe.max()) * year if seeds else None,
        "sharpe_ratio_seeds_low": seeds.low * year if seeds else None,
        "sharpe_ratio_seeds_high": seeds.high * year if seeds else None,
        "sharpe_ratio_seed_share": seeds.share if seeds else None,
        "sharpe_ratio_seeds_closed": len(seeds.closed) if seeds else None,
    }
    return {name: json_number(value) for name, value in out.items()}
