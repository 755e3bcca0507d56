"""Tickers with the same or nearly the same returns are found, and others are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
import signals.data.duplicate_tickers as module
from signals.calendar import sessions
from signals.data.duplicate_tickers import duplicate_tickers, duplicate_warning

DAYS = sessions(np.datetime64("2012-01-01"), np.datetime64("2014-06-30"), "XNYS")
NAMES = [f"N{i:02d}" for i in range(30)]


def market(seed: int, n: int = len(NAMES)) -> np.ndarray:
    """Closes of names that share half of their variance with the market, shape (n_sessions, n)."""
    rng = np.random.default_rng(seed)
    moves = 0.012 * (rng.normal(size=(len(DAYS), 1)) + rng.normal(size=(len(DAYS), n)))
    return 40 * np.exp(np.cumsum(moves, axis=0))


def frame_of(closes: np.ndarray, names: list[str]) -> pd.DataFrame:
    days = pd.DatetimeIndex(DAYS.astype("datetime64[ns]"), name="date")
    wide = pd.DataFrame(closes, index=days, columns=pd.Index(names, dtype=object, name="ticker"))
    return wide.stack().dropna().rename("close").to_frame().sort_index()


def checked(frame: pd.DataFrame) -> rs.Prices:
    return rs.check_prices(frame, close_only=True, volume_known=False)


RNG = np.random.default_rng(8)
COPIES = {
    "the same prices": lambda close: close,
    "another unit": lambda close: 1.37 * close,
    "prices of a third, in cents": lambda close: np.round(close / 3, 2),
    "small differences": lambda close: close * np.exp(RNG.normal(0, 5e-4, len(close))),
    "another share class": lambda close: close * np.exp(RNG.normal(0, 1.2e-3, len(close))),
    "one bad print": lambda close: np.where(np.arange(len(close)) == 200, 10 * close, close),
    "listed later": lambda close: np.where(np.arange(len(close)) < 420, np.nan, close),
    "ended early": lambda close: np.where(np.arange(len(close)) > 150, np.nan, close),
}


@pytest.mark.parametrize("how", COPIES)
def test_copy_of_a_ticker_is_found_by_check_prices(how):
    closes = market(1)
    prices = checked(frame_of(np.c_[closes, COPIES[how](closes[:, 4])], [*NAMES, "ZZ"]))
    (pair,) = duplicate_tickers(prices.frame)
    assert (pair.first, pair.second) == ("N04", "ZZ")
    assert pair.correlation > 0.98
    (note,) = prices.warnings
    assert "one pair of tickers with the same or nearly the same returns: N04 and ZZ" in note


@pytest.mark.parametrize("seed", range(5))
def test_tickers_of_one_market_are_not_duplicates(seed):
    assert checked(frame_of(market(seed), NAMES)).warnings == ()


def test_constant_prices_are_not_duplicates():
    assert checked(frame_of(np.full((len(DAYS), 3), 100.0), ["A", "B", "C"])).warnings == ()


def test_a_short_history_has_to_be_identical():
    closes = market(2, 2)[:50]
    same = np.full((len(DAYS), 2), np.nan)
    same[:50] = closes[:, [0, 0]]
    assert len(duplicate_tickers(checked(frame_of(same, ["A", "B"])).frame)) == 1
    same[:50, 1] *= np.exp(np.random.default_rng(0).normal(0, 1.5e-3, 50))
    assert duplicate_tickers(checked(frame_of(same, ["A", "B"])).frame) == ()


def test_tickers_without_common_dates_are_not_duplicates():
    close = market(3, 1)[:, 0]
    half = np.arange(len(DAYS)) < 300
    both = np.c_[np.where(half, close, np.nan), np.where(half, np.nan, close)]
    assert duplicate_tickers(checked(frame_of(both, ["FB", "META"])).frame) == ()


def test_many_tickers_are_compared_in_fewer_blocks_with_the_same_result(monkeypatch):
    closes = market(4)
    frame = frame_of(np.c_[closes, closes[:, 7] * 2], [*NAMES, "ZZ"])
    expected = duplicate_tickers(frame)
    monkeypatch.setattr(module, "MANY", 10)
    monkeypatch.setattr(module, "COLUMNS", 8)
    assert duplicate_tickers(frame) == expected


def test_the_note_lists_the_closest_pairs_and_counts_the_others():
    closes = market(5, 3)
    prices = checked(frame_of(closes[:, [0, 0, 1, 1, 2, 2, 2]], list("ABCDEFG")))
    note = duplicate_warning(duplicate_tickers(prices.frame))
    assert note.startswith("5 pairs of tickers with the same or nearly the same returns: A and B (identical), C and D")
    assert "and 2 more" in note
    assert duplicate_warning(()) == ""


def test_real_share_classes_are_found(shared_data):
    path = shared_data / "us-stocks-daily" / "ohlcv_top600.parquet"
    prices = rs.load_prices(source="files", path=path, on_bad="repair")
    pairs = duplicate_tickers(prices.frame)
    assert [(pair.first, pair.second) for pair in pairs] == [("LBTYA", "LBTYK"), ("BBL", "BHP")]
