"""Two runs of a small market, on our feeds and broker and on stock's, held against each other bit by bit."""

from __future__ import annotations

from diary import assert_same, lived, our_broker, our_feeds, pandas_feeds, stock_broker
from markets import Event, random_flow, set_account
from reference_strategies import flow

GAPS = [
    Event(0, 8, "listed"),
    Event(1, 20, "missing", 6),
    Event(2, 50, "dead"),
    Event(3, 25, "listed"),
    Event(0, 40, "missing", 3),
]
ACCOUNT = set_account(cash=3e5, commission=0.001)
ORDERS = random_flow(43, 70, 6, per_session=2.0)


def both(ours, theirs, *, strategy=None, account=ACCOUNT, least=80, **options):
    strategy = strategy or flow(ORDERS)
    expected, stock = lived(theirs, stock_broker(), strategy, account=account, **options)
    found, mine = lived(ours, our_broker(), strategy, account=account, **options)
    assert_same(found, expected)
    assert sum(event[0] == "order" for event in expected) >= least
    return mine, stock


COSTS = {"cash": 1e6, "commission": 0.001, "slippage": ("perc", 0.0005, {"slip_out": True})}


def same_events(prices, strategy, *, least=20, account=None, **options):
    """Run both on prices, hold them against each other; gives the events of stock."""
    account = set_account(**(COSTS if account is None else account))
    theirs, _ = lived(pandas_feeds(prices), stock_broker(), strategy, account=account, **options)
    ours, _ = lived(our_feeds(prices), our_broker(), strategy, account=account, **options)
    assert_same(ours, theirs)
    assert sum(event[0] == "order" for event in theirs) >= least
    return theirs
