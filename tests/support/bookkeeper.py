"""Double-entry books of a backtest, kept in exact fractions from its fills and cash flows alone.

Nothing of the project is used: cash and shares follow from the two tables, prices from the panel's closes, and every
figure of the result is held against them.
"""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np

TOLERANCE = 1e-9


class Books:
    """Accounts in money and in shares; every entry takes from one account of money what it gives another."""

    def __init__(self, capital):
        self.money = defaultdict(Fraction)
        self.shares = defaultdict(Fraction)
        self.move("capital", "cash", capital)

    def move(self, source, target, amount):
        self.money[source] -= Fraction(amount)
        self.money[target] += Fraction(amount)

    def fill(self, ticker, size, price, commission):
        self.shares[ticker] += Fraction(size)
        self.move("cash", f"paid for {ticker}", Fraction(size) * Fraction(price))
        self.move("cash", "commissions", commission)

    def flow(self, ticker, kind, amount, shares):
        self.move(kind, "cash", amount)
        if shares:
            self.shares[ticker] += Fraction(shares)

    def balanced(self):
        return sum(self.money.values()) == 0


def closes_by_session(result, panel, actions=None):
    """Last close of every ticker at every session of the result: {ticker: price} per session.

    Between bars a price stays, but for splits and dividends that happen to the shares.
    """
    row = {day: t for t, day in enumerate(panel.dates)}
    due = defaultdict(list)
    if actions is not None:
        for (day, ticker), split, dividend in zip(actions.index, actions["split"], actions["dividend"], strict=True):
            due[np.datetime64(day, "D")].append((ticker, split, dividend))
    last, found = {}, []
    for stamp in result.returns.index:
        day = np.datetime64(stamp.tz_localize(None), "D")
        for ticker, split, dividend in due[day]:
            if ticker in last:
                last[ticker] = max((last[ticker] - dividend) / split, 0.0)
        for ticker, close in zip(panel.tickers, panel.close[row[day]], strict=True):
            if close == close:
                last[ticker] = close
        found.append(dict(last))
    return found


def audit(result, panel, actions=None):
    """Hold every session's cash, positions, value and return to the books.

    Returns
    -------
    float
        Largest error, relative to what the account had in hand: the larger of its capital and its positions.
    """
    books = Books(result.initial_cash)
    events = defaultdict(list)
    for event in result.cash_flows.itertuples():
        events[event.Index].append(("flow", event.ticker, event.kind, event.amount, event.shares))
    for event in result.transactions.itertuples():
        events[event.Index].append(("fill", event.symbol, event.amount, event.price, event.commission))
    index = result.returns.index
    assert set(events) <= set(index)
    columns = list(result.positions.columns)
    assert columns[-1] == "cash"
    table = result.positions.to_numpy()
    returns = result.returns.to_numpy()
    prices = closes_by_session(result, panel, actions)
    before, worst = Fraction(result.initial_cash), 0.0
    for t, stamp in enumerate(index):
        if actions is not None:
            shares_are_due(events[stamp], books.shares, actions, np.datetime64(stamp.tz_localize(None), "D"))
        for what, ticker, *numbers in events[stamp]:
            (books.flow if what == "flow" else books.fill)(ticker, *numbers)
        assert books.balanced()
        worth = {name: shares * Fraction(prices[t][name]) for name, shares in books.shares.items() if shares}
        value = books.money["cash"] + sum(worth.values())
        scale = max(result.initial_cash, float(np.abs(table[t]).sum()))
        gaps = [books.money["cash"] - Fraction(table[t, -1])]
        gaps += [worth.get(name, 0) - Fraction(table[t, j]) for j, name in enumerate(columns[:-1])]
        gaps.append(value - before * (1 + Fraction(returns[t])))
        worst = max(worst, *(abs(float(gap)) / scale for gap in gaps))
        before = value
    return worst


def shares_are_due(events, shares, actions, day):
    """Every holding gets the dividend and the split of its day, those who are short pay; and nobody else gets any."""
    found = {(event[2], event[1]): event for event in events if event[0] == "flow" and event[1]}
    due = set()
    today = actions[actions.index.get_level_values("date") == day]
    for (_, ticker), split, dividend in zip(today.index, today["split"], today["dividend"], strict=True):
        # positions of the broker are rounded, and flat when their floats say so
        held = shares[ticker] if abs(shares[ticker]) > TOLERANCE else 0
        if held and dividend:
            due.add(("dividend", ticker))
            assert abs(float(Fraction(found["dividend", ticker][3]) - held * Fraction(dividend))) <= TOLERANCE
        if held and split != 1.0:
            due.add(("split", ticker))
            change = Fraction(found["split", ticker][4])
            left = held * Fraction(split) - (held + change)
            paid = found.get(("cash in lieu", ticker))
            assert abs(left) < 1
            if abs(left) > TOLERANCE * max(abs(held), 1):
                due.add(("cash in lieu", ticker))
                assert left * Fraction(paid[3]) > 0
    assert due == {key for key in found if key[0] in ("dividend", "split", "cash in lieu")}


def expected_flows(result, settings):
    """Borrow fee and interest of every night, from the positions at the close before it: {(session, kind): amount}."""
    found = {}
    index, table = result.returns.index, result.positions.to_numpy()
    for t in range(1, len(index)):
        years = (index[t] - index[t - 1]).days / 365.0
        short = -float(np.minimum(table[t - 1, :-1], 0.0).sum())
        cash = float(table[t - 1, -1])
        for kind, amount in (
            ("borrow fee", -short * (settings.borrow_rate or 0.0) * years),
            ("cash interest", max(cash - short, 0.0) * settings.cash_interest_rate * years),
            ("margin interest", min(cash, 0.0) * settings.margin_interest_rate * years),
        ):
            if amount:
                found[index[t], kind] = amount
    return found
