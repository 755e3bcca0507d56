"""Broker settings refuse what cannot be meant; costs are what they say."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import rnn_strategies as rs
from backtests.costs import VolumeShare, commission_info
from signals.errors import InputError


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
        ({"delist_after": 0}, r"broker\.delist_after"),
        ({"delist_after": 2.5}, r"broker\.delist_after"),
        ({"delist_haircut": 30}, r"broker\.delist_haircut"),
        ({"cash_buffer": 1.0}, r"broker\.cash_buffer"),
        ({"fractional": "yes"}, r"broker\.fractional"),
        ({"max_volume_share": 0.0}, r"broker\.max_volume_share"),
        ({"maintenance_margin": 25}, r"broker\.maintenance_margin"),
        ({"min_trade_value": -1}, r"broker\.min_trade_value"),
    ],
)
def test_nonsense_is_refused_in_one_line(settings, change, message):
    with pytest.raises(InputError, match=message) as refused:
        settings(**change)
    assert "\n" not in str(refused.value)


def test_integers_and_zero_costs_are_fine_when_spelled_out():
    assert rs.BrokerSettings(cash=1_000_000, commission=0, slippage=0).commission == 0


def test_commission_is_a_fraction_of_the_value(settings):
    scheme = commission_info(settings(commission=0.001))
    assert scheme.stocklike
    assert scheme.getcommission(-200, 50.0) == 200 * 0.001 * 50.0


@pytest.mark.parametrize(("fractional", "filled"), [(False, 100.0), (True, 100.5)])
def test_no_more_than_a_share_of_the_volume(fractional, filled):
    order = SimpleNamespace(data=SimpleNamespace(volume=[1005.0]), executed=SimpleNamespace(remsize=-500))
    assert VolumeShare(0.1, fractional=fractional)(order, 10.0, 0) == filled
    order.executed.remsize = 7
    assert VolumeShare(0.1, fractional=fractional)(order, 10.0, 0) == 7.0
