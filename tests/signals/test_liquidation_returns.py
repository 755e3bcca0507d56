"""Large returns that stand in for unknown ones are named with ticker, date and value."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.calendar import sessions
from signals.dataset.labels import make_labels
from signals.dataset.liquidation_returns import liquidation_warnings
from signals.sources.adjustment import large_replaced_returns

DAYS = sessions(np.datetime64("2015-01-02"), np.datetime64("2015-06-30"), "XNYS")


def prices_of(**closes) -> rs.Prices:
    """Prices of closes per ticker; a history ends where its closes do."""
    rows = [
        (pd.Timestamp(day), ticker, close)
        for ticker, values in closes.items()
        for day, close in zip(DAYS, values, strict=False)
        if np.isfinite(close)
    ]
    frame = pd.DataFrame(rows, columns=["date", "ticker", "close"]).set_index(["date", "ticker"]).sort_index()
    return rs.check_prices(frame, close_only=True, volume_known=False)


def labelled(prices, *, kind="up", haircut=0.0):
    settings = rs.LabelSettings(kind=kind, price_basis="close_to_close", delist_haircut=haircut)
    panel = prices.panel()
    decisions = np.arange(0, len(panel.dates), 5)
    eligible = panel.traded[decisions].T
    labels = make_labels(panel, decisions, eligible, settings)
    who, when = np.nonzero(labels.end >= 0)
    index = pd.MultiIndex.from_arrays(
        [pd.DatetimeIndex(panel.dates[decisions[when]].astype("datetime64[ns]")), np.array(panel.tickers)[who]],
        names=["date", "ticker"],
    )
    frame = pd.DataFrame({"forward_return": labels.forward_return[who, when]}, index=index).sort_index()
    return liquidation_warnings(frame, prices, settings)


def steady(n=None, seed=0):
    return 50 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, n or len(DAYS))))


def test_crash_before_the_last_bar_is_reported_with_date_and_value():
    dying = steady(43, seed=1)
    dying[41:] *= 0.1  # decided on session 40, gone after session 42
    (text,) = labelled(prices_of(AAA=steady(), BAD=dying))
    value = dying[42] / dying[40] - 1
    assert f"BAD {value:+.1%} from {DAYS[40]} to {DAYS[47]}" in text
    assert "broker.delist_haircut" in text


@pytest.mark.parametrize("kind", ["above_median", "residual"])
def test_cross_sectional_labels_report_it_too(kind):
    dying = steady(43, seed=1)
    dying[41:] *= 0.1
    (text,) = labelled(prices_of(AAA=steady(), BAD=dying), kind=kind)
    assert f"BAD {dying[42] / dying[40] - 1:+.1%} from {DAYS[40]}" in text


def test_a_haircut_makes_every_liquidation_large():
    ended = steady(43, seed=2)
    assert labelled(prices_of(AAA=steady(), OUT=ended)) == []
    (text,) = labelled(prices_of(AAA=steady(), OUT=ended), haircut=0.9)
    assert f"OUT {ended[42] * 0.1 / ended[40] - 1:+.1%} from {DAYS[40]}" in text


def test_large_traded_returns_are_not_reported():
    crashed = steady(seed=3)
    crashed[41:] *= 0.1
    assert labelled(prices_of(AAA=steady(), LOW=crashed)) == []


def test_large_raw_price_ratios_without_total_returns_are_reported(tmp_path):
    close = np.array([10.0, 10.1, 5.0, 5.05, 5.1, 20.4])
    total = np.array([np.nan, 0.01, np.nan, 0.01, np.nan, np.nan])
    ticker = np.zeros(6, np.int32)
    assert large_replaced_returns(close, total, ticker).tolist() == [5, 2]
    days = DAYS[:6].astype(str)
    table = pd.DataFrame({"date": days, "ticker": "AAA", "close": close, "ret": total})
    table.to_csv(tmp_path / "prices.csv", index=False)
    prices = rs.load_prices(source="files", path=str(tmp_path / "prices.csv"), return_column="ret")
    (note,) = [note for note in prices.warnings if "large raw close ratio" in note]
    assert note.startswith("2 rows of them")
    assert f"AAA on {days[5]} +300.0%, AAA on {days[2]} -50.5%" in note
