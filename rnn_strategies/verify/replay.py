"""Replay of the stages of a run in a temporary folder; the files of the run itself are not changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from rnn_strategies.config.panel_config import Config
from rnn_strategies.pipelines.imported_run import ImportedRun
from rnn_strategies.pipelines.panel_run import QUANTILES, Run
from rnn_strategies.runs.version import __version__
from rnn_strategies.runs.workspace import Home
from rnn_strategies.trials.comparable_trials import Family, trial_table
from rnn_strategies.trials.evaluation_set import EvaluationSet
from rnn_strategies.trials.registered_run import TRIALS
from rnn_strategies.trials.trial_ledger import Trial
from rnn_strategies.verify.consistency import check_quantiles
from rnn_strategies.verify.task_results import DisagreementError, FrozenTrainer, read_outcomes
from signals.common.errors import InputError
from signals.common.import_objects import source_digest
from signals.common.storage import read_parquet, sha256_file, write_json
from signals.data.prices import Prices
from signals.execution.trainer_choice import choose_trainer, with_recorded_trainer
from signals.models.custom import CustomModel
from signals.models.saved_keras import SavedKerasModel
from signals.scores.score_files import ScoreFile, read_scores
from signals.walk_forward.panel_walk_forward import compute_signals, prepare, usable_seeds
from signals.walk_forward.results import SignalResult, assemble

__all__ = ["ImportedReplay", "Replay", "replay_of"]


class Replay(Run):
    """Temporary run folder whose results are compared with those of a run; created by `replay_of`.

    Stored networks are used, and none is trained. Results that cannot be recomputed (the returns of other trials, or
    scores when networks are not stored) are taken from the files of the run.
    """

    original: Path
    claims: Mapping[str, Any]
    networks_kept: bool
    reference_files_unchanged: bool

    # -- inputs ---------------------------------------------------------------------------------------------------

    def _digest(self, name: str) -> str:
        recorded = self._manifest.input(name) or self._manifest.input("prices")
        return str(recorded["sha256"]) if recorded else ""

    @property
    def _versions(self) -> dict[str, str]:
        stated = self.claims.get("versions")
        return stated if isinstance(stated, dict) else {}

    def _trial(self) -> Trial:
        stated = self.claims.get("trial")
        if self.reference_files_unchanged or not isinstance(stated, dict):
            return super()._trial()
        # the id depends on reference files, which were changed
        return Trial(str(stated.get("id")), None, self.config.hash, "run", {}, "started")

    def _begin_trial(self, dates: Iterable[Any], tickers: Iterable[str]) -> None:
        """Register nothing: a verification is not a trial."""

    def _benchmark_returns(self, sessions: pd.DatetimeIndex) -> pd.Series:
        if "benchmark" in self.__dict__ or "benchmark" not in self.claims.get("inputs", {}):
            return super()._benchmark_returns(sessions)
        held = read_parquet(self.original / "benchmark.parquet", index=["date"])
        if "benchmark" not in held:
            raise DisagreementError("benchmark.parquet", "lacks the column benchmark")
        return held["benchmark"].reindex(sessions)

    def _family(self, trial: Trial, returns: pd.Series, evaluated: EvaluationSet) -> Family:
        """Combine the recomputed returns of the run with those of other trials in its folder."""
        parts = [trial_table(trial.id, returns)]
        try:
            held = read_parquet(self.original / TRIALS)
            others = held[held["trial"] != trial.id].groupby("trial", sort=False)
            parts += [rows[list(parts[0].columns)] for _, rows in others]
        except (InputError, KeyError, TypeError):
            del parts[1:]  # the comparison of the file reports the fault
        table = pd.concat(parts).sort_values(["trial", "date"], ignore_index=True)
        stated = self.claims.get("trial")
        facts = stated if isinstance(stated, dict) else {}
        started, others = (n if isinstance(n := facts.get(name), int) else 0 for name in ("started", "other_universes"))
        return Family(max(started, len(parts)), len(parts), table, max(others, 0))

    # -- stages ---------------------------------------------------------------------------------------------------

    def make_signals(self) -> None:
        """Compute the signal files."""
        self._compute_signals()

    def take_signals(self) -> None:
        """Copy the signal files, and the entries of the manifest about them, from the run."""
        for file in self.signal_files:
            shutil.copyfile(self.original / file, self.folder / file)
        for name in ("universe_sizes", "files", "seeds", "trainer", "warnings"):
            if name in self.claims:
                self.known[name] = deepcopy(self.claims[name])
        if "scores" in self.claims["inputs"]:
            self.known["inputs"]["scores"] = deepcopy(self.claims["inputs"]["scores"])

    def key_of(self, stage: str) -> str:
        """Key of a stage from settings, inputs, versions and custom code; that of the run if it cannot be computed."""
        same_program = self._versions.get("rnn-strategies") == __version__
        unchanged = self.reference_files_unchanged or stage != "signals"
        if not (same_program and unchanged and self._custom_code_exists(stage)):
            return str(self.claims["stages"][stage]["key"])
        return self._signals_key() if stage == "signals" else self._backtest_key()

    def _custom_code_exists(self, stage: str) -> bool:
        """Whether every custom module that a stage uses can be found."""
        config = self.config
        if stage == "backtest":
            names = [config.strategy, config.tables["strategy"]["allocation"]]
        else:
            names = [config.training.trainer, config.tables.get("model", {}).get("kind"), *config.features]
        return "" not in source_digest(*names)

    def is_key(self, stage: str) -> bool:
        """Whether the manifest has the key of `key_of`; that of the backtest depends on the scores in this folder."""
        return bool(self.key_of(stage) == self.claims["stages"][stage]["key"])

    def finish_signals(self) -> None:
        """Record the signal files of this folder as those of the finished stage."""
        self._manifest.finish("signals", self.key_of("signals"), self.signal_files)

    def make_backtest(self) -> None:
        """Compute the files of the backtest and the metrics."""
        self._compute_backtest()

    def finish_backtest(self) -> None:
        """Record the backtest files of this folder as those of the finished stage, and write manifest and settings."""
        self._manifest.finish("backtest", self.key_of("backtest"), self.backtest_files)
        self._write_config()
        self._write_manifest()
        self.known["versions"] = self._versions
        write_json(self.folder / "manifest.json", self.known)

    @property
    def backtest_files(self) -> tuple[str, ...]:
        """Names of the files that the backtest of this run writes."""
        return self._backtest_files()

    @property
    def known(self) -> dict[str, Any]:
        """Content of the manifest of this folder."""
        return self._manifest.data

    def _make_signals(self) -> SignalResult:
        config, chosen = self.config, None
        if not self.networks_kept or isinstance(config.model, CustomModel):
            return replace(self._from_seed_scores(), trainer=deepcopy(self.claims.get("trainer")))
        if not isinstance(config.model, SavedKerasModel):
            chosen = choose_trainer(
                with_recorded_trainer(config.training, self._recorded_trainer.get("name")), config.model
            )
        result = compute_signals(
            self.prices,
            model=config.model,
            training=config.training,
            seeds=config.seeds,
            artifacts=self.home.artifacts,
            trainer=None if chosen is None else FrozenTrainer(chosen.trainer),
            reference_data=self._reference_data,
            **self._settings,
        )
        if result.trainer is None:
            return result
        # the reason of the selection and the warnings depend on the machine of the run: taken from its manifest
        recorded = {key: self._recorded_trainer[key] for key in ("reason", "warnings") if key in self._recorded_trainer}
        return replace(result, trainer=result.trainer | deepcopy(recorded))

    @property
    def _recorded_trainer(self) -> dict[str, Any]:
        """Entry of the manifest about the trainer; empty when it does not have the expected form."""
        stated = self.claims.get("trainer")
        if not isinstance(stated, dict) or not isinstance(stated.get("reason"), str):
            return {}
        warnings = stated.get("warnings", [])
        return stated if isinstance(warnings, list) and all(isinstance(line, str) for line in warnings) else {}

    @property
    def _settings(self) -> dict[str, Any]:
        config = self.config
        return {
            "walk_forward": self._walk_forward,
            "universe": config.universe,
            "labels": config.labels,
            "frequency": config.frequency,
            "features": config.features,
        }

    def _from_seed_scores(self) -> SignalResult:
        """Derive the result of the signals stage from the scores of each seed."""
        model = self.config.model
        assert not isinstance(model, SavedKerasModel)  # noqa: S101 - a missing one raises an error earlier
        prepared = prepare(self.prices, model=model, reference_data=self._reference_data, **self._settings)
        seeds = usable_seeds(self.config.seeds, model)
        results = read_outcomes(prepared, seeds, self.original)
        outcomes = {(result.fold, result.seed): result for result in results}
        result = assemble(prepared.data, prepared.folds, seeds, outcomes, model.lookback)
        return self._with_quantiles(result) if QUANTILES in self.signal_files else result

    def _with_quantiles(self, result: SignalResult) -> SignalResult:
        """Add quantiles and their losses from the run, because they cannot be derived from scores."""
        try:
            quantiles = read_parquet(self.original / QUANTILES)
            folds = read_parquet(self.original / "folds.parquet")
        except InputError as error:
            raise DisagreementError(QUANTILES, f"cannot be read: {error}") from error
        finding = next(check_quantiles(result.signals["score"], quantiles, result.labels, folds), None)
        if finding is not None:
            raise DisagreementError(*finding)
        losses = {name: folds[name].to_numpy() for name in folds if str(name).startswith("pinball")}
        return replace(result, quantiles=quantiles, folds=result.folds.assign(**losses))


class ImportedReplay(Replay, ImportedRun):
    """Replay of a run of imported scores."""

    @cached_property
    def _file_hash(self) -> str:
        return str(self.claims["inputs"]["scores"]["sha256"])

    @cached_property
    def _scores(self) -> ScoreFile:
        if self.file_is_there:
            return read_scores(self._file)
        meta = self.claims["inputs"]["scores"]["meta"]
        frame = read_parquet(self.original / "signals.parquet", index=["date", "ticker"])
        return ScoreFile(frame, str(meta["file"]), self._file_hash, tuple(meta["warnings"]))

    @cached_property
    def file_is_there(self) -> bool:
        """Whether the file of imported scores exists and is unchanged."""
        return self._file.is_file() and sha256_file(self._file) == self._file_hash


def replay_of(
    folder: Path,
    config: Config,
    claims: Mapping[str, Any],
    *,
    home: Home,
    scratch: Path,
    prices: Prices | None = None,
    benchmark: Prices | None = None,
) -> Replay:
    """Prepare the replay of a run.

    Parameters
    ----------
    folder : Path
        The run folder.
    config : Config
        Configuration of the run.
    claims : mapping
        Manifest of the run.
    home : Home
        Folder of stored networks.
    scratch : Path
        Temporary folder.
    prices : Prices, optional
        Prices of the run; without them only keys can be computed.
    benchmark : Prices, optional
        Prices of a benchmark with a source of its own; without them its returns are taken from the run.
    """
    kind = ImportedReplay if config.signals is not None else Replay
    replay = kind(scratch, config, home)
    replay.original, replay.claims = folder, claims
    replay.networks_kept = replay.reference_files_unchanged = True
    for name, loaded in (("prices", prices), ("benchmark", benchmark)):
        recorded = claims["inputs"].get(name)
        if loaded is not None:
            replay.__dict__[name] = loaded
            replay._manifest.keep_input(name, loaded, recorded["sha256"])
        elif recorded is not None:
            replay.known.setdefault("inputs", {})[name] = deepcopy(recorded)
    return replay
