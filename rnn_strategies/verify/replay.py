"""The stages of a run once more, in a scratch folder, by the code that made them; the run itself is only read."""

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
    """A run folder in the making whose results are only compared; made by `replay_of`.

    Networks are taken from where they are kept, never trained. What the run alone knows (the returns of other trials,
    or scores when the networks are gone) is taken from its files.
    """

    original: Path
    claims: Mapping[str, Any]
    networks_kept: bool
    beside_kept: bool

    # -- where inputs come from -----------------------------------------------------------------------------------

    def _digest(self, name: str) -> str:
        known = self._manifest.input(name) or self._manifest.input("prices")
        return str(known["sha256"]) if known else ""

    @property
    def _versions(self) -> dict[str, str]:
        claimed = self.claims.get("versions")
        return claimed if isinstance(claimed, dict) else {}

    def _trial(self) -> Trial:
        stated = self.claims.get("trial")
        if self.beside_kept or not isinstance(stated, dict):
            return super()._trial()
        # it depends on files beside the prices, which are not what they were
        return Trial(str(stated.get("id")), None, self.config.hash, "run", {}, "started")

    def _begin_trial(self, dates: Iterable[Any], tickers: Iterable[str]) -> None:
        """Count nothing: a run that is verified is no trial."""

    def _benchmark_returns(self, sessions: pd.DatetimeIndex) -> pd.Series:
        if "benchmark" in self.__dict__ or "benchmark" not in self.claims.get("inputs", {}):
            return super()._benchmark_returns(sessions)
        held = read_parquet(self.original / "benchmark.parquet", index=["date"])
        if "benchmark" not in held:
            raise DisagreementError("benchmark.parquet", "lacks the column benchmark")
        return held["benchmark"].reindex(sessions)

    def _family(self, trial: Trial, returns: pd.Series, evaluated: EvaluationSet) -> Family:
        """Give the run's own returns as they are now, and those of other trials as the run folder has them."""
        parts = [trial_table(trial.id, returns)]
        try:
            held = read_parquet(self.original / TRIALS)
            others = held[held["trial"] != trial.id].groupby("trial", sort=False)
            parts += [rows[list(parts[0].columns)] for _, rows in others]
        except (InputError, KeyError, TypeError):
            del parts[1:]  # comparing the file will say what is wrong with it
        table = pd.concat(parts).sort_values(["trial", "date"], ignore_index=True)
        stated = self.claims.get("trial")
        facts = stated if isinstance(stated, dict) else {}
        started, beside = (n if isinstance(n := facts.get(name), int) else 0 for name in ("started", "other_universes"))
        return Family(max(started, len(parts)), len(parts), table, max(beside, 0))

    # -- the stages -----------------------------------------------------------------------------------------------

    def make_signals(self) -> None:
        """Make the signal files."""
        self._compute_signals()

    def take_signals(self) -> None:
        """Take the signal files, and what the manifest says of them, from the run."""
        for file in self.signal_files:
            shutil.copyfile(self.original / file, self.folder / file)
        for name in ("universe_sizes", "files", "seeds", "trainer", "warnings"):
            if name in self.claims:
                self.known[name] = deepcopy(self.claims[name])
        if "scores" in self.claims["inputs"]:
            self.known["inputs"]["scores"] = deepcopy(self.claims["inputs"]["scores"])

    def key_of(self, stage: str) -> str:
        """Key that settings, inputs, versions and code of one's own give a stage; that of the run if unknowable."""
        same_program = self._versions.get("rnn-strategies") == __version__
        beside = self.beside_kept or stage != "signals"
        if not (same_program and beside and self._code_is_here(stage)):
            return str(self.claims["stages"][stage]["key"])
        return self._signals_key() if stage == "signals" else self._backtest_key()

    def _code_is_here(self, stage: str) -> bool:
        """Whether every module of one's own that a stage used can be found."""
        config = self.config
        if stage == "backtest":
            names = [config.strategy, config.tables["strategy"]["allocation"]]
        else:
            names = [config.training.trainer, config.tables.get("model", {}).get("kind"), *config.features]
        return "" not in source_digest(*names)

    def is_key(self, stage: str) -> bool:
        """Whether the manifest has that key; the backtest's is one of the scores in the scratch folder."""
        return bool(self.key_of(stage) == self.claims["stages"][stage]["key"])

    def finish_signals(self) -> None:
        """Record the signal files of the scratch folder as this stage's."""
        self._manifest.finish("signals", self.key_of("signals"), self.signal_files)

    def make_backtest(self) -> None:
        """Make the files of the backtest and the metrics."""
        self._compute_backtest()

    def finish_backtest(self) -> None:
        """Record the backtest files of the scratch folder as this stage's, and write manifest and settings."""
        self._manifest.finish("backtest", self.key_of("backtest"), self.backtest_files)
        self._write_config()
        self._write_manifest()
        self.known["versions"] = self._versions
        write_json(self.folder / "manifest.json", self.known)

    @property
    def backtest_files(self) -> tuple[str, ...]:
        """Files the backtest of this run leaves behind."""
        return self._backtest_files()

    @property
    def known(self) -> dict[str, Any]:
        """What the manifest of the scratch folder holds."""
        return self._manifest.data

    def _make_signals(self) -> SignalResult:
        config, chosen = self.config, None
        if not self.networks_kept or isinstance(config.model, CustomModel):
            return replace(self._from_seed_scores(), trainer=deepcopy(self.claims.get("trainer")))
        if not isinstance(config.model, SavedKerasModel):
            chosen = choose_trainer(
                with_recorded_trainer(config.training, self._trainer_then.get("name")), config.model
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
        # why it was chosen, and what was said of it then, nobody can tell from the files
        beyond = {key: self._trainer_then[key] for key in ("reason", "warnings") if key in self._trainer_then}
        return replace(result, trainer=result.trainer | deepcopy(beyond))

    @property
    def _trainer_then(self) -> dict[str, Any]:
        """What the manifest says about the trainer; empty unless it is what this program says."""
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
        """Everything that follows from the scores of each seed."""
        model = self.config.model
        assert not isinstance(model, SavedKerasModel)  # noqa: S101 - that one is never missing here
        prepared = prepare(self.prices, model=model, reference_data=self._reference_data, **self._settings)
        seeds = usable_seeds(self.config.seeds, model)
        outcomes = {(one.fold, one.seed): one for one in read_outcomes(prepared, seeds, self.original)}
        result = assemble(prepared.data, prepared.folds, seeds, outcomes, model.lookback)
        return self._with_quantiles(result) if QUANTILES in self.signal_files else result

    def _with_quantiles(self, result: SignalResult) -> SignalResult:
        """Take quantiles, and the loss of each seed's, from the run: they do not follow from scores."""
        try:
            quantiles = read_parquet(self.original / QUANTILES)
            theirs = read_parquet(self.original / "folds.parquet")
        except InputError as error:
            raise DisagreementError(QUANTILES, f"cannot be read: {error}") from error
        wrong = next(check_quantiles(result.signals["score"], quantiles, result.labels, theirs), None)
        if wrong is not None:
            raise DisagreementError(*wrong)
        losses = {name: theirs[name].to_numpy() for name in theirs if str(name).startswith("pinball")}
        return replace(result, quantiles=quantiles, folds=result.folds.assign(**losses))


class ImportedReplay(Replay, ImportedRun):
    """The same for imported scores."""

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
        """Whether the file the scores came from is still what it was."""
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
        The run.
    config : Config
        Its configuration.
    claims : mapping
        Its manifest.
    home : Home
        Where its networks are kept.
    scratch : Path
        Folder to write to.
    prices : Prices, optional
        Its prices; without them nothing can be computed, but keys can.
    benchmark : Prices, optional
        Prices of a benchmark with a source of its own; without them its returns are taken from the run.
    """
    kind = ImportedReplay if config.signals is not None else Replay
    made = kind(scratch, config, home)
    made.original, made.claims = folder, claims
    made.networks_kept = made.beside_kept = True
    for name, given in (("prices", prices), ("benchmark", benchmark)):
        known = claims["inputs"].get(name)
        if given is not None:
            made.__dict__[name] = given
            made._manifest.keep_input(name, given, known["sha256"])
        elif known is not None:
            made.known.setdefault("inputs", {})[name] = deepcopy(known)
    return made
