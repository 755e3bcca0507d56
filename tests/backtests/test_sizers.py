from __future__ import annotations

import backtrader as bt
import numpy as np
import pytest

import rnn_strategies as rs


class BuyAll(bt.Strategy):
    """Buys every feed on the second bar, without saying how much."""

    def next(self):
        if len(self) == 2:
            for data in self.datas:
                self.buy(data)


@pytest.fixture
def prices(make_prices):
    return make_prices({"AAA": np.full(6, 40.0), "BBB": np.full(6, 7.0), "CCC": np.full(6, 300.0)})


def bought(prices, broker, **options):
    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(broker)
    rs.add_prices(cerebro, prices)
    cerebro.addstrategy(BuyAll)
    cerebro.addsizer(rs.EqualWeightSizer, **options)
    cerebro.addanalyzer(rs.AccountRecorder)
    result = cerebro.run()[0].analyzers.accountrecorder.result()
    return {row.symbol: row.amount for row in result.transactions.itertuples()}


def test_every_feed_gets_an_equal_part(prices, settings):
    part = 1e6 * 0.98 / 3
    whole = {"AAA": part // 40, "BBB": part // 7, "CCC": part // 300}
    assert bought(prices, settings_broker(settings)) == whole
    assert bought(prices, bt.brokers.BackBroker(cash=1e6)) == whole
    tenth = bought(prices, settings_broker(settings), n_positions=10, cash_buffer=0.0)
    assert tenth == {"AAA": 2500, "BBB": 100_000 // 7, "CCC": 333}


def settings_broker(settings, **changes):
    return rs.Broker(settings(**changes))


def test_rules_of_the_broker_hold_unless_said_otherwise(prices, settings):
    fractional = bought(prices, settings_broker(settings, fractional=True, cash_buffer=0.1))
    assert fractional == {"AAA": 3e5 / 40, "BBB": 3e5 / 7, "CCC": 1000.0}
    assert bought(prices, settings_broker(settings, fractional=True, cash_buffer=0.1), fractional=False)["BBB"] == 42857


def test_backtraders_percent_sizer_gives_the_later_less(prices):
    """Backtrader's own sizer: orders of one bar are sized by the cash that is left after the bar before."""

    class OneADay(bt.Strategy):
        def next(self):
            if len(self) <= 3:
                self.buy(self.datas[len(self) - 1])

    def values(sizer, **options):
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.broker.setcash(1e6)
        rs.add_prices(cerebro, prices)
        cerebro.addstrategy(OneADay)
        cerebro.addsizer(sizer, **options)
        cerebro.addanalyzer(rs.AccountRecorder)
        held = cerebro.run()[0].analyzers.accountrecorder.result().positions.iloc[-1]
        return held.drop("cash")

    assert values(bt.sizers.PercentSizer, percents=100 / 3).min() < 2e5
    assert values(rs.EqualWeightSizer).min() > 3.2e5


def test_a_feed_without_a_price_gets_nothing(make_prices, settings):
    late = make_prices({"AAA": np.full(8, 40.0), "BBB": [np.nan] * 5 + [7.0] * 3})

    class Early(bt.Strategy):
        def prenext(self):
            if len(self.data) == 2:
                self.given = [self.buy(data) for data in self.datas]

    cerebro = bt.Cerebro(stdstats=False)
    cerebro.setbroker(rs.Broker(settings()))
    rs.add_prices(cerebro, late)
    cerebro.addstrategy(Early)
    cerebro.addsizer(rs.EqualWeightSizer)
    given = cerebro.run()[0].given
    assert given[0].size == 12250
    assert given[1] is None


@pytest.mark.parametrize(
    ("options", "words"), [({"n_positions": 0}, "n_positions of at least 1"), ({"cash_buffer": 2}, "0.02 is 2 %")]
)
def test_impossible_settings_are_refused(prices, settings, options, words):
    with pytest.raises(rs.InputError, match=words):
        bought(prices, settings_broker(settings), **options)
