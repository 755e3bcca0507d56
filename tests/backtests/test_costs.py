"""Broker settings refuse what cannot be meant; costs are what they say, each worked out by hand."""

from __future__ import annotations

import math
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import rnn_strategies as rs
from backtests.broker.commission import commission_scheme
from backtests.broker.costs import Costs, VolumeShare, daily_volatility
from backtests.broker.presets import PRESETS
from signals.common.errors import InputError


def test_costs_have_no_default():
    with pytest.raises(TypeError):
        rs.BrokerSettings(cash=1e6)
    with pytest.raises(TypeError):
        rs.BrokerSettings(cash=1e6, commission=0.001)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"commission": 0.1}, r"broker\.commission .*found 0\.1, which is 10 %; did you mean 0\.001 \(= 10 bp\)"),
        ({"commission": 10}, r"did you mean 0\.001 \(= 10 bp\)"),
        ({"slippage": 5.0}, r"broker\.slippage .*did you mean 0\.0005 \(= 5 bp\)"),
        ({"commission": -0.001}, r"broker\.commission .*found -0\.001"),
        ({"commission": float("nan")}, r"broker\.commission"),
        ({"commission": "0.001"}, r"broker\.commission .*found '0\.001'"),
        ({"slippage": None}, r"broker\.slippage"),
        ({"cash": 0}, r"broker\.cash .*found 0"),
        ({"cash": float("inf")}, r"broker\.cash"),
        ({"borrow_rate": -0.01}, r"broker\.borrow_rate"),
        ({"borrow_rate": 5}, r"broker\.borrow_rate"),
        ({"delist_after_sessions": 0}, r"broker\.delist_after_sessions"),
        ({"delist_after_sessions": 2.5}, r"broker\.delist_after_sessions"),
        ({"delist_haircut": 30}, r"broker\.delist_haircut"),
        ({"cash_buffer": 1.0}, r"broker\.cash_buffer"),
        ({"fractional": "yes"}, r"broker\.fractional"),
        ({"max_participation_rate": 0.0}, r"broker\.max_participation_rate"),
        ({"maintenance_margin": 25}, r"broker\.maintenance_margin"),
        ({"min_trade_value": -1}, r"broker\.min_trade_value"),
        ({"commission_per_share": -0.005}, r"broker\.commission_per_share as an amount of money.*found -0\.005"),
        ({"commission_per_share": True}, r"broker\.commission_per_share .*found True"),
        ({"min_commission": float("inf")}, r"broker\.min_commission .*found inf"),
        ({"min_commission": "1"}, r"broker\.min_commission .*found '1'"),
        ({"half_spread": 5}, r"broker\.half_spread .*did you mean 0\.0005 \(= 5 bp\)"),
        ({"half_spread": -0.0005}, r"broker\.half_spread .*found -0\.0005"),
        (
            {"volatility_slippage_coef": 10},
            r"broker\.volatility_slippage_coef as a multiple of daily volatility from 0 to 1",
        ),
        ({"volatility_slippage_coef": float("nan")}, r"broker\.volatility_slippage_coef"),
        (
            {"cash_interest_rate": 2},
            r"broker\.cash_interest_rate as a yearly fraction from 0 to 1, such as 0\.01; found 2",
        ),
        ({"cash_interest_rate": None}, r"broker\.cash_interest_rate .*found None"),
        ({"margin_interest_rate": -0.06}, r"broker\.margin_interest_rate .*found -0\.06"),
        ({"initial_margin": 50}, r"broker\.initial_margin as a fraction from 0 to 1; found 50"),
        ({"dividends": "reinvested"}, r'broker\.dividends as "adjusted" or "cash"; found \'reinvested\''),
        ({"dividends": ["cash"]}, r"broker\.dividends"),
        ({"preset": "retial"}, r"broker\.preset as one of ideal, retail, institutional; .*did you mean 'retail'\?"),
        ({"preset": None}, r"broker\.preset .*found None"),
    ],
)
def test_nonsense_is_refused_in_one_line(settings, change, message):
    with pytest.raises(InputError, match=message) as refused:
        settings(**change)
    assert "\n" not in str(refused.value)


def test_integers_and_zero_costs_are_fine_when_spelled_out():
    assert rs.BrokerSettings(cash=1_000_000, commission=0, slippage=0).commission == 0


def test_commission_is_a_fraction_of_the_value(settings):
    scheme = commission_scheme(settings(commission=0.001))
    assert scheme.stocklike
    assert scheme.getcommission(-200, 50.0) == 200 * 0.001 * 50.0


def test_every_field_has_a_bad_value_above(settings):
    refused = next(mark for mark in test_nonsense_is_refused_in_one_line.pytestmark if mark.name == "parametrize")
    tried = {name for change, _ in refused.args[1] for name in change}
    assert tried == {field.name for field in fields(rs.BrokerSettings)}


# -- commission --------------------------------------------------------------------------------------------------------


def test_a_fraction_alone_has_the_bits_of_backtrader(settings):
    chosen = settings(commission=0.0007)
    costs, stock = Costs(chosen), commission_scheme(chosen)
    assert costs.simple_commission
    rng = np.random.default_rng(3)
    for size, price in zip(rng.normal(0, 1e4, 500).tolist(), rng.uniform(0.01, 3e3, 500).tolist(), strict=True):
        assert costs.commission(size, price, 0.3) == stock.getcommission(size, price)


@pytest.mark.parametrize(
    ("size", "price", "raw_per_share", "paid"),
    [
        # per share alone: 500 x 0.005 = 2.50, a sale the same
        (500, 20.0, 1.0, 2.5),
        (-500, 20.0, 1.0, 2.5),
        # 100 x 0.005 = 0.50 is less than the minimum of 1.00
        (100, 20.0, 1.0, 1.0),
        # a reversal from +150 to -150 is one fill of 300: 1.50 once, not 1.00 twice
        (-300, 20.0, 1.0, 1.5),
        # 400 shares at prices adjusted by 0.5 were 200 then: 200 x 0.005 = 1.00; by 0.75 they were 300: 1.50
        (400, 20.0, 0.75, 1.5),
        (0, 20.0, 1.0, 0.0),
    ],
)
def test_commission_per_share_with_a_minimum(settings, size, price, raw_per_share, paid):
    costs = Costs(settings(commission=0.0, commission_per_share=0.005, min_commission=1.0))
    assert not costs.simple_commission
    assert costs.commission(size, price, raw_per_share) == pytest.approx(paid, abs=1e-12)


def test_what_closes_pays_alone_and_what_opens_the_rest(settings):
    costs = Costs(settings(commission=0.0, commission_per_share=0.005, min_commission=1.0))
    # 100 closed: 0.50, so the minimum; 400 in all: 2.00
    assert costs.commissions(-100, -300, 20.0) == pytest.approx((1.0, 1.0))
    assert costs.commissions(-100, 0.0, 20.0) == (1.0, 0.0)
    assert costs.commissions(0.0, 100, 20.0) == (0.0, 1.0)
    assert costs.commissions(-50, -50, 20.0) == (1.0, 0.0)  # the minimum once
    chosen = settings(commission=0.0007)
    stock = commission_scheme(chosen)
    assert Costs(chosen).commissions(-33, -67, 12.3) == (stock.getcommission(-33, 12.3), stock.getcommission(-67, 12.3))


def test_a_fraction_and_a_rate_per_share_add_up_before_the_minimum(settings):
    costs = Costs(settings(commission=0.001, commission_per_share=0.01, min_commission=4.0))
    # 10 bp of 200 x 10 = 2.00, and 200 x 0.01 = 2.00
    assert costs.commission(200, 10.0) == pytest.approx(4.0)
    # 10 bp of 300 x 10 = 3.00, and 300 x 0.01 = 3.00
    assert costs.commission(300, 10.0) == pytest.approx(6.0)
    assert costs.commission(1, 10.0) == 4.0


@given(adjusted_by=st.floats(0.01, 10.0), shares=st.integers(1, 100_000), price=st.floats(0.5, 5e3))
@hypothesis_settings(max_examples=100, deadline=None)
def test_adjusted_prices_cost_what_raw_ones_do(adjusted_by, shares, price):
    chosen = rs.BrokerSettings(1e6, 0.001, 0.0, commission_per_share=0.005, min_commission=1.0)
    raw = Costs(chosen).commission(shares, price)
    assert Costs(chosen).commission(shares / adjusted_by, price * adjusted_by, adjusted_by) == pytest.approx(raw)


# -- slippage ----------------------------------------------------------------------------------------------------------


def test_slippage_alone_has_its_own_bits(settings):
    costs = Costs(settings(slippage=0.0007))
    assert not costs.varying_slippage
    assert costs.slippage(0.5) == costs.slippage(math.nan) == 0.0007


def test_spread_slippage_and_volatility_add_up(settings):
    costs = Costs(settings(slippage=0.0005, half_spread=0.0002, volatility_slippage_coef=0.1))
    assert costs.varying_slippage
    # 5 bp + 2 bp + 0.1 x 2 % = 27 bp
    assert costs.slippage(0.02) == pytest.approx(0.0027)
    assert costs.slippage(math.nan) == costs.slippage(0.0) == pytest.approx(0.0007)


def test_no_sale_is_below_half_its_price(settings):
    assert Costs(settings(volatility_slippage_coef=1.0)).slippage(7.0) == 0.5


def test_volatility_by_hand():
    # returns 10 %, -10 %, 10 %, -10 %, 10 %: mean 2 %; deviations 8, -12, 8, -12, 8 %, squares sum to 480, over 4
    closes = [100.0, 110.0, 99.0, 108.9, 98.01, 107.811]
    assert daily_volatility(closes) == pytest.approx(math.sqrt(0.0480 / 4))
    assert math.isnan(daily_volatility(closes[1:]))  # four returns are too few
    assert math.isnan(daily_volatility([]))
    assert daily_volatility([5.0] * 6) == 0.0


def test_volatility_is_of_the_last_21_returns_of_bars():
    rng = np.random.default_rng(1)
    closes = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, 60)))
    expected = np.std(np.diff(closes[-22:]) / closes[-22:-1], ddof=1)
    assert daily_volatility(closes.tolist()) == pytest.approx(expected, rel=1e-12)
    assert daily_volatility(closes) == daily_volatility(closes[-22:])
    gaps = np.insert(closes, [3, 50, 50, 60], np.nan)  # NaN is no bar
    assert daily_volatility(gaps.tolist()) == daily_volatility(closes.tolist())


# -- nights ------------------------------------------------------------------------------------------------------------


def test_borrowed_shares_by_hand(settings):
    costs = Costs(settings(borrow_rate=0.073))
    # 50,000 x 7.3 % / 365 is 10 a night
    assert costs.borrow_fee(50_000.0, 1.0) == pytest.approx(10.0)
    assert costs.borrow_fee(50_000.0, 3.0) == pytest.approx(30.0)  # over a weekend
    assert costs.borrow_fee(0.0, 3.0) == 0.0
    assert Costs(settings(borrow_rate=None)).borrow_fee(50_000.0, 1.0) == 0.0


def test_interest_on_cash_by_hand(settings):
    costs = Costs(settings(cash_interest_rate=0.0365))
    # 3.65 % / 365 is 1 bp a night
    assert costs.cash_interest(100_000.0, 0.0, 1.0) == pytest.approx(10.0)
    # 160,000 of which 60,000 came from shares sold short, over three nights
    assert costs.cash_interest(160_000.0, 60_000.0, 3.0) == pytest.approx(30.0)
    assert costs.cash_interest(50_000.0, 60_000.0, 3.0) == 0.0
    assert costs.cash_interest(-50_000.0, 0.0, 3.0) == 0.0


def test_interest_on_debt_by_hand(settings):
    costs = Costs(settings(margin_interest_rate=0.073))
    # 7.3 % / 365 is 2 bp a night
    assert costs.margin_interest(-5_000.0, 1.0) == pytest.approx(1.0)
    assert costs.margin_interest(-5_000.0, 4.0) == pytest.approx(4.0)
    assert costs.margin_interest(5_000.0, 4.0) == 0.0


@pytest.mark.parametrize("nights", [math.inf, -math.inf, math.nan, 0.0, -1.0])
def test_before_the_first_session_there_is_no_night(settings, nights):
    costs = Costs(settings(borrow_rate=0.01, cash_interest_rate=0.01, margin_interest_rate=0.01))
    assert costs.borrow_fee(1e5, nights) == costs.cash_interest(1e5, 0.0, nights) == 0.0
    assert costs.margin_interest(-1e5, nights) == 0.0


# -- volume ------------------------------------------------------------------------------------------------------------


def _order(volume, remaining, **data):
    return SimpleNamespace(
        data=SimpleNamespace(volume=[volume], **data), executed=SimpleNamespace(remsize=float(remaining))
    )


@pytest.mark.parametrize(("fractional", "filled"), [(False, 100.0), (True, 100.5)])
def test_no_more_than_a_share_of_the_volume(fractional, filled):
    assert VolumeShare(0.1, fractional=fractional)(_order(1005.0, -500), 10.0, 0) == filled
    assert VolumeShare(0.1, fractional=fractional)(_order(1005.0, 7), 10.0, 0) == 7.0


def test_volume_is_in_raw_shares():
    # a tenth of 1,000 raw shares is 100 of them; at prices adjusted by 1/4 that is 400 shares of the feed
    assert VolumeShare(0.1)(_order(1000.0, 500, raw_per_share=lambda: 0.25), 10.0, 0) == 400.0
    # before a reverse split, at prices adjusted by 8, it is 12.5
    assert VolumeShare(0.1)(_order(1000.0, 500, raw_per_share=lambda: 8.0), 10.0, 0) == 12.0
    assert VolumeShare(0.1, fractional=True)(_order(1000.0, 500, raw_per_share=lambda: 8.0), 10.0, 0) == 12.5


@pytest.mark.parametrize("volume", [0.0, math.nan, -1.0])
def test_without_volume_nothing_fills(volume):
    assert VolumeShare(0.1)(_order(volume, 5), 10.0, 0) == 0.0


# -- presets -----------------------------------------------------------------------------------------------------------


def test_presets_are_settings_and_cash_is_always_given():
    for name in PRESETS:
        assert rs.BrokerSettings.from_preset(name, cash=5e4).preset == name
        assert rs.BrokerSettings.from_preset(name, cash=5e4).changes() == ()
        with pytest.raises(TypeError):
            rs.BrokerSettings.from_preset(name)


def test_ideal_costs_nothing_at_all():
    costs = Costs(rs.BrokerSettings.from_preset("ideal", cash=1e6))
    assert costs.commission(1e6, 100.0) == costs.slippage(0.5) == 0.0
    assert costs.borrow_fee(1e6, 1.0) == costs.margin_interest(-1e6, 1.0) == costs.cash_interest(1e6, 0.0, 1.0) == 0.0


def test_what_is_said_comes_before_the_preset():
    chosen = rs.BrokerSettings.from_preset("retail", cash=1e5, min_commission=0.0, max_participation_rate=None)
    assert (chosen.commission_per_share, chosen.min_commission, chosen.max_participation_rate) == (0.005, 0.0, None)
    assert set(chosen.changes()) == {"min_commission", "max_participation_rate"}
    assert rs.BrokerSettings(1e5, 0.001, 0.0005).changes() == ()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("reatil", {}, r"expected broker\.preset as one of .*found 'reatil'; did you mean 'retail'\?"),
        ("", {}, r"expected broker\.preset as one of ideal, retail, institutional; found ''"),
        (None, {}, r"broker\.preset"),
        ("retail", {"comission": 0.0}, r"expected settings of the broker; found 'comission'; known are cash"),
        ("retail", {"half_spread": 0.5}, r"broker\.half_spread"),
    ],
)
def test_wrong_presets_are_refused_in_one_line(name, changes, message):
    with pytest.raises(InputError, match=message) as refused:
        rs.BrokerSettings.from_preset(name, cash=1e5, **changes)
    assert "\n" not in str(refused.value)


def test_all_costs_can_be_multiplied_within_their_limits(settings):
    retail = rs.BrokerSettings.from_preset("retail", cash=1e5, cash_interest_rate=0.01)
    twice = retail.with_scaled_costs(2.0)
    paid = ("commission_per_share", "min_commission", "half_spread", "volatility_slippage_coef", "borrow_rate")
    for name in (*paid, "margin_interest_rate"):
        assert getattr(twice, name) == 2 * getattr(retail, name) > 0
    assert (twice.cash_interest_rate, twice.cash, twice.max_participation_rate) == (0.01, 1e5, 0.01)
    dear = settings(commission=0.03, borrow_rate=0.6).with_scaled_costs(3.0)
    assert (dear.commission, dear.borrow_rate) == (0.05, 1.0)
    assert settings().with_scaled_costs(2.0).borrow_rate is None


# -- as a commission scheme --------------------------------------------------------------------------------------------


def test_the_scheme_charges_what_the_settings_say(settings):
    from backtests.broker.commission import CommissionModel

    scheme = CommissionModel.from_settings(settings(commission_per_share=0.005, min_commission=1.0, commission=0.0))
    assert scheme.stocklike
    assert scheme.getcommission(-400, 20.0) == 2.0
    assert scheme.getcommission(10, 20.0) == scheme.getcommission(-10, 20.0) == 1.0
    with scheme.one_fill(1.0):  # a reversal: 100 closed, 300 opened
        assert (scheme.getcommission(100, 20.0), scheme.getcommission(300, 20.0)) == (1.0, 1.0)
        assert scheme.confirmexec(400, 20.0) == 2.0
    with scheme.one_fill(0.5):
        assert scheme.getcommission(800, 10.0) == 2.0
    assert scheme.getcommission(10, 20.0) == 1.0
