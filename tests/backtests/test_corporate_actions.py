"""Splits and dividends of accounts that trade raw prices: rules by hand, then whole runs."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rnn_strategies as rs
from backtests.broker.corporate_actions import apply_actions, split_order, split_shares
from backtests.feeds.action_schedule import CorporateAction, CorporateActions
from signals.common.errors import InputError
from signals.data.corporate_actions import actions_frame
from signals.sources.adjustment import actions_factor

TODAY = 735600.0
DATA = SimpleNamespace(_name="A")


class Account:
    """The least a broker has to offer."""

    def __init__(self, size=0.0, price=0.0, last=float("nan"), cash=0.0, orders=()):
        self.cash, self.flows, self.orders = cash, [], list(orders)
        self.positions = defaultdict(bt.Position, {"A": bt.Position(size, price)})
        self.last, self.ended = last, {}

    @property
    def position(self):
        return self.positions["A"]

    @property
    def value(self):
        return self.cash + (self.position.size * self.last if self.position.size else 0.0)

    def last_price(self, _data):
        return self.last

    def set_last_price(self, _data, price):
        self.last = price

    def waiting_orders(self, _data):
        return [order for order in self.orders if order.ref not in self.ended]

    def withdraw(self, order, reason):
        self.ended[order.ref] = reason

    def meet(self, split=1.0, dividend=0.0, *, fractional=False, strategies=()):
        action = CorporateAction(TODAY, "A", split, dividend)
        apply_actions(self, [action], {"A": "A"}, TODAY, fractional=fractional, strategies=strategies)
        return [tuple(flow[2:]) for flow in self.flows]


def order(size, kind=bt.Order.Market, price=10.0, ref=1, filled=0.0):
    """Order with what a split looks at."""
    data = SimpleNamespace(remsize=size - filled, size=filled)
    created = SimpleNamespace(size=size, price=price, pclose=price, pricelimit=0.0, trailamount=None)
    made = SimpleNamespace(ref=ref, exectype=kind, size=size, executed=data, created=created)
    made.info, made.trailamount, made._limitoffset = {}, None, 0.0
    made.addinfo = made.info.update
    return made


# -- shares, cash and last price, worked out by hand ------------------------------------------------------------------


def test_two_for_one():
    account = Account(size=100, price=30.0, last=40.0, cash=7.0)
    assert account.meet(split=2.0) == [("split", 0.0, 100.0)]
    assert (account.position.size, account.position.price, account.last, account.cash) == (200, 15.0, 20.0, 7.0)


def test_three_for_two_with_cash_in_lieu():
    # 15 shares become 22.5: half a share at 40 / 1.5 is 13.33
    account = Account(size=15, price=30.0, last=40.0)
    assert account.meet(split=1.5) == [("split", 0.0, 7.0), ("cash in lieu", pytest.approx(40 / 3), 0.0)]
    assert (account.position.size, account.position.price) == (22, 20.0)
    assert account.cash == pytest.approx(40 / 3)
    assert account.value == pytest.approx(600.0, rel=1e-15)


def test_one_for_ten():
    # 25 shares become 2.5: half a share at 400
    account = Account(size=25, price=30.0, last=40.0)
    assert account.meet(split=0.1) == [("split", 0.0, -23.0), ("cash in lieu", pytest.approx(200.0), 0.0)]
    assert (account.position.size, account.position.price) == (2, pytest.approx(300.0))
    assert account.last == pytest.approx(400.0)


def test_a_holding_of_less_than_a_share_is_paid_out():
    account = Account(size=5, price=30.0, last=40.0)
    assert account.meet(split=0.1) == [("split", 0.0, -5.0), ("cash in lieu", pytest.approx(200.0), 0.0)]
    assert (account.position.size, account.position.price, account.cash) == (0, 0.0, pytest.approx(200.0))


def test_fractional_accounts_keep_the_fraction():
    account = Account(size=15, price=30.0, last=40.0)
    assert account.meet(split=1.5, fractional=True) == [("split", 0.0, 7.5)]
    assert account.position.size == 22.5


def test_shorts_owe_the_dividend_and_the_rest_of_a_share():
    account = Account(size=-15, price=30.0, last=40.0, cash=1000.0)
    # 0.50 on 15 shares; then half a share at (40 − 0.5) / 1.5
    assert account.meet(split=1.5, dividend=0.5) == [
        ("dividend", -7.5, 0.0),
        ("split", 0.0, -7.0),
        ("cash in lieu", pytest.approx(-0.5 * 39.5 / 1.5), 0.0),
    ]
    assert account.position.size == -22
    assert account.last == pytest.approx(39.5 / 1.5)
    assert account.value == pytest.approx(400.0, rel=1e-14)


def test_a_dividend_is_paid_and_leaves_the_price():
    account = Account(size=100, price=30.0, last=40.0)
    assert account.meet(dividend=0.25) == [("dividend", 25.0, 0.0)]
    assert (account.position.size, account.position.price, account.last, account.cash) == (100, 30.0, 39.75, 25.0)


def test_who_holds_nothing_gets_nothing():
    account = Account(last=40.0)
    assert account.meet(split=2.0, dividend=1.0) == []
    assert (account.position.size, account.cash, account.last) == (0, 0.0, 19.5)
    never = Account()
    assert never.meet(split=2.0) == []
    assert np.isnan(never.last)


def test_actions_of_other_tickers_pass():
    account = Account(size=5, last=1.0)
    apply_actions(account, [CorporateAction(TODAY, "B", 2.0, 1.0)], {"A": "A"}, TODAY, fractional=False)
    assert (account.position.size, account.flows) == (5, [])


# -- properties -------------------------------------------------------------------------------------------------------

RATIOS = st.sampled_from([2.0, 1.5, 1.25, 4 / 3, 0.1, 0.05, 1 / 3, 1 / 7, 7.0, 20.0, 1.498936])


@given(
    size=st.integers(-100_000, 100_000).filter(bool),
    ratio=RATIOS,
    last=st.floats(0.01, 1e5),
    share=st.floats(0, 0.9),
    fractional=st.booleans(),
)
def test_value_is_the_same_before_and_after(size, ratio, last, share, fractional):
    account = Account(size=size, price=last, last=last, cash=12345.0)
    before = account.value
    flows = account.meet(split=ratio, dividend=share * last, fractional=fractional)
    assert account.value == pytest.approx(before, rel=1e-9, abs=1e-9 * abs(size) * last)
    assert account.cash == pytest.approx(12345.0 + sum(flow[1] for flow in flows), rel=1e-12)
    # the bits of the position are those of the sum, so that selling all of it leaves zero
    assert size + sum(flow[2] for flow in flows) == account.position.size
    if not fractional:
        assert account.position.size == int(account.position.size)
        assert abs(account.position.size) <= abs(size * ratio) * (1 + 1e-9)


@given(size=st.integers(1, 10**7), most=st.integers(1, 100), of=st.integers(1, 100))
def test_whole_shares_are_never_lost_to_rounding(size, most, of):
    ratio = most / of
    change, left = split_shares(size, ratio, fractional=False)
    exact, rest = divmod(size * most, of)
    assert size + change == exact
    assert left == pytest.approx(rest / of, abs=1e-8)
    assert (left == 0.0) == (rest == 0)


# -- orders -----------------------------------------------------------------------------------------------------------


def test_market_orders_are_carried_over():
    waiting = order(-30, price=12.0)
    before = waiting.created
    assert split_order(waiting, 1.5, fractional=False) is None
    assert (waiting.size, waiting.executed.remsize) == (-45, -45)
    assert (waiting.created.size, waiting.created.price, waiting.created.pclose) == (-45, 8.0, 8.0)
    assert before.price == 12.0  # copies that the strategy was given stay as they were


def test_only_what_is_left_of_an_order_is_scaled():
    waiting = order(100, filled=40)
    assert split_order(waiting, 2.0, fractional=False) is None
    assert (waiting.executed.size, waiting.executed.remsize, waiting.size) == (40, 120, 160)


@pytest.mark.parametrize("kind", [bt.Order.Limit, bt.Order.Stop, bt.Order.StopLimit, bt.Order.StopTrail])
@pytest.mark.parametrize(("ratio", "size"), [(2.0, 20), (1.5, 15), (0.1, 1)])
def test_orders_that_wait_for_a_price_are_adjusted(kind, ratio, size):
    waiting = order(10, kind, price=36.0, ref=7)
    waiting.created.pricelimit, waiting.created.trailamount = 30.0, 3.0
    waiting.trailamount, waiting._limitoffset = 3.0, 6.0
    account = Account(last=40.0, orders=[waiting])
    account.meet(split=ratio)
    assert account.ended == {}
    assert (waiting.size, waiting.executed.remsize) == (size, size)
    created = waiting.created
    assert (created.price, created.pricelimit, created.trailamount) == (36.0 / ratio, 30.0 / ratio, 3.0 / ratio)
    assert (waiting.trailamount, waiting._limitoffset) == (3.0 / ratio, 6.0 / ratio)
    account.meet(split=3.0)
    assert waiting.info["broker_split"] == pytest.approx(3.0 * ratio)


def test_orders_of_less_than_a_share_are_cancelled():
    account = Account(last=40.0, orders=[order(7), order(70, ref=2)])
    account.meet(split=0.1)
    assert account.ended == {1: "split of 0.1 for 1: less than a share is left of it"}
    assert account.orders[1].size == 7


def test_dividends_leave_orders_alone():
    account = Account(last=40.0, orders=[order(10, bt.Order.Limit), order(10, ref=2)])
    account.meet(dividend=1.0)
    assert account.ended == {}
    assert [waiting.size for waiting in account.orders] == [10, 10]


# -- which actions are due --------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(days=st.lists(st.integers(1, 40), max_size=30), seen=st.lists(st.integers(1, 40), unique=True, max_size=20))
def test_every_action_is_due_once(days, seen):
    actions = CorporateActions(CorporateAction(float(day), "A", 2.0, float(i)) for i, day in enumerate(days))
    before, due = float("-inf"), []
    for now in sorted(seen):
        due += actions.between(before, float(now))
        before = float(now)
    last = max(seen, default=0)
    assert [action.day for action in due] == sorted(float(day) for day in days if day <= last)
    assert len(set(due)) == len(due)


def test_closes_across_a_split_can_be_compared():
    actions = CorporateActions(
        [CorporateAction(3.0, "A", 2.0, 0.0), CorporateAction(5.0, "A", 1.0, 1.0), CorporateAction(4.0, "B", 9.0, 0.0)]
    )
    # 52 before the split is 26 after it; 25 less 1 is 24, and what was before shrinks by 24 / 25
    found = actions.comparable("A", [1.0, 2.0, 3.0, 4.0, 5.0], [50.0, 52.0, 26.0, 25.0, 24.0])
    assert found == pytest.approx([24.0, 24.96, 24.96, 24.0, 24.0])
    assert actions.comparable("A", [3.0, 4.0], [26.0, 25.0]) == [26.0, 25.0]
    assert actions.comparable("C", [3.0, 4.0], [26.0, 25.0]) == [26.0, 25.0]
    assert actions.comparable("A", [], []) == []
    # a halt over the ex-date
    assert actions.comparable("A", [2.0, 4.0], [52.0, 26.0]) == pytest.approx([26.0, 26.0])


def test_open_trades_follow_the_shares():
    made = bt.Trade(data=SimpleNamespace(datetime=[1.0]), size=15, price=30.0)
    made.isopen, made.commission = True, 1.0
    strategy = SimpleNamespace(_trades={"A": {0: [made]}}, _tradespending=[])
    account = Account(size=15, price=30.0, last=40.0)
    account.meet(split=1.5, strategies=[strategy])
    # half a share bought at 20 is sold at 26.67
    assert (made.size, made.price, made.value) == (22, 20.0, 440.0)
    assert made.pnl == pytest.approx(0.5 * (40 / 1.5 - 20))
    assert made.pnlcomm == pytest.approx(made.pnl - 1.0)
    assert strategy._tradespending == []


# -- whole runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw_prices(days):
    """Prices of one or more tickers from raw opens and closes, with the factors that their actions make."""

    def make(opens, closes, actions, **options):
        n = len(next(iter(closes.values())))
        dates = days(n).astype("datetime64[ns]")
        rows = [(dates[at], ticker, split, dividend) for at, ticker, split, dividend in actions]
        table = actions_frame(rows)
        frames = []
        for ticker, close in closes.items():
            close, open_ = np.asarray(close, float), np.asarray(opens[ticker], float)
            bar = ~np.isnan(close)
            factor = np.ones(n)
            kept = dates[bar].astype("datetime64[D]")
            factor[bar] = actions_factor(kept, np.zeros(bar.sum(), np.int32), close[bar], [ticker], table)
            columns = {
                "date": dates, "ticker": ticker, "open": open_ * factor, "high": np.maximum(open_, close) * factor,
                "low": np.minimum(open_, close) * factor, "close": close * factor, "volume": 1e6, "adj_factor": factor,
            }  # fmt: skip
            frames.append(pd.DataFrame(columns)[bar])
        frame = pd.concat(frames).set_index(["date", "ticker"]).sort_index()
        return rs.check_prices(frame, actions=table, **options)

    return make


class Plan(bt.Strategy):
    """Does what it is told on numbered sessions, and remembers what it is told."""

    params = (("plan", None),)

    def __init__(self):
        self.heard, self.trades, self.session, self.values = [], [], -1, []

    def prenext(self):
        self.next()

    def next(self):
        self.session += 1
        self.values.append(self.broker.getvalue())
        for act in self.p.plan.get(self.session, ()):
            act(self)

    def notify_order(self, order):
        if not order.alive():
            self.heard.append((order.getstatusname(), order.executed.size, order.info.get("broker_reason", "")))

    def notify_trade(self, trade):
        if trade.isclosed:
            self.trades.append((trade.pnl, trade.pnlcomm))


def run(prices, plan, **changes):
    """Trade raw prices by plan: the strategy and the checked result."""
    given = {"cash": 10_000.0, "commission": 0.0, "slippage": 0.0, "dividends": "cash"} | changes
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(rs.BrokerSettings(**given)))
    rs.add_prices(cerebro, prices, adjusted=False)
    cerebro.addstrategy(Plan, plan=plan)
    cerebro.addanalyzer(rs.AccountRecorder)
    strategy = cerebro.run()[0]
    return strategy, strategy.analyzers.accountrecorder.result()


def buy(size, **options):
    return lambda strategy: strategy.buy(size=size, **options)


def sell(size, **options):
    return lambda strategy: strategy.sell(size=size, **options)


def close(strategy):
    strategy.close()


def flows(result):
    return [tuple(row) for row in result.cash_flows.itertuples(index=False)]


def test_a_holding_goes_through_a_split(raw_prices):
    price = [50.0, 50.0, 52.0, 26.5, 27.0, 27.0]
    prices = raw_prices({"A": price}, {"A": price}, [(3, "A", 2.0, 0.0)])
    strategy, result = run(prices, {0: [buy(15)], 4: [close]})
    assert flows(result) == [("A", "split", 0.0, 15.0)]
    assert result.transactions["amount"].tolist() == [15.0, -30.0]
    # 15 at 50; worth 780, then 795; 30 sold at 27 for 810
    assert result.positions["A"].tolist() == pytest.approx([0.0, 750.0, 780.0, 795.0, 810.0, 0.0])
    assert result.positions["cash"].iloc[-1] == pytest.approx(10_000 + 60)
    assert strategy.trades == [(pytest.approx(60.0), pytest.approx(60.0))]


def test_dividends_are_paid_on_the_ex_date_to_holders_of_the_close_before(raw_prices):
    price = [50.0, 50.0, 49.0, 49.0, 49.0]
    prices = raw_prices({"A": price}, {"A": price}, [(2, "A", 1.0, 1.0), (3, "A", 1.0, 0.5)])
    # bought at the open of session 2: too late for the first, in time for the second
    _, late = run(prices, {1: [buy(10)]})
    assert flows(late) == [("A", "dividend", 5.0, 0.0)]
    _, short = run(prices, {0: [sell(10)]}, borrow_rate=0.0)
    assert flows(short) == [("A", "dividend", -10.0, 0.0), ("A", "dividend", -5.0, 0.0)]
    # 500 received, 15 paid, 490 owed
    assert short.positions["cash"].tolist() == pytest.approx([10_000.0, 10_500.0, 10_490.0, 10_485.0, 10_485.0])


def test_an_order_on_its_way_is_scaled(raw_prices):
    price = [50.0, 50.0, 25.0, 25.0]
    prices = raw_prices({"A": price}, {"A": price}, [(2, "A", 2.0, 0.0)])
    strategy, result = run(prices, {1: [buy(10)]})
    assert result.transactions[["amount", "price"]].to_numpy().tolist() == [[20.0, 25.0]]
    assert result.orders[["size", "filled", "status"]].to_numpy().tolist() == [[20.0, 20.0, "filled"]]
    assert strategy.heard == [("Completed", 20.0, "")]


def test_orders_that_wait_for_a_price_go_over_a_split(raw_prices):
    price = [50.0, 50.0, 50.0, 25.0, 25.0, 31.0, 31.0]
    prices = raw_prices({"A": price}, {"A": price}, [(3, "A", 2.0, 0.0)])
    limit = {"exectype": bt.Order.Limit, "price": 30.0}  # 15 in new shares: not reached by the new price

    def bracket(strategy):
        strategy.buy_bracket(size=10, exectype=bt.Order.Market, stopprice=40.0, limitprice=60.0)

    _, result = run(prices, {0: [buy(1, **limit), bracket], 2: [buy(2, **limit)]})
    assert result.orders["status"].tolist() == ["open", "filled", "cancelled", "filled", "open"]
    assert result.transactions[["amount", "price"]].to_numpy().tolist() == [[10.0, 50.0], [-20.0, 31.0]]
    assert result.orders["reason"].tolist()[2] == "another order of its bracket filled"
    assert result.warnings == ()


def test_orders_that_a_split_ends_are_listed_in_a_warning(raw_prices):
    price = [50.0, 50.0, 50.0, 500.0, 500.0]
    prices = raw_prices({"A": price}, {"A": price}, [(3, "A", 0.1, 0.0)])
    limit = {"exectype": bt.Order.Limit, "price": 30.0}
    _, result = run(prices, {0: [buy(5, **limit), buy(20, **limit)]})
    assert result.orders[["size", "status"]].to_numpy().tolist() == [[5.0, "cancelled"], [2.0, "open"]]
    assert result.warnings == (
        "1 waiting order was cancelled by a split: buy limit 5 A of 2015-01-02 (split of 0.1 for 1: less than a share "
        "is left of it).",
    )


@pytest.mark.parametrize("amount", [{"trailamount": 5.0}, {"trailpercent": 0.1}])
@pytest.mark.parametrize("ratio", [2.0, 0.5])
def test_trailing_stops_trail_on_in_new_shares(raw_prices, amount, ratio):
    # a split changes nothing of what is worth: the run without it, in old shares, shows when the stop is reached
    worth = [50.0, 50.0, 52.0, 54.0, 50.0, 48.0, 45.0]
    old = raw_prices({"A": worth}, {"A": worth}, [])
    after = [price if t < 3 else price / ratio for t, price in enumerate(worth)]
    new = raw_prices({"A": after}, {"A": after}, [(3, "A", ratio, 0.0)])
    stop = {"exectype": bt.Order.StopTrail, **amount}
    (_, without), (_, over) = (run(prices, {0: [buy(10)], 1: [sell(10, **stop)]}) for prices in (old, new))
    pd.testing.assert_series_equal(over.returns, without.returns, rtol=1e-12)
    assert len(over.transactions) == 2


def test_a_dividend_leaves_waiting_orders(raw_prices):
    price = [50.0, 50.0, 49.0, 48.0]
    prices = raw_prices({"A": price}, {"A": price}, [(2, "A", 1.0, 1.0)])
    _, result = run(prices, {0: [buy(10, exectype=bt.Order.Limit, price=48.5)]})
    assert result.orders["status"].tolist() == ["filled"]
    assert flows(result) == []


def test_a_halted_ticker_gets_what_it_is_due(raw_prices):
    nan = float("nan")
    price = {"A": [50.0, 50.0, nan, nan, 24.0], "B": [1.0] * 5}
    prices = raw_prices(price, price, [(2, "A", 2.0, 1.0)])
    _, result = run(prices, {0: [buy(10)]})
    assert flows(result) == [("A", "dividend", 10.0, 0.0), ("A", "split", 0.0, 10.0)]
    assert result.cash_flows.index[0] == result.returns.index[2]
    # until it trades again a share is worth (50 − 1) / 2
    assert result.positions["A"].tolist() == pytest.approx([0.0, 500.0, 490.0, 490.0, 480.0])
    assert result.returns.iloc[2] == pytest.approx(0.0, abs=1e-15)


def test_a_dead_name_is_cashed_out_at_its_price_in_new_shares(raw_prices):
    nan = float("nan")
    price = {"A": [50.0, 50.0, *[nan] * 8], "B": [1.0] * 10}
    prices = raw_prices(price, price, [(3, "A", 0.1, 0.0)])
    _, result = run(prices, {0: [buy(25)]}, delist_after_sessions=4)
    # 2.5 shares at 500: half of one in cash, two at the delisting
    assert flows(result) == [("A", "split", 0.0, -23.0), ("A", "cash in lieu", pytest.approx(250.0), 0.0)]
    assert result.transactions[["amount", "price"]].to_numpy().tolist() == [[25.0, 50.0], [-2.0, pytest.approx(500.0)]]
    assert result.positions["cash"].iloc[-1] == pytest.approx(10_000.0)


def test_a_holding_that_is_paid_out_leaves_an_account_that_trades_on(raw_prices):
    price = [50.0, 50.0, 500.0, 500.0, 510.0, 510.0]
    prices = raw_prices({"A": price}, {"A": price}, [(2, "A", 0.1, 0.0)])
    strategy, result = run(prices, {0: [buy(5)], 2: [buy(3)], 4: [close]})
    assert result.positions["A"].tolist() == pytest.approx([0.0, 250.0, 0.0, 1500.0, 1530.0, 0.0])
    assert [pnl for pnl, _ in strategy.trades] == pytest.approx([0.0, 30.0])


def test_without_actions_raw_prices_are_refused(random_prices):
    with pytest.raises(InputError, match=r"whose splits and dividends are known; found none"):
        run(random_prices(1, 10), {})


def test_a_broker_that_knows_no_splits_is_refused(raw_prices):
    price = [50.0, 50.0, 25.0, 25.0]
    prices = raw_prices({"A": price}, {"A": price}, [(2, "A", 2.0, 0.0)])
    cerebro = bt.Cerebro(stdstats=False)
    rs.add_prices(cerebro, prices, adjusted=False)
    cerebro.addstrategy(Plan, plan={})
    with pytest.raises(InputError, match="found BackBroker"):
        cerebro.run()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    splits=st.lists(
        st.tuples(st.integers(2, 59), st.sampled_from("AB"), RATIOS), max_size=4, unique_by=lambda split: split[:2]
    ),
)
def test_with_splits_alone_raw_and_adjusted_accounts_are_the_same(raw_prices, seed, splits):
    rng = np.random.default_rng(seed)
    names, ratio = "ABC", np.ones((60, 3))
    for at, name, split in splits:
        ratio[at:, names.index(name)] *= split
    worth = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (60, 3)), axis=0))
    opens = worth * np.exp(rng.normal(0, 0.005, (60, 3))) / ratio
    closes = dict(zip(names, (worth / ratio).T, strict=True))
    prices = raw_prices(
        dict(zip(names, opens.T, strict=True)), closes, [(at, name, split, 0.0) for at, name, split in splits]
    )
    dates = prices.panel().dates[::5]
    index = pd.MultiIndex.from_product([pd.DatetimeIndex(dates.astype("datetime64[ns]")), list(names)])
    scores = pd.DataFrame({"score": rng.normal(size=len(index))}, index=index.set_names(["date", "ticker"]))
    found = {}
    for dividends in ("adjusted", "cash"):
        costs = rs.BrokerSettings(
            cash=1e5, commission=0.001, slippage=0.0005, fractional=True, borrow_rate=0.02, dividends=dividends,
            commission_per_share=0.005, min_commission=1.0, half_spread=0.0005, volatility_slippage_coef=0.1,
            max_participation_rate=0.0005, cash_interest_rate=0.01,
        )  # fmt: skip
        found[dividends] = rs.run_backtest(prices, scores, allocation=rs.LongShortQuantile(0.34), broker=costs)
    raw, adjusted = found["cash"], found["adjusted"]
    np.testing.assert_allclose(raw.returns, adjusted.returns, rtol=0, atol=1e-11)
    np.testing.assert_allclose(raw.positions, adjusted.positions, rtol=1e-9, atol=1e-6)
    assert raw.orders["status"].tolist() == adjusted.orders["status"].tolist()


KINDS = st.sampled_from(["market", "limit", "stop", "bracket", "close", "reverse"])
ORDERS = st.lists(st.tuples(st.integers(0, 28), st.sampled_from("AB"), KINDS, st.integers(1, 400)), max_size=25)
ACTIONS = st.lists(
    st.tuples(st.integers(1, 29), st.sampled_from("AB"), RATIOS, st.sampled_from([0.0, 0.01, 0.2])),
    max_size=5,
    unique_by=lambda action: action[:2],
)


def does(name, kind, size):
    """Order of one kind, its size negative for sales; `tradeid` keeps some of them in trades of their own."""

    def act(strategy):
        data = strategy.getdatabyname(name)
        price = data.close[0]
        if price != price:
            return
        place = strategy.buy if size % 2 else strategy.sell
        if kind == "market":
            place(data, size=size, tradeid=size % 3)
        elif kind == "limit":
            place(data, size=size, exectype=bt.Order.Limit, price=price * 0.99)
        elif kind == "stop":
            place(data, size=size, exectype=bt.Order.Stop, price=price * 1.01)
        elif kind == "bracket":
            strategy.buy_bracket(data, size=size, price=price, stopprice=price * 0.95, limitprice=price * 1.05)
        elif kind == "close":
            strategy.close(data)
        else:
            held = strategy.getposition(data).size
            strategy.order_target_size(data, target=-held)

    return act


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), orders=ORDERS, actions=ACTIONS, gaps=st.floats(0, 0.3), fractional=st.booleans())
def test_books_balance_whatever_is_ordered_across_actions(raw_prices, seed, orders, actions, gaps, fractional):
    rng = np.random.default_rng(seed)
    worth, ratio, prices = 50.0, {"A": 1.0, "B": 1.0}, {"A": [], "B": []}
    due = {(at, name): (split, share) for at, name, split, share in actions}
    steps = np.exp(rng.normal(0, 0.03, (30, 2)))
    table, last = [], {"A": worth, "B": worth}
    for at in range(30):
        for j, name in enumerate("AB"):
            split, share = due.get((at, name), (1.0, 0.0))
            table.append((at, name, split, share * last[name]))
            last[name] = last[name] * (1 - share) / split * steps[at, j]
            ratio[name] *= split
            prices[name].append(last[name])
    closes = {name: np.where(rng.random(30) < gaps, np.nan, values) for name, values in prices.items()}
    for values in closes.values():
        values[0] = 50.0  # both are there when the run begins
    opens = {name: values * np.exp(rng.normal(0, 0.01, 30)) for name, values in closes.items()}
    market = raw_prices(opens, closes, [row for row in table if row[2:] != (1.0, 0.0)])
    plan = defaultdict(list)
    for at, name, kind, size in orders:
        plan[at].append(does(name, kind, size))
    costs = {
        "commission": 0.001,
        "slippage": 0.001,
        "borrow_rate": 0.05,
        "cash_interest_rate": 0.02,
        "delist_after_sessions": 4,
    }
    strategy, result = run(market, plan, cash=1e5, fractional=fractional, maintenance_margin=0.0, **costs)
    # `result` has held the cash of every session to fills and flows; trades and shares belong together too
    for data in strategy.datas:
        size = strategy.getposition(data).size
        trades = [trade for of_id in strategy._trades[data].values() for trade in of_id if trade.isopen]
        assert sum(trade.size for trade in trades) == pytest.approx(size, rel=1e-9, abs=1e-9)
        assert fractional or size == int(size)
    for _, sizes in result.transactions.groupby("symbol")["amount"]:
        assert fractional or (sizes == sizes.astype(int)).all()
