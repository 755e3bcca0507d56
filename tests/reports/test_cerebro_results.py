"""Results of `cerebro.run()` become a report, or an error of one line that names what is missing."""

from __future__ import annotations

import subprocess
import sys

import backtrader as bt
import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from reports.common.cerebro_results import result_of

LEDGER = {"recorder": (rs.AccountRecorder, {})}


class Holder(bt.Strategy):
    def next(self):
        if len(self) == 3:
            self.order_target_percent(self.datas[0], target=0.6)
            self.order_target_percent(self.datas[1], target=0.3)
        if len(self) == 60:
            self.close(self.datas[1])


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(source="simulated", seed=5, n_tickers=3, start="2014-01-01", end="2014-12-31")


@pytest.fixture(scope="module")
def lived(prices):
    """Run plain backtrader, stock broker and `PandasData`, with some analyzers; gives what `run` returned."""

    def run(analyzers, *, strategies=(Holder,), ours=False):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.broker.setcash(1e5)
        cerebro.broker.setcommission(commission=0.001)
        if ours:
            rs.add_prices(cerebro, prices)
        else:
            for ticker in prices.tickers:
                cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(ticker, level="ticker")), name=ticker)
        for strategy in strategies:
            cerebro.addstrategy(strategy)
        for name, (kind, options) in analyzers.items():
            cerebro.addanalyzer(kind, _name=name, **options)
        return cerebro.run()

    return run


def test_the_ledger_is_found_in_a_list_or_a_strategy(lived, tmp_path):
    done = lived({"returns": (bt.analyzers.TimeReturn, {}), **LEDGER})
    wanted = done[0].analyzers.recorder.result()
    for given in (done, done[0], wanted, (done[0],)):
        found = result_of(given)
        assert found.returns.equals(wanted.returns)
        assert found.positions.equals(wanted.positions)
        path = rs.tear_sheet(given, path=tmp_path / "report.html")
        text = path.read_text()
        assert "Positions and exposure" in text
        assert "Only returns are known" not in text


def test_ledger_beside_the_stock_broker_on_its_own_feeds(lived):
    theirs = lived(LEDGER)[0].analyzers.recorder.result()
    ours = lived(LEDGER, ours=True)[0].analyzers.recorder.result()
    assert len(theirs.transactions) == 3
    assert theirs.returns.equals(ours.returns)
    assert theirs.transactions.equals(ours.transactions)
    assert theirs.positions.equals(ours.positions)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (bt.analyzers.PyFolio, {}),
        (bt.analyzers.TimeReturn, {}),
        (bt.analyzers.TimeReturn, {"timeframe": bt.TimeFrame.Days}),
    ],
)
def test_backtraders_own_analyzers_give_returns_and_the_report_says_only_those(lived, tmp_path, kind, options):
    exact = lived(LEDGER)[0].analyzers.recorder.result().returns
    done = lived({"own": (kind, options)})
    found = result_of(done)
    # their first value is against the account before the run, as ours is
    np.testing.assert_allclose(found.returns.to_numpy(), exact.to_numpy()[-len(found.returns) :], rtol=0, atol=1e-12)
    assert found.positions is None
    text = rs.tear_sheet(done, path=tmp_path / "report.html", title="Mine").read_text()
    assert f"Only returns are known, from backtrader&#39;s {kind.__name__} analyzer" in text
    assert "its trades and their costs are not known" in text
    assert "No costs were charged" not in text
    assert "Positions and exposure" not in text


def test_the_returns_of_a_feed_are_not_those_of_the_account(lived, prices):
    class Compared(Holder):
        pass

    def measure(cerebro_data):
        return {"market": (bt.analyzers.TimeReturn, {"data": cerebro_data})}

    feed = bt.feeds.PandasData(dataname=prices.frame.xs(prices.tickers[0], level="ticker"))
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.adddata(feed, name="AAA")
    cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(prices.tickers[1], level="ticker")), name="BBB")
    cerebro.addstrategy(Compared)
    for name, (kind, options) in measure(feed).items():
        cerebro.addanalyzer(kind, _name=name, **options)
    done = cerebro.run()
    with pytest.raises(rs.InputError, match=r"found TimeReturn; add cerebro\.addanalyzer\(rs\.AccountRecorder\)"):
        result_of(done)


@pytest.mark.parametrize(
    ("analyzers", "words"),
    [
        ({}, r"found no analyzer; add cerebro\.addanalyzer\(rs\.AccountRecorder\)"),
        ({"sharpe": (bt.analyzers.SharpeRatio, {})}, "found SharpeRatio"),
        (
            {"years": (bt.analyzers.TimeReturn, {"timeframe": bt.TimeFrame.Months})},
            r"a return per session; found other periods in TimeReturn; add it with timeframe=bt\.TimeFrame\.Days",
        ),
        (
            {"all": (bt.analyzers.TimeReturn, {"timeframe": bt.TimeFrame.NoTimeFrame})},
            "a return per session",
        ),
    ],
)
def test_what_has_no_returns_is_one_line(lived, analyzers, words):
    done = lived(analyzers)
    with pytest.raises(rs.InputError, match=words) as error:
        rs.tear_sheet(done, path="never.html")
    assert "\n" not in str(error.value)


def test_several_strategies_share_an_account(lived):
    done = lived({"returns": (bt.analyzers.TimeReturn, {})}, strategies=(Holder, Holder))
    with pytest.raises(rs.InputError, match="expected one strategy, because they share the account; found 2"):
        result_of(done)
    assert len(result_of(done[1]).returns) > 100


@pytest.mark.parametrize("given", [None, 3, "report", [], {}, pd.Series([0.1])])
def test_anything_else_is_one_line(given):
    with pytest.raises(rs.InputError, match=r"^expected .*; found .*; "):
        result_of(given)


def test_an_optimisation_gives_many(prices):
    class Tuned(Holder):
        params = (("n", 1),)

    cerebro = bt.Cerebro(stdstats=False, maxcpus=1)
    for ticker in prices.tickers:
        cerebro.adddata(bt.feeds.PandasData(dataname=prices.frame.xs(ticker, level="ticker")), name=ticker)
    cerebro.optstrategy(Tuned, n=[1, 2])
    cerebro.addanalyzer(rs.AccountRecorder)
    done = cerebro.run()
    with pytest.raises(rs.InputError, match=r"2 runs of an optimisation; pass one of them"):
        result_of(done)
    assert result_of(done[0][0]).returns.equals(result_of(done[1]).returns)


def test_no_backtrader_is_needed_to_read_a_result():
    code = "import reports.common.cerebro_results, sys; sys.exit('backtrader' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
