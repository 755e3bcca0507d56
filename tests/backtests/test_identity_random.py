"""Markets and streams of orders that nobody thought of: `Broker(compat=True)` on our feeds is stock on PandasData.

Hypothesis draws them and takes away what is not needed to fail. The quick suite tries some, `make slow` thousands.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from careful import held_against_the_reference
from diary import assert_same, lived, our_broker, our_feeds, pandas_feeds, stock_broker
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from markets import QUIET_KINDS, accounts, flows, markets, set_account
from reference_strategies import Reference, flow, table_of

import rnn_strategies as rs
from backtests.common.broker_rules import RULES

QUICK = settings(max_examples=60, deadline=None, print_blob=True)
LONG = settings(max_examples=3000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])

modes = st.fixed_dictionaries(
    {
        "runonce": st.booleans(),
        "touch": st.booleans(),
        "cerebro_options": st.sampled_from(
            [{}, {}, {"quicknotify": True}, {"cheat_on_open": True}, {"tradehistory": True}, {"stdstats": True}]
        ),
    }
)
sides = st.sampled_from(["both", "both", "both", "our feeds", "our broker"])


@st.composite
def runs(draw):
    """A market, what is done in it, and how."""
    market = draw(markets())
    length = int(market.frame.index.get_level_values("date").nunique())
    return market, draw(flows(length)), draw(accounts()), draw(modes), draw(sides)


def same(run):
    market, todo, account, mode, side = run
    note(str(market.frame))
    setup = set_account(**account)
    theirs, _ = lived(pandas_feeds(market), stock_broker(), flow(todo), account=setup, **mode)
    whole = all(market.panel().traded.all(axis=0))
    # around the broker of stock our feeds show nothing before their first bar, and sessions of nobody
    feeds = pandas_feeds if side == "our broker" else our_feeds
    broker = stock_broker if side == "our feeds" and whole else our_broker
    ours, _ = lived(feeds(market), broker(), flow(todo), account=setup, **mode)
    assert_same(ours, theirs)


@QUICK
@given(runs())
def test_any_orders_on_any_market(run):
    same(run)


@pytest.mark.slow
@LONG
@given(runs())
def test_any_orders_on_any_market_at_length(run):
    same(run)


# rules that have nothing to say where every ticker has every bar, nobody pays in or asks what several feeds are worth,
# no scheme charges interest and no volume is short; `keep_last_price_over_nan_bars` adds worths up in the order of the
# feeds, which shows in the last bits where positions are first looked at in another
SILENT = set(RULES) - {
    "keep_last_price_over_nan_bars",
    "never_refuse_reductions",
    "ignore_refused_orders_in_cash_check",
    "initial_margin",
    "close_ruined_account",
    "uncapped_slippage",
}


@st.composite
def uneventful(draw):
    """A run on which no rule of `SILENT` has a say."""
    market = draw(markets(gaps=False))
    length = int(market.frame.index.get_level_values("date").nunique())
    account = draw(accounts()) | {"filler": None, "interest": None}
    account["special"] = None if account["special"] == "lent" else account["special"]
    account["slippage"] = None  # it is capped, or not, or orders do not fill on their day
    todo = draw(flows(length, kinds=QUIET_KINDS))
    return market, todo, account, draw(modes)


def closed_is_open(run):
    market, todo, account, mode = run
    note(str(market.frame))
    theirs, _ = lived(pandas_feeds(market), stock_broker(), flow(todo), account=set_account(**account), **mode)
    settings = rs.BrokerSettings(cash=account["cash"], commission=account["commission"], slippage=0.0, borrow_rate=0.0)
    broker = rs.Broker(settings, compat=set(RULES) - SILENT)
    setup = set_account(**account, **{"in settings": True})
    ours, _ = lived(our_feeds(market), broker, flow(todo), account=setup, **mode)
    assert_same(ours, theirs)


@QUICK
@given(uneventful())
def test_closed_traps_change_nothing_where_there_are_none(run):
    closed_is_open(run)


@pytest.mark.slow
@LONG
@given(uneventful())
def test_closed_traps_change_nothing_where_there_are_none_at_length(run):
    closed_is_open(run)


rotations = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["top", "both ends", "threshold"]),
        "k": st.integers(1, 4),
        "quantile": st.sampled_from([0.2, 0.34, 0.5]),
        "gross": st.sampled_from([0.5, 0.98, 1.0, 2.0]),
        "first": st.sampled_from(["reductions", "feeds", "purchases"]),
    }
)


@st.composite
def rotating(draw):
    """A market, scores with holes in it, and a rotation."""
    market = draw(markets())
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    index = market.frame.index
    rows = rng.random(len(index)) < draw(st.sampled_from([0.2, 0.6, 1.0]))
    # few values, so that many are equal
    signals = pd.DataFrame({"score": rng.integers(-3, 4, len(index)) / 2.0}, index=index)[rows]
    return market, signals, draw(rotations), draw(accounts()), draw(modes)


def same_rotation(run):
    market, signals, params, account, mode = run
    note(str(market.frame))

    def strategy(cerebro):
        cerebro.addstrategy(Reference, table=table_of(signals), guard=False, **params)

    setup = set_account(**account)
    theirs, _ = lived(pandas_feeds(market), stock_broker(), strategy, account=setup, **mode)
    ours, _ = lived(our_feeds(market), our_broker(), strategy, account=setup, **mode)
    assert_same(ours, theirs)


@QUICK
@given(rotating())
def test_any_rotation_on_any_market(run):
    same_rotation(run)


@pytest.mark.slow
@LONG
@given(rotating())
def test_any_rotation_on_any_market_at_length(run):
    same_rotation(run)


allocations = st.sampled_from(
    [
        rs.TopK(2, min_score=-np.inf),
        rs.TopK(3, on_missing_score="hold", max_turnover=0.4),
        rs.LongShortQuantile(0.34, gross=2.0),
        rs.Threshold(0.4, short=-0.4, max_weight=0.3),
        rs.ScoreWeighted(long_only=False),
        rs.EqualWeight(),
    ]
)


@QUICK
@given(rotating(), allocations)
def test_any_allocation_on_any_market(run, allocation):
    """The strategy of this project on both sides; only in markets where stock can be asked for a value at all."""
    market, signals, _, account, mode = run
    if not len(signals):
        return

    def strategy(cerebro):
        cerebro.addstrategy(rs.SignalStrategy, allocation=allocation, signals=signals)

    setup = set_account(**account)
    known = list(dict.fromkeys(signals.index.get_level_values("ticker")))
    theirs, _ = lived(pandas_feeds(market, sorted(known)), stock_broker(), strategy, account=setup, **mode)
    ours, _ = lived(our_feeds(market, known), our_broker(), strategy, account=setup, **mode)
    assert_same(ours, theirs)


@st.composite
def careful(draw):
    """A market with gaps, scores that are never equal, an allocation and the parameters that mean the same."""
    market = draw(markets(most_tickers=6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    index = market.frame.index
    rows = rng.random(len(index)) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    rows[rng.integers(len(index))] = True
    signals = pd.DataFrame({"score": rng.normal(size=len(index))}, index=index)[rows]
    k, quantile = draw(st.integers(1, 4)), draw(st.sampled_from([0.2, 0.34, 0.5]))
    life = draw(
        st.sampled_from(
            [
                (rs.TopK(k, min_score=-np.inf), {"k": k}),
                (rs.LongShortQuantile(quantile), {"kind": "both ends", "quantile": quantile}),
                (rs.Threshold(0.4, short=-0.2), {"kind": "threshold", "long": 0.4, "short": -0.2}),
            ]
        )
    )
    params = life[1] | {"gross": draw(st.sampled_from([0.5, 0.98, 1.0]))}
    rules = {"delist_after": draw(st.integers(1, 6)), "haircut": draw(st.sampled_from([0.0, 0.3, 1.0]))}
    return market, signals, life[0], params, rules | {"runonce": draw(st.booleans())}


def careful_is_the_default(run):
    market, signals, allocation, params, rules = run
    note(str(market.frame))
    # what the reference has no hand for
    compat = {"exchange_sessions", "close_ruined_account", "initial_margin", "never_refuse_reductions"}
    known = sorted(signals.index.get_level_values("ticker").unique())
    market = rs.check_prices(market.frame[market.frame.index.get_level_values("ticker").isin(known)].copy())
    held_against_the_reference(market, signals, allocation, params, compat=compat, **rules)


@QUICK
@given(careful())
def test_the_default_is_a_careful_strategy_on_any_market(run):
    careful_is_the_default(run)


@pytest.mark.slow
@LONG
@given(careful())
def test_the_default_is_a_careful_strategy_on_any_market_at_length(run):
    careful_is_the_default(run)
