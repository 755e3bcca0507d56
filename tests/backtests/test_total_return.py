"""Buy and hold of real shares for 22 years: raw prices with their splits and dividends against adjusted prices.

Everything expected here is worked out from the files themselves (raw closes, factor files), without the package's own
tables of splits and dividends.
"""

from __future__ import annotations

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs

TICKERS = ("aapl", "aig", "bac", "ibm", "spy")
SHARES, CASH = 1000.0, 1e6

# A vendor's adjusted price reinvests a dividend D at the close before the ex-date, less the dividend: shares grow by
# 1 + D / (C − D). Nobody can trade there; here it is reinvested at the open of the ex-date, O: 1 + D / O. The two part
# by about D / C × (O / (C − D) − 1) a dividend, and these add up at random: over 27 to 83 dividends of about 0.5 % and
# nights of about 1 %, to some hundredths of a per cent. AIG's warrants of January 2011, a sixth of its price before a
# night of 6 %, are 0.9 % alone.
APART = {"aapl": 5e-4, "aig": 1e-2, "bac": 2e-3, "ibm": 5e-4, "spy": 2e-3}


class Holder(bt.Strategy):
    """Buys on the first session; reinvests every dividend, given as (bar before the ex-date: shares a share)."""

    params = (("reinvested", None),)

    def next(self):
        today = self.data.datetime.date(0)
        if len(self) == 1:
            self.buy(size=SHARES)
        elif self.p.reinvested and today in self.p.reinvested:
            self.buy(size=self.position.size * self.p.reinvested[today])


class History:
    """Raw bars of one ticker, and the content of its factor file."""

    def __init__(self, folder, ticker):
        bars = pd.read_csv(folder / f"{ticker}_daily_raw.csv.gz", parse_dates=["date"])
        lines = pd.read_csv(folder / f"{ticker}_factors.csv", header=None).iloc[:, :3].to_numpy()
        days = pd.to_datetime(lines[:, 0].astype(int).astype(str))
        row = np.searchsorted(days, bars["date"])  # the first line on or after the bar
        self.price, self.split = lines[row, 1], lines[row, 2]
        self.open, self.close = bars["open"].to_numpy(), bars["close"].to_numpy()
        self.n, self.days = len(bars), pd.DatetimeIndex(bars["date"])
        paid = 1.0 - self.price[:-1] / self.price[1:]
        self.dividend = np.where(paid > 1e-6, paid * self.close[:-1], 0.0)  # of the session after, per share
        self.ratio = self.split[1:] / self.split[:-1]
        # ratios are written with six digits; 2, 7 and 0.05 are what was meant (AIG's 1.49894 is kept)
        near = np.round(self.ratio * 20) / 20
        self.ratio = np.where(np.abs(self.ratio / near - 1) < 1e-5, near, self.ratio)


@pytest.fixture(scope="module")
def sample(shared_data):
    folder = shared_data / "corporate-actions-sample"
    prices = rs.load_prices(
        source="files", path=folder, file_names="{ticker}_daily_raw", factor_files=folder, tickers=list(TICKERS)
    )
    return prices, {ticker: History(folder, ticker) for ticker in TICKERS}


def hold(prices, ticker, reinvested=None, *, adjusted=False):
    cerebro = bt.Cerebro(stdstats=False)
    dividends = "adjusted" if adjusted else "cash"
    settings = rs.BrokerSettings(cash=CASH, commission=0.0, slippage=0.0, fractional=True, dividends=dividends)
    cerebro.setbroker(rs.Broker(settings))
    rs.add_prices(cerebro, prices, tickers=[ticker], adjusted=adjusted)
    cerebro.addstrategy(Holder, reinvested=reinvested)
    cerebro.addanalyzer(rs.AccountRecorder)
    return cerebro.run()[0].analyzers.accountrecorder.result()


@pytest.mark.parametrize("ticker", TICKERS)
def test_dividends_kept_as_cash_are_the_sum_by_hand(sample, ticker):
    prices, histories = sample
    one = histories[ticker]
    result = hold(prices, ticker)
    held = np.r_[0.0, np.full(one.n - 1, SHARES)]  # bought at the open of the second session
    held[2:] *= np.cumprod(one.ratio[1:])
    paid = np.r_[0.0, held[:-1] * one.dividend]
    cash = CASH - SHARES * one.open[1] * (np.arange(one.n) > 0) + np.cumsum(paid)
    found = result.positions.loc[one.days.tz_localize("UTC")]  # one session of the exchange is missing in the files
    np.testing.assert_allclose(found["cash"], cash, rtol=1e-9)
    np.testing.assert_allclose(found[ticker], held * one.close, rtol=1e-9)
    flows = result.cash_flows
    assert len(flows[flows["kind"] == "dividend"]) == (paid > 0).sum()
    assert len(flows[flows["kind"] == "split"]) == (one.ratio != 1.0).sum()
    assert len(result.transactions) == 1


@pytest.mark.parametrize("ticker", TICKERS)
def test_dividends_reinvested_on_the_ex_date_give_the_total_return_of_adjusted_prices(sample, ticker):
    prices, histories = sample
    one = histories[ticker]
    ex = np.flatnonzero(one.dividend[1:] > 0) + 2  # after the purchase
    per_share = {one.days[at - 1].date(): one.dividend[at - 1] / one.open[at] for at in ex}
    assert not (one.ratio[ex - 1] != 1.0).any()
    raw = hold(prices, ticker, per_share)
    adjusted = hold(prices, ticker, adjusted=True)
    assert set(raw.orders["status"]) == {"filled"}

    growth = {}
    bought = adjusted.transactions["price"].iloc[0]
    for name, result, opened in (("raw", raw, one.open[1]), ("adjusted", adjusted, bought)):
        worth = result.positions[ticker].loc[one.days.tz_localize("UTC")]
        growth[name] = worth.to_numpy()[1:] / (SHARES * opened)
    # what the two ways to reinvest make of each dividend, by hand
    step = np.zeros(one.n)
    before = one.close[ex - 1]
    step[ex] = np.log1p(one.dividend[ex - 1] / one.open[ex]) + np.log1p(-one.dividend[ex - 1] / before)
    # and what six-digit split factors make of splits
    step[1:] += np.log(one.ratio * one.split[:-1] / one.split[1:])
    by_hand = np.exp(np.cumsum(step))[1:]
    np.testing.assert_allclose(growth["raw"] / growth["adjusted"], by_hand, rtol=1e-9)
    np.testing.assert_allclose(growth["raw"], growth["adjusted"], rtol=APART[ticker])
    # all cash that dividends brought was spent the same day
    np.testing.assert_allclose(raw.positions["cash"].iloc[1:], CASH - SHARES * one.open[1], rtol=1e-9)


def test_a_long_short_account_of_whole_shares_balances_for_22_years(sample):
    prices, histories = sample
    dates = pd.DatetimeIndex(prices.panel().dates[::10].astype("datetime64[ns]"))
    index = pd.MultiIndex.from_product([dates, TICKERS], names=["date", "ticker"])
    scores = pd.DataFrame({"score": np.random.default_rng(0).normal(size=len(index))}, index=index)
    broker = rs.BrokerSettings(
        cash=CASH, commission=0.0002, slippage=0.0005, commission_per_share=0.005, min_commission=1.0,
        borrow_rate=0.01, cash_interest_rate=0.02, dividends="cash",
    )  # fmt: skip
    result = rs.run_backtest(prices, scores, allocation=rs.LongShortQuantile(0.4), broker=broker)
    assert set(result.cash_flows["kind"]) == {"borrow fee", "cash interest", "dividend", "split", "cash in lieu"}
    assert (result.transactions["amount"] % 1 == 0).all()
    # shares from fills and splits, valued at the closes in the files, and cash from fills and flows
    sessions = result.returns.index
    fills, flows = result.transactions, result.cash_flows
    for ticker in TICKERS:
        mine = pd.concat([fills[fills["symbol"] == ticker]["amount"], flows[flows["ticker"] == ticker]["shares"]])
        shares = mine.groupby(level=0).sum().reindex(sessions, fill_value=0.0).cumsum()
        one = histories[ticker]
        close = pd.Series(one.close, index=one.days.tz_localize("UTC")).reindex(sessions)
        found = result.positions[ticker][close.notna()]
        np.testing.assert_allclose(found, (shares * close)[close.notna()], rtol=1e-12, atol=1e-6)
    paid = (fills["amount"] * fills["price"] + fills["commission"]).groupby(level=0).sum()
    moved = flows["amount"].groupby(level=0).sum()
    change = moved.reindex(sessions, fill_value=0.0) - paid.reindex(sessions, fill_value=0.0)
    np.testing.assert_allclose(result.positions["cash"], CASH + change.cumsum(), rtol=1e-9, atol=1e-9 * CASH)
