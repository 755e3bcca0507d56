"""Splits and dividends on top of generated prices, whose adjusted prices stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from hypothesis import strategies as st

import rnn_strategies as rs
from signals.data.corporate_actions import raw_panel

SPLITS = (1.0, 2.0, 1.5, 7.0, 0.1, 4.0 / 3.0)


@dataclass(frozen=True)
class Happens:
    """A split, and a dividend as a fraction of the raw close before it."""

    ticker: int
    session: int
    split: float = 1.0
    dividend: float = 0.0


def happenings(prices, *, most=5):
    """Lists of what happens to some of the tickers of a market; also on days without a bar."""
    sessions, tickers = len(prices.frame.index.levels[0]), len(prices.frame.index.levels[1])
    one = st.builds(
        Happens,
        ticker=st.integers(0, tickers - 1),
        session=st.integers(0, sessions - 1),
        split=st.sampled_from(SPLITS),
        dividend=st.sampled_from([0.0, 0.01, 0.2]),
    )
    return st.lists(one, max_size=most, unique_by=lambda happens: (happens.ticker, happens.session))


def with_actions(prices, events):
    """The same adjusted prices with the factors, and the table of actions, that these events would have left."""
    frame = prices.frame.copy()
    days, names = frame.index.levels
    factor = frame["adj_factor"].copy()
    rows = []
    # backwards: the factor before an event is that after it, times what the event does to a price
    for event in sorted(events, key=lambda event: -event.session):
        day, name = days[event.session], names[event.ticker]
        mine = frame.index.get_level_values("ticker") == name
        before = mine & (frame.index.get_level_values("date") < day)
        if not before.any() or (event.split == 1.0 and event.dividend == 0.0):
            continue
        factor[before] = factor[before] * (1.0 - event.dividend) / event.split
        rows.append((day, name, event.split, event.dividend, frame.index[before][-1]))
    frame["adj_factor"] = factor
    raw = frame["close"] / factor
    table, worth = [], {}
    for day, name, split, share, last in sorted(rows):
        # of two events without a bar between them the second finds what the first has left
        price = worth.get((name, last), raw[last])
        worth[name, last] = price * (1.0 - share) / split
        table.append((day, name, split, share * price))
    index = pd.MultiIndex.from_tuples([row[:2] for row in table], names=["date", "ticker"]) if table else None
    if index is None:
        index = frame.index[:0]
    actions = pd.DataFrame(
        {"split": np.array([row[2] for row in table]), "dividend": np.array([row[3] for row in table])}, index=index
    )
    return rs.check_prices(frame, actions=actions.sort_index())


def raw_twin(prices):
    """Panel of the raw prices."""
    return raw_panel(prices.panel())
