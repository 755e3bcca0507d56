"""Unequal histories, missing bars, delistings: no stale fill, no frozen position, nothing in silence."""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs

NAN = float("nan")


def order(result, n=0):
    return result.orders.iloc[n]


def test_a_day_order_expires_when_there_is_no_bar_instead_of_filling_a_week_later(
    make_prices, settings, my_cerebro, plan, days
):
    prices = make_prices({"A": [10, NAN, NAN, NAN, 11, 12], "B": [5.0] * 6})
    _, result = my_cerebro(prices, plan({0: [("A", 100)]}), settings())
    assert order(result)["status"] == "expired"
    assert order(result)["reason"] == f"no bar on {days(6)[1]}"
    assert pd.isna(order(result)["executed"])
    assert len(result.transactions) == 0

    # stock backtrader fills it four sessions later
    broker = bt.brokers.BackBroker(cash=1e6)
    _, stock = my_cerebro(prices, plan({0: [("A", 100)]}), broker)
    assert order(stock)["status"] == "filled"
    assert str(order(stock)["executed"].date()) == str(days(6)[4])


def test_no_order_is_taken_for_a_name_without_a_bar_today(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10, NAN, 11, 12, 13], "B": [5.0] * 5, "NEW": [NAN, NAN, NAN, 7, 7]})
    strategy, result = my_cerebro(prices, plan({1: [("A", 100), ("NEW", 5)], 2: [("A", 100)]}), settings())
    assert result.orders["status"].tolist() == ["rejected", "rejected", "filled"]
    assert order(result)["reason"] == f"no bar on {days(5)[1]} when the order was given"
    assert str(order(result)["submitted"].date()) == str(days(5)[1])
    assert ("A", "Rejected") in strategy.heard  # aloud
    assert any("were rejected (2 rejected; first buy 100 A on 2015-01-05: no bar" in line for line in result.warnings)


def test_a_limit_order_waits_for_the_next_bar_and_never_sees_an_old_one(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10, NAN, NAN, 9, 8], "B": [5.0] * 5}, {"A": [10, NAN, NAN, 9, 8], "B": [5.0] * 5})
    limit = {"exectype": bt.Order.Limit, "price": 10.5}  # the bar it was given at would have matched
    _, result = my_cerebro(prices, plan({0: [("A", 100, limit)]}), settings(slippage=0.0))
    assert order(result)["type"] == "limit"
    assert order(result)["price"] == 9.0
    assert str(order(result)["executed"].date()) == str(days(5)[3])


def test_feeds_that_begin_later_hold_nothing_up(make_prices, settings, scores, days):
    d = days(12)
    prices = make_prices({"A": [10.0] * 12, "LATE": [NAN] * 10 + [5.0, 5.0]})
    rows = scores({(d[0], "A"): 1.0, (d[10], "LATE"): 1.0})
    result = rs.run_backtest(prices, rows, allocation=rs.TopK(1), broker=settings())
    assert [(o.ticker, o.side) for o in result.orders.itertuples()] == [("A", "buy"), ("A", "sell"), ("LATE", "buy")]
    assert str(order(result)["executed"].date()) == str(d[1])
    assert (result.positions["LATE"].iloc[:11] == 0.0).all()


def test_a_holding_that_misses_bars_keeps_its_last_price_and_is_traded_again(make_prices, settings, scores, days):
    d = days(10)
    prices = make_prices({"A": [10, 10, 11, NAN, NAN, NAN, NAN, 12, 12, 12], "B": [5.0] * 10})
    rows = {(d[0], "A"): 1.0, (d[4], "B"): 1.0, (d[8], "B"): 1.0}
    result = rs.run_backtest(prices, scores(rows), allocation=rs.TopK(1), broker=settings(commission=0.0, slippage=0.0))
    held = result.positions["A"]
    assert (held.iloc[2:7] == held.iloc[2]).all()
    assert held.iloc[7] == held.iloc[2] / 11 * 12
    # on the second date A could not be sold and left no money for B; both were traded on the third
    given = [(o.ticker, o.side, str(o.submitted.date()), o.status) for o in result.orders.itertuples()]
    third = str(d[8])
    assert given == [("A", "buy", str(d[0]), "filled"), ("A", "sell", third, "filled"), ("B", "buy", third, "filled")]


def test_what_is_locked_in_a_halted_name_is_not_spent_twice(make_prices, settings, scores, days):
    d = days(8)
    prices = make_prices({"A": [10, 10, 10, NAN, NAN, NAN, 10, 10], "B": [5.0] * 8, "C": [4.0] * 8})
    rows = {(d[0], "A"): 1.0, (d[0], "B"): 0.9, (d[4], "B"): 0.9, (d[4], "C"): 0.8}
    result = rs.run_backtest(prices, scores(rows), allocation=rs.TopK(2), broker=settings(commission=0.0, slippage=0.0))
    assert result.positions.iloc[5].tolist() == [490_000.0, 245_000.0, 245_000.0, 20_000.0]


@pytest.mark.parametrize(("haircut", "left"), [(0.0, 1.0), (0.3, 0.7), (1.0, 0.0)])
def test_a_delisted_long_is_cashed_out_with_a_haircut(make_prices, settings, scores, days, haircut, left):
    d = days(12)
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "B": [5.0] * 12})
    rows = scores({(d[0], "DEAD"): 1.0, (d[0], "B"): -1.0})
    broker = settings(slippage=0.0, delist_haircut=haircut)
    result = rs.run_backtest(prices, rows, allocation=rs.TopK(1), broker=broker)
    shares = 98_000  # 98 % of a million at 10
    value = result.positions.sum(axis=1)
    spent = shares * 10.0 * 1.001
    # last bar on session 2; sessions 3 to 7 are the five without one, and the last of them is the day
    assert (result.positions["DEAD"].iloc[2:7] == shares * 12.0).all()
    assert (result.positions["DEAD"].iloc[7:] == 0.0).all()
    got = shares * 12.0 * left
    assert value.iloc[7:].to_numpy() == pytest.approx(np.full(5, 1e6 - spent + got * (1 - 0.001)), rel=1e-12)

    last = order(result, -1)
    assert (last["ticker"], last["side"], last["type"], last["status"]) == ("DEAD", "sell", "liquidation", "liquidated")
    assert last["size"] == last["filled"] == shares
    assert last["price"] == pytest.approx(12.0 * left)
    assert last["commission"] == pytest.approx(got * 0.001)
    assert last["slippage"] == 0.0
    assert str(last["submitted"].date()) == str(last["executed"].date()) == str(d[7])
    assert last["reason"].startswith(f"no bar since {d[2]}; cashed out at its price")
    assert ("less 30 %" in last["reason"]) == (haircut == 0.3)
    fill = result.transactions.iloc[-1]
    assert (fill["amount"], fill["symbol"]) == (-shares, "DEAD")


def test_a_delisted_short_is_closed_at_the_last_price_without_a_haircut(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "B": [5.0] * 12})
    broker = settings(slippage=0.0, commission=0.0, delist_haircut=0.3, borrow_rate=0.0)
    _, result = my_cerebro(prices, plan({0: [("DEAD", -1000)]}), broker)
    last = order(result, -1)
    assert (last["side"], last["status"], last["price"]) == ("buy", "liquidated", 12.0)
    assert result.positions["cash"].iloc[-1] == 1e6 - 2000.0
    assert "less" not in last["reason"]


def test_the_number_of_sessions_is_a_setting_and_counts_the_exchange(make_prices, settings, my_cerebro, plan, days):
    d = days(12)
    # nobody trades on sessions 4 and 5: they are sessions all the same
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "B": [5, 5, 5, 5, NAN, NAN, 5, 5, 5, 5, 5, 5]})
    _, result = my_cerebro(prices, plan({0: [("DEAD", 10)]}), settings(delist_after_sessions=3))
    assert str(order(result, -1)["executed"].date()) == str(d[5])


def test_without_our_feeds_sessions_are_the_dates_on_which_any_feed_has_a_bar(make_prices, settings, plan, days):
    d = days(12)
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "B": [5, 5, 5, 5, NAN, NAN, 5, 5, 5, 5, 5, 5]})
    cerebro = bt.Cerebro(stdstats=False)
    for ticker in ("B", "DEAD"):
        cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(ticker, level="ticker")), name=ticker)
    cerebro.setbroker(rs.Broker(settings(delist_after_sessions=3)))
    cerebro.addstrategy(plan({0: [("DEAD", 10)]}))
    cerebro.addanalyzer(rs.AccountRecorder)
    result = cerebro.run()[0].analyzers.accountrecorder.result()
    assert order(result, -1)["status"] == "liquidated"
    assert str(order(result, -1)["executed"].date()) == str(d[7])  # 3, 6 and 7


def test_orders_that_wait_for_a_dead_name_are_cancelled(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "B": [5.0] * 12})
    stop = {"exectype": bt.Order.Stop, "price": 8.0}
    _, result = my_cerebro(prices, plan({0: [("DEAD", 100)], 1: [("DEAD", -100, stop)]}), settings())
    assert result.orders["status"].tolist() == ["filled", "cancelled", "liquidated"]
    assert order(result, 1)["reason"].startswith("delisted: cashed out on")


def test_after_a_delisting_the_money_is_there_for_others(make_prices, settings, scores, days):
    d = days(14)
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 11, "B": [5.0] * 14})
    rows = {(d[0], "DEAD"): 1.0, (d[4], "B"): 1.0, (d[9], "B"): 1.0}
    result = rs.run_backtest(prices, scores(rows), allocation=rs.TopK(1), broker=settings())
    weight = result.positions["B"] / result.positions.sum(axis=1)
    assert weight.iloc[5] == 0.0  # all was locked in the dead name
    assert weight.iloc[10] == pytest.approx(0.98, abs=0.002)


def test_a_name_that_lists_again_trades_again(make_prices, settings, scores, days):
    d = days(20)
    prices = make_prices({"A": [10, 10, 12] + [NAN] * 10 + [3.0] * 7, "B": [5.0] * 20})
    rows = {(d[0], "A"): 1.0, (d[8], "B"): -1.0, (d[14], "A"): 1.0}
    result = rs.run_backtest(prices, scores(rows), allocation=rs.TopK(1), broker=settings())
    assert result.orders["status"].tolist() == ["filled", "liquidated", "filled"]
    last = order(result, -1)
    assert (last["ticker"], str(last["executed"].date())) == ("A", str(d[15]))
    assert last["price"] == pytest.approx(3.0 * 1.0005)
    assert (result.positions["A"].iloc[16:] > 0.9e6).all()


def test_the_only_name_dies_and_the_account_lives_on(make_prices, settings, scores, days):
    d = days(12)
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 9, "B": [5.0] * 12})
    result = rs.run_backtest(prices, scores({(d[0], "DEAD"): 1.0}), allocation=rs.TopK(1), broker=settings())
    assert list(result.positions.columns) == ["DEAD", "cash"]
    assert order(result, -1)["status"] == "liquidated"
    assert len(result.returns) == 12


def test_a_holding_that_is_not_dead_yet_at_the_end_stays(make_prices, settings, scores, days):
    d = days(7)
    prices = make_prices({"DEAD": [10, 10, 12] + [NAN] * 4, "B": [5.0] * 7})
    result = rs.run_backtest(prices, scores({(d[0], "DEAD"): 1.0}), allocation=rs.TopK(1), broker=settings())
    assert result.positions["DEAD"].iloc[-1] > 1e6
    assert set(result.orders["status"]) == {"filled"}


def test_a_ticker_with_signals_and_without_a_bar_in_the_period(make_prices, settings, scores, days):
    d = days(12)
    prices = make_prices({"GONE": [10, 10] + [NAN] * 10, "B": [5.0] * 12})
    rows = scores({(d[4], "GONE"): 2.0, (d[4], "B"): 1.0})
    result = rs.run_backtest(prices, rows, allocation=rs.TopK(1), broker=settings())
    assert list(result.positions.columns) == ["B", "GONE", "cash"]
    assert result.orders["ticker"].tolist() == ["B"]
    assert not result.positions["GONE"].any()


class Nans(bt.feeds.PandasData):
    """A feed of the user's own, with holes that are NaN instead of missing."""


def test_nan_bars_of_a_users_own_feed_are_no_bars(make_prices, settings, plan, days):
    prices = make_prices({"A": [10.0, 10, 11, 11, 12, 12, 13, 13]})
    frame = prices.frame.xs("A", level="ticker").copy()
    frame.iloc[3:5] = np.nan
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(Nans(dataname=frame), name="A")
    cerebro.setbroker(rs.Broker(settings(slippage=0.0, commission=0.0)))
    cerebro.addstrategy(plan({0: [("A", 100)], 2: [("A", 50)], 3: [("A", 50)], 5: [("A", -100)]}))
    cerebro.addanalyzer(rs.AccountRecorder)
    result = cerebro.run()[0].analyzers.accountrecorder.result()
    assert result.orders["status"].tolist() == ["filled", "expired", "rejected", "filled"]
    assert (result.positions["A"].iloc[2:5] == 1100.0).all()
    assert result.positions["cash"].iloc[-1] == 1e6 + 300.0


@pytest.mark.parametrize("haircut", [0.0, 0.4])
def test_labels_and_broker_agree_on_what_a_dying_name_returns(make_prices, settings, scores, days, haircut):
    """Bought at the next open, cashed out when dead: the networks are taught the return that the account earns."""
    from signals.dataset.labels import LabelSettings, make_labels

    d = days(25)
    opens = [10.0, 10.4, 10.2, 10.8] + [NAN] * 21
    closes = [10.1, 10.3, 10.6, 10.9] + [NAN] * 21
    prices = make_prices({"DEAD": opens, "B": [5.0] * 25}, {"DEAD": closes, "B": [5.0] * 25})
    panel = prices.panel()
    labels = make_labels(
        panel, np.array([0, 15]), np.ones((2, 2), bool), LabelSettings(kind="up", delist_haircut=haircut)
    )
    j = panel.tickers.index("DEAD")
    broker = settings(commission=0.0, slippage=0.0, cash_buffer=0.3, delist_haircut=haircut)
    rows = scores({(d[0], "DEAD"): 1.0})
    result = rs.run_backtest(prices, rows, allocation=rs.TopK(1), broker=broker)
    bought, sold = result.transactions.iloc[0], result.transactions.iloc[1]
    assert sold["price"] / bought["price"] - 1.0 == pytest.approx(labels.forward_return[j, 0], rel=1e-12)
    assert str(result.transactions.index[1].date()) == str(panel.dates[labels.end[j, 0]])
