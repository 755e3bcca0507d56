"""Run of imported scores: nothing is trained, all later stages are those of any run."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backtests.allocation_checks import check_enough_names
from rnn_strategies.pipelines.panel_run import Run
from rnn_strategies.runs.data_warnings import price_warnings
from rnn_strategies.runs.manifest import key_of
from rnn_strategies.runs.version import __version__
from rnn_strategies.trials.trial_ledger import Trial
from signals.common.errors import InputError
from signals.common.progress_events import ProgressEvent
from signals.common.storage import sha256_file, write_parquet
from signals.data.panel import check_tickers
from signals.data.price_index import count_rows
from signals.dataset.cross_section_size import check_cross_section
from signals.dataset.labels import make_labels
from signals.dataset.liquidation_returns import liquidation_warnings
from signals.scores.score_files import ScoreFile, read_scores

__all__ = ["ImportedRun"]

IMPORTED_FILES = ("signals.parquet", "labels.parquet")


UNPROVED = "The scores were imported from {name}: that they were made without later prices cannot be proved here."


class ImportedRun(Run):
    """Run folder whose scores come from the file that `[signals]` names. Once imported, the file is not needed."""

    @property
    def signal_files(self) -> tuple[str, ...]:
        """Files that the signals stage leaves behind."""
        return IMPORTED_FILES

    @property
    def _file(self) -> Path:
        assert self.config.signals is not None  # noqa: S101 - `open_run` makes this class for such configurations only
        return Path(self.config.signals["path"])

    @cached_property
    def _file_hash(self) -> str:
        """Content hash of the scores: of the file, or of what was imported when the file has gone.

        Like the scores it stays what it was at first: while a stage is done again the manifest has no record of it.
        """
        try:
            return sha256_file(self._file)
        except OSError as error:
            known = self._manifest.input("scores")
            if known and self._manifest.is_done("signals"):
                return str(known["sha256"])
            raise InputError(
                f"expected a file of scores {self._file}; found none ({error.strerror}); mend signals.path"
            ) from error

    @cached_property
    def _scores(self) -> ScoreFile:
        known = self._manifest.input("scores")
        if known and not self._file.exists():
            return ScoreFile(self.signals, known["meta"]["file"], known["sha256"], tuple(known["meta"]["warnings"]))
        return read_scores(self._file)

    def _check_names(self) -> None:
        """Refuse an allocation that ranks names where only one is scored."""
        if self._strategy is None:
            names = sorted(self._scores.frame.index.get_level_values("ticker").unique())
            check_enough_names(self.config.allocation, len(names), names=names)

    @property
    def _first_decision(self) -> np.datetime64:
        """Of the scores that the prices cover: nobody knows the others once the file has gone."""
        frame, prices = self._scores.frame, self.prices
        days = _days(frame)
        inside = (days >= prices.first) & frame.index.get_level_values("ticker").isin(prices.tickers)
        first: np.datetime64 = days[inside][0] if inside.any() else days[0]
        return first

    def _signals_key(self) -> str:
        outside = (self.config.signals or {})["on_uncovered"]
        dead = [self.config.labels.delist_after_sessions, self.config.labels.delist_haircut]
        made_from = [self._file_hash, outside, self.config.hash_of("labels"), dead, self._digest("prices")]
        return key_of(__version__, "imported", made_from, self._versions)

    def _compute_signals(self) -> None:
        self.on_progress(ProgressEvent("signals", f"reading {self._file.name}"))
        scores = self._scores
        frame, dropped = self._covered(scores.frame)
        labels, silent_rows = self._label(frame)
        self._begin_trial(*(frame.index.unique(level) for level in ("date", "ticker")))
        write_parquet(self.folder / "signals.parquet", frame)
        write_parquet(self.folder / "labels.parquet", labels)
        score_warnings = [*scores.warnings, *dropped]
        warnings = [UNPROVED.format(name=scores.name), *score_warnings]
        if silent_rows:
            warnings.append(
                f"{count_rows(silent_rows)} of {len(frame):,} score a ticker that had no bar that day and could not be "
                "traded on it."
            )
        if labels.empty:
            warnings.append("No score has a known outcome yet, so nothing can be said about their skill.")
        days, tickers = _days(frame), frame.index.get_level_values("ticker").nunique()
        self._manifest.data.setdefault("inputs", {})["scores"] = {
            "sha256": scores.sha256,
            "meta": {"file": scores.name, "warnings": score_warnings},
            "rows": len(frame),
            "tickers": tickers,
            "first": str(days[0]),
            "last": str(days[-1]),
        }
        warnings += price_warnings(self.prices)
        warnings += liquidation_warnings(labels, self.prices, self.config.labels)
        self._manifest.data |= {"seeds": [], "warnings": list(dict.fromkeys(warnings))}
        said = f"{len(frame):,} scores of {tickers:,} tickers on {len(np.unique(days)):,} decision dates"
        self.on_progress(ProgressEvent("signals", said))

    def _covered(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Rows that the prices cover, and what has to be said about the others."""
        prices, strict = self.prices, (self.config.signals or {})["on_uncovered"] == "raise"
        if strict:
            try:
                check_tickers(frame.index.get_level_values("ticker").unique(), prices.tickers)
            except InputError as error:
                raise InputError(f'{error}, or set on_uncovered = "drop"') from None
        days = _days(frame)
        early, late = days < prices.first, days > prices.last
        unknown = ~frame.index.get_level_values("ticker").isin(prices.tickers)
        beyond = early | late
        if strict and beyond.any():
            outside = count_rows(int(beyond.sum()))
            raise InputError(
                f"expected scores within the prices, {prices.first} to {prices.last}; found {outside} "
                f'outside, the first on {days[beyond][0]}; give longer prices, or set on_uncovered = "drop"'
            )
        gone = beyond | unknown
        if gone.all():
            raise InputError(
                f"expected scores of tickers and dates that the prices hold; found none in {self._file.name}; mend "
                "prices.path"
            )
        if not gone.any():
            return frame, []
        names = frame.index.get_level_values("ticker")[unknown].unique()
        listed = f" ({len(names):,} tickers, such as {names[0]})" if len(names) else ""
        said = f"{count_rows(int(gone.sum()))} of scores lie outside the prices and were left out{listed}."
        return frame[~gone], [said]

    def _label(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        """Forward returns of the scored rows over the horizon in decision dates of the file; rows without a bar.

        Known outcomes only. A date's decision dates are those of the file, whatever their rhythm.
        """
        prices, settings = self.prices, self.config.labels
        if prices.close_only and settings.price_basis == "open_to_open":
            raise InputError(
                "expected opening prices for labels.price_basis = 'open_to_open'; found closes only; "
                "set price_basis = 'close_to_close' under [labels]"
            )
        names = frame.index.get_level_values("ticker")
        check_cross_section(settings, ["return"], names.nunique(), names=sorted(names.unique()))
        panel = prices.panel().select(names.unique())
        dates, when = np.unique(_days(frame), return_inverse=True)
        sessions = np.asarray(np.searchsorted(panel.dates, dates), dtype=np.int64)
        strange = panel.dates[np.minimum(sessions, len(panel.dates) - 1)] != dates
        if strange.any():
            day = dates[strange][0]
            raise InputError(
                f"expected scores dated by sessions of {prices.calendar}; found {day}, a {pd.Timestamp(day):%A} "
                "without trading; date each score by the session at whose close it is known"
            )
        who = np.searchsorted(np.asarray(panel.tickers, dtype=object), names.to_numpy())
        eligible = np.zeros((len(panel.tickers), len(dates)), dtype=bool)
        eligible[who, when] = True
        eligible &= panel.traded[sessions].T
        labels = make_labels(panel, sessions, eligible, settings)
        end = labels.end[who, when]
        made: dict[str, Any] = {
            "label": labels.label[who, when],
            "forward_return": labels.forward_return[who, when],
            "label_end": panel.dates[np.maximum(end, 0)].astype("datetime64[ns]"),
        }
        return pd.DataFrame(made, index=frame.index)[end >= 0], int((~eligible[who, when]).sum())

    def _trial(self) -> Trial:
        config, prices = self.config, self._digest("prices")
        return Trial(
            id=key_of(config.identity, prices, self._file_hash)[:16],
            parent=None,
            config=config.hash,
            kind="imported",
            family={
                "universe": prices[:16],
                "calendar": self.prices.calendar,
                "period": [str(self._first_decision), str(self.prices.last)],
            },
            status="started",
        )


def _days(frame: pd.DataFrame) -> NDArray[np.datetime64]:
    """Decision date of each row."""
    return np.asarray(frame.index.get_level_values("date").to_numpy().astype("datetime64[D]"))
