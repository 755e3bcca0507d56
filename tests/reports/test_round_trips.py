"""FIFO round trips: by hand, with fractions, against pyfolio on whole shares, and their sum against the cash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.metrics.round_trips import ROUND_TRIP_COLUMNS, round_trips, summarise_round_trips


def fills(*rows: tuple[str, float, float], symbol: str = "A", commission: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "amount": [row[1] for row in rows],
            "price": [row[2] for row in rows],
            "symbol": symbol,
            "commission": commission,
        },
        index=pd.DatetimeIndex([row[0] for row in rows], tz="UTC", name="date"),
    )


def test_fractions_are_not_cut_off():
    trips = round_trips(fills(("2024-01-02", 1.5, 10), ("2024-01-03", -1.5, 20)))
    assert trips["pnl"].tolist() == [15.0]
    assert trips["net_return"].tolist() == [1.0]
    assert list(trips.columns) == list(ROUND_TRIP_COLUMNS)


def test_oldest_shares_go_first():
    trips = round_trips(
        fills(("2024-01-02", 10, 10), ("2024-01-04", 10, 20), ("2024-01-08", -15, 30), ("2024-01-09", -5, 30))
    )
    assert trips["pnl"].tolist() == [10 * 20 + 5 * 10, 5 * 10]
    assert trips["opened"].dt.day.tolist() == [2, 4]
    assert trips["holding_days"].tolist() == [pytest.approx((10 * 6 + 5 * 4) / 15), 5.0]


def test_short_side_and_reversal_in_one_fill():
    trips = round_trips(fills(("2024-01-02", 100, 10), ("2024-01-03", -150, 12), ("2024-01-04", 50, 11)))
    assert trips["side"].tolist() == ["long", "short"]
    assert trips["pnl"].tolist() == [200.0, 50.0]
    assert trips["shares"].tolist() == [100.0, 50.0]


def test_commission_of_both_ends_is_shared_out():
    trips = round_trips(fills(("2024-01-02", 10, 10), ("2024-01-03", -5, 10), commission=2.0))
    assert trips["commission"].tolist() == [pytest.approx(2.0 / 10 * 5 + 2.0)]
    assert trips["net_return"].tolist() == [pytest.approx(-3.0 / 50.0)]


def test_rounding_dust_is_no_position():
    trips = round_trips(
        fills(("2024-01-02", 0.1, 10), ("2024-01-03", 0.2, 10), ("2024-01-04", -0.3, 11), ("2024-01-05", -1, 11))
    )
    assert len(trips) == 1
    assert trips["shares"].tolist() == [pytest.approx(0.3)]


def splits(*rows):
    return pd.DataFrame(
        {"ticker": [r[1] for r in rows], "shares": [r[2] for r in rows]},
        index=pd.DatetimeIndex([r[0] for r in rows], tz="UTC"),
    )


def test_shares_follow_splits():
    # 15 at 30 become 22 (half a share is paid out), what they cost stays; 22 are sold at 25 on the day after
    bought = fills(("2024-01-02", 15, 30.0), ("2024-01-05", -22, 25.0))
    trip = round_trips(bought, splits(("2024-01-04", "A", 7.0), ("2024-01-04", "B", 7.0))).iloc[0]
    assert trip[["shares", "invested", "pnl"]].tolist() == pytest.approx([22.0, 450.0, 100.0], rel=1e-12)
    # on its own day a split comes before the fills, and a short has more shares to buy back
    short = fills(("2024-01-02", -10, 30.0), ("2024-01-04", 20, 14.0))
    trip = round_trips(short, splits(("2024-01-04", "A", -10.0))).iloc[0]
    assert (trip["side"], trip["shares"], trip["pnl"]) == ("short", 20.0, 20.0)
    # one for ten of five shares is no share at all: nothing is left to be sold
    gone = fills(("2024-01-02", 5, 30.0), ("2024-01-05", 3, 300.0), ("2024-01-08", -3, 310.0))
    trips = round_trips(gone, splits(("2024-01-04", "A", -5.0)))
    assert trips[["shares", "pnl"]].to_numpy().tolist() == [[5.0, -150.0], [3.0, 30.0]]
    assert trips["opened"].dt.day.tolist() == [2, 5]
    assert trips["closed"].dt.day.tolist() == [4, 8]


def test_fills_of_one_day_and_direction_count_as_one():
    trips = round_trips(fills(("2024-01-02", 1, 10), ("2024-01-02", 3, 20), ("2024-01-03", -4, 20)))
    assert len(trips) == 1
    assert trips["invested"].tolist() == [70.0]


@pytest.mark.parametrize("none", [None, fills()])
def test_nothing_traded(none):
    trips = round_trips(none)
    assert trips.empty
    assert list(trips.columns) == list(ROUND_TRIP_COLUMNS)
    summary = summarise_round_trips(trips)
    assert summary["round_trips"] == 0
    assert np.isnan(summary["round_trip_win_rate"])


def test_only_buying_closes_nothing():
    assert round_trips(fills(("2024-01-02", 1, 10), ("2024-01-03", 1, 12))).empty


def test_summary():
    trips = round_trips(
        fills(("2024-01-02", 1, 10), ("2024-01-03", -1, 13), ("2024-01-04", 1, 10), ("2024-01-05", -1, 9))
    )
    summary = summarise_round_trips(trips)
    assert summary["round_trips"] == 2
    assert summary["round_trip_win_rate"] == 0.5
    assert summary["round_trip_total_pnl"] == pytest.approx(2.0)
    assert summary["round_trip_profit_factor"] == pytest.approx(3.0)
    assert summary["round_trip_mean_return"] == pytest.approx((0.3 - 0.1) / 2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(-20, 20).filter(bool), st.integers(1, 50)),
        min_size=1,
        max_size=25,
    )
)
def test_gains_and_open_cost_add_up_to_the_cash(trades):
    """Whatever was traded: realised gain = cash received less cash paid, once every position is closed at the end."""
    rows = [
        (f"2024-01-{i + 1:02d}", symbol, amount / 4, float(price)) for i, (symbol, amount, price) in enumerate(trades)
    ]
    left = {s: sum(row[2] for row in rows if row[1] == s) for s in "AB"}
    rows += [("2024-02-20", symbol, -amount, 7.0) for symbol, amount in left.items() if amount]
    frame = pd.DataFrame(
        {"symbol": [r[1] for r in rows], "amount": [r[2] for r in rows], "price": [r[3] for r in rows]},
        index=pd.DatetimeIndex([r[0] for r in rows], tz="UTC"),
    )
    trips = round_trips(frame)
    assert trips["pnl"].sum() == pytest.approx(-(frame["amount"] * frame["price"]).sum(), abs=1e-9)
    assert (trips["shares"] > 0).all()
    assert (trips["holding_days"] >= 0).all()


def test_agrees_with_pyfolio_on_whole_shares(shared_data: Path):
    from reports.charts.charting import pyfolio_plotting, quiet_plotting

    pyfolio_plotting()
    from pyfolio.round_trips import extract_round_trips

    table = pd.read_csv(shared_data / "pyfolio-test-data" / "test_txn.csv.gz", index_col=0).iloc[:1500]
    table.index = pd.DatetimeIndex(pd.to_datetime(table.index, utc=True))
    table["amount"] = np.sign(table["amount"]) * np.ceil(table["amount"].abs() / 50)  # pyfolio makes an object a share
    with quiet_plotting():
        theirs = extract_round_trips(table).sort_values(["close_dt", "symbol"], ignore_index=True)
    ours = round_trips(table)
    assert len(ours) == len(theirs) > 100
    np.testing.assert_allclose(ours["pnl"], theirs["pnl"].astype(float), rtol=1e-9, atol=1e-6)
    assert (ours["closed"].to_numpy() == theirs["close_dt"].dt.as_unit("ns").to_numpy()).all()
    assert (ours["side"].eq("long") == theirs["long"].astype(bool)).all()
