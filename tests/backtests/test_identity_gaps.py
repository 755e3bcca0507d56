"""Listings, missing bars, halts, deaths, two calendars: a plain strategy sees on our feeds what it sees on stock's.

With `compat=True` the same strategy class gives the same bits. The default is held against a reference on stock that
does by hand what the rules of the broker do.
"""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from careful import held_against_the_reference
from diary import assert_same, lived, our_broker, our_feeds, pandas_feeds, statuses, stock_broker
from markets import Event, build, random_flow, set_account
from reference_strategies import flow

import rnn_strategies as rs
from signals.calendar import sessions

ACCOUNT = {"cash": 2e5, "commission": 0.001, "slippage": ("perc", 0.002, {})}

WORLDS = {
    "listings": [Event(1, 20, "listed"), Event(2, 45, "listed"), Event(3, 46, "listed")],
    "one missing bar": [Event(1, 30, "missing"), Event(3, 31, "missing")],
    "halts": [Event(1, 20, "missing", 9), Event(2, 40, "missing", 20), Event(1, 60, "missing", 3)],
    "deaths": [Event(1, 30, "dead"), Event(3, 55, "dead")],
    "everybody missing": [Event(j, 33, "missing", 4) for j in range(4)],
    "first feed listed late and dead early": [Event(0, 15, "listed"), Event(0, 50, "dead")],
    "nobody to the end": [Event(j, 60 + 3 * j, "dead") for j in range(4)],
    "all at once": [
        Event(0, 12, "listed"),
        Event(0, 40, "missing", 5),
        Event(1, 10, "missing", 2),
        Event(1, 60, "dead"),
        Event(2, 44, "missing", 8),
        Event(3, 30, "listed"),
        Event(3, 50, "jump", 4),
    ],
}


def world(name, *, seed=1, n_sessions=80):
    return build(4, n_sessions, seed=seed, events=WORLDS[name])


def both(ours, theirs, strategy, *, least=60, **options):
    account = set_account(**ACCOUNT)
    expected, _ = lived(theirs, stock_broker(), strategy, account=account, **options)
    found, _ = lived(ours, our_broker(), strategy, account=account, **options)
    assert_same(found, expected)
    assert sum(event[0] == "order" for event in expected) >= least
    return expected


@pytest.mark.parametrize("touch", [True, False], ids=["all looked at", "orders only"])
@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
@pytest.mark.parametrize("name", WORLDS)
def test_any_orders(name, runonce, touch):
    prices = world(name)
    todo = random_flow(2, 80, 4, per_session=2.0)
    both(our_feeds(prices), pandas_feeds(prices), flow(todo), runonce=runonce, touch=touch)


class Patient(bt.Strategy):
    """Waits for all feeds and their averages, as strategies do that do not know of `prenext`."""

    def __init__(self):
        self.averages = [bt.ind.SMA(data, period=5) for data in self.datas]

    def next(self):
        for data, average in zip(self.datas, self.averages, strict=True):
            self.order_target_percent(data, 0.2 if data.close[0] > average[0] else 0.0)


class Watchful(bt.Strategy):
    """Trades what has a bar today, and reads a few bars back."""

    def __init__(self):
        self.seen = []

    def prenext(self):
        self.next()

    def next(self):
        today = self.datetime[0]
        for data in self.datas:
            if len(data) and data.datetime[0] == today:
                back = data.close[-3] if len(data) > 3 else data.close[0]
                self.seen.append((today, data._name, len(data), data.open[0], back, tuple(data.close.get(size=3))))
                self.order_target_percent(data, 0.2 if data.close[0] > back else -0.05)
            else:
                self.seen.append((today, data._name, len(data)))


@pytest.mark.parametrize("kind", [Patient, Watchful])
@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
@pytest.mark.parametrize("name", WORLDS)
def test_two_plain_strategies(name, runonce, kind):
    prices = world(name)

    def strategy(cerebro):
        cerebro.addstrategy(kind)

    both(our_feeds(prices), pandas_feeds(prices), strategy, runonce=runonce, least=10)


@pytest.mark.parametrize("name", WORLDS)
def test_what_a_strategy_reads(name):
    """Lengths, bars and slices of every feed on every session."""
    prices = world(name)
    seen = []
    for feeds, broker in ((our_feeds, our_broker), (pandas_feeds, stock_broker)):
        _, ran = lived(feeds(prices), broker(), lambda cerebro: cerebro.addstrategy(Watchful))
        seen.append(ran.seen)
    assert seen[0] == seen[1]
    assert len(seen[0]) >= 200


def test_two_calendars():
    """Two `add_prices` in one Cerebro, New York and London: each has sessions of its own."""
    new_york = build(3, 60, seed=3, events=[Event(1, 20, "missing", 6)])
    days = sessions("2015-01-02", "2015-12-31", calendar="XLON")[:60]
    frame = build(2, 60, seed=4, events=[Event(1, 40, "dead")]).frame.reset_index()
    row = np.unique(frame["date"].to_numpy(), return_inverse=True)[1]
    frame = frame.assign(date=days.astype("datetime64[ns]")[row], ticker="L" + frame["ticker"].astype(str))
    london = rs.check_prices(frame.set_index(["date", "ticker"]).sort_index(), calendar="XLON")

    def ours(cerebro):
        rs.add_prices(cerebro, new_york)
        rs.add_prices(cerebro, london)

    def theirs(cerebro):
        pandas_feeds(new_york)(cerebro)
        pandas_feeds(london)(cerebro)

    todo = random_flow(5, 62, 5, per_session=2.0)
    for runonce in (True, False):
        events = both(ours, theirs, flow(todo), runonce=runonce)
    closes = sum(event[0] == "close" for event in events)
    assert closes > 60  # the union of both calendars


@pytest.mark.parametrize("name", WORLDS)
def test_signal_strategy_on_both(name):
    prices = world(name)
    signals = scored(prices)

    def strategy(cerebro):
        cerebro.addstrategy(
            rs.SignalStrategy, allocation=rs.LongShortQuantile(0.3, on_missing_score="hold"), signals=signals
        )

    both(our_feeds(prices), pandas_feeds(prices), strategy)


# -- the default, against a reference that applies the rules by hand -------------------------------------------------


def scored(prices, *, every=3, seed=1, share=1.0):
    rng = np.random.default_rng(seed)
    days = np.unique(prices.frame.index.get_level_values("date"))[2::every]
    index = prices.frame.index[prices.frame.index.get_level_values("date").isin(days)]
    frame = pd.DataFrame({"score": rng.normal(size=len(index))}, index=index)
    return frame[rng.random(len(frame)) < share]


def rough(n, length, *, seed=0, tick=0.01):
    """Ticker A trades every day; of the others some come late, some die, many miss bars."""
    rng = np.random.default_rng(seed)
    events = []
    for j in range(1, n):
        if rng.random() < 0.3:
            events.append(Event(j, int(rng.integers(1, length // 2)), "listed"))
        if rng.random() < 0.4:
            events.append(Event(j, int(rng.integers(length // 4, length)), "dead"))
        for _ in range(rng.poisson(length / 40)):
            events.append(Event(j, int(rng.integers(length)), "missing", int(rng.integers(1, 8))))
    return build(n, length, seed=seed, events=events, tick=tick)


LIVES = {
    "top": (rs.TopK(4, min_score=-np.inf), {"k": 4}),
    "top, crowded": (rs.TopK(4, min_score=-np.inf), {"k": 4, "gross": 1.0}),
    "both ends": (rs.LongShortQuantile(0.2), {"kind": "both ends"}),
    "threshold": (rs.Threshold(0.5, short=-0.5), {"kind": "threshold"}),
}


@pytest.mark.parametrize("runonce", [True, False], ids=["vectorised", "bar by bar"])
@pytest.mark.parametrize("life", LIVES)
@pytest.mark.parametrize("haircut", [0.0, 0.3])
def test_the_default_is_a_careful_strategy_on_stock(life, runonce, haircut):
    prices = rough(14, 160, seed=11)
    allocation, params = LIVES[life]
    result = held_against_the_reference(
        prices, scored(prices, share=0.95), allocation, dict(params), haircut=haircut, runonce=runonce
    )
    counts = result.orders["status"].value_counts()
    assert counts["liquidated"] >= 2
    assert counts["expired"] >= 5
    assert counts["filled"] > 150


@pytest.mark.parametrize("delist_after", [1, 3, 10])
def test_however_patient_with_the_dead(delist_after):
    prices = rough(10, 140, seed=12)
    allocation, params = LIVES["top"]
    held_against_the_reference(prices, scored(prices), allocation, dict(params), delist_after=delist_after)


def test_statuses_are_compared_at_all():
    """The reference leaves orders of every kind, so that the comparison above has something to compare."""
    prices = world("all at once")
    events, _ = lived(pandas_feeds(prices), stock_broker(), flow(random_flow(2, 80, 4, per_session=2.0)))
    assert set(statuses(events)) >= {"Completed", "Canceled", "Expired", "Margin"}
