"""Saved results come back the same and have the same bytes; inconsistent accounts are refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.result import FLOW_COLUMNS, ORDER_COLUMNS, flows_frame
from signals.common.errors import CheckFailedError, InputError

FILES = ("returns.parquet", "positions.parquet", "transactions.parquet", "orders.parquet", "cash_flows.parquet")


@pytest.fixture(scope="module")
def result(random_prices, random_scores, settings):
    prices = random_prices(6, 80, gaps=0.05, deaths=0.5, seed=2)
    broker = settings(borrow_rate=0.02, delist_haircut=0.3)
    found = rs.run_backtest(prices, random_scores(prices), allocation=rs.LongShortQuantile(0.4), broker=broker)
    assert set(found.orders["status"]) >= {"filled", "liquidated"}
    assert found.settings["borrow_fees"] > 0.0
    return found


@pytest.fixture(scope="module")
def idle(random_prices, random_scores, settings):
    prices = random_prices(2, 20)
    return rs.run_backtest(prices, random_scores(prices) * 0, allocation=rs.TopK(1), broker=settings())


def beside(result):
    names = ("initial_cash", "warnings", "stopped", "settings")
    return {name: getattr(result, name) for name in names}


@pytest.mark.parametrize("which", ["result", "idle"])
def test_round_trip(which, request, tmp_path):
    result = request.getfixturevalue(which)
    result.save(tmp_path / "a")
    again = rs.BacktestResult.load(tmp_path / "a", **beside(result))
    pd.testing.assert_series_equal(again.returns, result.returns, check_exact=True)
    for name in ("positions", "transactions", "orders", "cash_flows"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(result, name), check_exact=True)
    assert beside(again) == beside(result)
    again.check()
    again.save(tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_same_run_has_the_same_bytes(random_prices, random_scores, settings, tmp_path):
    for name in "ab":
        prices = random_prices(5, 60, seed=3)
        rs.run_backtest(prices, random_scores(prices), allocation=rs.TopK(2), broker=settings()).save(tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_missing_file_is_named(result, tmp_path):
    result.save(tmp_path)
    (tmp_path / "orders.parquet").unlink()
    with pytest.raises(InputError, match=r"orders\.parquet; found none"):
        rs.BacktestResult.load(tmp_path, **beside(result))


def spoiled(result, name, change):
    frame = getattr(result, name).copy()
    change(frame)
    return replace(result, **{name: frame})


def set_to(row, column, factor):
    def change(frame):
        if column is None:
            frame.iloc[row] = frame.iloc[row] + factor
        else:
            frame.iloc[row, frame.columns.get_loc(column)] *= factor

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("returns", set_to(20, None, 1e-7), r"compounds to the returns; found .* apart on 2015-0"),
        ("returns", set_to(20, None, float("nan")), "finite"),
        ("positions", set_to(20, "cash", 1 + 1e-6), "compounds to the returns"),
        ("positions", lambda f: f.insert(0, "last", f.pop("cash")), "last column is cash"),
        ("transactions", set_to(3, "amount", 2.0), "expected positions to follow from the fills|expected cash"),
        ("transactions", set_to(3, "price", 1.001), r"expected cash of .* on 2015-"),
        ("transactions", set_to(0, "symbol", 2), "column of positions for every fill; found none for T"),
    ],
)
def test_broken_books_do_not_pass(result, name, change, message):
    result.check()
    with pytest.raises(CheckFailedError, match=message):
        spoiled(result, name, change).check()


def test_missing_fees_and_sessions_do_not_pass(result):
    with pytest.raises(CheckFailedError, match="expected cash"):
        replace(result, settings={**result.settings, "flows": False, "borrow_fees": 0.0}).check()
    with pytest.raises(CheckFailedError, match="expected cash"):
        replace(result, cash_flows=result.cash_flows.iloc[:-1]).check()
    with pytest.raises(CheckFailedError, match="same sessions"):
        replace(result, returns=result.returns.iloc[1:]).check()
    with pytest.raises(CheckFailedError, match="same sessions"):
        replace(result, returns=result.returns.iloc[::-1], positions=result.positions.iloc[::-1]).check()
    late = result.transactions.set_axis(result.transactions.index + pd.Timedelta("1h"))
    with pytest.raises(CheckFailedError, match="fills on sessions"):
        replace(result, transactions=late).check()
    with pytest.raises(CheckFailedError, match="compounds"):
        replace(result, initial_cash=result.initial_cash + 1).check()


def test_a_position_without_a_fill_does_not_pass(result):
    never = result.transactions["symbol"].iloc[0]
    others = result.transactions[result.transactions["symbol"] != never]
    with pytest.raises(CheckFailedError, match=rf"found .* of {never} on .* with fills that leave none"):
        replace(result, transactions=others).check()


@pytest.fixture
def flowing():
    """Two shares of A at 50, 0.50 paid on each, two for one, a short of B whose fee is 1, all sold at 26.

    Day by day: 1,000 − 100 = 900; + 1 − 1 + 30 (short of 3 at 10) = 930; 4 × 26 − 3 × 11 = 71 more: 1,001.
    """
    index = pd.DatetimeIndex(["2015-01-05", "2015-01-06", "2015-01-07"], tz="UTC", name="date")
    positions = pd.DataFrame({"A": [100.0, 98.0, 0.0], "B": [0.0, -33.0, 0.0], "cash": [900.0, 930.0, 1001.0]}, index)
    value = positions.sum(axis=1)
    fills = pd.DataFrame(
        {
            "amount": [2.0, -3.0, -4.0, 3.0],
            "price": [50.0, 10.0, 26.0, 11.0],
            "symbol": ["A", "B", "A", "B"],
            "commission": [0.0] * 4,
        },
        index[[0, 1, 2, 2]],
    )
    flows = [
        ("2015-01-06", "A", "dividend", 1.0, 0.0),
        ("2015-01-06", "A", "split", 0.0, 2.0),
        ("2015-01-06", "", "borrow fee", -1.0, 0.0),
    ]
    return rs.BacktestResult(
        returns=(value / [1000.0, *value[:-1]] - 1.0).rename("returns"),
        positions=positions,
        transactions=fills,
        orders=pd.DataFrame(columns=list(ORDER_COLUMNS)).astype({"status": object}),
        initial_cash=1000.0,
        settings={"flows": True},
        cash_flows=flows_frame(flows),
    )


def test_cash_of_every_session_follows_from_fills_and_flows(flowing):
    flowing.check()
    assert flowing.cash_flows.columns.tolist() == list(FLOW_COLUMNS)
    late = flowing.cash_flows.copy()
    late.index = [*late.index[:2], pd.Timestamp("2015-01-07", tz="UTC")]
    with pytest.raises(CheckFailedError, match=r"cash of 931\.000000 on 2015-01-06 after .* and cash flows; found 930"):
        replace(flowing, cash_flows=late).check()
    # on the last session all is well again, which is all that was looked at before there were flows
    replace(flowing, cash_flows=late, settings={"borrow_fees": 0.0}).check()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (0, r"cash of 929.* on 2015-01-06"),
        (1, "positions to follow from the fills"),
        (2, r"cash of 931.* on 2015-01-06"),
    ],
)
def test_a_flow_that_is_missing_does_not_pass(flowing, row, message):
    flows = flowing.cash_flows.iloc[[other for other in range(3) if other != row]]
    with pytest.raises(CheckFailedError, match=message):
        replace(flowing, cash_flows=flows).check()


def test_flows_of_unknown_tickers_and_days_do_not_pass(flowing):
    elsewhere = flowing.cash_flows.assign(ticker=["A", "Z", ""])
    with pytest.raises(CheckFailedError, match="column of positions for every split; found none for Z"):
        replace(flowing, cash_flows=elsewhere).check()
    other = flowing.cash_flows.set_axis(flowing.cash_flows.index + pd.Timedelta("30D"))
    with pytest.raises(CheckFailedError, match="cash flows on sessions of the returns; found one on 2015-02-05"):
        replace(flowing, cash_flows=other).check()


def test_a_split_comes_before_the_fills_of_its_session(flowing):
    # sold on the day of the split: 2 + 2 − 4 in this order, never 2 − 4 + 2
    on = flowing.transactions.index[[0, 1, 1, 2]]
    fills = flowing.transactions.set_axis(on)
    positions = flowing.positions.assign(A=[100.0, 0.0, 0.0], cash=[900.0, 1034.0, 1001.0])
    value = positions.sum(axis=1)
    returns = (value / [1000.0, *value[:-1]] - 1.0).rename("returns")
    replace(flowing, transactions=fills, positions=positions, returns=returns).check()


def test_results_without_flows_are_held_to_their_fees_at_the_end(result):
    fees = result.settings["borrow_fees"]
    old = replace(result, settings={"borrow_fees": fees}, cash_flows=flows_frame())
    old.check()  # when they were charged is not known any more, only how much they came to
    with pytest.raises(CheckFailedError, match="after all fills, commissions and borrow fees"):
        replace(old, settings={"borrow_fees": fees + 1.0}).check()
    replace(old, settings={}).check()


def test_flows_are_shown(flowing):
    assert "cash flows        1 × borrow fee -1.00, 1 × dividend +1.00, 1 × split\n" in repr(flowing) + "\n"
    assert "cash flows" not in repr(replace(flowing, cash_flows=flows_frame()))


def test_flows_come_back_and_folders_without_them_have_none(flowing, tmp_path):
    flowing.save(tmp_path)
    again = rs.BacktestResult.load(tmp_path, **beside(flowing))
    pd.testing.assert_frame_equal(again.cash_flows, flowing.cash_flows, check_exact=True)
    again.check()
    (tmp_path / "cash_flows.parquet").unlink()
    old = rs.BacktestResult.load(tmp_path, **beside(flowing))
    pd.testing.assert_frame_equal(old.cash_flows, flows_frame())
    with pytest.raises(CheckFailedError):
        old.check()


def test_results_are_read_without_backtrader():
    modules = "backtests, backtests.result, backtests.allocations, backtests.broker.costs"
    code = f"import sys, {modules}; print('backtrader' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
