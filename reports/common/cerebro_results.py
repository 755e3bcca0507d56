"""Result of `cerebro.run()` as a `BacktestResult` or as returns only; backtrader itself is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from signals.common.errors import InputError

__all__ = ["KnownReturns", "result_of"]

# Analyzers of backtrader whose analysis is a return per period, the preferred one first.
_RETURNS = ("PyFolio", "TimeReturn")

LAST_YEAR = 2200

ADD_RECORDER = "add cerebro.addanalyzer(rs.AccountRecorder) before cerebro.run()"


@dataclass(frozen=True, slots=True)
class KnownReturns:
    """Result with returns only; the other attributes are those of `BacktestResult` and empty.

    Parameters
    ----------
    returns : Series indexed by date
        Simple return of the account per session.
    warnings : tuple of str
        Warning that positions, trades and costs are unknown.
    """

    returns: pd.Series
    warnings: tuple[str, ...]
    positions: None = None
    transactions: None = None
    orders: None = None
    stopped: None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def result_of(result: Any) -> Any:
    """Extract the result of a backtest from a result, a strategy, or the list that `cerebro.run()` returns.

    Parameters
    ----------
    result : BacktestResult, list of one strategy, or strategy
        A result; the list that `cerebro.run()` returned; or one of its strategies. The `rs.AccountRecorder` analyzer of
        a strategy is used, else the returns of backtrader's `PyFolio` or `TimeReturn` analyzer; the positions of
        `PyFolio` are not used, because they hold only the last of several assets.

    Returns
    -------
    BacktestResult or KnownReturns

    Raises
    ------
    InputError
        With several strategies, or without any such analyzer.
    """
    if hasattr(result, "returns") and hasattr(result, "positions"):
        return result
    strategy = _only_strategy(result)
    analyzers = _analyzers(strategy)
    for analyzer in analyzers:
        if "AccountRecorder" in _class_names(analyzer) and callable(getattr(analyzer, "result", None)):
            return analyzer.result()
    for kind in _RETURNS:
        for analyzer in analyzers:
            if kind in _class_names(analyzer) and _measures_account(analyzer):
                return _from_returns(analyzer, kind, type(strategy).__name__)
    names = ", ".join(type(analyzer).__name__ for analyzer in analyzers) or "no analyzer"
    raise InputError(
        "expected a strategy that was run with the AccountRecorder analyzer, or with backtrader's PyFolio or "
        "TimeReturn; found "
        f"{names}; {ADD_RECORDER}"
    )


def _only_strategy(strategies: Any) -> Any:
    """Return the single strategy of a run; InputError for none, several, or an optimisation."""
    if not isinstance(strategies, list | tuple):
        return strategies
    if len(strategies) == 1 and not isinstance(strategies[0], list | tuple):
        return strategies[0]
    if any(isinstance(inner, list | tuple) for inner in strategies):
        raise InputError(
            f"expected the strategy of one run; found {len(strategies)} runs of an optimisation; pass one of them, "
            "such as result[0][0]"
        )
    if not strategies:
        raise InputError("expected the strategy that cerebro.run() returned; found an empty list; add a strategy")
    raise InputError(
        f"expected one strategy, because they share the account; found {len(strategies)}; run each in its own Cerebro"
    )


def _analyzers(strategy: Any) -> list[Any]:
    try:
        return list(strategy.analyzers)
    except (AttributeError, TypeError):
        raise InputError(
            "expected a BacktestResult, what cerebro.run() returned, or one strategy of it; found "
            f"{type(strategy).__name__}; pass one of those"
        ) from None


def _class_names(analyzer: Any) -> set[str]:
    """Names of the class of an analyzer and of its base classes."""
    return {kind.__name__ for kind in type(analyzer).__mro__}


def _measures_account(analyzer: Any) -> bool:
    """Whether the analyzer measures the account; TimeReturn can measure a feed instead."""
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
            f"or {ADD_RECORDER}"
        )
    series = returns.set_axis(index.normalize().rename("date"), axis=0).rename("returns")
    if series.index.has_duplicates:
        raise InputError(
            f"expected a return per session; found several a day in {kind}; add it with timeframe=bt.TimeFrame.Days"
        )
    warning = (
        f"Only returns are known, from backtrader's {kind} analyzer: positions, trades and costs are not shown; "
        f"{ADD_RECORDER}."
    )
    return KnownReturns(series, (warning,), settings={"strategy": strategy})


def _coarser_than_bars(analyzer: Any) -> bool:
    """Whether the analyzer compounds several bars into one return; `NoTimeFrame` covers the whole run."""
    requested, bars = getattr(analyzer.p, "timeframe", None), getattr(analyzer.data, "_timeframe", None)
    return requested is not None and bars is not None and requested > bars
