"""Run folder that is registered in the trial ledger, with a snapshot of the comparable trials."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from reports.report import write_metrics
from rnn_strategies.config.panel_config import Config
from rnn_strategies.config.reference_files import read_reference_data, reference_digests
from rnn_strategies.runs.manifest import key_of
from rnn_strategies.runs.run_folder import RunFolder
from rnn_strategies.trials.comparable_trials import Family, family_of, trials_table
from rnn_strategies.trials.evaluation_set import EvaluationSet, evaluation_set, set_of_scores
from rnn_strategies.trials.ledger_import import import_old_ledger
from rnn_strategies.trials.trial_ledger import Trial, TrialLedger, default_ledger
from signals.common.storage import read_json, read_parquet, write_json, write_parquet
from signals.dataset.dataset import ReferenceData
from signals.dataset.folds import WalkForward
from signals.models.saved_keras import SavedKerasModel

__all__ = ["CountedRun"]

TRIALS = "trials.parquet"


@dataclass(repr=False)
class CountedRun(RunFolder):
    """A run folder that is registered in the trial ledger; its parameters are those of `RunFolder`."""

    _counted: Trial | None = field(default=None, init=False)

    @cached_property
    def ledger(self) -> TrialLedger:
        """The user's trial ledger."""
        return default_ledger()

    @property
    def _walk_forward(self) -> WalkForward:
        assert self.config.walk_forward is not None  # noqa: S101 - `open_run` gives imported scores another class
        return self.config.walk_forward

    @property
    def _read_files(self) -> list[Any]:
        """Content hashes of the reference files and of a saved model; paths do not identify contents."""
        model = self.config.model
        return [reference_digests(self._reference_data), model.digest() if isinstance(model, SavedKerasModel) else None]

    @cached_property
    def _reference_data(self) -> ReferenceData:
        return read_reference_data(self.config.reference_files)

    # -- the trial --------------------------------------------------------------------------------------------------

    def prepare_ledger(self) -> None:
        """Check before any work that the ledger can be written, and import a ledger of former versions."""
        self.ledger.check_writable()
        import_old_ledger(self.ledger, self.home)

    def _begin_trial(self, dates: Iterable[Any], tickers: Iterable[str]) -> None:
        """Register the trial with its evaluation set, when its first out-of-sample scores are known."""
        evaluated = evaluation_set(self.prices, dates, tickers)
        self._counted = replace(self._trial(), evaluated=self.ledger.keep_evaluation_set(evaluated))
        self.ledger.start(self._counted)

    def _fail_trial(self) -> None:
        """Record that the trial failed, if it is registered."""
        if self._counted is not None:
            self.ledger.fail(self._counted.id)

    def _end_trial(self) -> None:
        """Record results of the trial from the files of the folder."""
        evaluated = self.ledger.keep_evaluation_set(set_of_scores(self.prices, self.signals))
        trial = replace(
            self._trial(),
            status="done",
            sharpe=self.metrics.get("sharpe_ratio"),
            returns=self.ledger.keep_returns(self._returns),
            evaluated=evaluated,
            folder=str(self.folder.resolve()),
        )
        self.ledger.finish(trial)

    def record_variant(self, config: Config, signals: pd.DataFrame, returns: pd.Series, sharpe: float | None) -> None:
        """Record a configuration that the audit computed on the prices of this run, unless it is on record.

        Parameters
        ----------
        config : Config
            The configuration. That of this run counts as a trial, because its result is shown to the user. Any other is
            marked as an experiment of the audit, and no Sharpe ratio is deflated for it.
        signals : DataFrame
            Its out-of-sample scores, indexed by (date, ticker).
        returns : Series
            Its returns per session.
        sharpe : float or None
            Its annualised Sharpe ratio.
        """
        own = self._trial()
        variant_id = key_of(config.identity, self._digest("prices"), self._read_files)[:16]
        known, experiment = self.ledger.trials().get(variant_id), variant_id != own.id
        if known is not None and (experiment or not known.experiment):
            return
        trial = replace(
            own,
            id=variant_id,
            parent=own.id if experiment else None,
            config=config.hash,
            kind="audit",
            status="done",
            sharpe=sharpe,
            returns=self.ledger.keep_returns(returns),
            evaluated=self.ledger.keep_evaluation_set(set_of_scores(self.prices, signals)),
            experiment=experiment,
        )
        self.ledger.finish(trial)

    def _trial(self) -> Trial:
        config, prices = self.config, self._digest("prices")
        return Trial(
            id=key_of(config.identity, prices, self._read_files)[:16],
            parent=None,
            config=config.hash,
            kind="run",
            family={
                # prices and lists by their content: a copy of a file is the same universe
                "universe": key_of(prices, asdict(config.universe), reference_digests(self._reference_data))[:16],
                "calendar": self.prices.calendar,
                "period": [self._walk_forward.test_start, str(self.prices.last)],
            },
            status="started",
        )

    @property
    def _returns(self) -> pd.Series:
        returns: pd.Series = read_parquet(self.folder / "returns.parquet", index=["date"])["returns"]
        return returns

    # -- its family, in the folder ----------------------------------------------------------------------------------

    def _write_family(self, returns: pd.Series) -> None:
        """Write the trials that this run could have been selected from, as the ledger has them now."""
        trial, evaluated = self._trial(), set_of_scores(self.prices, self.signals)
        family = self._family(trial, returns, evaluated)
        write_parquet(self.folder / TRIALS, family.returns.set_index("trial"))
        self._manifest.data["trial"] = _facts(trial.id, evaluated, family)

    def _family(self, trial: Trial, returns: pd.Series, evaluated: EvaluationSet) -> Family:
        return family_of(self.ledger, trial, returns, evaluated=evaluated)

    def _refresh_family(self) -> None:
        """Update the trials in the folder, and the metrics that depend on them, from the current ledger.

        A ledger that was lost, or belongs to another user, has fewer trials than the folder: those of the folder are
        kept. Trials that a former version wrote, which counted them by other rules, are replaced.
        """
        stated = self._manifest.data.get("trial")
        if not isinstance(stated, dict) or not isinstance(stated.get("id"), str):
            return
        import_old_ledger(self.ledger, self.home)
        known = self.ledger.trials().get(stated["id"])
        trial = known or Trial(stated["id"], None, self.config.hash, "run", stated.get("family") or {}, "done")
        evaluated = self.ledger.evaluation_set(trial) or self._without_prices()
        family = family_of(self.ledger, trial, self._returns, evaluated=evaluated)
        held = read_parquet(self.folder / TRIALS)
        if "evaluated" in stated or known is None:
            family = _joined(family, held, stated)
        facts = _facts(trial.id, evaluated, family)
        if facts != stated or not family.returns.astype(held.dtypes).equals(held):
            self._manifest.data["trial"] = facts
            write_json(self._manifest.path, self._manifest.data)  # the stage counts as unfinished until `renew`
            write_parquet(self.folder / TRIALS, family.returns.set_index("trial"))
            write_metrics(self.folder)
            self._manifest.renew("backtest", [TRIALS, "metrics.json"])
        self._note_timing("trials_as_of", datetime.now(UTC).isoformat(timespec="seconds"))

    def _without_prices(self) -> EvaluationSet:
        """Derive the evaluation set from the files of the folder alone, because a report must not download prices."""
        known = self._manifest.input("prices") or {}
        dates, tickers = (self.signals.index.unique(level) for level in ("date", "ticker"))
        days = np.unique(dates.to_numpy().astype("datetime64[D]"))
        calendar = str(known.get("meta", {}).get("calendar"))
        return EvaluationSet(calendar, days, tuple(sorted(tickers)), np.full(len(days), np.nan))

    def _note_timing(self, name: str, value: Any) -> None:
        path = self.folder / "timings.json"
        write_json(path, (read_json(path) if path.exists() else {}) | {name: value})


def _facts(trial: str, evaluated: EvaluationSet, family: Family) -> dict[str, Any]:
    """Facts about the trial for the manifest, without times, so that a repeated run writes the same bytes."""
    return {
        "id": trial,
        "evaluated": evaluated.facts(),
        "started": family.started,
        "finished": family.finished,
        "other_universes": family.other_universes,
    }


def _joined(family: Family, held: pd.DataFrame, stated: dict[str, Any]) -> Family:
    """Add the trials that a run folder holds to those of a ledger."""
    mine = {str(name): rows.set_index("date")["returns"] for name, rows in family.returns.groupby("trial")}
    kept = {str(name): rows.set_index("date")["returns"] for name, rows in held.groupby("trial")}
    returns = kept | mine
    counts = {name: value for name, value in stated.items() if isinstance(value, int)}
    return Family(
        max(family.started, counts.get("started", 0), len(returns)),
        len(returns),
        trials_table(returns),
        max(family.other_universes, counts.get("other_universes", 0)),
    )
