"""Small markets, hand-made or random, and backtrader as everybody writes it."""

from __future__ import annotations

import warnings

import backtrader as bt
import numpy as np
import pandas as pd
import pytest
from markets import build
from two_runs import GAPS

import rnn_strategies as rs
from signals.calendar import sessions

COSTS = {"cash": 1e6, "commission": 0.001, "slippage": 0.0005}


@pytest.fixture(scope="session")
def days():
    """First n sessions of New York from a date on."""

    def make(n, start="2015-01-02"):
        return sessions(start, np.datetime64(start) + np.timedelta64(2 * n + 10, "D"))[:n]

    return make


@pytest.fixture(scope="session")
def make_prices(days):
    """Prices from arrays by ticker; NaN means the ticker did not trade that session."""

    def make(opens, closes=None, *, highs=None, lows=None, start="2015-01-02", volume=1e6, **options):
        closes = opens if closes is None else closes
        frames = []
        for ticker, close in closes.items():
            close = np.asarray(close, float)
            open_ = np.asarray(opens[ticker], float)
            amount = volume[ticker] if isinstance(volume, dict) else volume
            frames.append(
                pd.DataFrame(
                    {
                        "date": days(len(close), start).astype("datetime64[ns]"),
                        "ticker": ticker,
                        "open": open_,
                        "high": np.maximum(open_, close) if highs is None else highs[ticker],
                        "low": np.minimum(open_, close) if lows is None else lows[ticker],
                        "close": close,
                        "volume": amount,
                        "adj_factor": 1.0,
                    }
                )
            )
        frame = pd.concat(frames).dropna().set_index(["date", "ticker"]).sort_index()
        return rs.check_prices(frame, **options)

    return make


@pytest.fixture(scope="session")
def random_prices(days):
    """Random walks; `gaps` drops single bars, `deaths` and `listings` are fractions of tickers that end or begin."""

    def make(n, n_days, *, seed=0, gaps=0.0, deaths=0.0, listings=0.0, volatility=0.02, start="2015-01-02"):
        rng = np.random.default_rng(seed)
        dates = days(n_days, start)
        close = rng.uniform(15, 300, n) * np.exp(np.cumsum(rng.normal(0.0003, volatility, (n_days, n)), axis=0))
        open_ = np.vstack([close[:1], close[:-1]]) * (1 + rng.normal(0, volatility / 5, (n_days, n)))
        high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, volatility / 4, (n_days, n))))
        low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, volatility / 4, (n_days, n))))
        traded = rng.random((n_days, n)) >= gaps
        for j in range(n):
            if rng.random() < deaths:
                traded[rng.integers(n_days // 4, n_days) :, j] = False
            if rng.random() < listings:
                traded[: rng.integers(1, n_days // 2), j] = False
        index = pd.MultiIndex.from_product(
            [pd.DatetimeIndex(dates.astype("datetime64[ns]")), [f"T{j:03d}" for j in range(n)]],
            names=["date", "ticker"],
        )
        columns = {"open": open_, "high": high, "low": low, "close": close}
        columns["volume"] = np.floor(rng.lognormal(11, 1, (n_days, n)))
        frame = pd.DataFrame({name: values.ravel() for name, values in columns.items()}, index=index)
        return rs.check_prices(frame.assign(adj_factor=1.0)[traded.ravel()])

    return make


@pytest.fixture(scope="session")
def random_scores():
    """Normal scores on every `every`-th session for each ticker with a bar; `share` of the rows are kept."""

    def make(prices, *, every=5, seed=1, share=1.0):
        rng = np.random.default_rng(seed)
        panel = prices.panel()
        dates = panel.dates[4::every].astype("datetime64[ns]")
        index = prices.frame.index
        index = index[index.get_level_values("date").isin(dates)]
        frame = pd.DataFrame({"score": rng.normal(size=len(index))}, index=index)
        return frame[rng.random(len(frame)) < share]

    return make


@pytest.fixture(scope="session")
def scores():
    """A signal frame from {(day, ticker): score}."""

    def make(rows):
        index = pd.MultiIndex.from_tuples(
            [(pd.Timestamp(day).as_unit("ns"), ticker) for day, ticker in rows], names=["date", "ticker"]
        )
        return pd.DataFrame({"score": [float(x) for x in rows.values()]}, index=index).sort_index()

    return make


@pytest.fixture(scope="session")
def settings():
    def make(**changes):
        return rs.BrokerSettings(**{**COSTS, **changes})

    return make


@pytest.fixture
def my_cerebro():
    """Run a strategy of one's own in a plain Cerebro with our feeds, broker and ledger; gives (strategy, result)."""

    def run(prices, strategy, broker, *, signals=None, ledger=True, cerebro=None, options=None, **run_options):
        cerebro = cerebro or bt.Cerebro(stdstats=False)
        cerebro.setbroker(broker if not isinstance(broker, rs.BrokerSettings) else rs.Broker(broker))
        rs.add_prices(cerebro, prices, signals=signals)
        cerebro.addstrategy(strategy, **(options or {}))
        if ledger:
            cerebro.addanalyzer(rs.AccountRecorder)
        with warnings.catch_warnings():
            # the live loop of backtrader, which runonce=False takes
            warnings.filterwarnings("ignore", message="datetime.datetime.utcnow", category=DeprecationWarning)
            done = cerebro.run(**run_options)[0]
        return done, done.analyzers.accountrecorder.result() if ledger else None

    return run


@pytest.fixture(scope="session")
def plan():
    """A strategy class that gives the orders of {session number: [(ticker, signed shares, options)]}, and listens."""

    def make(orders):
        class Planned(bt.Strategy):
            def __init__(self):
                self.heard = []
                self.session = -1

            def prenext(self):
                self.next()

            def next(self):
                self.session += 1
                for ticker, size, *options in orders.get(self.session, ()):
                    give = self.buy if size > 0 else self.sell
                    give(data=self.getdatabyname(ticker), size=abs(size), **(options[0] if options else {}))

            def notify_order(self, order):
                self.heard.append((order.data._name, order.getstatusname()))

        return Planned

    return make


@pytest.fixture(scope="module")
def full():
    return build(4, 70, seed=41)


@pytest.fixture(scope="module")
def holed():
    return build(4, 70, seed=42, events=GAPS)


@pytest.fixture(params=["full", "holed"])
def prices(request):
    """Four tickers, 70 sessions: every bar there, and with listings, gaps and a death."""
    return request.getfixturevalue(request.param)
