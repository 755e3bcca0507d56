"""A run folder that is counted among its trials: a result nobody counted cannot be told from luck later."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rnn_strategies.beside import beside_digests, read_beside
from rnn_strategies.config import Config
from rnn_strategies.manifest import key_of
from rnn_strategies.run_folder import RunFolder
from rnn_strategies.trials import Trial, finish_trial, read_trials, start_trial
from signals.dataset import Beside
from signals.folds import WalkForward
from signals.models.external import KerasModel

__all__ = ["CountedRun"]


@dataclass(repr=False)
class CountedRun(RunFolder):
    """A run folder and its place in the ledger of trials; its parameters are those of `RunFolder`."""

    @property
    def _walk_forward(self) -> WalkForward:
        assert self.config.walk_forward is not None  # noqa: S101 - `open_run` gives imported scores another class
        return self.config.walk_forward

    @property
    def _read_files(self) -> list[Any]:
        """Content hashes of what is read beside prices: paths say nothing about it."""
        model = self.config.model
        return [beside_digests(self._beside), model.digest() if isinstance(model, KerasModel) else None]

    @cached_property
    def _beside(self) -> Beside:
        return read_beside(self.config.beside)

    def _begin_trial(self) -> Trial:
        trial = self._trial()
        start_trial(self.home, trial)
        return trial

    def record_variant(self, config: Config, sharpe: float | None) -> None:
        """Count a configuration that was looked at on this run's prices, unless it is on record already."""
        own = self._trial()
        made = key_of(config.identity, self._digest("prices"), self._read_files)[:16]
        parent = None if made == own.id else own.id
        if made not in read_trials(self.home):
            trial = replace(own, id=made, parent=parent, config=config.hash, kind="audit", status="done", sharpe=sharpe)
            finish_trial(self.home, trial)

    def _trial(self) -> Trial:
        config, prices = self.config, self._digest("prices")
        return Trial(
            id=key_of(config.identity, prices, self._read_files)[:16],
            parent=None,
            config=config.hash,
            kind="run",
            family={
                # prices and lists by their content: a copy of a file is the same market
                "universe": key_of(prices, asdict(config.universe), beside_digests(self._beside))[:16],
                "calendar": self.prices.calendar,
                "period": [self._walk_forward.start, str(self.prices.last)],
            },
            status="started",
        )

    def _end_trial(self, trial: Trial) -> None:
        returns = _relative(self.folder / "returns.parquet", self.home.root.parent)
        finish_trial(self.home, replace(trial, status="done", sharpe=self.metrics.get("sharpe_ratio"), returns=returns))


def _relative(path: Path, base: Path) -> str:
    try:
        return str(path.resolve().relative_to(base.resolve()))
    except ValueError:
        return str(path.resolve())
