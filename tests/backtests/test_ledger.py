"""The frames of a run: every asset, every fill, every order; in anybody's Cerebro."""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError

FREE = {"commission": 0.0, "slippage": 0.0}


def test_positions_have_every_asset_and_pyfolios_analyzer_has_not(random_prices, random_scores, settings):
    """Of four assets backtrader's own pyfolio analyzer keeps only the last one and cash."""
    prices = random_prices(4, 100, seed=5)
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(settings()))
    rs.add_prices(cerebro, prices, signals=random_scores(prices))
    cerebro.addstrategy(rs.SignalStrategy, allocation=rs.EqualWeight())
    cerebro.addanalyzer(bt.analyzers.PyFolio, _name="pyfolio")
    cerebro.addanalyzer(rs.AccountRecorder)
    analyzers = cerebro.run()[0].analyzers
    _, stock, _, _ = analyzers.pyfolio.get_pf_items()
    result = analyzers.accountrecorder.result()
    assert list(stock.columns) == ["T003", "cash"]
    assert list(result.positions.columns) == ["T000", "T001", "T002", "T003", "cash"]
    gross = (result.positions.drop(columns="cash").abs().sum(axis=1) / result.positions.sum(axis=1)).iloc[10:]
    assert gross.between(0.95, 1.0).all()
    wrong = stock["T003"].abs() / stock.sum(axis=1)
    # it sees a quarter of the positions and the two hundredths of cash: anything but the account
    assert stock.sum(axis=1).iloc[-1] < 0.4 * result.positions.sum(axis=1).iloc[-1]
    assert wrong.iloc[-1] != pytest.approx(gross.iloc[-1], abs=0.01)
    assert stock["T003"].to_numpy(float) == pytest.approx(result.positions["T003"].to_numpy())


def test_shape_and_types(random_prices, random_scores, settings):
    prices = random_prices(3, 40)
    result = rs.run_backtest(prices, random_scores(prices), allocation=rs.TopK(1), broker=settings())
    for frame in (result.returns, result.positions, result.transactions):
        assert frame.index.name == "date"
        assert str(frame.index.dtype) == "datetime64[ns, UTC]"
        assert (frame.index == frame.index.normalize()).all()
    assert result.returns.name == "returns"
    assert list(result.transactions.columns) == ["amount", "price", "symbol", "commission"]
    assert list(result.orders.columns) == [
        "order_id", "submitted", "executed", "ticker", "side", "type", "size", "filled", "price", "commission",
        "slippage", "status", "reason",
    ]  # fmt: skip
    assert str(result.orders["submitted"].dtype) == str(result.orders["executed"].dtype) == "datetime64[ns]"
    assert result.orders["order_id"].tolist() == list(range(1, len(result.orders) + 1))
    assert (result.orders["size"] > 0).all()


def test_a_run_without_a_trade_has_the_same_shape(make_prices, settings, my_cerebro):
    _, result = my_cerebro(make_prices({"A": [1.0, 2.0, 3.0]}), bt.Strategy, settings())
    assert result.returns.tolist() == [0.0, 0.0, 0.0]
    assert result.positions["cash"].tolist() == [1e6] * 3
    assert len(result.transactions) == len(result.orders) == 0
    assert str(result.transactions.index.dtype) == "datetime64[ns, UTC]"
    assert str(result.transactions["symbol"].dtype) == "str"
    assert str(result.orders["submitted"].dtype) == "datetime64[ns]"


def test_fills_of_one_asset_in_one_bar_are_kept_apart(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 4})
    _, result = my_cerebro(prices, plan({0: [("A", 100), ("A", 50), ("A", -120)]}), settings(**FREE))
    assert result.transactions["amount"].tolist() == [100.0, 50.0, -120.0]
    assert result.transactions.index.nunique() == 1
    assert result.positions["A"].iloc[-1] == 300.0


def test_orders_given_on_the_last_bar_are_tomorrows(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10.0] * 3, "B": [10.0, 10.0, np.nan]})
    orders = {0: [("A", 10)], 2: [("A", 100), ("B", 5), ("A", -20)]}
    _, result = my_cerebro(prices, plan(orders), settings(**FREE))
    assert result.orders["status"].tolist() == ["filled", "open", "rejected", "open"]
    assert (result.orders["submitted"].iloc[1:].dt.date.astype(str) == str(days(3)[2])).all()
    assert result.orders["executed"].isna().tolist() == [False, True, True, True]
    assert result.orders["filled"].tolist() == [10.0, 0.0, 0.0, 0.0]
    assert result.orders["price"].iloc[1:].isna().all()


def test_a_limit_order_that_waits_is_open(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 5})
    limit = {"exectype": bt.Order.Limit, "price": 5.0}
    _, result = my_cerebro(prices, plan({0: [("A", 10, limit)]}), settings())
    assert result.orders[["type", "status", "reason"]].to_numpy().tolist() == [["limit", "open", ""]]


def test_cancelled_and_expired(make_prices, settings, my_cerebro):
    class Fickle(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.mine = self.buy(size=1, exectype=bt.Order.Limit, price=1.0)
                self.buy(size=1, exectype=bt.Order.Limit, price=1.0, valid=self.datetime.date(0))
            if len(self) == 3:
                self.cancel(self.mine)

    _, result = my_cerebro(make_prices({"A": [10.0] * 6}), Fickle, settings())
    assert result.orders["status"].tolist() == ["cancelled", "expired"]
    assert result.orders["reason"].tolist() == ["cancelled by the strategy", "its validity ended"]


def test_a_run_that_the_strategy_ends(make_prices, settings, my_cerebro):
    class Enough(bt.Strategy):
        def next(self):
            self.buy(size=10)
            if len(self) == 3:
                self.env.runstop()

    _, result = my_cerebro(make_prices({"A": [10.0] * 6}), Enough, settings())
    assert len(result.returns) == 3
    assert result.orders["status"].tolist() == ["filled", "filled", "open"]
    assert result.stopped is None


@pytest.mark.parametrize(("first", "second"), [("A", "A"), ("", "B")])
def test_names_have_to_tell_feeds_apart(make_prices, settings, first, second):
    frame = make_prices({"A": [10.0] * 3}).frame.xs("A", level="ticker")
    cerebro = bt.Cerebro(stdstats=False)
    for name in (first, second):
        cerebro.adddata(bt.feeds.PandasData(dataname=frame), name=name)
    cerebro.addstrategy(bt.Strategy)
    cerebro.addanalyzer(rs.AccountRecorder)
    with pytest.raises(InputError, match=rf"own name; found '{first}'"):
        cerebro.run()


def test_one_strategy_per_account(make_prices):
    cerebro = bt.Cerebro(stdstats=False)
    rs.add_prices(cerebro, make_prices({"A": [10.0] * 3}))
    cerebro.addstrategy(bt.Strategy)
    cerebro.addstrategy(bt.Strategy)
    cerebro.addanalyzer(rs.AccountRecorder)
    with pytest.raises(InputError, match="one strategy"):
        cerebro.run()


def test_shorter_bars_and_futures_are_refused(make_prices, my_cerebro):
    prices = make_prices({"A": [10.0] * 3})
    broker = bt.brokers.BackBroker()
    broker.setcommission(commission=2.0, margin=100.0, mult=10.0)
    with pytest.raises(InputError, match="futures"):
        my_cerebro(prices, bt.Strategy, broker)
    cerebro = bt.Cerebro(stdstats=False)
    frame = prices.frame.xs("A", level="ticker")
    cerebro.adddata(bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes), name="A")
    cerebro.addanalyzer(rs.AccountRecorder)
    with pytest.raises(InputError, match="bars of a day or longer"):
        cerebro.run()


def test_with_leverage_cash_is_what_is_left_of_the_value(make_prices, my_cerebro, plan):
    prices = make_prices({"A": [10.0, 10, 11, 12, 12]})
    broker = bt.brokers.BackBroker(cash=1000.0)
    broker.setcommission(leverage=2.0)
    _, result = my_cerebro(prices, plan({0: [("A", 150)]}), broker)
    assert result.positions["A"].iloc[-1] == 1800.0
    assert result.positions.sum(axis=1).iloc[-1] == 1300.0
    assert result.positions["cash"].iloc[-1] == -500.0


def test_daily_and_weekly_bars_together(random_prices, settings):
    """Weekly bars come after the daily ones of their last day: one session, not two, and the account is one."""
    prices = random_prices(2, 60)

    class Weekly(bt.Strategy):
        def next(self):
            daily, other, week = self.datas
            if len(week) > 2 and not self.getposition(daily).size:
                self.buy(data=daily, size=10)
                self.buy(data=other, size=10)
            if len(week) == 5 and not self.getposition(week).size:
                self.buy(data=week, size=7)

    cerebro = bt.Cerebro(stdstats=False)
    feeds = rs.add_prices(cerebro, prices)
    cerebro.resampledata(feeds[0], timeframe=bt.TimeFrame.Weeks, name="week")
    cerebro.setbroker(rs.Broker(settings()))
    cerebro.addstrategy(Weekly)
    cerebro.addanalyzer(rs.AccountRecorder)
    result = cerebro.run()[0].analyzers.accountrecorder.result()
    assert len(result.returns) == 60
    assert list(result.positions.columns) == ["T000", "T001", "week", "cash"]
    last = prices.frame["close"].unstack().iloc[-1]
    assert result.positions.iloc[-1][["T000", "T001"]].tolist() == [10 * last["T000"], 10 * last["T001"]]
    assert result.positions["week"].iloc[-1] > 0.0
    assert "liquidated" not in set(result.orders["status"])


def test_a_run_without_a_session_is_an_error(settings, make_prices):
    cerebro = bt.Cerebro(stdstats=False)
    rs.add_prices(cerebro, make_prices({"A": [10.0] * 3}))
    cerebro.addstrategy(bt.Strategy)
    cerebro.addanalyzer(rs.AccountRecorder)
    run = cerebro.run()[0].analyzers.accountrecorder
    run._days = []
    with pytest.raises(InputError, match="at least one session"):
        run.result()


def test_a_reason_of_the_users_own_is_not_taken_for_the_brokers(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 4})
    _, result = my_cerebro(prices, plan({0: [("A", 10, {"reason": "momentum", "session": "am"})]}), settings())
    assert result.orders["reason"].tolist() == [""]


def test_a_feed_cannot_be_called_cash(make_prices, my_cerebro, settings):
    with pytest.raises(InputError, match="'cash'"):
        my_cerebro(make_prices({"cash": [10.0] * 3}), bt.Strategy, settings())


@pytest.mark.parametrize("processes", [1, 2])
def test_optstrategy(random_prices, random_scores, settings, processes):
    prices = random_prices(6, 60, seed=4, gaps=0.1)
    signals = random_scores(prices)
    cerebro = bt.Cerebro(stdstats=False, maxcpus=processes)
    cerebro.setbroker(rs.Broker(settings()))
    rs.add_prices(cerebro, prices, signals=signals)
    cerebro.optstrategy(rs.SignalStrategy, allocation=[rs.TopK(1), rs.TopK(3)])
    cerebro.addanalyzer(rs.AccountRecorder)
    found = [run[0].analyzers.accountrecorder.result() for run in cerebro.run()]
    for k, result in zip((1, 3), found, strict=True):
        alone = rs.run_backtest(prices, signals, allocation=rs.TopK(k), broker=settings())
        assert result.orders.equals(alone.orders)
        assert result.returns.iloc[-len(alone.returns) :].equals(alone.returns)


def test_beside_backtraders_own_observers_and_analyzers(random_prices, random_scores, settings):
    prices = random_prices(4, 80, seed=9, gaps=0.1, deaths=0.5, listings=0.5)
    cerebro = bt.Cerebro()  # with its standard observers
    cerebro.setbroker(rs.Broker(settings(borrow_rate=0.01)))
    rs.add_prices(cerebro, prices, signals=random_scores(prices))
    cerebro.addstrategy(rs.SignalStrategy, allocation=rs.LongShortQuantile(0.5))
    cerebro.addanalyzer(rs.AccountRecorder)
    cerebro.addanalyzer(bt.analyzers.TradeAnalyzer, _name="trades")
    cerebro.addanalyzer(bt.analyzers.TimeReturn, _name="time")
    cerebro.addanalyzer(bt.analyzers.DrawDown, _name="drawdown")
    run = cerebro.run()[0]
    result = run.analyzers.accountrecorder.result()
    assert list(run.analyzers.time.get_analysis().values()) == pytest.approx(result.returns.tolist(), abs=1e-14)
    assert run.analyzers.trades.get_analysis().total.total > 10
    value = result.positions.sum(axis=1)
    assert run.analyzers.drawdown.get_analysis().max.drawdown == pytest.approx(
        100 * (1 - value / value.cummax()).max(), rel=1e-9
    )
