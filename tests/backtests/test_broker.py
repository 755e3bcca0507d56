"""Rejections, shorts, ruin, volume and the other orders of backtrader: hand-computed, and aloud."""

from __future__ import annotations

import warnings

import backtrader as bt
import numpy as np
import pytest

import rnn_strategies as rs
from backtests.broker.broker import RuinWarning
from signals.common.errors import InputError

NAN = float("nan")
FREE = {"commission": 0.0, "slippage": 0.0}


def cash(result):
    return result.positions["cash"].to_numpy()


# -- rejections ------------------------------------------------------------------------------------------------------


def test_a_purchase_without_the_money_is_refused_aloud(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10.0] * 4})
    strategy, result = my_cerebro(prices, plan({0: [("A", 120_000)], 1: [("A", 10)]}), settings(**FREE))
    first = result.orders.iloc[0]
    assert (first["status"], first["filled"]) == ("margin", 0.0)
    assert first["reason"] == f"200,000.00 short of cash at the price of {days(1)[0]}"
    assert ("A", "Margin") in strategy.heard
    assert result.warnings == (
        f"Orders worth 1,200,000, more than the traded value, were rejected (1 margin; first buy 120,000 A on "
        f"{days(1)[0]}: {first['reason']}).",
    )


def test_an_open_above_the_close_can_make_it_too_dear(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"A": [10.0, 11.0, 10.0]}, {"A": [10.0, 10.0, 10.0]})
    _, result = my_cerebro(prices, plan({0: [("A", 95_000)]}), settings(**FREE))
    first = result.orders.iloc[0]
    assert first["status"] == "margin"
    assert first["reason"] == f"not enough cash at the price of {days(2)[1]}"
    assert cash(result)[-1] == 1e6


def test_small_refusals_are_in_the_orders_but_not_in_the_first_lines(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 5, "B": [1.0] * 5})
    _, result = my_cerebro(prices, plan({0: [("A", 99_950), ("B", 900)]}), settings(**FREE))
    assert result.orders["status"].tolist() == ["filled", "margin"]
    assert result.warnings == ()


def test_a_reduction_is_never_refused(make_prices, settings, my_cerebro, plan):
    """Borrow fees take the cash below zero; stock backtrader then rejects even a sale, which would add cash."""
    prices = make_prices({"A": [100.0] * 30, "S": [100.0] * 30})
    orders = {0: [("A", 9_999), ("S", -1)], 1: [("S", -9_000)], 2: [("A", 8_900)], 25: [("A", -10)], 26: [("S", 10)]}
    broker = settings(**FREE, borrow_rate=1.0, maintenance_margin=0.0, initial_margin=0.0)
    _, result = my_cerebro(prices, plan(orders), broker)
    assert cash(result)[25] < 0.0
    assert set(result.orders["status"]) == {"filled"}


def test_a_reversal_is_one_order_and_what_it_cannot_open_is_said(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0, 10.0, 10.0, 30.0, 30.0]})
    orders = {0: [("A", -10_000)], 2: [("A", 100_000)]}
    _, result = my_cerebro(prices, plan(orders), settings(**FREE, borrow_rate=0.0))
    # 1.1 million of cash covers 100,000 at 10, but not the 90,000 new ones at 30
    second = result.orders.iloc[1]
    assert (second["size"], second["filled"], second["status"]) == (100_000.0, 10_000.0, "partial")
    assert "not enough cash" in second["reason"]
    assert result.transactions["amount"].tolist() == [-10_000.0, 10_000.0]
    _, result = my_cerebro(prices, plan({0: [("A", 100)], 2: [("A", -300)]}), settings(**FREE, borrow_rate=0.0))
    assert result.orders["status"].tolist() == ["filled", "filled"]
    assert result.positions["A"].iloc[-1] == -200 * 30.0


# -- shorts ----------------------------------------------------------------------------------------------------------


def test_the_borrow_fee_by_hand(make_prices, settings, my_cerebro, plan, days):
    closes = [10.0, 11.0, 9.0, 12.0, 12.0, 8.0, 8.0]
    prices = make_prices({"S": [10.0, 10.5, 10.0, 9.0, 12.0, 12.0, 8.0]}, {"S": closes})
    broker = settings(**FREE, borrow_rate=0.365)  # a thousandth a night
    _, result = my_cerebro(prices, plan({0: [("S", -1000)], 4: [("S", 1000)]}), broker)
    nights = np.diff(days(7)).astype(float)
    assert nights.max() == 3.0  # a weekend is three nights
    fees = [1000 * closes[t] * 0.001 * nights[t] for t in range(1, 5)]  # in at the open of 1, out at the open of 5
    got = 1e6 + 1000 * 10.5 - np.cumsum([0, *fees])
    assert cash(result)[1:5] == pytest.approx(got[:4], rel=1e-14)
    assert cash(result)[5] == pytest.approx(got[4] - 1000 * 12.0, rel=1e-14)
    assert cash(result)[6] == cash(result)[5]
    assert result.settings["borrow_fees"] == pytest.approx(sum(fees), rel=1e-14)
    # commissions stay what they are: backtrader's own interest would be booked into them
    assert not result.orders["commission"].any()


def test_a_halted_short_is_charged_too(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"S": [10.0, 10.0, NAN, NAN, 10.0], "B": [1.0] * 5})
    _, result = my_cerebro(prices, plan({0: [("S", -1000)]}), settings(**FREE, borrow_rate=0.365))
    nights = float((days(5)[4] - days(5)[1]).astype(int))
    assert result.settings["borrow_fees"] == pytest.approx(10.0 * nights, rel=1e-14)


def test_without_a_borrow_rate_nothing_is_sold_short(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 5})
    orders = {0: [("A", -10)], 1: [("A", 10)], 2: [("A", -4), ("A", -7), ("A", -6)]}
    _, result = my_cerebro(prices, plan(orders), settings(**FREE))
    assert result.orders["status"].tolist() == ["rejected", "filled", "filled", "rejected", "filled"]
    assert "borrow_rate" in result.orders["reason"].iloc[0]
    assert not result.positions["A"].iloc[-1]


# -- ruin ------------------------------------------------------------------------------------------------------------


def test_ruin_stops_the_run_with_date_and_value(make_prices, settings, my_cerebro, plan, days):
    prices = make_prices({"S": [10.0, 10.0, 10.0, 31.0, 50.0, 5.0]})
    broker = settings(**FREE, borrow_rate=0.0, cash=1e6)
    orders = {0: [("S", -50_000)], 3: [("S", 10)], 4: [("S", 20)]}
    with pytest.warns(RuinWarning, match="ruined on"):
        strategy, result = my_cerebro(prices, plan(orders), broker)
    assert result.stopped == f"The account was ruined on {days(4)[3]}: its value was -50,000.00."
    assert result.warnings[0] == result.stopped
    assert len(result.returns) == 4
    assert result.returns.iloc[-1] == pytest.approx(-1.05)
    assert strategy.session == 3  # and the next session was never reached
    late = result.orders.iloc[1]
    assert (late["status"], late["reason"]) == ("rejected", result.stopped)


def test_a_margin_call_comes_before_ruin(make_prices, settings, scores, days):
    d = days(10)
    closes = {"L": [10.0] * 10, "S": [10.0, 10, 10, 12, 14, 16, 18, 20, 22, 24]}
    rows = scores({(d[0], "L"): 1.0, (d[0], "S"): -1.0})
    broker = settings(**FREE, borrow_rate=0.0, maintenance_margin=0.3, cash_buffer=0.0)
    result = rs.run_backtest(make_prices(closes), rows, allocation=rs.LongShortQuantile(0.5), broker=broker)
    value = result.positions.sum(axis=1)
    gross = result.positions.iloc[:, :-1].abs().sum(axis=1)
    assert (value.iloc[:-1] >= 0.3 * gross.iloc[:-1]).all()
    assert value.iloc[-1] < 0.3 * gross.iloc[-1]
    day = result.returns.index[-1].date()
    assert result.stopped == (
        f"The account was closed on {day}: its value of 400,000.00 was below the maintenance margin of 30 % of "
        "positions of 1,600,000.00."
    )
    assert len(result.returns) < 10


def test_a_long_account_without_debt_meets_no_margin_call(make_prices, settings, scores, days):
    prices = make_prices({"A": np.r_[10.0, np.linspace(10, 0.01, 30)]})
    rows = scores({(days(1)[0], "A"): 1.0})
    result = rs.run_backtest(prices, rows, allocation=rs.TopK(1), broker=settings(maintenance_margin=0.9))
    assert result.stopped is None
    assert len(result.returns) == 31


def test_waiting_orders_end_with_the_account(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"S": [10.0, 10.0, 10.0, 40.0, 40.0]})
    limit = {"exectype": bt.Order.Limit, "price": 1.0}
    orders = {0: [("S", -50_000)], 1: [("S", 10, limit)]}
    with pytest.warns(RuinWarning):
        _, result = my_cerebro(prices, plan(orders), settings(**FREE, borrow_rate=0.0))
    assert result.orders["status"].tolist() == ["filled", "cancelled"]
    assert result.orders["reason"].iloc[1] == result.stopped


def test_the_trap_pinned_stock_backtrader_goes_on(make_prices, my_cerebro, plan):
    prices = make_prices({"S": [10.0, 10.0, 10.0, 31.0, 50.0, 5.0]})
    _, result = my_cerebro(prices, plan({0: [("S", -50_000)]}), bt.brokers.BackBroker(cash=1e6))
    assert len(result.returns) == 6
    assert result.returns.iloc[4] > 10  # from −50,000 to −1,000,000 is a gain of 1900 %
    assert result.stopped is None


# -- volume, prices, sizes -------------------------------------------------------------------------------------------


def test_no_more_than_a_share_of_the_volume_and_the_rest_expires(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 5, "B": [10.0] * 5}, volume={"A": 5_000.0, "B": [0.0] * 5})
    strategy, result = my_cerebro(
        prices, plan({0: [("A", 800), ("B", 10)], 2: [("A", 300)]}), settings(**FREE, max_participation_rate=0.1)
    )
    assert result.orders["status"].tolist() == ["partial", "expired", "filled"]
    assert result.orders["filled"].tolist() == [500.0, 0.0, 300.0]
    assert result.orders["reason"].iloc[0] == "volume sufficed for 500 of 800 shares"
    assert result.transactions["amount"].tolist() == [500.0, 300.0]
    assert result.positions["A"].iloc[-1] == 8_000.0
    assert any("could not be filled on their session (1 expired, 1 partial" in line for line in result.warnings)
    assert ("A", "Expired") in strategy.heard


def test_a_liquidation_needs_no_volume(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"DEAD": [10.0] * 3 + [NAN] * 8, "B": [1.0] * 11}, volume={"DEAD": 1e3, "B": 1e3})
    _, result = my_cerebro(prices, plan({0: [("DEAD", 90)], 1: [("DEAD", 90)]}), settings(max_participation_rate=0.1))
    assert result.orders["filled"].tolist() == [90.0, 90.0, 180.0]


def test_slippage_is_not_capped_by_a_bar_that_has_only_a_close(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 4}, close_only=True)
    _, result = my_cerebro(prices, plan({0: [("A", 100)], 1: [("A", -100)]}), settings(commission=0.0, slippage=0.01))
    assert result.transactions["price"].tolist() == [10.1, 9.9]
    assert result.orders["slippage"].tolist() == pytest.approx([10.0, 10.0])
    # the behaviour of stock backtrader that the rule changes
    stock = bt.brokers.BackBroker(cash=1e6, slip_perc=0.01, slip_open=True)
    _, result = my_cerebro(prices, plan({0: [("A", 100)], 1: [("A", -100)]}), stock)
    assert result.transactions["price"].tolist() == [10.0, 10.0]


def test_a_limit_order_does_not_slip_through_its_limit(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0, 9.99, 9.0, 9.0, 11.0]}, {"A": [10.0, 9.99, 9.0, 9.0, 11.0]})
    buy = {"exectype": bt.Order.Limit, "price": 10.0}
    sell = {"exectype": bt.Order.Limit, "price": 10.95}
    orders = {0: [("A", 100, buy)], 2: [("A", -100, sell)]}
    _, result = my_cerebro(prices, plan(orders), settings(commission=0.0, slippage=0.01))
    assert result.transactions["price"].tolist() == [10.0, 10.95]  # both stopped at the limit
    assert result.orders["slippage"].tolist() == pytest.approx([1.0, 5.0])  # from the opens of 9.99 and 11


@pytest.mark.parametrize("fractional", [True, False])
def test_small_accounts_need_parts_of_shares(make_prices, settings, scores, days, fractional):
    prices = make_prices({"A": [700.0] * 4, "B": [30.0] * 4})
    rows = scores({(days(1)[0], "A"): 1.0, (days(1)[0], "B"): 2.0})
    broker = settings(**FREE, cash=1000.0, fractional=fractional)
    result = rs.run_backtest(prices, rows, allocation=rs.TopK(2), broker=broker)
    if fractional:
        assert result.positions.iloc[-1].tolist() == pytest.approx([490.0, 490.0, 20.0])
        assert result.warnings == ()
    else:
        assert result.positions.iloc[-1].tolist() == [0.0, 480.0, 520.0]
        assert result.warnings == (
            "1 of 2 targets were worth less than one share and were not held: the account is too small for the "
            "allocation; give it more cash or set fractional = true.",
        )


def test_min_trade_value(make_prices, settings, scores, days):
    d = days(8)
    prices = make_prices({"A": [10.0, 10, 10, 10.1, 10.1, 10.1, 10.1, 10.1]})
    rows = scores({(d[0], "A"): 1.0, (d[4], "A"): 1.0, (d[6], "A"): -1.0})
    often, seldom = (
        rs.run_backtest(prices, rows, allocation=rs.TopK(1), broker=settings(**FREE, min_trade_value=least))
        for least in (0.0, 1e4)
    )
    assert len(often.orders) == 3
    assert len(seldom.orders) == 2
    assert seldom.positions["A"].iloc[-1] == 0.0


# -- what backtrader offers besides ----------------------------------------------------------------------------------


def test_bracket_oco_and_trailing_orders_give_what_stock_gives(random_prices, my_cerebro, settings):
    prices = random_prices(3, 150, seed=12)

    class Everything(bt.Strategy):
        def __init__(self):
            self.heard = []
            self.bar = 0

        def notify_order(self, order):
            self.heard.append((order.data._name, order.ordtypename(), order.getstatusname(), order.executed.price))

        def next(self):
            self.bar += 1
            a, b, c = self.datas
            if self.bar % 20 == 5:
                self.buy_bracket(
                    data=a,
                    size=100,
                    exectype=bt.Order.Market,
                    stopprice=a.close[0] * 0.96,
                    limitprice=a.close[0] * 1.04,
                )
            if self.bar % 20 == 7:
                first = self.buy(data=b, size=50, exectype=bt.Order.Limit, price=b.close[0] * 0.98)
                self.buy(data=b, size=50, exectype=bt.Order.Stop, price=b.close[0] * 1.02, oco=first)
            if self.bar % 20 == 9:
                self.buy(data=c, size=30)
                self.sell(data=c, size=30, exectype=bt.Order.StopTrail, trailpercent=0.03)
            if self.bar % 20 == 17 and self.getposition(b).size:
                self.close(data=b)

    # without slippage: with it, limit orders differ on purpose
    stock = bt.brokers.BackBroker(cash=1e6)
    stock.setcommission(commission=0.001)
    theirs, their_result = my_cerebro(prices, Everything, stock)
    ours, our_result = my_cerebro(prices, Everything, settings(slippage=0.0))
    assert ours.heard == theirs.heard
    assert {status for _, _, status, _ in ours.heard} >= {"Completed", "Canceled"}
    assert our_result.returns.equals(their_result.returns)
    assert our_result.transactions.equals(their_result.transactions)
    same = ["ticker", "side", "type", "size", "filled", "price", "status"]
    assert our_result.orders[same].equals(their_result.orders[same])


def test_a_commission_scheme_of_ones_own_takes_backtraders_path(random_prices, random_scores, my_cerebro, settings):
    """Leverage and interest per feed: not ours, but not broken either."""
    prices = random_prices(3, 80, seed=2)

    class Levered(bt.Strategy):
        def next(self):
            if len(self) == 3:
                self.buy(data=self.datas[0], size=int(1.4e6 / self.datas[0].close[0]))
                self.sell(data=self.datas[1], size=int(0.2e6 / self.datas[1].close[0]))

    def scheme(broker):
        broker.setcommission(commission=0.001, leverage=2.0, name="T000")
        broker.setcommission(commission=0.002, interest=0.05, name="T001")
        return broker

    stock = bt.brokers.BackBroker(cash=1e6, int2pnl=False)
    stock.setcommission(commission=0.001)
    stock.set_slippage_perc(0.0005, slip_open=True, slip_out=True)
    _, theirs = my_cerebro(prices, Levered, scheme(stock))
    _, ours = my_cerebro(prices, Levered, scheme(rs.Broker(settings(borrow_rate=0.0))))
    assert ours.returns.equals(theirs.returns)
    assert ours.positions["T000"].abs().max() > 1.2e6


def test_deposits_are_refused(settings):
    with pytest.raises(InputError, match="no deposits"):
        rs.Broker(settings()).add_cash(100.0)


def test_settings_have_to_be_settings():
    with pytest.raises(InputError, match="expected BrokerSettings; found 1000000"):
        rs.Broker(1e6)


def test_value_of_some_feeds(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 4, "B": [20.0] * 4})
    strategy, _ = my_cerebro(prices, plan({0: [("A", 10), ("B", 10)]}), settings(**FREE))
    a, b = strategy.datas
    broker = strategy.broker
    assert broker.getvalue([a]) == 100.0
    assert broker.getvalue([a, b]) == 300.0
    assert broker.getvalue() == 1e6
    assert broker.worths() == [(0, 100.0), (1, 200.0)]


def test_nothing_is_said_when_nothing_happened(make_prices, settings, my_cerebro):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, result = my_cerebro(make_prices({"A": [1.0, 2.0]}), bt.Strategy, settings())
    assert result.warnings == ()
    assert result.stopped is None


def test_settings_of_stock_are_still_heard(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 5, "B": [5.0, np.nan, 5.0, 5.0, 5.0]})
    broker = rs.Broker(settings(commission=0.0))
    broker.set_checksubmit(False)
    broker.set_slippage_fixed(0.25)
    _, result = my_cerebro(prices, plan({0: [("A", 10), ("B", 10)], 1: [("A", -10)]}), broker)
    assert result.transactions["price"].tolist() == [10.25, 9.75]
    assert result.orders["status"].tolist() == ["filled", "expired", "filled"]
    broker = rs.Broker(settings(commission=0.0))
    broker.set_slippage_perc(0.01, slip_open=False)
    _, result = my_cerebro(prices, plan({0: [("A", 10)], 1: [("A", -10)]}), broker)
    assert result.transactions["price"].tolist() == [10.0, 10.0]


def test_a_history_of_orders_is_booked_as_it_was(make_prices, settings, my_cerebro, plan, days):
    d = days(5)
    prices = make_prices({"A": [10.0, 11, 12, 13, 14]})
    cerebro = bt.Cerebro(stdstats=False)
    history = [[f"{d[1]}", 100, 10.5], [f"{d[3]}", -40, 12.5]]
    cerebro.add_order_history(history, notify=True)
    _, result = my_cerebro(prices, plan({}), settings(commission=0.0), cerebro=cerebro)
    assert result.transactions[["amount", "price"]].to_numpy().tolist() == [[100.0, 10.5], [-40.0, 12.5]]
    assert result.positions["A"].tolist() == [0.0, 1100.0, 1200.0, 780.0, 840.0]


def test_a_bracket_whose_parent_has_no_bar_ends_with_it(make_prices, settings, my_cerebro):
    class Bracket(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy_bracket(data=self.datas[0], size=10, exectype=bt.Order.Market, stopprice=8.0, limitprice=12.0)

    prices = make_prices({"A": [10.0, np.nan, 10.0, 13.0], "B": [1.0] * 4})
    _, result = my_cerebro(prices, Bracket, settings())
    assert result.orders["status"].tolist() == ["expired", "cancelled", "cancelled"]
    assert len(result.transactions) == 0


def test_every_step_of_an_order_is_told_to_those_who_listen(make_prices, settings, my_cerebro, plan):
    prices = make_prices({"A": [10.0] * 5})
    strategy, _ = my_cerebro(prices, plan({0: [("A", 10)]}), settings())
    assert [status for _, status in strategy.heard] == ["Submitted", "Accepted", "Completed"]

    class Ears(bt.Analyzer):
        def start(self):
            self.heard = []

        def notify_order(self, order):
            self.heard.append(order.getstatusname())

    class Parent(bt.Analyzer):
        def __init__(self):
            self.ears = Ears()

    class Deaf(bt.Strategy):
        def next(self):
            if len(self) in (1, 5):
                self.buy(size=1)

    for analyzer, heard in ((Parent, True), (Ears, True), (None, False)):
        cerebro = bt.Cerebro(stdstats=False)
        if analyzer:
            cerebro.addanalyzer(analyzer, _name="mine")
        strategy, result = my_cerebro(prices, Deaf, settings(), cerebro=cerebro)
        assert result.orders["status"].tolist() == ["filled", "open"]
        assert strategy.broker._no_order_handlers is not heard
        if analyzer:
            mine = strategy.analyzers.mine
            told = mine.heard if analyzer is Ears else mine.ears.heard
            assert told == ["Submitted", "Accepted", "Completed"]
