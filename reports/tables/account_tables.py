"""Tables of the account: costs and rules of the broker, and cash flows other than trades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from backtests.broker.costs import DAYS_PER_YEAR, VOLATILITY_RETURNS
from backtests.broker.settings import BrokerSettings, with_preset
from reports.common.number_format import bps, count, money, number, percent
from reports.common.run_data import RunData
from reports.tables.table import Table
from signals.common.errors import InputError

__all__ = ["account_settings", "account_table", "flows_table", "preset_words"]


def account_settings(run: RunData) -> BrokerSettings | None:
    """Read the settings of the broker that the backtest states, or else the configuration; None when neither does."""
    stated = run.settings.get("broker") or run.config.get("broker")
    if not isinstance(stated, Mapping):
        return None
    known = {field.name for field in fields(BrokerSettings)}
    try:
        return BrokerSettings(**with_preset({name: value for name, value in stated.items() if name in known}))
    except (InputError, TypeError):  # settings of another broker
        return None


def preset_words(settings: BrokerSettings | None) -> str:
    """Name of the preset and of the settings that differ from it; empty without a preset.

    >>> preset_words(BrokerSettings.from_preset("retail", cash=1e5, half_spread=0.001))
    'preset retail with half_spread changed'
    """
    if settings is None or not settings.preset:
        return ""
    changed = settings.changes()
    return f"preset {settings.preset}" + (f" with {', '.join(changed)} changed" if changed else "")


def account_table(run: RunData) -> Table | None:
    """Table of every cost and rule of the account, with units; None when the settings are not known."""
    settings = account_settings(run)
    if settings is None:
        return None
    costs = (
        ("Preset", preset_words(settings) or "no preset"),
        ("Commission", _commission(settings)),
        ("Slippage", _slippage(settings)),
        ("Borrowed shares", _yearly(settings.borrow_rate, "of their value") or "short sales are rejected"),
        ("Cash below zero", _yearly(settings.margin_interest_rate, "interest")),
        ("Cash above zero", _yearly(settings.cash_interest_rate, "interest earned, except on proceeds of short sales")),
    )
    limit, least = settings.max_participation_rate, settings.min_trade_value
    rules = (
        ("Starting capital", money(settings.cash)),
        ("Shares", "fractional" if settings.fractional else "whole shares only"),
        ("Order size limit", "no limit" if limit is None else f"at most {percent(limit)} of the bar's volume"),
        ("Minimum trade value", money(least) if least else "no limit"),
        ("Cash buffer", f"{percent(settings.cash_buffer)} of account value"),
        ("Initial margin", f"{percent(settings.initial_margin)} of gross exposure"),
        ("Maintenance margin", f"{percent(settings.maintenance_margin)} of gross exposure"),
        ("Delisting", _delisting(settings)),
        ("Dividends", "paid in cash, on raw prices" if settings.dividends == "cash" else "in the adjusted prices"),
    )
    compat = ", ".join(map(str, run.settings.get("compat") or ()))
    as_stock = (("As in stock backtrader", compat),) if compat else ()
    rows = (("Costs",), *costs, ("Rules",), *rules, *as_stock)
    note = "Money in account currency; 1 bp is 0.01%. Annual rates accrue for each calendar night at 1/365."
    return Table("The account", ("", ""), rows, note, left=2)


def _commission(settings: BrokerSettings) -> str:
    parts = []
    if settings.commission:
        parts.append(f"{bps(1e4 * settings.commission)} of the value")
    if settings.commission_per_share:
        parts.append(f"{settings.commission_per_share:,.10g} per share")
    text = " and ".join(parts)
    if settings.min_commission:
        least = f"at least {number(settings.min_commission)} per order and session"
        return f"{text}, {least}" if text else least
    return text or "nothing"


def _slippage(settings: BrokerSettings) -> str:
    parts = []
    if settings.half_spread:
        parts.append(f"half the spread, {bps(1e4 * settings.half_spread)} of the price")
    if settings.slippage:
        parts.append(f"slippage of {bps(1e4 * settings.slippage)} of the price")
    if settings.volatility_slippage_coef:
        multiple = f"{settings.volatility_slippage_coef:,.10g}"
        parts.append(f"{multiple} × the ticker's daily volatility over {VOLATILITY_RETURNS} sessions")
    return " and ".join(parts) + "; limit orders not beyond their limit price" if parts else "nothing"


def _yearly(rate: float | None, what: str) -> str:
    if rate is None:
        return ""
    return f"{percent(rate, 2)} a year, {what}" if rate else "nothing"


def _delisting(settings: BrokerSettings) -> str:
    after = (
        f"after {count(settings.delist_after_sessions)} "
        f"session{'' if settings.delist_after_sessions == 1 else 's'} without a bar"
    )
    loss = f" less {percent(settings.delist_haircut)} for longs" if settings.delist_haircut else ""
    return f"{after}, at the last price{loss}"


def flows_table(run: RunData) -> Table | None:
    """Table of cash flows other than trades, summed by kind; None when there are none or they are not known."""
    flows = run.cash_flows
    if flows is None or flows.empty:
        return None
    years = max((run.returns.index[-1] - run.returns.index[0]).days, 1) / DAYS_PER_YEAR
    value = None if run.positions is None else float(run.positions.sum(axis=1).mean())
    rows = []
    for kind, of_kind in flows.groupby("kind", sort=True):
        total = float(of_kind["amount"].sum())
        share: Any = total / years / value if value is not None and value > 0 else None
        rows.append((str(kind), count(len(of_kind)), money(total), percent(share, 2)))
    note = "Account currency; amounts paid are negative. A split changes shares, not cash. Share a year: of mean value."
    return Table("Cash flows other than trades", ("", "Count", "Total", "Share a year"), tuple(rows), note)
