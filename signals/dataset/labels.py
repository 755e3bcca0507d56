"""What the models learn to predict, and when each answer was known."""

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
    """What a model has to say about a row.

    Parameters
    ----------
    kind : {"probability", "classes", "value", "quantiles"}
        One probability, one probability per class, numbers, or quantiles of numbers.
    outputs : int
        Numbers a row: steps × values × levels, in this order (the level changes fastest).
    levels : tuple of float
        Of quantiles, ascending; empty for every other kind.
    steps : int
        Periods ahead that are foretold one by one; what a model says of each lies together.
    """

    kind: str
    outputs: int = 1
    levels: tuple[float, ...] = ()
    steps: int = 1

    @property
    def values(self) -> int:
        """Numbers of a row's label: one, or one a step and value, whatever the number of levels."""
        return self.outputs // max(len(self.levels), 1) if self.is_numeric else 1

    @property
    def is_numeric(self) -> bool:
        """Whether labels are numbers with a unit, which are standardised for training."""
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
        What a model says about such a label.
    compute : callable
        `(forward, trailing, k) -> labels` of the rows of decision date `k`, whose forward returns are all known.
    whole_date : bool
        Whether a row's label needs the outcomes of all other rows of its date: it is then known only when the slowest
        of them is.
    least_names : int
        Names a date needs for the label to mean anything; a date with fewer is not labelled.
    """

    target: Target
    compute: Callable[[Values, _Trailing, int, NDArray[np.int64]], Values]
    whole_date: bool = False
    least_names: int = 1


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """How the target is measured.

    Parameters
    ----------
    kind : str
        `"above_median"`, `"up"`: return above the median of that date's universe, or above zero. `"terciles"`: lowest,
        middle or highest third of that date's universe. `"return"`: the simple return itself. `"residual"`: return less
        beta times the mean return of that date's universe. `"volatility_scaled"`: in trailing standard deviations.
    price_basis : {"open_to_open", "close_to_close"}
        From the next open to the open after the horizon, as it can be traded, or between the closes of decision
        dates (when only closes exist).
    horizon : int
        Decision dates ahead; independent of how often is traded. The purge between slices follows it.
    estimation_window : int
        Trailing decision dates, t included, that beta and volatility are measured over.
    delist_after_sessions : int
        Sessions without a bar after which a holder is cashed out.
    delist_haircut : float
        Fraction of the last price lost on that day.
    quantiles : tuple of float
        Levels of the label's distribution that a model says instead of its mean, such as `(0.1, 0.5, 0.9)`: an odd
        number of them, ascending; numeric kinds only. The score is the middle one.
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
                "expected labels.quantiles as an odd number of levels between 0 and 1, ascending, the middle one being "
                f"the score; found {list(levels)}; write for example [0.1, 0.5, 0.9]"
            )

    @property
    def target(self) -> Target:
        """What a model has to say about a row."""
        if self.quantiles:
            return Target("quantiles", len(self.quantiles), self.quantiles)
        return LABELS[self.kind].target


@dataclass(frozen=True, slots=True)
class Labels:
    """Targets by ticker and decision date, arrays of shape (n_tickers, n_dates).

    Parameters
    ----------
    label : ndarray of float64
        0 or 1, 0 to 2 for terciles, or a number; NaN where it is not known or the row is not in the universe.
    forward_return : ndarray of float64
        Simple return over the horizon, NaN likewise.
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
        Rows in that date's universe, each with a bar on the decision date.
    settings : LabelSettings
        Target and its measurement.

    Returns
    -------
    Labels

    Notes
    -----
    A name that dies inside the horizon gets the return to its liquidation; one that merely pauses is valued where it
    trades next. A name whose last bar is the decision date cannot be bought any more: it has no label, and no part in
    the median, the thirds and the mean of its date. These three need every return of a date, so such a label is known
    only when the slowest name of its date is, and the date is not labelled before. A date on which fewer names
    can be bought than such a label needs (two, three for thirds) is not labelled at all.
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
            # that a name could not be bought is known when it is given up, not before
            end[:, k] = np.where(bought[:, k], settled[rows, k].max(), -1)
        rows = np.flatnonzero(bought[:, k])
        if len(rows):
            label[rows, k] = kind.compute(np.ascontiguousarray(forward[rows, k]), trailing, k, rows)
    return Labels(label, forward, end)


class _Trailing:
    """Returns up to each decision date, and what is measured on them; nothing here is later than the date asked for."""

    def __init__(
        self, panel: PricePanel, decisions: NDArray[np.int64], eligible: NDArray[np.bool_], settings: LabelSettings
    ) -> None:
        self._inputs = panel, decisions, eligible
        self.window, self.horizon = settings.estimation_window, settings.horizon
        self._returns: Values | None = None
        self._market: Values | None = None

    def returns(self, k: int, rows: NDArray[np.int64]) -> Values:
        """Give the returns of some tickers over the window that ends at date k, shape (n_rows, at most window)."""
        if self._returns is None:
            panel, decisions, _ = self._inputs
            self._returns = period_returns(panel, decisions)
        return np.asarray(self._returns[rows, max(k + 1 - self.window, 0) : k + 1])

    def market(self, k: int) -> Values:
        """Give the mean return of each date's universe over the same window, NaN on dates without one."""
        if self._market is None:
            _, decisions, eligible = self._inputs
            self.returns(0, np.zeros(0, dtype=np.int64))
            assert self._returns is not None  # noqa: S101 - made in the line above
            means = np.full(len(decisions), np.nan)
            for j in range(len(decisions)):
                # only the rows that count, so that later listings cannot change the order of additions
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

    The market model of Sharpe (1963), its market the equal-weight universe.
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
    """Return to the exit, its session, -1 where not known yet, and whether no entry was possible: (n_tickers, n_dates).

    Without a bar between the decision date and the liquidation there is nothing to enter at.
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
        # where the horizon is not over yet, only those are known who died inside it
        leave = decisions[k + settings.horizon] + delay if k + settings.horizon < n_dates else n_sessions
        last = latest[entry]
        paid = np.where(panel.traded[entry], price[entry], panel.close[np.maximum(last, 0), columns])
        dead = next_liquidation[entry].astype(np.int64)
        bar = next_bar[leave].astype(np.int64) if leave < n_sessions else np.full(n_tickers, n_sessions)
        sold = bar < dead
        exit_session = np.where(sold, bar, dead)
        known = (exit_session < n_sessions) & (last >= 0)
        at = np.where(known, exit_session, 0)
        final = panel.close[np.maximum(latest[at, columns], 0), columns] * (1.0 - settings.delist_haircut)
        got = np.where(sold, price[at, columns], final)
        forward[k] = np.where(known, got / paid - 1.0, np.nan)
        end[k] = np.where(known, exit_session, -1)
        after = decisions[k] + 1
        closed[k] = known & (next_bar[after] >= next_liquidation[after] if after < n_sessions else False)
    return np.ascontiguousarray(forward.T), np.ascontiguousarray(end.T), np.ascontiguousarray(closed.T)


def _next_true(flags: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Index of the first True at or after each row, per column; the number of rows where there is none."""
    n = len(flags)
    index = np.where(flags, np.arange(n, dtype=np.int32)[:, None], np.int32(n))
    return np.asarray(np.minimum.accumulate(index[::-1], axis=0)[::-1])
