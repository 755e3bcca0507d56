"""Check of bars without trades: padded delisted tickers, zero returns, reused symbols, unadjusted splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from rnn_strategies.audit.check_result import Status, Verdict
from rnn_strategies.price_checks.price_jumps import adjusted_splits, reused_symbols, split_like_jumps
from rnn_strategies.price_checks.ticker_bars import Histories, Stretch, histories, stale_bars, stretches
from signals.data.duplicate_tickers import duplicate_tickers, duplicate_warning
from signals.data.prices import Prices
from signals.dataset.dataset import Dataset

__all__ = ["NAME", "dead_names"]

NAME = "delisted-names"

# Most data have halts of a few days filled with the last price; a month of such bars is a padded delisted ticker, and
# so are shorter tails when several tickers have them. (New closed-end funds stay at their issue price for two weeks.)
MONTH, MIN_PADDED_TICKERS = 21, 3
# Smallest price change, in account currency.
TICK = 0.01
# Zero returns are noted above this multiple of those that the tick size explains plus this fraction of all returns.
# 1,093 stocks of all sizes have 5.5 % where the tick explains 3.4 %, the 600 most traded 0.9 and 1.1 %.
ZERO_RETURN_MULTIPLE, ZERO_RETURN_SLACK = 2.0, 0.02
MAX_LISTED = 5
_ENDS = {"tail": "after its last trade", "head": "before its first trade"}

Flags = NDArray[np.bool_]


def dead_names(prices: Prices, *, data: Dataset | None = None, signals: pd.DataFrame | None = None) -> Verdict:
    """Search for bars without trades, and for histories that mix several shares.

    Parameters
    ----------
    prices : Prices
        Prices as returned by `check_prices`.
    data : Dataset, optional
        Rows available for training and scoring; without it and `signals` the use of such bars is unknown.
    signals : DataFrame indexed by (date, ticker), optional
        Rows that were scored.

    Returns
    -------
    Verdict
        Failed when rows were scored, or available for training, on days after a ticker's last real trade (or before its
        first): bars that repeat the last price, for a month in one ticker or at least a week in three of them. Noted
        for unused bars of this kind, for long stretches without trades inside histories, reused symbols, moves that
        look like splits, tickers with nearly the same returns, and more zero returns than the tick size explains.

    Notes
    -----
    The length from which a stretch is no coincidence is derived from the ticker itself, see
    `rnn_strategies.price_checks.ticker_bars.stretches`. In real prices of 2006-2017 (600 stocks, 30 ETFs) there are
    none; in 1,093 stocks of 2015-2017 there is one tail of 11 sessions, of a stock whose trading was suspended.
    """
    bars = histories(prices)
    stale = stale_bars(bars)
    runs = stretches(bars, stale)
    ends = [run for run in runs if run.where != "inside"]
    inside = [run for run in runs if run.where == "inside"]
    padded = _mask(bars, ends)
    uses = _count_padded_rows(bars, padded, data, signals)
    jumps, reused = split_like_jumps(bars), reused_symbols(bars)
    pairs = duplicate_tickers(prices.frame)
    zero_lines, zero_note = _zero_returns(bars, ends)

    evidence = [("bars", f"{len(bars.code):,} of {len(prices.tickers):,} tickers")]
    evidence.append(("padded ends of histories", _listed([str(run) for run in ends])))
    evidence += [(f"{name} among them", _of(bad, whole, "rows")) for name, bad, whole in uses]
    evidence.append(("idle stretches inside histories", _listed([str(run) for run in inside])))
    evidence += zero_lines
    evidence.append(("reused symbols", _listed([str(symbol) for symbol in reused])))
    evidence.append(("tickers with nearly the same returns", _listed([str(pair) for pair in pairs])))
    evidence.append(("moves that look like splits left in", _listed([str(jump) for jump in jumps])))
    if prices.raw_known:
        evidence.append(("splits adjusted as they should be", f"{adjusted_splits(bars):,}"))

    used = sum(bad for _, bad, _ in uses)
    tails = sum(run.where == "tail" for run in ends)
    serious = bool(ends) and (ends[0].bars >= MONTH or tails >= MIN_PADDED_TICKERS)
    if serious and used:
        names = len({run.ticker for run in ends})
        counts = " and ".join(f"{bad / whole:.1%} of the {name} ({bad:,})" for name, bad, whole in uses if bad)
        finding = (
            f"{_tickers(names)} with bars without trades at an end of the history: "
            f"{_listed([_placed(run) for run in ends], 3)}; {counts} are among them: leave out bars without a trade."
        )
        return _verdict(Status.FAILED, finding, evidence, prices, ends)
    warnings = []
    if ends:
        unused = "" if data is None and signals is None else ", too few to matter" if used else ", none of them used"
        warnings.append(
            f"bars without trades at an end of a history: {_listed([_placed(run) for run in ends], 3)}{unused}"
        )
    if inside:
        warnings.append(f"long stretches without a real trade inside histories: {_listed([str(r) for r in inside], 3)}")
    if reused:
        warnings.append(f"symbols reused for another share: {_listed([str(symbol) for symbol in reused], 3)}")
    if jumps:
        warnings.append(
            f"moves that look like splits or misplaced decimal points: {_listed([str(jump) for jump in jumps], 3)}"
        )
    if zero_note:
        warnings.append(zero_note)
    if pairs:
        warnings.append(duplicate_warning(pairs))
    if warnings:
        text = "; ".join(warnings)
        return _verdict(Status.NOTED, f"{text[0].upper()}{text[1:]}; check these data.", evidence, prices, ends)
    return _verdict(
        Status.PASSED,
        "Every history begins and ends with a trade, and no price move looks like a split.",
        evidence,
        prices,
        ends,
    )


def _verdict(
    status: Status, finding: str, evidence: Sequence[tuple[str, str]], prices: Prices, ends: Sequence[Stretch]
) -> Verdict:
    table = [
        {
            "ticker": run.ticker,
            "where": run.where,
            "bars": str(run.bars),
            "from": str(run.first),
            "to": str(run.last),
        }
        for run in ends[:20]
    ]
    unproved = ["That every bar has trades: padding with invented volume or small price changes is not detected."]
    if prices.close_only or not prices.volume_known:
        missing = "open, high, low and volume" if prices.close_only else "volume"
        unproved.append(f"Without {missing} only its length distinguishes a padded history from one without trades.")
    return Verdict(NAME, status, finding, tuple(evidence), tuple(table), tuple(unproved))


def _placed(run: Stretch) -> str:
    """Describe a stretch at an end of a history, with the end at which it is."""
    return f"{run}, {_ENDS[run.where]}"


def _mask(bars: Histories, runs: Sequence[Stretch]) -> Flags:
    """Mask of the bars of some stretches, shape (n,)."""
    mask = np.zeros(len(bars.code), dtype=bool)
    for run in runs:
        mask[run.rows] = True
    return mask


def _count_padded_rows(
    bars: Histories, padded: Flags, data: Dataset | None, signals: pd.DataFrame | None
) -> list[tuple[str, int, int]]:
    """Numbers of scored rows, and of rows available for training, without a trade: name, number, total."""
    tickers = pd.Index(bars.prices.tickers)
    by_cell = np.zeros((len(bars.dates), len(tickers)), dtype=bool)
    by_cell[bars.session[padded], bars.code[padded]] = True
    uses = []
    if signals is not None:
        dates = signals.index.get_level_values("date").to_numpy().astype("datetime64[D]")
        place = tickers.get_indexer(signals.index.get_level_values("ticker"))
        day = np.clip(np.searchsorted(bars.dates, dates), 0, len(bars.dates) - 1)
        uses.append(("scored rows", int((by_cell[day, place] & (place >= 0)).sum()), len(signals)))
    if data is not None:
        place = tickers.get_indexer(pd.Index(data.panel.tickers))
        day = np.searchsorted(bars.dates, data.dates)
        rows = data.eligible & np.isfinite(data.labels.label) & (place >= 0)[:, None]
        uses.append(("rows for training", int((rows & by_cell[np.ix_(day, place)].T).sum()), int(rows.sum())))
    return uses


def _zero_returns(bars: Histories, ends: Sequence[Stretch]) -> tuple[list[tuple[str, str]], str]:
    """Evidence of zero returns (overall, per ticker, in padded ends) compared with the tick size, and a note or "".

    A return with standard deviation s at price p is rounded to zero with probability 2 Φ(tick / (2 s p)) − 1; s is
    1.4826 times the median absolute value of the ticker's returns that are not zero. Without raw prices p is the
    adjusted price, which is lower for most tickers, so the number that the tick explains is overestimated.
    """
    zero = bars.unchanged("close")
    n = len(bars.prices.tickers)
    returns = np.zeros(len(zero))
    before = bars.before("close")
    returns[bars.follows] = bars.columns["close"][bars.follows] / before[bars.follows] - 1.0
    moved = np.flatnonzero(bars.follows & ~zero)
    size = pd.Series(np.abs(returns[moved])).groupby(bars.code[moved]).median().reindex(range(n)).to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        by_tick = 2 * ndtr(0.5 * TICK / (bars.columns["raw"] * 1.4826 * size[bars.code])) - 1
    counted = bars.follows & np.isfinite(by_tick)
    rows = max(int(bars.follows.sum()), 1)
    share, explained = float(zero.sum()) / rows, float(by_tick[counted].sum()) / max(int(counted.sum()), 1)
    per_ticker = np.bincount(bars.code[bars.follows], minlength=n)
    observed = np.bincount(bars.code[zero], minlength=n) / np.maximum(per_ticker, 1)
    expected = np.bincount(bars.code[counted], by_tick[counted], n) / np.maximum(per_ticker, 1)
    excess = np.where(per_ticker >= 20, observed - (3 * expected + 0.05), -1.0)
    order = [i for i in np.argsort(-excess, kind="stable").tolist() if excess[i] > 0]
    in_ends = int(zero[_mask(bars, ends)].sum())
    lines = [
        ("returns of exactly zero", f"{share:.2%} of daily returns; a tick size of 0.01 explains {explained:.2%}"),
        ("of these in padded ends", _of(in_ends, int(zero.sum()), "zeros")),
        (
            "tickers with many more zeros than the tick size explains",
            _listed([f"{bars.prices.tickers[i]} {observed[i]:.0%} for {expected[i]:.0%}" for i in order]),
        ),
    ]
    note = ""
    if share > ZERO_RETURN_MULTIPLE * explained + ZERO_RETURN_SLACK:
        note = f"{share:.1%} of daily returns are exactly zero where a tick size of 0.01 explains {explained:.1%}"
    return lines, note


def _of(part: int, whole: int, what: str) -> str:
    return f"{part:,} of {whole:,} {what}" + (f" ({part / whole:.1%})" if whole and part else "")


def _tickers(count: int) -> str:
    return "One ticker" if count == 1 else f"{count:,} tickers"


def _listed(names: Sequence[str], most: int = MAX_LISTED) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
