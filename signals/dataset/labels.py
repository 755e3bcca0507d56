"""Labels: what the models predict, and the session at which each label is known."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.data.panel import PricePanel
from signals.features import last_bar, period_returns

__all__ = [
    "LABELS",
    "PROBABILITY",
    "LabelKind",
    "LabelSettings",
    "Labels",
    "Target",
    "forward_returns",
    "make_labels",
]

MEASURES = ("open_to_open", "close_to_close")
LONGEST_HORIZON = 260

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Target:
    """Kind and shape of the predictions for one row.

    Parameters
    ----------
    kind : {"probability", "classes", "value", "quantiles"}
        One probability, one probability per class, values, or quantiles of values.
    outputs : int
        Numbers per row: steps × values × levels, in this order (the level changes fastest).
    levels : tuple of float
        Quantile levels, ascending; empty for every other kind.
    steps : int
        Periods ahead that are forecast one by one; the outputs of one period are adjacent.
    """

    kind: str
    outputs: int = 1
    levels: tuple[float, ...] = ()
    steps: int = 1

    @property
    def values(self) -> int:
        """Numbers in the label of a row: one per step and value, regardless of the number of levels."""
        return self.outputs // max(len(self.levels), 1) if self.is_numeric else 1

    @property
    def is_numeric(self) -> bool:
        """Whether labels are values with a unit, which are standardised for training."""
        return self.kind in ("value", "quantiles")


PROBABILITY = Target("probability")
CLASSES = Target("classes", 3)
VALUE = Target("value")


@dataclass(frozen=True, slots=True)
class LabelKind:
    """One way to turn forward returns into targets.

    Parameters
    ----------
    target : Target
        What a model predicts of such a label.
    compute : callable
        `(forward, trailing, k) -> labels` of the rows of decision date `k`, whose forward returns are all known.
    whole_date : bool
        Whether the label of a row needs the returns of all other rows of its date; it is then known only when the last
        of these is known.
    least_names : int
        Smallest number of tickers on a date for which the label is defined; a date with fewer is not labelled.
    """

    target: Target
    compute: Callable[[Values, _Trailing, int, NDArray[np.int64]], Values]
    whole_date: bool = False
    least_names: int = 1


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """Definition of the target.

    Parameters
    ----------
    kind : str
        `"above_median"`: return above the median of that date's universe. `"up"`: return above zero. `"terciles"`:
        lowest, middle or highest third of that date's universe. `"return"`: the simple return. `"residual"`: return
        less beta times the mean return of that date's universe. `"volatility_scaled"`: return in trailing standard
        deviations.
    price_basis : {"open_to_open", "close_to_close"}
        From the next open to the open after the horizon, which can be traded, or between the closes of decision dates
        (for data without opening prices).
    horizon : int
        Decision dates ahead, independent of how often the strategy trades. The purge between slices depends on it.
    estimation_window : int
        Trailing decision dates, t included, over which beta and volatility are measured.
    delist_after_sessions : int
        Sessions without a bar after which a position is liquidated.
    delist_haircut : float
        Fraction of the last price that is lost in the liquidation.
    quantiles : tuple of float
        Quantile levels of the label that a model predicts instead of its mean, such as `(0.1, 0.5, 0.9)`: an odd
        number, ascending; numeric kinds only. The score is the middle quantile.
    """

    kind: str = "above_median"
    price_basis: str = "open_to_open"
    horizon: int = 1
    estimation_window: int = 52
    delist_after_sessions: int = 5
    delist_haircut: float = 0.0
    quantiles: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, value, allowed in (("kind", self.kind, tuple(LABELS)), ("price_basis", self.price_basis, MEASURES)):
            if value not in allowed:
                close = difflib.get_close_matches(str(value), allowed, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise InputError(f"expected labels.{name} to be one of {', '.join(allowed)}; found {value!r}{hint}")
        if not 1 <= self.horizon <= LONGEST_HORIZON:
            raise InputError(
                f"expected labels.horizon from 1 to {LONGEST_HORIZON} decision dates; found {self.horizon}"
            )
        if self.estimation_window < 4:
            raise InputError(
                f"expected labels.estimation_window of at least 4 decision dates; found {self.estimation_window}"
            )
        self._check_quantiles()

    def _check_quantiles(self) -> None:
        levels, numeric = self.quantiles, [name for name, kind in LABELS.items() if kind.target.is_numeric]
        if levels and self.kind not in numeric:
            raise InputError(
                f"expected labels.quantiles with labels.kind of {', '.join(numeric)}; found {self.kind!r}; choose one "
                "of those, or leave the quantiles out"
            )
        ascending = all(a < b for a, b in zip((0.0, *levels), (*levels, 1.0), strict=True))
        if levels and not (ascending and len(levels) % 2):
            raise InputError(
                "expected labels.quantiles as an odd number of ascending levels between 0 and 1, the middle one for "
                f"the score; found {list(levels)}; write for example [0.1, 0.5, 0.9]"
            )

    @property
    def target(self) -> Target:
        """Kind and shape of the predictions for one row."""
        if self.quantiles:
            return Target("quantiles", len(self.quantiles), self.quantiles)
        return LABELS[self.kind].target


@dataclass(frozen=True, slots=True)
class Labels:
    """Targets by ticker and decision date, arrays of shape (n_tickers, n_dates).

    Parameters
    ----------
    label : ndarray of float64
        0 or 1, 0 to 2 for terciles, or a value; NaN where it is unknown or the row is not in the universe.
    forward_return : ndarray of float64
        Simple return over the horizon; NaN in the same cases.
    end : ndarray of int64
        Session index of the last price that entered the label; -1 where unknown.
    """

    label: Values
    forward_return: Values
    end: NDArray[np.int64]


def make_labels(
    panel: PricePanel, decisions: NDArray[np.int64], eligible: NDArray[np.bool_], settings: LabelSettings
) -> Labels:
    """Label every eligible row.

    Parameters
    ----------
    panel : PricePanel
        Prices, n_sessions by n_tickers.
    decisions : ndarray of int, shape (n_dates,)
        Session index of each decision date.
    eligible : ndarray of bool, shape (n_tickers, n_dates)
        Whether the row is in that date's universe and has a bar on the decision date.
    settings : LabelSettings
        Definition of the target.

    Returns
    -------
    Labels

    Notes
    -----
    A ticker that is delisted inside the horizon gets the return to its liquidation; one whose trading only pauses is
    valued at its next bar. A ticker whose last bar is the decision date cannot be bought: it has no label and does not
    enter the median, the terciles and the mean of its date. These three need every return of a date, so such labels are
    known only when the last return of the date is, and the date is not labelled before. A date on which fewer tickers
    can be bought than such a label needs (two; three for terciles) is not labelled.
    """
    kind = LABELS[settings.kind]
    forward, end, closed = forward_returns(panel, decisions, settings)
    known = eligible & (end >= 0)
    bought = known & ~closed
    settled = np.where(known, end, -1)
    forward = np.where(bought, forward, np.nan)
    end = np.where(bought, end, -1)
    label = np.full(forward.shape, np.nan)
    trailing = _Trailing(panel, decisions, eligible, settings)
    for k in range(len(decisions)):
        rows = np.flatnonzero(eligible[:, k])
        if kind.whole_date:
            if np.count_nonzero(bought[rows, k]) < kind.least_names or not known[rows, k].all():
                forward[:, k], end[:, k] = np.nan, -1
                continue
            # whether a ticker could be bought is known only at its liquidation
            end[:, k] = np.where(bought[:, k], settled[rows, k].max(), -1)
        rows = np.flatnonzero(bought[:, k])
        if len(rows):
            label[rows, k] = kind.compute(np.ascontiguousarray(forward[rows, k]), trailing, k, rows)
    return Labels(label, forward, end)


class _Trailing:
    """Trailing returns of tickers and of the universe up to a decision date, without any later data."""

    def __init__(
        self, panel: PricePanel, decisions: NDArray[np.int64], eligible: NDArray[np.bool_], settings: LabelSettings
    ) -> None:
        self._inputs = panel, decisions, eligible
        self.window, self.horizon = settings.estimation_window, settings.horizon
        self._returns: Values | None = None
        self._market: Values | None = None

    def returns(self, k: int, rows: NDArray[np.int64]) -> Values:
        """Return of some tickers over the window that ends at date k, shape (n_rows, at most window)."""
        if self._returns is None:
            panel, decisions, _ = self._inputs
            self._returns = period_returns(panel, decisions)
        return np.asarray(self._returns[rows, max(k + 1 - self.window, 0) : k + 1])

    def market(self, k: int) -> Values:
        """Mean return of each date's universe over the same window, NaN on dates with an empty universe."""
        if self._market is None:
            _, decisions, eligible = self._inputs
            self.returns(0, np.zeros(0, dtype=np.int64))
            assert self._returns is not None  # noqa: S101 - made in the line above
            means = np.full(len(decisions), np.nan)
            for j in range(len(decisions)):
                # only eligible rows, so that later listings cannot change the order of summation
                values = self._returns[eligible[:, j], j]
                values = values[np.isfinite(values)]
                if len(values):
                    means[j] = values.mean()
            self._market = means
        return self._market[max(k + 1 - self.window, 0) : k + 1]


def _up(forward: Values, trailing: _Trailing, k: int, rows: NDArray[np.int64]) -> Values:
    return (forward > 0).astype(np.float64)


def _above_median(forward: Values, trailing: _Trailing, k: int, rows: NDArray[np.int64]) -> Values:
    return (forward > np.median(forward)).astype(np.float64)


def _terciles(forward: Values, trailing: _Trailing, k: int, rows: NDArray[np.int64]) -> Values:
    low, high = np.quantile(forward, [1 / 3, 2 / 3])
    return np.asarray((forward > low).astype(np.float64) + (forward > high))


def _return(forward: Values, trailing: _Trailing, k: int, rows: NDArray[np.int64]) -> Values:
    return forward


def _residual(forward: Values, trailing: _Trailing, k: int, rows: NDArray[np.int64]) -> Values:
    """Return less beta times the universe's mean; beta by least squares on the window, 1 with too few pairs.

    This is the market model of Sharpe (1963) with the equal-weight universe as the market.
    """
    market = trailing.market(k)
    own = trailing.returns(k, rows)
    pair = np.isfinite(own) & np.isfinite(market)
    count = pair.sum(axis=1)
    x, y = np.where(pair, market, 0.0), np.where(pair, own, 0.0)
    enough = count >= trailing.window // 2
    n = np.maximum(count, 1)
    dx = np.where(pair, x - (x.sum(axis=1) / n)[:, None], 0.0)
    dy = np.where(pair, y - (y.sum(axis=1) / n)[:, None], 0.0)
    spread = (dx * dx).sum(axis=1)
    sound = enough & (spread > 0)
    beta = np.where(sound, (dx * dy).sum(axis=1) / np.where(sound, spread, 1.0), 1.0)
    return np.asarray(forward - beta * forward.mean())


def _volatility_scaled(forward: Values, trailing: _Trailing, k: int, rows: NDArray[np.int64]) -> Values:
    """Return in standard deviations (ddof 1) of the window's returns, scaled to the horizon; NaN with too few."""
    own = trailing.returns(k, rows)
    known = np.isfinite(own)
    count = known.sum(axis=1)
    mean = np.where(known, own, 0.0).sum(axis=1) / np.maximum(count, 1)
    squares = (np.where(known, own - mean[:, None], 0.0) ** 2).sum(axis=1)
    deviation = np.sqrt(squares / np.maximum(count - 1, 1)) * np.sqrt(trailing.horizon)
    sound = (count >= trailing.window // 2) & (deviation > 0)
    return np.where(sound, forward / np.where(sound, deviation, 1.0), np.nan)


LABELS: dict[str, LabelKind] = {
    "above_median": LabelKind(PROBABILITY, _above_median, whole_date=True, least_names=2),
    "up": LabelKind(PROBABILITY, _up),
    "terciles": LabelKind(CLASSES, _terciles, whole_date=True, least_names=3),
    "return": LabelKind(VALUE, _return),
    "residual": LabelKind(VALUE, _residual, whole_date=True, least_names=2),
    "volatility_scaled": LabelKind(VALUE, _volatility_scaled),
}


def forward_returns(
    panel: PricePanel, decisions: NDArray[np.int64], settings: LabelSettings
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Forward return, its exit session, and whether no entry was possible, each of shape (n_tickers, n_dates).

    The exit session is -1 where it is not known yet. No entry is possible without a bar between the decision date and
    the liquidation.
    """
    n_sessions, n_tickers = panel.close.shape
    n_dates = len(decisions)
    delay = 1 if settings.price_basis == "open_to_open" else 0
    price = panel.open if delay else panel.close

    latest = last_bar(panel)
    sessions = np.arange(n_sessions, dtype=np.int32)[:, None]
    liquidation = (sessions - latest == settings.delist_after_sessions) & (latest >= 0)
    next_liquidation = _next_true(liquidation)
    next_bar = _next_true(panel.traded)

    forward = np.full((n_dates, n_tickers), np.nan)
    end = np.full((n_dates, n_tickers), -1, dtype=np.int64)
    closed = np.zeros((n_dates, n_tickers), dtype=bool)
    columns = np.arange(n_tickers)
    for k in range(n_dates):
        entry = decisions[k] + delay
        if entry >= n_sessions:
            break
        # where the horizon is not over yet, only the returns of tickers delisted inside it are known
        exit_from = decisions[k + settings.horizon] + delay if k + settings.horizon < n_dates else n_sessions
        last = latest[entry]
        entry_price = np.where(panel.traded[entry], price[entry], panel.close[np.maximum(last, 0), columns])
        liquidated = next_liquidation[entry].astype(np.int64)
        bar = next_bar[exit_from].astype(np.int64) if exit_from < n_sessions else np.full(n_tickers, n_sessions)
        sold = bar < liquidated
        exit_session = np.where(sold, bar, liquidated)
        known = (exit_session < n_sessions) & (last >= 0)
        at = np.where(known, exit_session, 0)
        final = panel.close[np.maximum(latest[at, columns], 0), columns] * (1.0 - settings.delist_haircut)
        exit_price = np.where(sold, price[at, columns], final)
        forward[k] = np.where(known, exit_price / entry_price - 1.0, np.nan)
        end[k] = np.where(known, exit_session, -1)
        after = decisions[k] + 1
        closed[k] = known & (next_bar[after] >= next_liquidation[after] if after < n_sessions else False)
    return np.ascontiguousarray(forward.T), np.ascontiguousarray(end.T), np.ascontiguousarray(closed.T)


def _next_true(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Index of the first True at or after each row, per column; the number of rows where there is none."""
    n = len(flags)
    index = np.where(flags, np.arange(n, dtype=np.int32)[:, None], np.int32(n))
    return np.asarray(np.minimum.accumulate(index[::-1], axis=0)[::-1])
