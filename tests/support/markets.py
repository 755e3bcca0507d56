"""Markets nobody thought of, and streams of orders to send into them; both made to shrink.

A market is a seeded random walk with drawn events on top: listings, missing bars, deaths, jumps of the price level,
days without volume, prices on a coarse grid. Taking events away leaves the rest as it was, so that what hypothesis
shows in the end has only what is needed to fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from hypothesis import strategies as st

import rnn_strategies as rs
from signals.calendar import sessions

FIRST = "2015-01-02"


@dataclass(frozen=True)
class Event:
    """Something that happens to one ticker, from a session on, for so many sessions."""

    ticker: int
    session: int
    kind: str  # listed, missing, dead, jump, no volume, flat
    length: int = 1


def build(n_tickers, n_sessions, *, seed=0, events=(), tick=0.01, volatility=0.02, level=40.0):
    """Prices of tickers A, B, C ...; `tick` is the grid prices lie on, so that coarse ones are often equal."""
    rng = np.random.default_rng(seed)
    days = sessions(FIRST, np.datetime64(FIRST) + np.timedelta64(2 * n_sessions + 10, "D"))[:n_sessions]
    shape = (n_sessions, n_tickers)
    close = level * np.exp(rng.normal(0, 0.5, n_tickers) + np.cumsum(rng.normal(0, volatility, shape), axis=0))
    open_ = np.vstack([close[:1], close[:-1]]) * (1 + rng.normal(0, volatility / 4, shape))
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, volatility / 3, shape)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, volatility / 3, shape)))
    volume = np.floor(rng.lognormal(7, 1, shape)) + 1.0
    traded = np.ones(shape, dtype=bool)
    for event in events:
        j, t = event.ticker % n_tickers, event.session % n_sessions
        rows = slice(t, t + event.length)
        if event.kind == "listed":
            traded[:t, j] = False
        elif event.kind == "dead":
            traded[t + 1 :, j] = False
        elif event.kind == "missing":
            traded[rows, j] = False
        elif event.kind == "jump":
            ratio = (0.1, 0.25, 0.5, 2.0, 3.0, 10.0)[event.length % 6]
            for quotes in (open_, high, low, close):
                quotes[t:, j] *= ratio
        elif event.kind == "no volume":
            volume[rows, j] = 0.0
        elif event.kind == "flat":
            for quotes in (open_, high, low):
                quotes[rows, j] = close[rows, j]
    quotes = [np.maximum(np.round(values / tick), 1.0) * tick for values in (open_, high, low, close)]
    quotes[1] = np.max(quotes, axis=0)
    quotes[2] = np.min(quotes, axis=0)
    if not traded.any():
        traded[-1, 0] = True
    index = pd.MultiIndex.from_product(
        [pd.DatetimeIndex(days.astype("datetime64[ns]")), [chr(65 + j) for j in range(n_tickers)]],
        names=["date", "ticker"],
    )
    names = ("open", "high", "low", "close", "volume")
    frame = pd.DataFrame({name: v.ravel() for name, v in zip(names, [*quotes, volume], strict=True)}, index=index)
    return rs.check_prices(frame.assign(adj_factor=1.0)[traded.ravel()])


HARMLESS = ("jump", "no volume", "flat")
GAPS = ("listed", "missing", "dead")


@st.composite
def markets(draw, *, gaps=True, most_tickers=4, most_sessions=40):
    """Small markets; without `gaps` every ticker has a bar on every session."""
    n, length = draw(st.integers(1, most_tickers)), draw(st.integers(3, most_sessions))
    event = st.builds(
        Event,
        ticker=st.integers(0, n - 1),
        session=st.integers(0, length - 1),
        kind=st.sampled_from(HARMLESS + GAPS if gaps else HARMLESS),
        length=st.integers(1, 8),
    )
    return build(
        n,
        length,
        seed=draw(st.integers(0, 1000)),
        events=draw(st.lists(event, max_size=8)),
        tick=draw(st.sampled_from([0.01, 0.25, 1.0])),
        volatility=draw(st.sampled_from([0.01, 0.05])),
    )


@dataclass(frozen=True)
class Do:
    """One thing a strategy does on one session; what the fields mean depends on `what`, see `Flow`."""

    session: int
    what: str
    ticker: int = 0
    size: float = 100
    near: float = 0.0  # distance of a price from the close, as a fraction
    other: int = 0
    valid: str = "none"


KINDS = (
    "market",
    "limit",
    "stop",
    "stop limit",
    "close",
    "trail",
    "trail limit",
    "bracket",
    "oco",
    "cancel",
    "target percent",
    "target size",
    "target value",
    "flatten",
    "sizer",
    "at a price",
    "look",
    "worth",
)
# without what closed traps have a say about: the worth of several feeds, cancelling what was given a moment ago, and
# which of several linked orders fills on a bar
NOT_QUIET = ("worth", "cancel", "bracket", "oco")
QUIET_KINDS = (*(kind for kind in KINDS if kind not in NOT_QUIET), "cancel old")
VALID = ("none", "day", "two days", "week", "date", "number")


def flows(length, *, kinds=KINDS, most=30, fractions=True):
    """Streams of orders: lists of `Do`, most of them for sessions that exist."""
    size = st.integers(-400, 400).filter(bool)
    if fractions:
        size |= st.sampled_from([-37.5, 0.25, 12.125, 99.9])
    size |= st.sampled_from([-5000, 5000])  # more than the account can pay
    do = st.builds(
        Do,
        session=st.integers(0, length - 1),
        what=st.sampled_from(kinds),
        ticker=st.integers(0, 3),
        size=size,
        near=st.sampled_from([0.0, 0.005, -0.005, 0.02, -0.02, 0.1, -0.1]),
        other=st.integers(0, 5),
        valid=st.sampled_from(VALID),
    )
    return st.lists(do, max_size=most)


def random_flow(seed, n_sessions, n_tickers, *, per_session=1.0, kinds=KINDS):
    """A long stream of orders, for runs that hypothesis need not shrink."""
    rng = np.random.default_rng(seed)
    todo = []
    for session in range(n_sessions):
        for _ in range(rng.poisson(per_session)):
            size = int(rng.integers(1, 400)) * int(rng.choice([-1, 1]))
            todo.append(
                Do(
                    session,
                    kinds[rng.integers(len(kinds))],
                    int(rng.integers(n_tickers)),
                    float(size) / 8 if rng.random() < 0.1 else size,
                    float(rng.choice([0.0, 0.005, -0.005, 0.02, -0.02, 0.05, -0.05])),
                    int(rng.integers(6)),
                    VALID[rng.integers(len(VALID))],
                )
            )
    return todo


@st.composite
def accounts(draw):
    """What is set on a broker of stock, as keyword arguments of `set_account`."""
    return {
        "cash": draw(st.sampled_from([2_000.0, 50_000.0, 1e6])),
        "commission": draw(st.sampled_from([0.0, 0.001, 0.02])),
        "slippage": draw(
            st.sampled_from(
                [
                    None,
                    ("perc", 0.002, {}),
                    ("perc", 0.002, {"slip_out": True}),
                    ("perc", 0.01, {"slip_match": False}),
                    ("perc", 0.01, {"slip_match": False, "slip_limit": False}),
                    ("perc", 0.003, {"slip_open": False}),
                    ("fixed", 0.05, {}),
                ]
            )
        ),
        "rules": draw(
            st.sampled_from([{}, {"checksubmit": False}, {"coc": True}, {"shortcash": False}, {"fundmode": True}])
        ),
        "interest": draw(st.sampled_from([None, None, None, (0.05, False), (0.1, True)])),
        "filler": draw(st.sampled_from([None, None, "fixed", "percentage", "range"])),
        "special": draw(st.sampled_from([None, None, None, *SPECIAL])),
    }


# schemes of one ticker alone, which take accounts off the fast path
SPECIAL = {
    "future": {"commission": 2.0, "margin": 300.0, "mult": 5.0},
    "lever": {"commission": 0.001, "leverage": 3.0},
    "per share": {"commission": 0.05, "commtype": 1, "stocklike": True},
    "lent": {"commission": 0.002, "interest": 0.3, "interest_long": True},
}


def set_account(**account):
    """Make a function that sets a broker up as `accounts` says, stock's and ours.

    With `in settings` the cash and the commission of all feeds are left as they are.
    """
    import backtrader as bt

    def setup(broker):
        if not account.get("in settings"):
            broker.setcash(account.get("cash", 1e5))
            interest = account.get("interest")
            more = {} if interest is None else {"interest": interest[0], "interest_long": interest[1]}
            broker.setcommission(commission=account.get("commission", 0.0), **more)
        if account.get("slippage") is not None:
            kind, amount, options = account["slippage"]
            (broker.set_slippage_perc if kind == "perc" else broker.set_slippage_fixed)(amount, **options)
        for rule, value in account.get("rules", {}).items():
            getattr(broker, f"set_{rule}")(value)
        if account.get("special"):
            broker.setcommission(**SPECIAL[account["special"]], name="A")
        fillers = {
            "fixed": lambda: bt.broker.fillers.FixedSize(size=150),
            "percentage": lambda: bt.broker.fillers.FixedBarPerc(perc=10.0),
            "range": lambda: bt.broker.fillers.BarPointPerc(minmov=0.01, perc=50.0),
        }
        if account.get("filler"):
            broker.set_filler(fillers[account["filler"]]())

    return setup
