"""Invented prices, universe, sectors and macro series to compute features from, and ways to spoil their future."""

from __future__ import annotations

from zlib import crc32

import numpy as np
import pandas as pd

from signals.calendar import decision_dates
from signals.data.prices import check_prices
from signals.features import FEATURES, FeatureContext
from signals.reference.macro_series import MacroTable

SMALL = {"periods": 3, "far": 6, "near": 2, "recent": 4, "usual": 11, "last": 2, "first": 1, "observations": 2}


def all_specs(*, usual=True, groups=True):
    """Every built-in feature with its usual parameters (or small ones), and less the means of market and sector."""
    specs = []
    for feature in FEATURES.values():
        values = {p.name: p.default if usual else SMALL.get(p.name, 8) for p in feature.parameters}
        inside = ", ".join(
            str(value) for value in (values | {"series": "TEST"} if "series" in values else values).values()
        )
        spec = f"{feature.name}({inside})"
        specs.append(spec)
        if groups and not feature.shared:
            specs += [f"{spec} minus market", f"{spec} minus sector"]
    return specs


def context(prices, frequency="weekly", *, macro=None, code=0):
    """Decision dates, a universe and sectors by rules that look at the past only; `code` renumbers the sectors."""
    panel = prices.panel()
    dates = decision_dates(panel.dates[0], panel.dates[-1], frequency, calendar=prices.calendar)
    decisions = np.searchsorted(panel.dates, dates).astype(np.int64)
    traded = np.stack([panel.traded[max(d - 20, 0) : d + 1].any(axis=0) for d in decisions], axis=1)
    keys = np.array([crc32(ticker.encode()) for ticker in panel.tickers])
    member = traded & (keys % 5 > 0)[:, None]
    # some sectors change in time, some are unknown
    moved = dates >= np.datetime64("2012-06-01")
    sector = (keys[:, None] + moved * (keys[:, None] % 2)) % 3
    sectors = np.where(keys[:, None] % 7 == 0, -1, sector + code).astype(np.int32)
    return FeatureContext(panel, decisions, member, sectors, macro)


def macro_table(start="2008-01-01", months=100, *, poisoned_after=None):
    """One monthly series released 45 days after its month began; other values for what is released later."""
    periods = pd.date_range(start, periods=months, freq="MS").as_unit("ns")
    available = periods + pd.Timedelta("45D")
    values = 100 + np.cumsum(np.random.default_rng(3).normal(0, 1, months))
    if poisoned_after is not None:
        values = np.where(available > pd.Timestamp(poisoned_after) + pd.Timedelta("1D"), -1e6, values)
    table = pd.DataFrame({"series": "TEST", "period": periods, "value": values, "available_at": available})
    return MacroTable(table, ("TEST",))


def poisoned(prices, day, *, seed=0):
    """Other valid prices after `day`: rescaled, tickers gone, and new ones that sort before every other."""
    rng = np.random.default_rng(seed)
    frame = prices.frame.reset_index()
    past, future = frame[frame["date"] <= day], frame[frame["date"] > day].copy()
    factor = np.exp(rng.uniform(np.log(1e-3), np.log(1e3), len(future)))
    for column in ("open", "high", "low", "close"):
        future[column] *= factor
    future["volume"] = rng.permutation(future["volume"].to_numpy()) * 1e6
    future["adj_factor"] *= np.exp(rng.normal(0, 0.5, len(future)))
    tickers = frame["ticker"].unique()
    gone = rng.choice(tickers, len(tickers) // 5, replace=False)
    listed = future[future["ticker"].isin(tickers[:4])].copy()
    listed["ticker"] = "0NEW" + listed["ticker"]
    future = pd.concat([future[~future["ticker"].isin(gone)], listed])
    frame = pd.concat([past, future]).sort_values(["date", "ticker"]).set_index(["date", "ticker"])
    return check_prices(frame, calendar=prices.calendar, raw_known=prices.raw_known)
