"""What `cerebro.run()` gave back, as returns and whatever else is known; backtrader itself is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from signals.common.errors import InputError

__all__ = ["KnownReturns", "result_of"]

# Analyzers of backtrader whose analysis is a return per period, the more telling first.
_RETURNS = ("PyFolio", "TimeReturn")

LAST_YEAR = 2200

ADD_LEDGER = "add cerebro.addanalyzer(rs.AccountRecorder) before cerebro.run()"


@dataclass(frozen=True, slots=True)
class KnownReturns:
    """A result of which only the returns are known; the other names are those of `BacktestResult`.

    Parameters
    ----------
    returns : Series indexed by date
        Simple return of the account per session.
    warnings : tuple of str
        Says that positions, trades and costs are unknown.
    """

    returns: pd.Series
    warnings: tuple[str, ...]
    positions: None = None
    transactions: None = None
    orders: None = None
    stopped: None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def result_of(found: Any) -> Any:
    """Find the result in what a backtest gave back.

    Parameters
    ----------
    found : BacktestResult, list of one strategy, or strategy
        A result; what `cerebro.run()` returned; or one of the strategies in it. A strategy is asked for its
        `rs.AccountRecorder`, and without one for backtrader's `PyFolio` or `TimeReturn` analyzer, whose returns alone
        are then used: positions of `PyFolio` hold only the last of several assets.

    Returns
    -------
    BacktestResult or KnownReturns

    Raises
    ------
    InputError
        For several strategies, or one without any such analyzer.
    """
    if hasattr(found, "returns") and hasattr(found, "positions"):
        return found
    strategy = _only_strategy(found)
    analyzers = _analyzers(strategy)
    for analyzer in analyzers:
        if "AccountRecorder" in _ancestry(analyzer) and callable(getattr(analyzer, "result", None)):
            return analyzer.result()
    for kind in _RETURNS:
        for analyzer in analyzers:
            if kind in _ancestry(analyzer) and _of_the_account(analyzer):
                return _from_returns(analyzer, kind, type(strategy).__name__)
    names = ", ".join(type(analyzer).__name__ for analyzer in analyzers) or "no analyzer"
    raise InputError(
        "expected a strategy that was run with the AccountRecorder analyzer, or with backtrader's PyFolio or "
        "TimeReturn; found "
        f"{names}; {ADD_LEDGER}"
    )


def _only_strategy(found: Any) -> Any:
    if not isinstance(found, list | tuple):
        return found
    if len(found) == 1 and not isinstance(found[0], list | tuple):
        return found[0]
    if any(isinstance(inner, list | tuple) for inner in found):
        raise InputError(
            f"expected the strategy of one run; found {len(found)} runs of an optimisation; pass one of them, such as "
            "result[0][0]"
        )
    if not found:
        raise InputError("expected the strategy that cerebro.run() returned; found an empty list; add a strategy")
    raise InputError(
        f"expected one strategy, because they share the account; found {len(found)}; run each in a Cerebro of its own"
    )


def _analyzers(strategy: Any) -> list[Any]:
    try:
        return list(strategy.analyzers)
    except (AttributeError, TypeError):
        raise InputError(
            "expected a BacktestResult, what cerebro.run() returned, or one strategy of it; found "
            f"{type(strategy).__name__}; pass one of those"
        ) from None


def _ancestry(analyzer: Any) -> set[str]:
    """Names of its class and those it derives from: whoever derives from TimeReturn has its analysis."""
    return {kind.__name__ for kind in type(analyzer).__mro__}


def _of_the_account(analyzer: Any) -> bool:
    """Whether it measures the account; TimeReturn can measure a feed instead."""
    return getattr(analyzer.p, "data", None) is None


def _from_returns(analyzer: Any, kind: str, strategy: str) -> KnownReturns:
    analysis = analyzer.get_analysis()
    pairs = analysis.get("returns", {}) if kind == "PyFolio" else analysis
    returns = pd.Series(dict(pairs), dtype="float64")
    if returns.empty:
        raise InputError(f"expected returns of at least one session; found none in {kind}; run the Cerebro on bars")
    try:
        index = pd.DatetimeIndex(returns.index)
    except (TypeError, ValueError):
        index = None
    usable = index is not None and not index.has_duplicates and index.max().year <= LAST_YEAR
    if not usable or _coarser_than_bars(analyzer):
        raise InputError(
            f"expected a return per session; found other periods in {kind}; add it with timeframe=bt.TimeFrame.Days, "
            f"or {ADD_LEDGER}"
        )
    series = returns.set_axis(index.normalize().rename("date"), axis=0).rename("returns")
    if series.index.has_duplicates:
        raise InputError(
            f"expected a return per session; found several a day in {kind}; add it with timeframe=bt.TimeFrame.Days"
        )
    said = (
        f"Only returns are known, from backtrader's {kind} analyzer: positions, trades and costs are not shown; "
        f"{ADD_LEDGER}."
    )
    return KnownReturns(series, (said,), settings={"strategy": strategy})


def _coarser_than_bars(analyzer: Any) -> bool:
    """Whether the analyzer sums up several bars into one return; `NoTimeFrame` even the whole run."""
    asked, bars = getattr(analyzer.p, "timeframe", None), getattr(analyzer.data, "_timeframe", None)
    return asked is not None and bars is not None and asked > bars
