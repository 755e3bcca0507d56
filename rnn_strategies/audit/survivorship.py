"""Check of survivorship bias: missing delistings, universes chosen in hindsight, and missing members."""

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

MAX_LISTED = 5


@dataclass
class _Findings:
    """Findings and evidence of the parts of this check."""

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
    """Search for tickers whose selection needed knowledge of the future.

    Parameters
    ----------
    prices : Prices
        Prices as returned by `check_prices`.
    universe_sizes : mapping of str to int
        Dates on which the universe was evaluated, with the number of its members.
    filters : UniverseFilters
        Filters of the universe.
    membership : Membership, optional
        Index from whose members the universe was selected.
    sectors : SectorTable, optional
        Sectors that features use.
    signals : DataFrame indexed by (date, ticker), optional
        Rows that were scored.

    Returns
    -------
    Verdict
        Failed when the universe was chosen in hindsight: no ticker of many ends in years (see Notes), an include list
        or an index membership names only tickers that did not end, members that left have no prices while those that
        stayed have, or a ticker was a member, or scored, before its first bar. Noted where that is possible but not
        certain, and for sectors without dates.

    Notes
    -----
    If listings end at a rate of 3 % a year, n ticker-years without an end have the probability exp(-0.03 n); below one
    in a thousand (230 ticker-years) it counts as certain that ended tickers were left out. For a list of k tickers out
    of N in the prices, of which D end, the probability that none of the k does is hypergeometric.
    """
    findings = _Findings()
    lives = lifetimes(prices)
    panel = prices.panel()
    _check_file(lives, findings)
    if filters.include:
        _check_list(panel, lives, frozenset(filters.include), "the include list", findings)
    if membership is not None:
        _check_list(panel, lives, frozenset(membership.tickers), "the index membership", findings)
        _check_membership(panel, lives, membership, universe_sizes, findings)
    _check_universe(panel, filters, membership, universe_sizes, findings)
    if signals is not None:
        _check_scores(lives, signals, findings)
    if sectors is not None and not sectors.point_in_time:
        findings.noted.append(
            "sectors are those of the day on which their file was written: features relative to a sector contain later "
            "information"
        )
        findings.evidence.append(("sectors", "without dates"))
    findings.unproved.append(
        "That the prices hold every ticker that was listed: tickers can be missing without any sign in the data."
    )
    table = [{"evaluated on": day, "members": f"{size:,}"} for day, size in universe_sizes.items()]
    if findings.failed:
        status, sentences = Status.FAILED, [*findings.failed, *findings.noted]
    elif findings.noted:
        status, sentences = Status.NOTED, findings.noted
    else:
        status, sentences = (
            Status.PASSED,
            ["every member of the universe was known on the day, and tickers end at a usual rate"],
        )
    text = "; ".join(sentences)
    return Verdict(
        NAME, status, f"{text[0].upper()}{text[1:]}.", tuple(findings.evidence), tuple(table), tuple(findings.unproved)
    )


def _check_file(lives: Lifetimes, findings: _Findings) -> None:
    """Count ends and beginnings of histories in the whole file."""
    n = len(lives.tickers)
    findings.evidence += [
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
    (findings.failed if bias.certain else findings.noted).append(bias.finding)
    if bias.missing:
        findings.evidence.append(
            (
                "size of the effect",
                f"at 3 % a year about {bias.missing:,.0f} tickers are missing; the return of the equal-weight universe "
                "is then too high by 0.3 % a year for each 10 % that such a ticker lost before it ended, and by at "
                "most 3 % a year",
            )
        )
        findings.unproved.append("The size of the bias: the returns of the missing tickers are not in these prices.")


def _check_list(panel: PricePanel, lives: Lifetimes, names: frozenset[str], what: str, findings: _Findings) -> None:
    """Whether a list names only tickers that did not end."""
    chosen = lives.named(names)
    kept, ended = int(chosen.sum()), int((chosen & lives.ended).sum())
    n, dead = len(lives.tickers), int(lives.ended.sum())
    chance = _none_of(n, dead, kept) if ended == 0 else 1.0
    findings.evidence.append(
        (f"names of {what} that end", f"{ended:,} of {kept:,}; {dead - ended:,} of {n - kept:,} others")
    )
    if effect := _effect(panel, lives, chosen):
        findings.evidence.append((f"size of the effect of {what}", effect))
    by_hand = what == "the include list"
    none_ended = ended == 0 and lives.years > YEARS
    # an index without ended members proves nothing where nearly no ticker ends
    if none_ended and ((by_hand and kept >= NAMES) or (dead and chance < CERTAIN)):
        others = f", while {dead:,} of the {n - kept:,} others in the prices end" if dead else ""
        findings.failed.append(
            f"{what} names {kept:,} tickers that all trade until {lives.end}{others}: it was chosen in hindsight"
        )
    elif by_hand:
        findings.noted.append(
            f"{what} names {kept:,} tickers for all years, {ended:,} of which end: the date of the list is unknown"
        )


def _check_membership(
    panel: PricePanel, lives: Lifetimes, membership: Membership, universe_sizes: Mapping[str, int], findings: _Findings
) -> None:
    """Whether an index has survivors only, or lacks the prices of members that left."""
    spells = membership.spells
    begin, end = max(spells.start.min(), lives.begin), lives.end
    length = np.clip(np.minimum(spells.end, end) - np.maximum(spells.start, begin), np.timedelta64(0, "D"), None)
    member_years = float(length.astype(np.float64).sum() / 365.25)
    left = spells.end <= end
    leavers = frozenset(spells.name(int(row)) for row in np.flatnonzero(left & (spells.end > lives.begin)))
    stayers = frozenset(spells.name(int(row)) for row in np.flatnonzero(spells.end > end)) - leavers
    years = _years(end - begin)
    findings.evidence.append(
        ("index members that leave", f"{len(leavers):,} of {len(leavers | stayers):,} in {years:.1f} years")
    )
    if not leavers and years > YEARS and len(stayers) >= NAMES:
        chance = math.exp(-RATE * member_years)
        sentence = f"no member ever leaves the index: its {len(stayers):,} members from {begin} are those of {end}"
        if (spells.end >= FAR).all() and (spells.start == spells.start.min()).all():
            sentence += ", and all joined on one day"
        (findings.failed if chance < CERTAIN else findings.noted).append(sentence)
    if leavers and stayers:
        held = frozenset(lives.tickers)
        have = [len(names & held) / len(names) for names in (leavers, stayers)]
        n, without = len(leavers | stayers), len((leavers | stayers) - held)
        findings.evidence.append(
            ("members with prices", f"{have[0]:.0%} of those that left, {have[1]:.0%} of those that stayed")
        )
        missing = sorted(leavers - held)
        if have[0] < 0.5 and _at_least(n, len(leavers), without, len(missing)) < CERTAIN:
            findings.failed.append(
                f"of {len(leavers):,} members that left {len(missing):,} have no prices ({_listed(missing)}), of "
                f"{len(stayers):,} that stayed {len(stayers - held):,}: the index has survivorship bias"
            )
            return
    days = [day for day in universe_sizes if as_day(day) >= lives.begin]
    findings.noted += [
        warning.rstrip(".").replace("Prices are", "prices are", 1)
        for warning in membership_warnings(panel, days, membership)
    ]


def _check_universe(
    panel: PricePanel,
    filters: UniverseFilters,
    membership: Membership | None,
    universe_sizes: Mapping[str, int],
    findings: _Findings,
) -> None:
    """Select the universe again from prices that end on each day, and compare the number of members."""
    different = []
    for day, size in universe_sizes.items():
        known = panel.until(day) if panel.position(day) >= 0 else None
        known_size = _universe_size(known, day, filters, membership) if known is not None else 0
        if known_size != size:
            different.append(f"{size:,} on {day} where {known_size:,} were known")
    if different:
        findings.failed.append(f"the universe held {_listed(different, 2)}")
    findings.evidence.append(
        ("draws of the universe repeated", f"{len(universe_sizes) - len(different):,} of {len(universe_sizes):,}")
    )


def _universe_size(known: PricePanel, day: str, filters: UniverseFilters, membership: Membership | None) -> int:
    held = set(known.tickers)
    if (filters.include and held.isdisjoint(filters.include)) or (
        membership is not None and held.isdisjoint(membership.tickers)
    ):
        return 0
    return len(universe_at(known, day, filters, membership))


def _check_scores(lives: Lifetimes, signals: pd.DataFrame, findings: _Findings) -> None:
    """Scores of tickers before their first bar."""
    dates = signals.index.get_level_values("date").to_numpy().astype("datetime64[D]")
    place = pd.Index(lives.tickers).get_indexer(signals.index.get_level_values("ticker"))
    early = (place < 0) | (dates < lives.first[place])
    if early.any():
        row = int(np.argmax(early))
        ticker = signals.index.get_level_values("ticker")[row]
        findings.failed.append(
            f"{int(early.sum()):,} scores are of tickers that had not traded yet, the first of {ticker} on {dates[row]}"
        )
    findings.evidence.append(("scores before a first bar", f"{int(early.sum()):,} of {len(signals):,}"))


def _effect(panel: PricePanel, lives: Lifetimes, chosen: NDArray[np.bool_]) -> str:
    """Compare the annual equal-weight return of some tickers with that of all, as a sentence; "" for all of them."""
    if chosen.all() or not chosen.any():
        return ""
    year = sessions_per_year(panel.calendar)
    step = round(year / 12)
    decisions = np.arange(0, len(panel.dates), step, dtype=np.int64)
    # monthly returns, clipped so that misprints of a few tickers do not dominate the mean
    returns = np.clip(period_returns(panel, decisions), -1.0, 1.0)
    means = []
    for rows in (chosen, np.ones_like(chosen)):
        known = np.isfinite(returns[rows])
        count = known.sum(axis=0)
        means.append(np.where(known, returns[rows], 0.0).sum(axis=0) / np.maximum(count, 1))
    per_year = year / step
    yearly = [float(np.exp(np.log1p(np.maximum(mean[1:], -0.99)).mean() * per_year) - 1) for mean in means]
    return (
        f"with equal weights its tickers return {yearly[0]:.1%} a year and all tickers of the prices {yearly[1]:.1%}: "
        f"a difference of {yearly[0] - yearly[1]:+.1%} a year without any model"
    )


def _years(span: np.timedelta64) -> float:
    return float(span / np.timedelta64(1, "D")) / 365.25


def _none_of(n: int, dead: int, kept: int) -> float:
    """Probability that none of `kept` tickers chosen at random from `n` is among the `dead`."""
    if kept > n - dead:
        return 0.0
    lg = math.lgamma
    return math.exp(lg(n - dead + 1) - lg(n - dead - kept + 1) - lg(n + 1) + lg(n - kept + 1))


def _at_least(n: int, leavers: int, without: int, missing: int) -> float:
    """Probability that, of `without` tickers chosen at random from `n`, at least `missing` are among the `leavers`."""
    from scipy.stats import hypergeom

    return float(hypergeom.sf(missing - 1, n, leavers, without))


def _listed(names: Sequence[str], most: int = MAX_LISTED) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
