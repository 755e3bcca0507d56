"""Whether the universe could have been known: who never dies, who was chosen because of it, and who is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.price_checks.ticker_lifetimes import (
    CERTAIN,
    NAMES,
    RATE,
    YEARS,
    Lifetimes,
    lifetimes,
    survivorship_bias,
)
from signals.annualization import sessions_per_year
from signals.calendar import as_day
from signals.data.panel import PricePanel
from signals.data.prices import Prices
from signals.dataset.universe import UniverseFilters, universe_at
from signals.features import period_returns
from signals.reference.membership import Membership, membership_warnings
from signals.reference.sectors import SectorTable
from signals.reference.validity_intervals import FAR

__all__ = ["NAME", "survivorship"]

NAME = "survivorship"

LISTED = 5


@dataclass
class _Found:
    """What the parts of this check have to say."""

    failed: list[str] = field(default_factory=list)
    noted: list[str] = field(default_factory=list)
    evidence: list[tuple[str, str]] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)


def survivorship(
    prices: Prices,
    *,
    universe_sizes: Mapping[str, int],
    filters: UniverseFilters,
    membership: Membership | None = None,
    sectors: SectorTable | None = None,
    signals: pd.DataFrame | None = None,
) -> Verdict:
    """Ask which tickers could not have been known.

    Parameters
    ----------
    prices : Prices
        As they came through the door.
    universe_sizes : mapping of str to int
        Days on which the universe was drawn, with the number of its members.
    filters : UniverseFilters
        How it was drawn.
    membership : Membership, optional
        Index it was drawn from.
    sectors : SectorTable, optional
        Sectors that features used.
    signals : DataFrame indexed by (date, ticker), optional
        Rows that were scored.

    Returns
    -------
    Verdict
        Failed when hindsight chose the universe: not one name of many ends in years (see Notes), an include list or
        an index membership names only such as lived on, members that left have no prices where those that stayed
        have, or a name was a member, or scored, before its first bar. Noted where that is possible but not certain,
        and for sectors without dates.

    Notes
    -----
    Were listings to end at a rate of 3 % a year, n ticker-years without an end would have the chance exp(-0.03 n);
    below one in a thousand (230 ticker-years) it counts as certain that somebody left the ended names out. For a list
    of k names out of N in the prices, of which D end, the chance that none of the k does is hypergeometric.
    """
    found = _Found()
    lives = lifetimes(prices)
    panel = prices.panel()
    _file(lives, found)
    if filters.include:
        _chosen(panel, lives, frozenset(filters.include), "the include list", found)
    if membership is not None:
        _chosen(panel, lives, frozenset(membership.tickers), "the index membership", found)
        _members(panel, lives, membership, universe_sizes, found)
    _drawn(panel, filters, membership, universe_sizes, found)
    if signals is not None:
        _scored(lives, signals, found)
    if sectors is not None and not sectors.point_in_time:
        found.noted.append(
            "sectors are those of the day their file was made: features relative to a sector know some of the future"
        )
        found.evidence.append(("sectors", "without dates"))
    found.unproved.append(
        "That the prices hold every name that was listed: a file can lack names without any trace of them."
    )
    table = [{"drawn on": day, "members": f"{size:,}"} for day, size in universe_sizes.items()]
    if found.failed:
        status, said = Status.FAILED, [*found.failed, *found.noted]
    elif found.noted:
        status, said = Status.NOTED, found.noted
    else:
        status, said = (
            Status.PASSED,
            ["every member of the universe could be known on the day, and names end as names do"],
        )
    text = "; ".join(said)
    return Verdict(
        NAME, status, f"{text[0].upper()}{text[1:]}.", tuple(found.evidence), tuple(table), tuple(found.unproved)
    )


def _file(lives: Lifetimes, found: _Found) -> None:
    """Who ends, and who begins, in the whole file."""
    n = len(lives.tickers)
    found.evidence += [
        (
            "tickers that end",
            f"{int(lives.ended.sum()):,} of {n:,} in {lives.years:.1f} years ({lives.ticker_years:,.0f} ticker-years)",
        ),
        ("ends to expect at 3 % a year", f"{RATE * lives.ticker_years:,.1f}"),
        ("tickers that begin with the file", f"{lives.from_start:,} of {n:,}"),
    ]
    bias = survivorship_bias(lives)
    if bias is None:
        return
    (found.failed if bias.certain else found.noted).append(bias.finding)
    if bias.missing:
        found.evidence.append(
            (
                "size of the effect",
                f"at 3 % a year some {bias.missing:,.0f} names are missing; the equal-weight universe is then "
                "flattered by 0.3 % a year for each 10 % that such a name lost before it ended, and by 3 % a year at "
                "most",
            )
        )
        found.unproved.append(
            "How much the survivors flatter the result: what the missing names earned is not in these prices."
        )


def _chosen(panel: PricePanel, lives: Lifetimes, names: frozenset[str], what: str, found: _Found) -> None:
    """Whether a list picks those that lived on."""
    chosen = lives.named(names)
    kept, ended = int(chosen.sum()), int((chosen & lives.ended).sum())
    n, dead = len(lives.tickers), int(lives.ended.sum())
    chance = _none_of(n, dead, kept) if ended == 0 else 1.0
    found.evidence.append(
        (f"names of {what} that end", f"{ended:,} of {kept:,}; {dead - ended:,} of {n - kept:,} others")
    )
    if effect := _effect(panel, lives, chosen):
        found.evidence.append((f"size of the effect of {what}", effect))
    by_hand = what == "the include list"
    lived = ended == 0 and lives.years > YEARS
    # an index of names that all live on is no wonder where nearly all do
    if lived and ((by_hand and kept >= NAMES) or (dead and chance < CERTAIN)):
        beside = f", while {dead:,} of the {n - kept:,} others in the prices end" if dead else ""
        found.failed.append(
            f"{what} names {kept:,} tickers that all trade to {lives.end}{beside}: it was made by somebody who knew"
        )
    elif by_hand:
        found.noted.append(
            f"{what} names {kept:,} tickers for all years, {ended:,} of which end: nobody can tell when it was made"
        )


def _members(
    panel: PricePanel, lives: Lifetimes, membership: Membership, drawn: Mapping[str, int], found: _Found
) -> None:
    """Whether an index is one of survivors, or lacks the prices of those that left."""
    spells = membership.spells
    begin, end = max(spells.start.min(), lives.begin), lives.end
    length = np.clip(np.minimum(spells.end, end) - np.maximum(spells.start, begin), np.timedelta64(0, "D"), None)
    member_years = float(length.astype(np.float64).sum() / 365.25)
    left = spells.end <= end
    leavers = frozenset(spells.name(int(row)) for row in np.flatnonzero(left & (spells.end > lives.begin)))
    stayers = frozenset(spells.name(int(row)) for row in np.flatnonzero(spells.end > end)) - leavers
    years = _years(end - begin)
    found.evidence.append(
        ("index members that leave", f"{len(leavers):,} of {len(leavers | stayers):,} in {years:.1f} years")
    )
    if not leavers and years > YEARS and len(stayers) >= NAMES:
        chance = math.exp(-RATE * member_years)
        said = f"nobody ever leaves the index: its {len(stayers):,} members from {begin} are those of {end}"
        if (spells.end >= FAR).all() and (spells.start == spells.start.min()).all():
            said += ", and all have joined on one day"
        (found.failed if chance < CERTAIN else found.noted).append(said)
    if leavers and stayers:
        held = frozenset(lives.tickers)
        have = [len(names & held) / len(names) for names in (leavers, stayers)]
        n, without = len(leavers | stayers), len((leavers | stayers) - held)
        found.evidence.append(
            ("members with prices", f"{have[0]:.0%} of those that left, {have[1]:.0%} of those that stayed")
        )
        missing = sorted(leavers - held)
        if have[0] < 0.5 and _at_least(n, len(leavers), without, len(missing)) < CERTAIN:
            found.failed.append(
                f"of {len(leavers):,} members that left {len(missing):,} have no prices ({_listed(missing)}), of "
                f"{len(stayers):,} that stayed {len(stayers - held):,}: what is traded is an index of survivors"
            )
            return
    days = [day for day in drawn if as_day(day) >= lives.begin]
    found.noted += [
        remark.rstrip(".").replace("Prices are", "prices are", 1)
        for remark in membership_warnings(panel, days, membership)
    ]


def _drawn(
    panel: PricePanel,
    filters: UniverseFilters,
    membership: Membership | None,
    universe_sizes: Mapping[str, int],
    found: _Found,
) -> None:
    """Draw the universe again from prices cut at each day; a larger one held names nobody could know."""
    odd = []
    for day, size in universe_sizes.items():
        known = panel.until(day) if panel.position(day) >= 0 else None
        again = _draw(known, day, filters, membership) if known is not None else 0
        if again != size:
            odd.append(f"{size:,} on {day} where {again:,} could be known")
    if odd:
        found.failed.append(f"the universe held {_listed(odd, 2)}")
    found.evidence.append(
        ("draws of the universe repeated", f"{len(universe_sizes) - len(odd):,} of {len(universe_sizes):,}")
    )


def _draw(known: PricePanel, day: str, filters: UniverseFilters, membership: Membership | None) -> int:
    held = set(known.tickers)
    if (filters.include and held.isdisjoint(filters.include)) or (
        membership is not None and held.isdisjoint(membership.tickers)
    ):
        return 0
    return len(universe_at(known, day, filters, membership))


def _scored(lives: Lifetimes, signals: pd.DataFrame, found: _Found) -> None:
    """Scores of names that had no bar yet."""
    dates = signals.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    place = pd.Index(lives.tickers).get_indexer(signals.index.get_level_values("ticker"))
    early = (place < 0) | (dates < lives.first[place])
    if early.any():
        row = int(np.argmax(early))
        ticker = signals.index.get_level_values("ticker")[row]
        found.failed.append(
            f"{int(early.sum()):,} scores are of tickers that had not traded yet, the first of {ticker} on {dates[row]}"
        )
    found.evidence.append(("scores before a first bar", f"{int(early.sum()):,} of {len(signals):,}"))


def _effect(panel: PricePanel, lives: Lifetimes, chosen: NDArray[np.bool_]) -> str:
    """Compare the yearly return of some tickers in equal parts with that of all; empty when all are chosen."""
    if chosen.all() or not chosen.any():
        return ""
    year = sessions_per_year(panel.calendar)
    step = round(year / 12)
    decisions = np.arange(0, len(panel.dates), step, dtype=np.int64)
    # a month's return; the bad prints of a few names must not decide
    returns = np.clip(period_returns(panel, decisions), -1.0, 1.0)
    means = []
    for rows in (chosen, np.ones_like(chosen)):
        known = np.isfinite(returns[rows])
        count = known.sum(axis=0)
        means.append(np.where(known, returns[rows], 0.0).sum(axis=0) / np.maximum(count, 1))
    per_year = year / step
    yearly = [float(np.exp(np.log1p(np.maximum(mean[1:], -0.99)).mean() * per_year) - 1) for mean in means]
    return (
        f"held in equal parts its names earn {yearly[0]:.1%} a year and all tickers of the prices {yearly[1]:.1%}: a "
        f"difference of {yearly[0] - yearly[1]:+.1%} a year before anything is learnt"
    )


def _years(span: np.timedelta64) -> float:
    return float(span / np.timedelta64(1, "D")) / 365.25


def _none_of(n: int, dead: int, kept: int) -> float:
    """Chance that none of `kept` names drawn from `n` is among the `dead`."""
    if kept > n - dead:
        return 0.0
    lg = math.lgamma
    return math.exp(lg(n - dead + 1) - lg(n - dead - kept + 1) - lg(n + 1) + lg(n - kept + 1))


def _at_least(n: int, leavers: int, without: int, missing: int) -> float:
    """Chance that, of `without` names drawn from `n`, at least `missing` are among the `leavers`."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(missing - 1, n, leavers, without))


def _listed(names: Sequence[str], most: int = LISTED) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
