"""Run of imported scores: the signals stage reads a file instead of training networks."""

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

UNPROVED = (
    "The scores were imported from {name}: whether they were computed without later prices cannot be checked here."
)


class ImportedRun(Run):
    """Run folder whose scores come from the file that `[signals]` names; the file is needed for the import only."""

    @property
    def signal_files(self) -> tuple[str, ...]:
        """Names of the files that the signals stage writes."""
        return IMPORTED_FILES

    @property
    def _file(self) -> Path:
        assert self.config.signals is not None  # noqa: S101 - `open_run` uses this class for [signals] only
        return Path(self.config.signals["path"])

    @cached_property
    def _file_hash(self) -> str:
        """Content hash of the file of scores, or the recorded one when the file was deleted after the import.

        It is cached, like the scores, because the manifest has no record of them while the stage runs again.
        """
        try:
            return sha256_file(self._file)
        except OSError as error:
            recorded = self._manifest.input("scores")
            if recorded and self._manifest.is_done("signals"):
                return str(recorded["sha256"])
            raise InputError(
                f"expected a file of scores {self._file}; found none ({error.strerror}); correct signals.path"
            ) from error

    @cached_property
    def _scores(self) -> ScoreFile:
        recorded = self._manifest.input("scores")
        if recorded and not self._file.exists():
            meta = recorded["meta"]
            return ScoreFile(self.signals, meta["file"], recorded["sha256"], tuple(meta["warnings"]))
        return read_scores(self._file)

    def _check_names(self) -> None:
        """Reject an allocation that ranks more tickers than are scored."""
        if self._strategy is None:
            names = sorted(self._scores.frame.index.get_level_values("ticker").unique())
            check_enough_names(self.config.allocation, len(names), names=names)

    @property
    def _first_decision(self) -> np.datetime64:
        """First decision date among the scores that the prices cover; the others are not stored in the run folder."""
        frame, prices = self._scores.frame, self.prices
        days = _days(frame)
        inside = (days >= prices.first) & frame.index.get_level_values("ticker").isin(prices.tickers)
        first: np.datetime64 = days[inside][0] if inside.any() else days[0]
        return first

    def _signals_key(self) -> str:
        on_uncovered = (self.config.signals or {})["on_uncovered"]
        delisting = [self.config.labels.delist_after_sessions, self.config.labels.delist_haircut]
        inputs = [self._file_hash, on_uncovered, self.config.hash_of("labels"), delisting, self._digest("prices")]
        return key_of(__version__, "imported", inputs, self._versions)

    def _compute_signals(self) -> None:
        self.on_progress(ProgressEvent("signals", f"reading {self._file.name}"))
        scores = self._scores
        frame, drop_warnings = self._drop_uncovered(scores.frame)
        labels, rows_without_bar = self._label(frame)
        self._begin_trial(*(frame.index.unique(level) for level in ("date", "ticker")))
        write_parquet(self.folder / "signals.parquet", frame)
        write_parquet(self.folder / "labels.parquet", labels)
        score_warnings = [*scores.warnings, *drop_warnings]
        warnings = [UNPROVED.format(name=scores.name), *score_warnings]
        if rows_without_bar:
            warnings.append(
                f"{count_rows(rows_without_bar)} of {len(frame):,} score a ticker that had no bar that day and could "
                "not be traded on it."
            )
        if labels.empty:
            warnings.append("No score has a known outcome yet, so their skill cannot be measured.")
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
        summary = f"{len(frame):,} scores of {tickers:,} tickers on {len(np.unique(days)):,} decision dates"
        self.on_progress(ProgressEvent("signals", summary))

    def _drop_uncovered(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Rows that the prices cover, and a warning about the dropped ones."""
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
                f'outside, the first on {days[beyond][0]}; use longer prices, or set on_uncovered = "drop"'
            )
        uncovered = beyond | unknown
        if uncovered.all():
            raise InputError(
                f"expected scores of tickers and dates that the prices hold; found none in {self._file.name}; correct "
                "prices.path"
            )
        if not uncovered.any():
            return frame, []
        names = frame.index.get_level_values("ticker")[unknown].unique()
        examples = f" ({len(names):,} tickers, such as {names[0]})" if len(names) else ""
        warning = (
            f"{count_rows(int(uncovered.sum()))} of scores have a ticker or date that the prices do not hold and were "
            f"dropped{examples}."
        )
        return frame[~uncovered], [warning]

    def _label(self, frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
        """Labels of the scored rows, and the number of rows without a bar.

        Forward returns span `labels.horizon` decision dates, which are the dates of the file, whatever their
        frequency. Rows whose outcome is not known yet are left out.
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
        dates, column = np.unique(_days(frame), return_inverse=True)
        sessions = np.asarray(np.searchsorted(panel.dates, dates), dtype=np.int64)
        no_session = panel.dates[np.minimum(sessions, len(panel.dates) - 1)] != dates
        if no_session.any():
            day = dates[no_session][0]
            raise InputError(
                f"expected scores dated by sessions of {prices.calendar}; found {day}, a {pd.Timestamp(day):%A} "
                "without trading; date each score by the session at whose close it is known"
            )
        row = np.searchsorted(np.asarray(panel.tickers, dtype=object), names.to_numpy())
        eligible = np.zeros((len(panel.tickers), len(dates)), dtype=bool)
        eligible[row, column] = True
        eligible &= panel.traded[sessions].T
        labels = make_labels(panel, sessions, eligible, settings)
        end = labels.end[row, column]
        columns: dict[str, Any] = {
            "label": labels.label[row, column],
            "forward_return": labels.forward_return[row, column],
            "label_end": panel.dates[np.maximum(end, 0)].astype("datetime64[ns]"),
        }
        return pd.DataFrame(columns, index=frame.index)[end >= 0], int((~eligible[row, column]).sum())

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
