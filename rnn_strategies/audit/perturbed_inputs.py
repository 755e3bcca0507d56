"""Perturbed inputs of a run for the look-ahead check: data after a day removed, or replaced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from signals.calendar import session_closes
from signals.data.corporate_actions import actions_frame
from signals.data.panel import select_actions
from signals.data.prices import Prices, check_prices
from signals.dataset.dataset import ReferenceData
from signals.reference.macro_series import MacroTable
from signals.reference.membership import read_membership
from signals.reference.sectors import read_sectors
from signals.reference.validity_intervals import EVER, FAR, Spells

__all__ = ["Inputs", "cut", "poisoned"]

# Replaced sessions that are kept: enough for orders, delistings and the start of the next fold, too few to train on.
MARGIN = 30
# Prefix of new tickers. They sort before all others, so the index of every ticker in every array changes.
NEW_TICKER_PREFIX = "!NEW-"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Input data of a run.

    Parameters
    ----------
    prices : Prices
        Checked prices.
    reference_data : ReferenceData
        Index members, sectors, macro series.
    benchmark : Prices, optional
        Prices of the benchmark; None when it is a ticker of the prices or there is none.
    kept : tuple of str
        Tickers that are never removed: a benchmark among the prices.
    """

    prices: Prices
    reference_data: ReferenceData
    benchmark: Prices | None = None
    kept: tuple[str, ...] = ()


def cut(inputs: Inputs, day: np.datetime64) -> Inputs:
    """Remove the data that became known after the close of a day."""
    reference_data = inputs.reference_data
    return Inputs(
        inputs.prices.until(day),
        ReferenceData(
            membership=None
            if reference_data.membership is None
            else read_membership(_known(reference_data.membership.spells, day)),
            sectors=None
            if reference_data.sectors is None
            else read_sectors(_known(reference_data.sectors.spells, day, "sector")),
            macro=None
            if reference_data.macro is None
            else _released(reference_data.macro, day, inputs.prices.calendar),
        ),
        None if inputs.benchmark is None else inputs.benchmark.until(day),
        inputs.kept,
    )


def poisoned(inputs: Inputs, day: np.datetime64, *, seed: int) -> Inputs:
    """Replace data that became known after the close of a day by other valid data.

    Parameters
    ----------
    inputs : Inputs
        Original inputs.
    day : datetime64[D]
        Last day that is not changed.
    seed : int
        Seed of the random replacements.

    Returns
    -------
    Inputs
        Later bars rescaled by factors from 0.01 to 100, volumes permuted, adjustment factors, splits and dividends
        changed, a tenth of the tickers removed and new ones listed; index members and sectors changed from the next day
        on; figures released later replaced.
    """
    reference_data, rng = inputs.reference_data, np.random.default_rng([seed, int(day.astype(np.int64))])
    names = inputs.prices.tickers
    return Inputs(
        _other_prices(inputs.prices, day, rng, kept=inputs.kept),
        ReferenceData(
            membership=None
            if reference_data.membership is None
            else read_membership(_other_spells(reference_data.membership.spells, day, names, rng)),
            sectors=None
            if reference_data.sectors is None
            else read_sectors(_other_spells(reference_data.sectors.spells, day, names, rng, "sector")),
            macro=None
            if reference_data.macro is None
            else _other_figures(reference_data.macro, day, inputs.prices.calendar, rng),
        ),
        None if inputs.benchmark is None else _other_prices(inputs.benchmark, day, rng, kept=inputs.benchmark.tickers),
        inputs.kept,
    )


def _other_prices(
    prices: Prices, day: np.datetime64, rng: np.random.Generator, *, kept: tuple[str, ...] = ()
) -> Prices:
    panel_days = np.unique(prices.frame.index.get_level_values("date").to_numpy().astype("datetime64[D]"))
    last = panel_days[min(int(np.searchsorted(panel_days, day, side="right")) + MARGIN, len(panel_days)) - 1]
    frame = prices.until(last).frame
    dates = frame.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    past, future = frame[dates <= day], frame[dates > day].reset_index()
    if not len(future):
        return prices.until(day)
    factor = np.exp(rng.uniform(np.log(0.01), np.log(100), len(future)))
    for column in ("open", "high", "low", "close"):
        future[column] *= factor
    future["volume"] = rng.permutation(future["volume"].to_numpy())
    if prices.raw_known:
        future["adj_factor"] *= np.exp(rng.normal(0, 0.5, len(future)))
    tickers = future["ticker"].unique()
    gone = set(rng.choice(tickers, len(tickers) // 10, replace=False)) - set(kept)
    listed = future[future["ticker"].isin(tickers[:3])].copy()
    listed["ticker"] = NEW_TICKER_PREFIX + listed["ticker"]
    future = pd.concat([future[~future["ticker"].isin(gone)], listed]).set_index(["date", "ticker"])
    other = check_prices(
        pd.concat([past, future]).sort_index(),
        calendar=prices.calendar,
        source=prices.source,
        simulated=prices.simulated,
        raw_known=prices.raw_known,
        close_only=prices.close_only,
        volume_known=prices.volume_known,
    )
    # without the check of splits against adjustment factors, which are replaced at random
    return other if prices.actions is None else replace(other, actions=_other_actions(prices, other, day))


def _other_actions(prices: Prices, other: Prices, day: np.datetime64) -> pd.DataFrame:
    """Keep splits and dividends until the day, and add one of each for every ticker at its second bar after it.

    Not at the first bar, because that would change the sizes of orders that were submitted on the day itself.
    """
    past = select_actions(prices.actions, day).reset_index()
    bars = other.frame.index.to_frame(index=False)
    after = bars[bars["date"] > day].groupby("ticker").nth(1).assign(split=2.0, dividend=0.01)
    return actions_frame(pd.concat([past, after]).itertuples(index=False, name=None))


def _frame(spells: Spells, value: str | None) -> pd.DataFrame:
    """Convert validity intervals to the table from which they can be read."""
    table = {"ticker": [spells.name(row) for row in range(len(spells))]}
    if value is not None:
        table[value] = list(spells.value)
    if not spells.dated:
        return pd.DataFrame(table)
    table["start"] = ["" if day == EVER else str(day) for day in spells.start]
    table["end"] = ["" if day >= FAR else str(day) for day in spells.end]
    return pd.DataFrame(table)


def _known(spells: Spells, day: np.datetime64, value: str | None = None) -> pd.DataFrame:
    """Return validity intervals as known on a day: later ones removed, and open ones without an end."""
    table = _frame(spells, value)
    if not spells.dated:
        return table
    table.loc[spells.end > day, "end"] = ""
    return table[spells.start <= day]


def _other_spells(
    spells: Spells, day: np.datetime64, names: tuple[str, ...], rng: np.random.Generator, value: str | None = None
) -> pd.DataFrame:
    """Replace validity intervals after a day: half of the open ones end the next day, and others begin."""
    table = _known(spells, day, value)
    if not spells.dated:
        return table  # a table without dates has no later data to replace
    open_ended = (table["end"] == "").to_numpy()
    ended = open_ended & (rng.random(len(table)) < 0.5)
    tomorrow = str(day + np.timedelta64(1, "D"))
    table.loc[ended, "end"] = tomorrow
    begin = pd.DataFrame({"ticker": [NEW_TICKER_PREFIX + name for name in names[:3]], "start": tomorrow, "end": ""})
    if value is not None:
        moved = table.loc[ended, ["ticker"]].assign(start=tomorrow, end="")
        begin = pd.concat([begin, moved]).assign(**{value: "!other"})
    return pd.concat([table, begin], ignore_index=True)


def _unknown(macro: MacroTable, day: np.datetime64, calendar: str) -> NDArray[np.bool_]:
    """Mask of the figures that were released after the close of a day."""
    close = session_closes(np.array([day]), calendar)[0]
    return np.asarray(macro.observations["available_at"].to_numpy() > close)


def _released(macro: MacroTable, day: np.datetime64, calendar: str) -> MacroTable:
    known = macro.observations[~_unknown(macro, day, calendar)].reset_index(drop=True)
    return replace(macro, observations=known)


def _other_figures(macro: MacroTable, day: np.datetime64, calendar: str, rng: np.random.Generator) -> MacroTable:
    later = _unknown(macro, day, calendar)
    table = macro.observations.copy()
    values: NDArray[Any] = table["value"].to_numpy(copy=True)
    values[later] = values[later] * rng.uniform(-3, 3, int(later.sum())) + rng.normal(0, 1, int(later.sum()))
    table["value"] = values
    return replace(macro, observations=table)
