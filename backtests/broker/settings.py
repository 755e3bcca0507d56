"""Settings of the broker: costs and rules of the account, validated at construction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from backtests.broker.presets import preset_values
from signals.common.errors import InputError
from signals.common.former_names import renamed_key

__all__ = ["LARGEST_COST", "BrokerSettings", "with_preset"]

# A fraction above this is a percentage or a number of basis points that was not converted.
LARGEST_COST = 0.05

DIVIDENDS = ("adjusted", "cash")


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Costs and rules of the account. Rates are fractions: 0.001 is 0.1 %, or 10 basis points.

    An order loses `slippage` + `half_spread` + `volatility_slippage_coef` × volatility of its price, a fraction of the
    open, or of the stop price that is reached within the bar. Slippage does not move a fill beyond the limit of an
    order; a limit that is reached within the bar, and an order of kind Close, fill without slippage. The commission of
    a fill is the larger of `min_commission` and `commission` × value + `commission_per_share` × shares. See
    `backtests.broker.costs.Costs` for the formulas.

    Parameters
    ----------
    cash : float
        Starting capital in account currency.
    commission : float
        Fraction of the traded value, for purchases and sales. At most 0.05.
    slippage : float
        Fraction of the price by which market and stop orders, and limit orders at a better open, fill worse. At most
        0.05.
    borrow_rate : float, optional
        Yearly fee on the value of shares sold short, charged for every night (actual/365) on the value at the close
        before it. None means that short positions cannot be opened.
    delist_after_sessions : int
        Number of sessions without a bar after which a holding is cashed out at its last price.
    delist_haircut : float
        Fraction of that price that a long holding loses; a short holding is closed at the last price.
    cash_buffer : float
        Fraction of account value that strategies leave uninvested: orders are sized at the close and fill at the next
        open, so that a target of 100 % would be rejected for lack of cash.
    fractional : bool
        Whether fractional shares can be traded; otherwise `SignalStrategy` and `EqualWeightSizer` truncate sizes
        towards zero. Order sizes of your own strategies are not changed.
    max_participation_rate : float, optional
        Largest fraction of the bar's volume that an order can fill. The rest of a market order expires at the end of
        the session. The limit applies to each order: several orders for a ticker on one session can exceed it.
    maintenance_margin : float
        Minimum account value at each close, as a fraction of the sum of absolute positions. Below it, and at or below
        zero, the account is closed and the run ends.
    min_trade_value : float
        Minimum value of a change, in account currency; smaller changes are not traded, unless they close a position.
    commission_per_share : float
        Account currency per share, for purchases and sales. On prices adjusted for splits and dividends, shares are
        converted to the raw shares of the day.
    min_commission : float
        Minimum commission, in account currency, of an order on a session on which it fills. A reversal is one order.
    half_spread : float
        Half the distance between bid and ask, as a fraction of the price. At most 0.05.
    volatility_slippage_coef : float
        Multiple of a ticker's daily volatility (see `backtests.broker.costs.daily_volatility`) that is added to the
        fraction of the price an order loses. From 0 to 1; 0.1 is 20 bp for a ticker with a daily volatility of 2 %.
    cash_interest_rate : float
        Yearly interest earned on cash above zero that is not proceeds of short sales, for every night (actual/365).
    margin_interest_rate : float
        Yearly interest paid on cash below zero, for every night (actual/365).
    initial_margin : float
        Minimum account value after an order that opens or enlarges a position, as a fraction of the sum of absolute
        positions, at the prices of the order; otherwise the order is rejected. 0.5 is Regulation T of the Federal
        Reserve Board (12 CFR 220.12); 0 means no requirement.
    dividends : {"adjusted", "cash"}
        `"adjusted"`: prices adjusted for splits and dividends are traded, as if dividends were reinvested.
        `"cash"`: raw prices are traded, splits change shares, and dividends are paid in cash.
    preset : str
        Name of the preset (`ideal`, `retail`, `institutional`) that the values came from, for the report; it does not
        change any value. `from_preset` fills in the values.
    """

    cash: float
    commission: float
    slippage: float
    borrow_rate: float | None = None
    delist_after_sessions: int = 5
    delist_haircut: float = 0.0
    cash_buffer: float = 0.02
    fractional: bool = False
    max_participation_rate: float | None = None
    maintenance_margin: float = 0.25
    min_trade_value: float = 0.0
    commission_per_share: float = 0.0
    min_commission: float = 0.0
    half_spread: float = 0.0
    volatility_slippage_coef: float = 0.0
    cash_interest_rate: float = 0.0
    margin_interest_rate: float = 0.0
    initial_margin: float = 0.5
    dividends: str = "adjusted"
    preset: str = ""

    def __post_init__(self) -> None:
        self._require("cash", 0.0 < _number(self.cash) < math.inf, "an amount of money above 0")
        for name in ("commission", "slippage", "half_spread"):
            self._require_cost(name)
        for name in ("borrow_rate", "cash_interest_rate", "margin_interest_rate"):
            if name == "borrow_rate" and self.borrow_rate is None:
                continue
            rate = _number(getattr(self, name))
            self._require(name, 0.0 <= rate <= 1.0, "a yearly fraction from 0 to 1, such as 0.01")
        sessions = isinstance(self.delist_after_sessions, int | np.integer) and not isinstance(
            self.delist_after_sessions, bool
        )
        self._require(
            "delist_after_sessions",
            sessions and self.delist_after_sessions >= 1,
            "a whole number of sessions, at least 1",
        )
        self._require("delist_haircut", 0.0 <= _number(self.delist_haircut) <= 1.0, "a fraction from 0 to 1")
        self._require("cash_buffer", 0.0 <= _number(self.cash_buffer) < 1.0, "a fraction from 0 to below 1")
        self._require("fractional", isinstance(self.fractional, bool), "true or false")
        if self.max_participation_rate is not None:
            share = _number(self.max_participation_rate)
            self._require("max_participation_rate", 0.0 < share <= 1.0, "a fraction above 0, up to 1")
        margin = _number(self.maintenance_margin)
        self._require("maintenance_margin", 0.0 <= margin < 1.0, "a fraction from 0 to below 1")
        self._require("initial_margin", 0.0 <= _number(self.initial_margin) <= 1.0, "a fraction from 0 to 1")
        for name in ("min_trade_value", "commission_per_share", "min_commission"):
            amount = _number(getattr(self, name))
            self._require(name, 0.0 <= amount < math.inf, "an amount of money, at least 0")
        multiple = _number(self.volatility_slippage_coef)
        what = "a multiple of daily volatility from 0 to 1, such as 0.1"
        self._require("volatility_slippage_coef", 0.0 <= multiple <= 1.0, what)
        self._require("dividends", self.dividends in DIVIDENDS, '"adjusted" or "cash"')
        if self.preset != "":
            preset_values(self.preset)

    @classmethod
    def from_preset(cls, name: str, *, cash: float, **changes: Any) -> BrokerSettings:
        """Make settings from a preset of `backtests.broker.presets`.

        Parameters
        ----------
        name : {"ideal", "retail", "institutional"}
            Name of the preset.
        cash : float
            Starting capital in account currency; no preset has one.
        **changes
            Settings that differ from the preset.

        Examples
        --------
        >>> settings = BrokerSettings.from_preset("retail", cash=100_000, min_commission=0.0)
        >>> settings.commission_per_share, settings.min_commission, settings.preset
        (0.005, 0.0, 'retail')
        """
        known = [field.name for field in fields(cls) if field.name != "preset"]
        unknown = next((key for key in changes if key not in known), None)
        if unknown is not None:
            advice = renamed_key("broker", unknown, known) or f"known are {', '.join(known)}"
            raise InputError(f"expected settings of the broker; found {unknown!r}; {advice}")
        preset_values(name)
        return cls(**with_preset({"cash": cash, **changes, "preset": name}))

    def changes(self) -> tuple[str, ...]:
        """Names of settings that differ from the preset; none without one."""
        if not self.preset:
            return ()
        # settings that a preset does not contain have their default in it
        usual = {field.name: field.default for field in fields(self)} | preset_values(self.preset)
        return tuple(name for name in usual if name not in ("cash", "preset") and getattr(self, name) != usual[name])

    def with_scaled_costs(self, factor: float) -> BrokerSettings:
        """Return settings with every cost multiplied by `factor`, up to the accepted maximum of each.

        `cash_interest_rate` is not a cost and is unchanged.
        """
        limits = dict.fromkeys(("commission", "slippage", "half_spread"), LARGEST_COST)
        limits |= dict.fromkeys(("volatility_slippage_coef", "borrow_rate", "margin_interest_rate"), 1.0)
        limits |= dict.fromkeys(("commission_per_share", "min_commission"), math.inf)
        costs = {name: getattr(self, name) for name in limits}
        return replace(
            self,
            **{name: min(cost * factor, limits[name]) for name, cost in costs.items() if cost is not None},
        )

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            raise InputError(f"expected broker.{name} as {what}; found {getattr(self, name)!r}; correct it")

    def _require_cost(self, name: str) -> None:
        value = _number(getattr(self, name))
        if value > LARGEST_COST:
            # a value of 1 or more is taken for basis points, a smaller one for a percentage
            suggested = value / (1e4 if value >= 1.0 else 1e2)
            raise InputError(
                f"expected broker.{name} as a fraction of at most {LARGEST_COST}; found {value:g}, which is "
                f"{100 * value:g} %; did you mean {suggested:g} (= {1e4 * suggested:g} bp)?"
            )
        self._require(name, value >= 0.0, f"a fraction from 0 to {LARGEST_COST}, such as 0.001 for 10 bp")

    def describe(self) -> dict[str, Any]:
        """Return all settings as plain values."""
        return asdict(self)


def with_preset(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with the values of their preset filled in where the options do not set them.

    Parameters
    ----------
    options : mapping
        Names and values, as in a `[broker]` table. Without `preset` a copy is returned.

    Raises
    ------
    InputError
        When the preset does not exist.
    """
    name = options.get("preset", "")
    return {**preset_values(name), **options} if name != "" else dict(options)


def _number(value: Any) -> float:
    """Return the value as float, NaN (which is outside every range) when it is not a number."""
    if isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    return math.nan
