"""Prices with the flaws the audit looks for, planted on purpose."""

from __future__ import annotations

import numpy as np
import pandas as pd

from signals.data.prices import Prices, check_prices

QUOTES = ["open", "high", "low", "close"]


def rebuilt(prices: Prices, frame: pd.DataFrame, **changes) -> Prices:
    """Prices of another frame, known as well as the first ones."""
    known = {
        "calendar": prices.calendar,
        "source": prices.source,
        "simulated": prices.simulated,
        "raw_known": prices.raw_known,
        "close_only": prices.close_only,
        "volume_known": prices.volume_known,
    } | changes
    return check_prices(frame.sort_index(), **known)


def lived(prices: Prices, spans: dict[str, tuple[str, str]]) -> Prices:
    """Let tickers be listed and end on given days."""
    frame = prices.frame.reset_index().astype({"ticker": object}).set_index("ticker")
    keep = np.ones(len(frame), dtype=bool)
    for ticker, (first, last) in spans.items():
        keep &= ~((frame.index == ticker) & ((frame["date"] < first) | (frame["date"] > last)).to_numpy())
    return rebuilt(prices, frame[keep].reset_index().set_index(["date", "ticker"]))


def closes_only(prices: Prices) -> Prices:
    """What is left when only closes were kept."""
    frame = prices.frame[["close"]].copy()
    return rebuilt(prices, frame, raw_known=False, close_only=True, volume_known=False)


def without_volume(prices: Prices) -> Prices:
    return rebuilt(prices, prices.frame.drop(columns="volume"), volume_known=False)


def padded(prices: Prices, *, how: str = "zero", sessions: int | None = None, tickers=None) -> Prices:
    """Carry every ticker that ends on to the end of the file.

    `how` is "zero" (all quotes at the last close, no volume) or "copy" (the last row again and again).
    """
    frame = prices.frame
    days = frame.index.levels[0]
    last = frame.reset_index().groupby("ticker", observed=True).last()
    parts = [frame.reset_index().astype({"ticker": object})]
    for ticker, row in last.iterrows():
        after = days[days > row["date"]][:sessions]
        if tickers is not None and ticker not in tickers:
            continue
        part = pd.DataFrame({"date": after, "ticker": ticker})
        for name in QUOTES:
            part[name] = row["close"] if how == "zero" else row[name]
        part["volume"] = 0.0 if how == "zero" else row["volume"]
        part["adj_factor"] = row["adj_factor"]
        parts.append(part)
    return rebuilt(prices, pd.concat(parts).set_index(["date", "ticker"]))


def filled_backwards(prices: Prices, sessions: int) -> Prices:
    """Give every ticker that is listed late its first price before it was listed."""
    frame = prices.frame
    days = frame.index.levels[0]
    first = frame.reset_index().groupby("ticker", observed=True).first()
    parts = [frame.reset_index().astype({"ticker": object})]
    for ticker, row in first.iterrows():
        before = days[days < row["date"]][-sessions:]
        parts.append(pd.DataFrame({"date": before, "ticker": ticker} | {name: row[name] for name in frame.columns}))
    return rebuilt(prices, pd.concat(parts).set_index(["date", "ticker"]))


def ends(prices: Prices) -> pd.Series:
    """Last day of the tickers that end before the file does."""
    last = prices.frame.reset_index().groupby("ticker", observed=True)["date"].max()
    return last[last < last.max()]


def split(prices: Prices, ticker: str, day: str, ratio: float, *, known: str) -> Prices:
    """Split a share on a day.

    `known` says what the file knows of it: "neither" leaves adjusted prices and factor as they jump by themselves,
    "both" adjusts as it should be, "twice" adjusts prices that never jumped.
    """
    frame = prices.frame.copy()
    at = (frame.index.get_level_values("ticker") == ticker) & (frame.index.get_level_values("date") >= day)
    if known in ("neither", "twice"):
        frame.loc[at, QUOTES] /= ratio
    if known == "both":
        frame.loc[at, "adj_factor"] *= ratio
    if known == "twice":
        frame.loc[at, "adj_factor"] /= ratio
    if known != "twice":
        frame.loc[at, "volume"] *= ratio
    return rebuilt(prices, frame)


def handed_on(prices: Prices, old: str, new: str, *, day: str, times: float) -> Prices:
    """Use a symbol again: `old` stops 60 sessions before `day`, from when on it is `new` at another price."""
    frame = prices.frame.reset_index().astype({"ticker": object})
    days = np.unique(frame["date"].to_numpy())
    stop = days[np.searchsorted(days, np.datetime64(day)) - 60]
    other = frame[(frame["ticker"] == new) & (frame["date"] >= day)].assign(ticker=old)
    level = frame.loc[(frame["ticker"] == old) & (frame["date"] < stop), "close"].iloc[-1]
    other[QUOTES] *= times * level / other["close"].iloc[0]
    keep = ~((frame["ticker"] == old) & (frame["date"] >= stop)) & ~((frame["ticker"] == new) & (frame["date"] >= day))
    return rebuilt(prices, pd.concat([frame[keep], other]).set_index(["date", "ticker"]))
