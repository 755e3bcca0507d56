"""Account table and cost sentences of the report: costs and rules with units."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from backtests.broker.settings import BrokerSettings
from reports.common.run_data import read_run
from reports.narrative import summary
from reports.report import render
from reports.tables.account_tables import account_settings, account_table, flows_table, preset_words


@pytest.fixture
def stated(run):
    """Run data whose backtest states these settings of the broker."""

    def make(settings, **changes):
        return replace(read_run(run.folder), settings={"broker": settings}, **changes)

    return make


def _rows(run):
    return {row[0]: row[1].replace("\xa0", " ") for row in account_table(run).rows if len(row) == 2}


def test_every_cost_is_said_with_its_unit(stated):
    settings = BrokerSettings(
        cash=250_000, commission=0.0003, slippage=0.0001, commission_per_share=0.0035, min_commission=0.35,
        half_spread=0.00025, volatility_slippage_coef=0.1, borrow_rate=0.005, cash_interest_rate=0.02,
        margin_interest_rate=0.0625, max_participation_rate=0.05, initial_margin=0.4, maintenance_margin=0.3,
        min_trade_value=500.0, cash_buffer=0.01, delist_after_sessions=7, delist_haircut=0.3,
        fractional=True, dividends="cash",
    )  # fmt: skip
    assert _rows(stated(settings.describe())) == {
        "Preset": "no preset",
        "Commission": "3.0 bp of the value and 0.0035 per share, at least 0.35 per order and session",
        "Slippage": "half the spread, 2.5 bp of the price and slippage of 1.0 bp of the price and 0.1 × the "
        "ticker's daily volatility over 21 sessions; limit orders not beyond their limit price",
        "Borrowed shares": "0.50% a year, of their value",
        "Cash below zero": "6.25% a year, interest",
        "Cash above zero": "2.00% a year, interest earned, except on proceeds of short sales",
        "Starting capital": "250,000",
        "Shares": "fractional",
        "Order size limit": "at most 5.0% of the bar's volume",
        "Minimum trade value": "500",
        "Cash buffer": "1.0% of account value",
        "Initial margin": "40.0% of gross exposure",
        "Maintenance margin": "30.0% of gross exposure",
        "Delisting": "after 7 sessions without a bar, at the last price less 30.0% for longs",
        "Dividends": "paid in cash, on raw prices",
    }


def test_what_costs_nothing_is_said_too(stated):
    rows = _rows(stated(BrokerSettings(cash=50.5, commission=0.0, slippage=0.0, delist_after_sessions=1).describe()))
    for name in ("Commission", "Slippage", "Cash below zero", "Cash above zero"):
        assert rows[name] == "nothing"
    assert rows["Borrowed shares"] == "short sales are rejected"
    assert (rows["Starting capital"], rows["Order size limit"]) == ("50.50", "no limit")
    assert (rows["Minimum trade value"], rows["Shares"]) == ("no limit", "whole shares only")
    assert rows["Delisting"] == "after 1 session without a bar, at the last price"
    assert rows["Dividends"] == "in the adjusted prices"


def test_stock_backtrader_rules_are_listed(run):
    settings = {"broker": BrokerSettings(1e6, 0.001, 0.0005).describe()}
    data = replace(read_run(run.folder), settings=settings | {"compat": ["refuse_deposits", "close_ruined_account"]})
    assert _rows(data)["As in stock backtrader"] == "refuse_deposits, close_ruined_account"
    assert "As in stock backtrader" not in _rows(replace(data, settings=settings))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "preset retail"),
        ({"half_spread": 0.001}, "preset retail with half_spread changed"),
        ({"half_spread": 0.001, "fractional": True}, "preset retail with fractional, half_spread changed"),
    ],
)
def test_the_preset_and_its_changes_are_named(stated, changes, words):
    data = stated(BrokerSettings.from_preset("retail", cash=1e5, **changes).describe())
    assert _rows(data)["Preset"] == words
    assert _rows(data)["Commission"] == "0.005 per share, at least 1.00 per order and session"
    metrics = dict.fromkeys(("commission_bps", "slippage_bps", "commission_total", "slippage_total"), 3.0)
    first = summary(data, _Known(metrics), None)[0]
    assert first.endswith(f"on all money traded, by the {words}.")


class _Known(dict):
    """Metrics of which a test names a few."""

    def __missing__(self, name):
        return "2015-01-02" if name in ("start", "end") else None


def test_the_written_report_has_the_table_and_survives_without_one(run, stated):
    page = render(stated(BrokerSettings.from_preset("institutional", cash=1e6).describe()), stamp="").decode()
    assert "The account" in page
    assert "preset institutional" in page
    assert "0.0035 per share, at least 0.35 per order and session" in page
    for unknown in (None, {"cash": 5}, {"cash": 1e6, "commission": "dear", "slippage": 0.0}, "house"):
        bare = stated(unknown, config={})
        assert account_settings(bare) is account_table(bare) is None
        assert preset_words(account_settings(bare)) == ""
        assert "The account</h3>" not in render(bare, stamp="").decode()


def test_without_a_word_from_the_backtest_the_configuration_is_read(stated):
    data = stated(None, config={"broker": {"preset": "retail", "cash": 1e5}})
    assert account_settings(data) == BrokerSettings.from_preset("retail", cash=1e5)
    older = {"cash": 1e6, "commission": 0.001, "slippage": 0.0005, "a_setting_of_tomorrow": 1}
    assert account_settings(stated(older)) == BrokerSettings(1e6, 0.001, 0.0005)


def test_cash_that_moved_without_a_trade(stated):
    index = pd.DatetimeIndex(["2015-01-05", "2015-01-05", "2016-03-01"], tz="UTC", name="date")
    flows = pd.DataFrame(
        {"ticker": ["A", "", "A"], "kind": ["dividend", "cash interest", "dividend"], "amount": [400.0, 1.5, 600.0]},
        index=index,
    )
    data = stated(None, cash_flows=flows)
    value = data.positions.sum(axis=1).mean()
    years = (data.returns.index[-1] - data.returns.index[0]).days / 365
    table = flows_table(data)
    assert table.rows == (
        ("cash interest", "1", "1.50", "0.00%"),
        ("dividend", "2", "1,000", f"{100 * 1000 / years / value:.2f}%"),
    )
    assert flows_table(stated(None, cash_flows=flows.iloc[:0])) is flows_table(stated(None)) is None
    assert "Cash flows other than trades" in render(data, stamp="").decode()
