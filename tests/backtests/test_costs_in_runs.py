"""What an account pays in a run, each cost alone and worked out by hand."""

from __future__ import annotations

import math

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from backtests.broker.presets import PRESETS

# what costs nothing, unless a test sets a cost
FREE = {"commission": 0.0, "slippage": 0.0, "borrow_rate": 0.0, "cash": 100_000.0}


@pytest.fixture
def account(my_cerebro, plan):
    """Trade planned orders; gives the result."""

    def run(prices, orders, **settings):
        _, result = my_cerebro(prices, plan(orders), rs.Broker(rs.BrokerSettings(**{**FREE, **settings})))
        result.check()
        return result

    return run


@pytest.fixture
def flat(make_prices):
    """Prices that stand still: {ticker: price}."""

    def make(n=8, **prices):
        return make_prices({ticker: [price] * n for ticker, price in prices.items()})

    return make


def _flows(result, kind):
    found = result.cash_flows[result.cash_flows["kind"] == kind]["amount"]
    return {str(day.date()): pytest.approx(amount) for day, amount in found.items()}


def test_per_share_with_a_minimum_and_one_reversal(account, flat):
    orders = {0: [("A", 100)], 1: [("A", 400)], 2: [("A", -900)], 3: [("A", 400)]}
    result = account(flat(A=20.0), orders, commission_per_share=0.005, min_commission=1.0)
    # 100 x 0.005 = 0.50 is below 1.00; then 2.00; from +500 to -400 is one fill of 900: 4.50; closing 400: 2.00
    assert result.transactions["commission"].tolist() == pytest.approx([1.0, 2.0, 4.5, 2.0])
    assert result.orders["commission"].tolist() == pytest.approx([1.0, 2.0, 4.5, 2.0])
    assert result.positions["cash"].iloc[-1] == pytest.approx(100_000 - 9.5)


def test_a_small_reversal_pays_the_minimum_once(account, flat):
    orders = {0: [("A", 10)], 1: [("A", -20)]}
    result = account(flat(A=20.0), orders, commission_per_share=0.005, min_commission=1.0)
    assert result.transactions["commission"].tolist() == pytest.approx([1.0, 1.0])


def test_a_reversal_of_which_half_is_refused_pays_for_the_half_that_filled(account, make_prices):
    # bought back and more: checked at 50, but the session opens at 110, and there is no money for the second half
    prices = make_prices({"A": [50.0, 50.0, 50.0, 110.0, 110.0, 110.0]}, {"A": [50.0, 50.0, 50.0, 110.0, 110.0, 110.0]})
    orders = {0: [("A", -100)], 2: [("A", 200)]}
    result = account(prices, orders, cash=10_000.0, commission_per_share=0.01, min_commission=4.0)
    assert result.transactions["amount"].tolist() == [-100.0, 100.0]
    assert result.transactions["commission"].tolist() == pytest.approx([4.0, 4.0])
    assert result.positions["cash"].iloc[-1] == pytest.approx(10_000 + 5_000 - 11_000 - 8.0)


def test_the_minimum_is_due_on_every_session_an_order_fills(account, make_prices):
    prices = make_prices({"A": [20.0] * 6}, volume=1_000.0)
    waiting = {"exectype": bt.Order.Limit, "price": 21.0}
    result = account(prices, {0: [("A", 250, waiting)]}, max_participation_rate=0.1, min_commission=1.0)
    assert result.transactions["amount"].tolist() == [100.0, 100.0, 50.0]
    assert result.transactions["commission"].tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert result.orders["commission"].tolist() == pytest.approx([3.0])


@pytest.fixture
def adjusted(days):
    """One ticker at 10 a share of the feed, which is a raw price of 10 / adj_factor."""

    def make(adj_factor, n=5, volume=1_000.0):
        frame = pd.DataFrame(
            {
                "date": days(n).astype("datetime64[ns]"), "ticker": "A", "open": 10.0, "high": 10.0, "low": 10.0,
                "close": 10.0, "volume": volume, "adj_factor": adj_factor,
            }
        )  # fmt: skip
        return rs.check_prices(frame.set_index(["date", "ticker"]))

    return make


def test_shares_are_counted_as_they_changed_hands(account, adjusted):
    # 400 shares at adjusted prices of a quarter were 100 at 40: 100 x 0.01; after the split 400 of them: 4.00
    prices = adjusted([0.25, 0.25, 1.0, 1.0, 1.0])
    result = account(prices, {0: [("A", 400)], 2: [("A", -400)]}, commission_per_share=0.01)
    assert result.transactions["commission"].tolist() == pytest.approx([1.0, 4.0])


def test_participation_is_of_the_shares_that_changed_hands(account, adjusted):
    # a tenth of 1,000 raw shares is 100, or 400 of the feed's
    prices = adjusted([0.25, 0.25, 1.0, 1.0, 1.0])
    result = account(prices, {0: [("A", 900)], 1: [("A", 900)]}, max_participation_rate=0.1)
    assert result.transactions["amount"].tolist() == [400.0, 100.0]
    assert result.orders["status"].tolist() == ["partial", "partial"]


def test_half_the_spread_is_lost_on_either_side(account, flat):
    result = account(flat(A=20.0), {0: [("A", 100)], 1: [("A", -100)]}, half_spread=0.0005)
    # 5 bp of 20 is 0.01 a share
    assert result.transactions["price"].tolist() == pytest.approx([20.01, 19.99])
    assert result.orders["slippage"].tolist() == pytest.approx([1.0, 1.0])
    assert result.positions["cash"].iloc[-1] == pytest.approx(100_000 - 2.0)


def test_spread_and_slippage_add_up(account, flat):
    result = account(flat(A=20.0), {0: [("A", 100)]}, half_spread=0.0005, slippage=0.001)
    assert result.transactions["price"].tolist() == pytest.approx([20.03])


def test_slippage_follows_the_volatility_known_before_the_fill(account, make_prices):
    # 10 % up and down in turn; the wild day of the fill itself does not count
    closes = [100.0, 110.0, 99.0, 108.9, 98.01, 107.811, 250.0, 250.0, 250.0]
    opens = [100.0, 110.0, 99.0, 108.9, 98.01, 100.0, 200.0, 250.0, 250.0]
    orders = {4: [("A", 10)], 5: [("A", 10)]}
    result = account(make_prices({"A": opens}, {"A": closes}), orders, volatility_slippage_coef=0.1, half_spread=0.001)
    # four returns are none; five have deviations 8, -12, 8, -12, 8 % from their mean: sqrt(0.048 / 4) = 10.95 %
    volatility = math.sqrt(0.048 / 4)
    assert result.transactions["price"].tolist() == pytest.approx([100.0 * 1.001, 200.0 * (1.001 + 0.1 * volatility)])


def test_sales_slip_down_and_limits_hold(account, make_prices):
    opens = [100.0, 110.0, 99.0, 108.9, 98.01, 107.811, 100.0, 100.0, 100.0]
    closes = [*opens[:7], 102.0, 100.0]
    limit = {"exectype": bt.Order.Limit, "price": 101.0}
    orders = {5: [("A", -10)], 6: [("A", 10, limit)]}
    result = account(make_prices({"A": opens}, {"A": closes}), orders, volatility_slippage_coef=0.5)
    volatility = math.sqrt(0.048 / 4)
    sold, bought = result.transactions["price"]
    assert sold == pytest.approx(100.0 * (1 - 0.5 * volatility))
    assert bought == 101.0


def test_volatility_is_each_tickers_own(account, make_prices):
    wild = [100.0, 110.0, 99.0, 108.9, 98.01, 107.811, 100.0, 100.0]
    prices = make_prices({"CALM": [50.0] * 8, "WILD": wild})
    for order in (("CALM", "WILD"), ("WILD", "CALM")):
        result = account(prices, {5: [(ticker, 10) for ticker in order]}, volatility_slippage_coef=0.1)
        paid = dict(zip(result.transactions["symbol"], result.transactions["price"], strict=True))
        assert paid["CALM"] == 50.0
        assert paid["WILD"] == pytest.approx(100.0 * (1 + 0.1 * math.sqrt(0.048 / 4)))


def test_borrowed_shares_cost_by_the_night(account, make_prices):
    # sessions: Fri 2 Jan, Mon 5, Tue 6, Wed 7, Thu 8, Fri 9, Mon 12, Tue 13
    closes = [50.0, 50.0, 60.0, 50.0, 50.0, 50.0, 50.0, 50.0]
    orders = {0: [("A", -100)], 5: [("A", 100)]}
    result = account(make_prices({"A": [50.0] * 8}, {"A": closes}), orders, borrow_rate=0.073)
    # sold on the 5th, bought back on the 12th; 5,000 x 7.3 % / 365 is 1.00 a night, after the close at 60 it is 1.20
    paid = {"2015-01-06": -1.0, "2015-01-07": -1.2, "2015-01-08": -1.0, "2015-01-09": -1.0, "2015-01-12": -3.0}
    assert _flows(result, "borrow fee") == paid
    assert result.positions["cash"].iloc[-1] == pytest.approx(100_000 - 7.2)


def test_cash_earns_by_the_night_but_not_the_proceeds_of_shorts(account, flat):
    orders = {1: [("A", 1_000)], 2: [("B", -500)]}
    result = account(flat(n=6, A=60.0, B=40.0), orders, cash_interest_rate=0.0365)
    # 1 bp a night. 100,000 over the weekend and to the 6th, when 60,000 are spent: 40,000 and interest; then B is sold
    # short for 20,000 on the 7th, which earns nothing
    first = 100_000 * 3e-4
    second = (100_000 + first) * 1e-4
    third = (40_000 + first + second) * 1e-4
    fourth = (40_000 + first + second + third) * 1e-4
    fifth = (40_000 + first + second + third + fourth) * 1e-4
    days = ("2015-01-05", "2015-01-06", "2015-01-07", "2015-01-08", "2015-01-09")
    assert _flows(result, "cash interest") == dict(zip(days, (first, second, third, fourth, fifth), strict=True))
    assert result.positions["cash"].iloc[-1] == pytest.approx(60_000 + first + second + third + fourth + fifth)


def test_debt_costs_by_the_night(account, make_prices):
    # B is sold short at 50 and bought back at 100, with money that is in A: 5,000 of debt
    prices = make_prices({"A": [100.0] * 8, "B": [50.0, 50.0, 50.0, 100.0, 100.0, 100.0, 100.0, 100.0]})
    orders = {0: [("A", 100), ("B", -100)], 3: [("B", 100)]}
    result = account(prices, orders, cash=10_000.0, margin_interest_rate=0.073, maintenance_margin=0.1)
    # debt since the 8th: 5,000 x 7.3 % / 365 is 1.00 a night, then 5,001 over three
    day, weekend = 5_000 * 0.0002, 5_001 * 0.0006
    last = (5_001 + weekend) * 0.0002
    assert _flows(result, "margin interest") == {"2015-01-09": -day, "2015-01-12": -weekend, "2015-01-13": -last}
    assert result.positions["cash"].iloc[-1] == pytest.approx(-5_001 - weekend - last)


@pytest.mark.parametrize(("more", "status"), [(100, "filled"), (101, "margin")])
def test_initial_margin_at_its_edge(account, flat, more, status):
    # 300 short at 50 are 15,000 of 10,000 / 0.5 = 20,000; 100 more are exactly all of it
    orders = {0: [("A", -300)], 2: [("B", -more)]}
    result = account(flat(A=50.0, B=50.0), orders, cash=10_000.0, initial_margin=0.5)
    assert result.orders["status"].tolist() == ["filled", status]
    if status == "margin":
        assert "initial margin of 50 %" in result.orders["reason"].iloc[1]


def test_initial_margin_refuses_no_reduction_and_0_refuses_nothing(account, make_prices):
    # the price rises by half, and still the short can be reduced
    prices = make_prices({"A": [50.0, 50.0, 50.0, 75.0, 75.0, 75.0, 75.0, 75.0]})
    orders = {0: [("A", -300)], 4: [("A", 100)], 5: [("A", -1)]}
    options = {"cash": 10_000.0, "maintenance_margin": 0.1}
    result = account(prices, orders, initial_margin=0.5, **options)
    # 10,000 - 300 x 25 = 2,500 on 22,500; bought back 100: 2,500 on 15,000; one more is 2,500 on 15,075
    assert result.orders["status"].tolist() == ["filled", "filled", "margin"]
    free = account(prices, orders, initial_margin=0.0, **options)
    assert free.orders["status"].tolist() == ["filled"] * 3


def test_an_ideal_account_keeps_what_prices_give(random_prices, random_scores):
    prices = random_prices(6, 60)
    settings = rs.BrokerSettings.from_preset("ideal", cash=1e6)
    result = rs.run_backtest(prices, random_scores(prices), allocation=rs.TopK(k=3), broker=settings)
    assert not result.transactions["commission"].any()
    assert not result.orders["slippage"].any()
    assert not len(result.cash_flows)
    np.testing.assert_allclose(
        result.positions.sum(axis=1).iloc[-1] - 1e6,
        -(result.transactions["amount"] * result.transactions["price"]).sum()
        + result.positions.drop(columns="cash").iloc[-1].sum(),
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("allocation", [rs.TopK(k=4), rs.LongShortQuantile(quantile=0.3)], ids=["long", "both sides"])
def test_presets_run_balance_and_cost_in_order(random_prices, random_scores, preset, allocation):
    prices = random_prices(12, 120, gaps=0.02, deaths=0.2)
    scores = random_scores(prices)
    settings = rs.BrokerSettings.from_preset(preset, cash=1e6)
    result = rs.run_backtest(prices, scores, allocation=allocation, broker=settings)
    result.check()
    assert result.settings["broker"]["preset"] == preset
    fills = result.transactions[result.transactions["commission"] > 0]
    if preset == "ideal":
        assert fills.empty
        return
    rate, least = settings.commission_per_share, settings.min_commission
    expected = np.maximum(fills["amount"].abs() * rate, least)
    np.testing.assert_allclose(fills["commission"], expected)
    assert (result.orders["slippage"].dropna() >= 0).all()


class _Mixed(bt.Strategy):
    """Trades A beside something that is only there."""

    def __init__(self):
        self.heard = []

    def next(self):
        size = {1: 1_000, 3: -1_150, 5: -20_000}.get(len(self))
        if size:
            (self.buy if size > 0 else self.sell)(data=self.getdatabyname("A"), size=abs(size))

    def notify_order(self, order):
        if not order.alive():
            self.heard.append((order.getstatusname(), order.executed.price, order.executed.comm))


@pytest.mark.parametrize("beside", ["nothing", "a future", "a scheme of one's own"])
def test_costs_hold_in_whatever_company(flat, beside):
    """Other commission schemes in the run take backtrader's own path for every order; nothing may become free by it."""
    settings = rs.BrokerSettings(**FREE, commission_per_share=0.01, min_commission=4.0, half_spread=0.0005)
    broker = rs.Broker(settings)
    if beside == "a future":
        broker.setcommission(commission=1.0, margin=10.0, mult=5.0, name="ZZ")
    elif beside == "a scheme of one's own":
        broker.setcommission(commission=0.001, interest=0.05, name="ZZ")
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    rs.add_prices(cerebro, flat(A=20.0, ZZ=30.0))
    cerebro.addstrategy(_Mixed)
    heard = cerebro.run()[0].heard
    # 1,000 x 0.01; 1,150 in one reversal; the third is 403,000 of 100,000 / 0.5
    assert [status for status, _, _ in heard] == ["Completed", "Completed", "Margin"]
    assert heard[0][1:] == pytest.approx((20.01, 10.0))
    assert heard[1][1:] == pytest.approx((19.99, 11.5))
    assert broker.getcash() == pytest.approx(100_000 - 20_010 - 10 + 1_150 * 19.99 - 11.5)


@pytest.fixture
def account_of_splits(days, plan):
    """Fraction of the open that a purchase loses a few sessions after a split, on adjusted or on raw prices."""

    def run(dividends):
        closes = np.array([100.0, 110.0, 99.0, 108.9, 98.01, 107.811, 100.0, 100.0])
        stamps = pd.DatetimeIndex(days(8).astype("datetime64[ns]"))
        frame = pd.DataFrame(
            {
                "date": stamps, "ticker": "A", "open": closes, "high": closes, "low": closes, "close": closes,
                "volume": 1e6, "adj_factor": np.repeat([0.5, 1.0], [3, 5]),
            }
        )  # fmt: skip
        index = pd.MultiIndex.from_arrays([stamps[3:4], ["A"]], names=["date", "ticker"])
        actions = pd.DataFrame({"split": [2.0], "dividend": [0.0]}, index=index)
        prices = rs.check_prices(frame.set_index(["date", "ticker"]), actions=actions)
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.setbroker(rs.Broker(rs.BrokerSettings(**FREE, volatility_slippage_coef=0.1, dividends=dividends)))
        rs.add_prices(cerebro, prices, adjusted=dividends == "adjusted")
        cerebro.addstrategy(plan({5: [("A", 10)]}))
        cerebro.addanalyzer(rs.AccountRecorder)
        result = cerebro.run()[0].analyzers.accountrecorder.result()
        return result.transactions["price"].iloc[0] / 100.0 - 1.0

    return run


@pytest.mark.parametrize("dividends", ["adjusted", "cash"])
def test_a_split_is_no_volatility(account_of_splits, dividends):
    # 10 % up and down in turn, as above; two for one on the fourth session
    lost = account_of_splits(dividends)
    assert lost == pytest.approx(0.1 * math.sqrt(0.048 / 4))
