"""Saved results come back the same and have the same bytes; broken books do not pass."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pandas as pd
import pytest

import rnn_strategies as rs
from signals.errors import CheckFailedError, InputError

FILES = ("returns.parquet", "positions.parquet", "transactions.parquet", "orders.parquet")


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
    for name in ("positions", "transactions", "orders"):
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
        replace(result, settings={**result.settings, "borrow_fees": 0.0}).check()
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


def test_results_are_read_without_backtrader():
    modules = "backtests, backtests.result, backtests.allocations, backtests.costs"
    code = f"import sys, {modules}; print('backtrader' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
