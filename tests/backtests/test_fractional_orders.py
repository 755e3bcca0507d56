"""Fractions of a share through `order_target_*` and sizers, and the remainders that their arithmetic leaves."""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pytest
from diary import our_feeds, pandas_feeds

import rnn_strategies as rs
from backtests.common.share_tolerances import SHARE_TOLERANCE
from reports.metrics.round_trips import open_trips, round_trips
from reports.metrics.trading import exposure_table

CASH = 10_000.0
FEEDS = {"ours": our_feeds, "backtrader's": pandas_feeds}


def broker(*, scheme="plain", **changes):
    terms = {"cash": CASH, "commission": 0.0, "slippage": 0.0, "borrow_rate": 0.0, "fractional": True} | changes
    if scheme == "per share":
        terms["commission_per_share"] = 1e-6
    made = rs.Broker(rs.BrokerSettings(**terms))
    if scheme == "set in the script":
        made.setcommission(commission=0.0)
    return made


class Targets(bt.Strategy):
    """Calls an `order_target_…` with one target after the other, one on each session."""

    params = (("how", ""), ("targets", ()))

    def __init__(self):
        self.held, self.given = [], []

    def next(self):
        self.held.append(self.position.size)
        if len(self) <= len(self.p.targets):
            self.given.append(getattr(self, f"order_target_{self.p.how}")(target=self.p.targets[len(self) - 1]))


def lived(prices, account, strategy, *, feeds="ours", sizer=None, **options):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(account)
    FEEDS[feeds](prices)(cerebro)
    if sizer is not None:
        cerebro.addsizer(sizer[0], **sizer[1])
    cerebro.addstrategy(strategy, **options)
    cerebro.addanalyzer(rs.AccountRecorder)
    done = cerebro.run()[0]
    return done, done.analyzers.accountrecorder.result()


PATHS = {
    "up": [0.3, 0.5, 0.7],
    "down": [0.7, 0.3, 0.1],
    "short": [-0.2, -0.5, -0.1],
    "through zero": [0.4, -0.4, 0.2],
    "out and in": [0.4, 0.0, 0.25],
}


@pytest.mark.parametrize("feeds", FEEDS)
@pytest.mark.parametrize("price", [50_000.0, 3_000.0, 0.37])
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", ["percent", "value", "size"])
def test_targets_are_met_to_the_last_digits(how, path, price, feeds, make_prices):
    targets = {
        "percent": PATHS[path],
        "value": [CASH * part for part in PATHS[path]],
        "size": [CASH * part / price for part in PATHS[path]],
    }[how]
    prices = make_prices({"A": [price] * 6})
    strategy, result = lived(prices, broker(), Targets, feeds=feeds, how=how, targets=targets)
    assert strategy.held[1:4] == pytest.approx([CASH * part / price for part in PATHS[path]], rel=1e-12, abs=0.0)
    assert set(result.orders["status"]) == {"filled"}
    assert result.warnings == ()


@pytest.mark.parametrize("scheme", ["plain", "per share", "set in the script"])
@pytest.mark.parametrize("how", ["percent", "value"])
def test_whatever_the_commission_scheme(how, scheme, make_prices):
    targets = [0.5, 0.2] if how == "percent" else [0.5 * CASH, 0.2 * CASH]
    strategy, _ = lived(make_prices({"A": [7_000.0] * 5}), broker(scheme=scheme), Targets, how=how, targets=targets)
    assert strategy.held[1:3] == pytest.approx([5_000 / 7_000, 2_000 / 7_000], rel=1e-6)


@pytest.mark.parametrize("how", ["percent", "value"])
def test_whole_shares_stay_whole_and_lose_none_to_rounding(how, make_prices):
    targets = [0.29, 0.58, -0.29] if how == "percent" else [2_900.0, 5_800.0, -2_900.0]
    strategy, _ = lived(make_prices({"A": [0.1] * 5}), broker(fractional=False), Targets, how=how, targets=targets)
    assert strategy.held[1:4] == [29_000.0, 58_000.0, -29_000.0]


def test_targets_follow_prices(make_prices):
    rng = np.random.default_rng(2)
    closes = 900.0 * np.exp(np.cumsum(rng.normal(0, 0.03, 40)))
    # orders fill at the close that they were sized at
    prices = make_prices({"A": [closes[0], *closes[:-1]]}, {"A": closes})
    targets = rng.uniform(0.05, 0.9, 38).tolist()
    strategy, _ = lived(prices, broker(), Targets, how="percent", targets=targets)
    value, shares, cash = CASH, 0.0, CASH
    for t, target in enumerate(targets):
        value = cash + shares * closes[t]
        wanted = target * value / closes[t]
        cash -= (wanted - shares) * closes[t]
        shares = wanted
        assert strategy.held[t + 1] == pytest.approx(wanted, rel=1e-9)


class BuyOnce(bt.Strategy):
    """Buys without saying how much."""

    def __init__(self):
        self.held = []

    def next(self):
        self.held.append(self.position.size)
        if len(self) in (1, 3):
            (self.buy if len(self) == 1 else self.sell)()


SIZERS = {
    "ours": ((rs.EqualWeightSizer, {"cash_buffer": 0.0}), CASH / 700.0, 0.0),
    "ours, by the broker": ((rs.EqualWeightSizer, {"n_positions": 4}), 0.98 * CASH / 4 / 700.0, 0.0),
    "ours, whole": ((rs.EqualWeightSizer, {"n_positions": 4, "fractional": False}), 3.0, 0.0),
    "percent": ((bt.sizers.PercentSizer, {"percents": 10}), 0.1 * CASH / 700.0, 0.0),
    "percent, whole": ((bt.sizers.PercentSizerInt, {"percents": 10}), 1.0, 0.0),
    "all in": ((bt.sizers.AllInSizer, {}), CASH / 700.0, 0.0),
    "fixed": ((bt.sizers.FixedSize, {"stake": 0.37}), 0.37, 0.0),
    "reverser": ((bt.sizers.FixedReverser, {"stake": 0.37}), 0.37, -0.37),
}


@pytest.mark.parametrize("feeds", FEEDS)
@pytest.mark.parametrize("name", SIZERS)
def test_sizers_reach_the_account(name, feeds, make_prices):
    sizer, bought, left = SIZERS[name]
    strategy, result = lived(make_prices({"A": [700.0] * 7}), broker(), BuyOnce, feeds=feeds, sizer=sizer)
    assert strategy.held[1:3] == pytest.approx([bought] * 2, rel=1e-12)
    assert strategy.held[-1] == pytest.approx(left, abs=1e-15)
    assert set(result.orders["status"]) == {"filled"}


# -- remainders ------------------------------------------------------------------------------------------------------


def parts_of(total, n, rng):
    """Parts of a number of shares whose floating-point sum is hardly ever the number itself."""
    cuts = np.sort(rng.uniform(0, total, n - 1))
    return np.diff([0.0, *cuts, total]).tolist()


class Rounds(bt.Strategy):
    """Buys in parts, sells in other parts, and begins again only when nothing is held."""

    params = (("rounds", ()), ("sign", 1))

    def __init__(self):
        self.begun, self.queue, self.blocked = 0, [], 0

    def next(self):
        if self.queue:
            size = self.queue.pop(0) * self.p.sign
            (self.buy if size > 0 else self.sell)(size=abs(size))
        elif not self.position and self.begun < len(self.p.rounds):
            buys, sells = self.p.rounds[self.begun]
            self.begun += 1
            self.queue = [*buys, *(-part for part in sells)]
        elif self.position:
            self.blocked += 1


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("feeds", FEEDS)
def test_remainders_block_nothing_cost_nothing_and_are_no_holdings(feeds, sign, make_prices):
    rng = np.random.default_rng(5)
    totals = [0.3, 1.7, 12.345, 0.001, 9.9]
    rounds = [([*parts_of(total, 3, rng)], [*parts_of(total, 4, rng)]) for total in totals]
    rounds[0] = ([0.1, 0.2], [0.3])
    account = broker(min_commission=1.0)
    prices = make_prices({"A": [10.0] * 60, "B": [5.0] * 60})
    strategy, result = lived(prices, account, Rounds, feeds=feeds, rounds=rounds, sign=sign)
    given = sum(len(buys) + len(sells) for buys, sells in rounds)
    assert strategy.begun == len(rounds)
    # the session after the last sale sees it filled: a remainder would stay until the end of the run
    assert strategy.blocked <= len(rounds)
    assert strategy.position.size == 0.0
    assert result.orders["status"].tolist() == ["filled"] * given
    assert result.transactions["commission"].tolist() == [1.0] * given
    assert result.positions["A"].iloc[-1] == 0.0
    assert exposure_table(result.positions)["holdings"].iloc[-1] == 0
    assert open_trips(result.transactions, result.cash_flows, result.positions).empty
    trips = round_trips(result.transactions, result.cash_flows)
    assert trips["shares"].sum() == pytest.approx(sum(totals), rel=1e-9)
    assert trips["commission"].sum() == pytest.approx(given)
    assert result.positions["cash"].iloc[-1] == pytest.approx(CASH - given, rel=1e-12)


@pytest.mark.parametrize("how", ["percent", "value", "size"])
def test_a_target_that_is_met_is_not_ordered_again(how, make_prices):
    """The same target every day at the same price; what rounding leaves of it is no order and no commission."""
    target = {"percent": 1 / 3, "value": CASH / 3, "size": CASH / 3 / 7.0}[how]
    account = broker(min_commission=1.0 if how != "percent" else 0.0)
    strategy, result = lived(make_prices({"A": [7.0] * 30}), account, Targets, how=how, targets=[target] * 25)
    assert len(result.orders) == 1
    assert [order for order in strategy.given if order is not None] == strategy.given[:1]


def test_a_portfolio_on_its_targets_trades_nothing(make_prices, scores, days):
    d = days(30)
    prices = make_prices(
        {name: [price] * 30 for name, price in zip("ABCDEFG", (3.0, 7.0, 11.3, 0.7, 90.1, 5.0, 13.0), strict=True)}
    )
    rows = scores({(day, name): 1.0 for day in d[:25] for name in "ABCDEFG"})
    settings = rs.BrokerSettings(cash=1e6, commission=0.0, slippage=0.0, fractional=True)
    result = rs.run_backtest(prices, rows, allocation=rs.EqualWeight(), broker=settings)
    assert len(result.orders) == 7


@pytest.mark.parametrize("feeds", FEEDS)
def test_a_rest_that_the_volume_leaves_by_rounding_is_filled(feeds, make_prices):
    """A tenth of a volume of 3 is 0.30000000000000004 shares, or a little less."""
    prices = make_prices({"A": [10.0] * 8}, volume=3.0)

    class Waits(bt.Strategy):
        def next(self):
            if len(self) == 1:
                self.buy(size=0.1 + 0.2 + 0.3, exectype=bt.Order.Limit, price=11.0)

    strategy, result = lived(prices, broker(max_participation_rate=0.1, min_commission=1.0), Waits, feeds=feeds)
    assert result.orders["status"].tolist() == ["filled"]
    assert len(result.transactions) == 2
    assert strategy.position.size == pytest.approx(0.6)


def test_the_recorder_beside_backtraders_broker_counts_no_remainders(make_prices):
    """backtrader's broker keeps 5.6e-17 shares to the end; the result has no position, holding or open trip."""

    class Thirds(bt.Strategy):
        def next(self):
            for session, size in ((1, 0.1), (2, 0.2), (3, -0.3)):
                if len(self) == session:
                    (self.buy if size > 0 else self.sell)(size=abs(size))

    strategy, result = lived(make_prices({"A": [10.0] * 8}), bt.brokers.BackBroker(cash=CASH), Thirds)
    assert 0.0 < strategy.position.size < SHARE_TOLERANCE
    assert (result.positions["A"].iloc[4:] == 0.0).all()
    assert exposure_table(result.positions)["holdings"].iloc[-1] == 0
    assert open_trips(result.transactions, result.cash_flows, result.positions).empty
    assert (result.gains()["open_value"] == 0.0).all()


def test_what_is_above_the_tolerance_is_a_position(make_prices):
    """A small order is an order: a millionth of a share is bought, held, counted and sold."""
    strategy, result = lived(
        make_prices({"A": [5_000.0] * 6}), broker(), Targets, how="size", targets=[0.5, 0.500001, 0.000001, 0.0]
    )
    assert strategy.held[1:5] == pytest.approx([0.5, 0.500001, 0.000001, 0.0], rel=1e-9)
    assert len(result.transactions) == 4
    assert (exposure_table(result.positions)["holdings"].tolist())[1:5] == [1, 1, 1, 0]
