"""Audit of a configuration or run: all checks with their verdicts, and the assumptions that no check can test."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from reports.metrics.performance import compute_metrics
from reports.metrics.signal_quality import TOO_GOOD_AUC
from rnn_strategies.audit.baseline_attribution import explained
from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.audit.delisted_names import dead_names
from rnn_strategies.audit.fold_checks import adjustments, adjustments_of_imported, folds
from rnn_strategies.audit.look_ahead import dates_to_rehearse, days_to_try, look_ahead
from rnn_strategies.audit.perturbed_inputs import Inputs
from rnn_strategies.audit.sensitivity import sensitivity
from rnn_strategies.audit.snapshots import Observed, observe, settings_of
from rnn_strategies.audit.survivorship import survivorship
from rnn_strategies.audit.warm_up import warm_up
from rnn_strategies.config.panel_config import Config
from rnn_strategies.config.reference_files import read_reference_data
from rnn_strategies.config.toml_files import is_of_series
from rnn_strategies.pipelines.panel_run import Run
from rnn_strategies.pipelines.run_config import open_run
from signals.common.errors import InputError, LookAheadError
from signals.common.former_names import CHECKS as FORMER_CHECKS
from signals.common.former_names import now_called
from signals.common.progress_events import ProgressCallback, ProgressEvent, ignore_progress
from signals.common.storage import write_json
from signals.data.prices import Prices
from signals.dataset.universe import UniverseFilters
from signals.evaluation.cross_section_metrics import auc_by_date, binary_outcome
from signals.evaluation.long_run_variance import mean_interval
from signals.evaluation.pooled_metrics import outcome_over_time, pooled_auc
from signals.execution.trainer_choice import with_recorded_trainer
from signals.walk_forward.panel_walk_forward import Prepared, prepare

__all__ = ["CHECKS", "Audit", "audit_run"]

CHECKS = (
    "fold-checks",
    "adjustments",
    "look-ahead",
    "warm-up",
    "delisted-names",
    "baseline-attribution",
    "survivorship",
    "sensitivity",
)

ALWAYS_UNPROVED = (
    "That the prices are those at which shares traded: they are taken from the source as they are.",
    "That a saved network was trained without data after its `trained_until`.",
    "That the configuration was chosen without knowledge of the test period: the trial ledger records only runs of "
    "this program.",
)


@dataclass(frozen=True, slots=True)
class Audit:
    """All verdicts about one run.

    Parameters
    ----------
    name : str
        Name of the configuration.
    verdicts : tuple of Verdict
        One per check, in the order of `CHECKS`.
    covered : str
        Sentence about the checks that apply, where not all of them do; empty otherwise.
    always_unproved : tuple of str
        Assumptions that no check can test, whatever the verdicts.
    """

    name: str
    verdicts: tuple[Verdict, ...]
    covered: str = ""
    always_unproved: tuple[str, ...] = ALWAYS_UNPROVED

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(verdict.status is not Status.FAILED for verdict in self.verdicts)

    @property
    def unproved(self) -> tuple[str, ...]:
        """Assumptions that none of the checks can test."""
        return (*(line for verdict in self.verdicts for line in verdict.unproved), *self.always_unproved)

    def verdict(self, check: str) -> Verdict:
        """Verdict of one check.

        Raises
        ------
        InputError
            When the check was not run.
        """
        for verdict in self.verdicts:
            if verdict.check == check:
                return verdict
        raise InputError(f"expected one of the checks that were run; found {check!r}")

    def text(self) -> str:
        """All verdicts as text for a terminal."""
        lines = [f"audit of {self.name}, computed again from its configuration (`verify` checks the files of a run)"]
        lines += [self.covered] if self.covered else []
        lines.append("")
        for verdict in self.verdicts:
            lines.append(f"{verdict.status.upper():<8} {verdict.check}: {verdict.finding}")
            lines += [f"           {name}: {value}" for name, value in verdict.evidence]
            lines += [f"           {line}" for line in _columns(verdict.table)]
        lines += ["", "cannot be proved:", *(f"  - {line}" for line in self.unproved)]
        failed = [verdict.check for verdict in self.verdicts if verdict.status is Status.FAILED]
        noted = sum(verdict.status is Status.NOTED for verdict in self.verdicts)
        conclusion = f"FAILED: {', '.join(failed)}" if failed else "nothing failed"
        return "\n".join([*lines, "", f"{conclusion}; {noted} noted, {len(self.verdicts)} checks"])

    def save(self, path: Path) -> None:
        """Write the audit as JSON."""
        write_json(path, {"name": self.name, "verdicts": [asdict(v) for v in self.verdicts], "unproved": self.unproved})


def audit_run(
    target: Path | str | Run,
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    cutoffs: int = 3,
    jobs: int | None = None,
    on_progress: ProgressCallback = ignore_progress,
) -> Audit:
    """Audit a configuration or a run.

    Parameters
    ----------
    target : Path, str or Run
        A configuration file, a run folder, or an opened run. Nothing in a run folder is changed. Forecasts of series
        have the checks of folds, look-ahead and skill compared with baselines; other checks are skipped with a reason.
    overrides : sequence of str
        Settings as `"table.key=value"`, which replace those of the file.
    only, skip : sequence of str
        Names of checks to run, or to leave out; all checks are run by default.
    cutoffs : int
        Number of random days after which all inputs are replaced, in addition to days on which look-ahead is
        likely to show; 3 by default. On four times as many decision dates the stages before training are compared.
    jobs : int, optional
        Number of training processes; one per core by default.
    on_progress : callable
        Called with every `ProgressEvent`; ignores them by default.

    Returns
    -------
    Audit
        The verdicts, in the order of `CHECKS`.

    Raises
    ------
    InputError
        For an unknown check, or a configuration that cannot be computed.
    """
    only, skip = ((names,) if isinstance(names, str) else names for names in (only, skip))
    for check in (*only, *skip):
        if check not in CHECKS:
            remedy = now_called(FORMER_CHECKS, check) or "correct the name"
            raise InputError(f"expected checks among {', '.join(CHECKS)}; found {check!r}; {remedy}")
    if cutoffs < 0:
        raise InputError(f"expected a number of cutoffs of at least 0; found {cutoffs}; correct it")
    selected = [check for check in CHECKS if (not only or check in only) and check not in skip]
    if not selected:
        raise InputError("expected at least one check; found that all are excluded; change --only or --skip")
    if not isinstance(target, Run) and is_of_series(target):
        return _audit_of_series(target, selected, overrides, cutoffs, jobs, on_progress)
    run = (
        target if isinstance(target, Run) else open_run(target, overrides=overrides, jobs=jobs, on_progress=on_progress)
    )
    config = run.config
    if config.walk_forward is None:
        return _audit_of_imported(run, selected)
    config = replace(config, training=with_recorded_trainer(config.training, run.trainer.get("name")))
    settings = settings_of(config)
    ticker = config.benchmark.get("ticker")
    inputs = Inputs(
        run.prices, read_reference_data(config.reference_files), _benchmark(run), () if ticker is None else (ticker,)
    )
    compute = partial(observe, config, jobs=run.jobs)
    run.prepare_ledger()
    on_progress(ProgressEvent("audit", "computing the run as it is"))
    try:
        observed = compute(inputs, artifacts=run.home.artifacts, on_progress=on_progress)
    except LookAheadError as error:
        rejected = Verdict("look-ahead", Status.FAILED, str(error))
        rest = [
            Verdict(check, Status.SKIPPED, "The run cannot be computed, because an input looks ahead.")
            for check in selected
            if check != "look-ahead"
        ]
        return Audit(config.name, (rejected, *rest))
    # a trial of its own: the result is shown to the user, who may select the configuration for it
    run.record_variant(config, observed.signals.signals, observed.result.returns, _sharpe(config, observed))
    seed = int(config.hash[:8], 16)

    def prepare_inputs(other: Inputs) -> Prepared:
        return prepare(other.prices, reference_data=other.reference_data, **settings)

    def run_look_ahead() -> Verdict:
        # stored networks of a custom trainer are not reused: data that it reads by itself are not in their keys
        with TemporaryDirectory() as folder:
            artifacts = Path(folder) if ":" in config.training.trainer else run.home.artifacts
            days, dates = days_to_try(observed, inputs, cutoffs, seed), dates_to_rehearse(observed, cutoffs, seed)
            recompute = partial(compute, artifacts=artifacts)
            return look_ahead(observed, inputs, recompute, prepare_inputs, days, dates, seed=seed)

    checks: dict[str, Callable[[], Verdict]] = {
        "fold-checks": lambda: folds(observed.prepared),
        "adjustments": lambda: adjustments(
            observed.prepared,
            inputs,
            lambda prices: prepare_inputs(replace(inputs, prices=prices)),
            seed=seed,
            min_price=config.universe.min_price is not None,
        ),
        "look-ahead": run_look_ahead,
        "warm-up": lambda: warm_up(config, observed, inputs, artifacts=run.home.artifacts),
        "delisted-names": lambda: dead_names(
            inputs.prices, data=observed.prepared.data, signals=observed.signals.signals
        ),
        "baseline-attribution": lambda: _flag_implausible_skill(
            explained(
                observed.signals.signals,
                observed.signals.labels,
                observed.prepared.data,
                lookback=observed.prepared.lookback,
                horizon=config.labels.horizon,
                folds=observed.signals.folds,
            ),
            observed,
            horizon=config.labels.horizon,
            simulated=inputs.prices.simulated,
        ),
        "survivorship": lambda: survivorship(
            inputs.prices,
            universe_sizes=observed.signals.universe_sizes,
            filters=config.universe,
            membership=inputs.reference_data.membership,
            sectors=inputs.reference_data.sectors,
            signals=observed.signals.signals,
        ),
        "sensitivity": lambda: sensitivity(
            config,
            observed,
            inputs,
            artifacts=run.home.artifacts,
            jobs=run.jobs,
            record=run.record_variant,
            on_progress=on_progress,
        ),
    }
    verdicts = []
    for number, check in enumerate(selected, start=1):
        # NaN: the durations of checks differ too much for an estimate of the time remaining
        on_progress(ProgressEvent("audit", check, number - 1, len(selected), math.nan))
        began = time.perf_counter()
        verdicts.append(checks[check]())
        text = f"{check} {verdicts[-1].status} after {time.perf_counter() - began:.0f} s"
        on_progress(ProgressEvent("audit", text, number, len(selected), math.nan))
    return Audit(config.name, tuple(verdicts))


def _audit_of_series(
    target: Path | str,
    selected: Sequence[str],
    overrides: Sequence[str],
    cutoffs: int,
    jobs: int | None,
    on_progress: ProgressCallback,
) -> Audit:
    """Audit of forecasts of series."""
    from rnn_strategies.audit.series_audit import COVERED, UNPROVED, audit_series
    from rnn_strategies.pipelines.forecast_run import open_forecast

    run = open_forecast(target, overrides=overrides, jobs=jobs, on_progress=on_progress)
    covered = (
        f"forecasts of series: covered are {', '.join(COVERED)}; the other checks are about stocks and are skipped"
    )
    verdicts = audit_series(run, selected, cutoffs=cutoffs, on_progress=on_progress)
    return Audit(run.config.name, verdicts, covered, UNPROVED)


def _audit_of_imported(run: Run, selected: Sequence[str]) -> Audit:
    """Audit of imported scores: the checks that need prices only."""
    checks = {
        "adjustments": lambda: adjustments_of_imported(run.prices),
        "delisted-names": lambda: dead_names(run.prices, signals=run.signals),
        "survivorship": lambda: survivorship(
            run.prices, universe_sizes={}, filters=UniverseFilters(), signals=run.signals
        ),
    }
    finding = "The scores were imported: audit the program that computed them."
    verdicts = [checks[check]() if check in checks else Verdict(check, Status.SKIPPED, finding) for check in selected]
    covered = (
        f"imported scores: covered are the checks of prices ({', '.join(checks)}); the other checks need the model "
        "that computed the scores and are skipped"
    )
    return Audit(run.config.name, tuple(verdicts), covered)


def _sharpe(config: Config, observed: Observed) -> float | None:
    sharpe = compute_metrics(observed.result.returns, risk_free_rate=config.report["risk_free_rate"])["sharpe_ratio"]
    return sharpe if isinstance(sharpe, float) else None


def _flag_implausible_skill(verdict: Verdict, observed: Observed, *, horizon: int, simulated: bool) -> Verdict:
    """Turn the verdict into a note when the AUC is higher than real stocks allow."""
    score, labels = observed.signals.signals["score"], observed.signals.labels
    single_ticker = labels.index.get_level_values("date").is_unique
    if single_ticker:
        auc = pooled_auc(score, outcome_over_time(labels["label"], labels["forward_return"]), horizon=horizon)
    else:
        auc = mean_interval(auc_by_date(score, binary_outcome(labels["label"])), horizon=horizon)
    if simulated or verdict.status is Status.FAILED or not (auc.mean > TOO_GOOD_AUC and auc.low > 0.5):
        return verdict
    measure = "An AUC over time" if single_ticker else "A per-date AUC"
    finding = (
        f"{measure} of {auc.mean:.3f} is implausibly high: 0.50 to 0.53 is usual on traded stocks. "
        f"Search the inputs for look-ahead. {verdict.finding}"
    )
    return replace(verdict, status=Status.NOTED, finding=finding)


def _benchmark(run: Run) -> Prices | None:
    """Prices of a benchmark that has a source of its own; None otherwise."""
    if run.config.benchmark.get("ticker") is None or run.benchmark is run.prices:
        return None
    return run.benchmark


def _columns(table: Sequence[dict[str, str]]) -> list[str]:
    """Lines of a table as text, with aligned columns under their names."""
    if not table:
        return []
    names = list(table[0])
    rows = [names, *([str(row.get(name, "")) for name in names] for row in table)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
