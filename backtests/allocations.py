"""Allocations: pure functions from scores, current weights and tradable flags to target weights.

An allocation does not depend on dates, files, brokers or prices, so that different engines can execute the same object
with equal orders.

Sums use `math.fsum`, which is exact before its one rounding, so that target weights depend neither on the order of the
tickers nor on tickers that join the universe later.
"""

from __future__ import annotations

import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from signals.common.errors import InputError
from signals.common.former_names import renamed_key
from signals.common.import_objects import import_name

__all__ = [
    "ALLOCATIONS",
    "Allocation",
    "EqualWeight",
    "LongShortQuantile",
    "ScoreWeighted",
    "Threshold",
    "TopK",
    "make_allocation",
]

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation(ABC):
    """Base class of allocations, with the limits that all of them share.

    Subclasses define in `choose` the weights of the candidates; limits, holdings that cannot be traded, and turnover
    are handled here.

    Parameters
    ----------
    gross : float
        Limit on the sum of absolute weights. The broker does not lend cash: purchases beyond the account's own cash and
        the proceeds of shorts are rejected, so values above 1 are for long/short portfolios.
    max_weight : float, optional
        Largest absolute weight of a ticker; weight above it stays in cash. None for no limit.
    max_turnover : float, optional
        Largest sum of absolute weight changes on a decision date. A larger change is scaled down by the
        same factor for every ticker, and the rest follows on later dates. It takes precedence over `gross` and
        `max_weight`: a portfolio above those limits is reduced only as fast as this allows. None for no limit.
    on_missing_score : {"zero", "hold"}
        Target weight of a ticker without a score on this date: zero, or its current weight (at most `max_weight`).
    """

    gross: float = 1.0
    max_weight: float | None = None
    max_turnover: float | None = None
    on_missing_score: str = "zero"

    def __post_init__(self) -> None:
        _number(self, "gross", above=0.0, up_to=100.0)
        _number(self, "max_weight", above=0.0, up_to=100.0, optional=True)
        _number(self, "max_turnover", above=0.0, optional=True)
        if self.on_missing_score not in ("zero", "hold"):
            raise InputError(
                f'expected on_missing_score = "zero" or "hold"; found {self.on_missing_score!r}; choose one'
            )

    @property
    def can_be_short(self) -> bool:
        """Whether a target weight can be negative, so that a borrow rate is needed."""
        return False

    def ties(self, scores: Values) -> int:
        """Count the candidates with equal scores at the border of the selection; 0 when the scores rank them.

        Parameters
        ----------
        scores : ndarray of shape (n_candidates,)
            As in `choose`.
        """
        return 0

    @abstractmethod
    def choose(self, scores: Values) -> Values:
        """Return weights of the candidates, as fractions of the available gross exposure.

        Parameters
        ----------
        scores : ndarray of shape (n_candidates,)
            Scores of tickers with a score and a bar today, in the order of the tickers; at least one, all finite.

        Returns
        -------
        ndarray of shape (n_candidates,)
            Absolute values sum to at most 1.
        """

    def target_weights(self, scores: Values, weights: Values, tradable: Flags) -> Values:
        """Compute target weights.

        Parameters
        ----------
        scores : ndarray of shape (n_tickers,)
            Higher is better; NaN for a ticker without a score on this date.
        weights : ndarray of shape (n_tickers,)
            Current weights as fractions of account value, negative when short.
        tradable : ndarray of bool, shape (n_tickers,)
            Tickers with a bar today.

        Returns
        -------
        ndarray of shape (n_tickers,)
            Target weights. A ticker that cannot be traded keeps its weight exactly; the weights of such tickers and of
            those held without a score reduce the `gross` available to the others.
        """
        scores = np.asarray(scores, dtype=np.float64)
        weights = np.asarray(weights, dtype=np.float64)
        tradable = np.asarray(tradable, dtype=bool)
        scored = ~np.isnan(scores)
        target = np.zeros_like(weights)
        target[~tradable] = weights[~tradable]
        if self.on_missing_score == "hold":
            held = tradable & ~scored
            target[held] = self._limit(weights[held])
        candidates = np.flatnonzero(tradable & scored)
        free = max(self.gross - math.fsum(np.abs(target)), 0.0)
        if len(candidates) and free > 0.0:
            target[candidates] = self._limit(free * self.choose(scores[candidates]))
        return self._limit_turnover(target, weights)

    def reachable_gross(self, n: int) -> float:
        """Largest sum of absolute weights that `n` tickers with a score can have.

        >>> TopK(k=500).reachable_gross(200), EqualWeight(max_weight=0.01).reachable_gross(30)
        (0.4, 0.3)
        """
        return self.gross if self.max_weight is None else min(self.gross, n * self.max_weight)

    def _limit(self, weights: Values) -> Values:
        return weights if self.max_weight is None else np.clip(weights, -self.max_weight, self.max_weight)

    def _limit_turnover(self, target: Values, weights: Values) -> Values:
        if self.max_turnover is None:
            return target
        change = target - weights
        turnover = math.fsum(np.abs(change))
        if turnover <= self.max_turnover:
            return target
        limited: Values = weights + change * (self.max_turnover / turnover)
        return limited


@dataclass(frozen=True, slots=True)
class TopK(Allocation):
    """Long positions in the `k` highest scores, `gross / k` each.

    Tickers with equal scores at the border of the selection share the last places in equal parts, so that the result
    does not depend on the order of the tickers; more than `k` tickers are held then. When all scores are equal, the
    result is the equal-weight universe.

    Parameters
    ----------
    k : int
        Number of places. With fewer tickers above `min_score`, places stay empty and their weight stays in cash.
    min_score : float
        Scores at or below it are not bought. The default 0.0 is meant for expected returns; use 0.5 for probabilities,
        and `-inf` to select by rank only.

    >>> TopK(2).target_weights([0.3, 0.1, 0.2, 0.0], [0.0, 0.0, 0.0, 0.0], [True] * 4)
    array([0.5, 0. , 0.5, 0. ])
    >>> TopK(2).target_weights([0.1, 0.3, 0.1, 0.0], [0.0, 0.0, 0.0, 0.0], [True] * 4)
    array([0.25, 0.5 , 0.25, 0.  ])
    """

    k: int
    min_score: float = 0.0

    def __post_init__(self) -> None:
        Allocation.__post_init__(self)
        if isinstance(self.k, bool) or not isinstance(self.k, int | np.integer) or self.k < 1:
            raise InputError(f"expected k as a whole number of tickers, at least 1; found {self.k!r}")
        _number(self, "min_score", infinite=True)

    def reachable_gross(self, n: int) -> float:  # noqa: D102 - documented in the base class
        share = self.gross / self.k
        return min(n, self.k) * (share if self.max_weight is None else min(share, self.max_weight))

    def choose(self, scores: Values) -> Values:  # noqa: D102 - documented in the base class
        best = np.argsort(-scores, kind="stable")[: self.k]
        best = best[scores[best] > self.min_score]
        share = np.zeros_like(scores)
        share[best] = 1.0 / self.k
        if len(best) == self.k < len(scores):
            _share_places(share, scores, best, 1.0 / self.k)
        return share

    def ties(self, scores: Values) -> int:  # noqa: D102
        if len(scores) <= self.k:
            return 0
        border = np.partition(scores, -self.k)[-self.k]
        tied = int(np.count_nonzero(scores == border))
        return tied if border > self.min_score and tied > self.k - int(np.count_nonzero(scores > border)) else 0


@dataclass(frozen=True, slots=True)
class LongShortQuantile(Allocation):
    """Long positions in the highest scores and short positions in the lowest, `gross / 2` a side in equal parts.

    Parameters
    ----------
    quantile : float
        Fraction of the candidates on each side, above 0 and at most 0.5: `floor(quantile × n)` tickers, at least one.
        Tickers with equal scores at the border of a side share its last places in equal parts. When the borders of both
        sides have the same score, tickers with that score are left out; when that empties a side, as when all scores
        are equal, nothing is held.

    >>> LongShortQuantile(0.25).target_weights([0.3, 0.1, 0.2, 0.0], [0.0] * 4, [True] * 4)
    array([ 0.5,  0. ,  0. , -0.5])
    """

    quantile: float

    def __post_init__(self) -> None:
        Allocation.__post_init__(self)
        _number(self, "quantile", above=0.0, up_to=0.5)

    @property
    def can_be_short(self) -> bool:  # noqa: D102
        return True

    def choose(self, scores: Values) -> Values:  # noqa: D102
        share = np.zeros_like(scores)
        n = len(scores)
        side = max(math.floor(self.quantile * n + 1e-9), 1)
        order = np.argsort(-scores, kind="stable")
        if 2 * side > n:
            return share
        long, short = order[:side], order[n - side :]
        border = scores[long[-1]]
        both = border == scores[short[0]]
        if both:
            long, short = long[scores[long] != border], short[scores[short] != border]
        if len(long) and len(short):
            share[long] = 0.5 / len(long)
            share[short] = -0.5 / len(short)
            if not both:
                _share_places(share, scores, long, 0.5 / side)
                _share_places(share, -scores, short[::-1], -0.5 / side)
        return share

    def ties(self, scores: Values) -> int:  # noqa: D102
        n = len(scores)
        side = max(math.floor(self.quantile * n + 1e-9), 1)
        if 2 * side > n:
            return 0
        ordered = np.sort(scores)
        tied = 0
        for inside, outside in ((n - side, n - side - 1), (side - 1, side)):
            if ordered[inside] == ordered[outside]:
                tied = max(tied, int(np.count_nonzero(scores == ordered[inside])))
        return tied


@dataclass(frozen=True, slots=True)
class Threshold(Allocation):
    """Long positions in every score above `long`, short ones below `short`, in equal parts of `gross`.

    Parameters
    ----------
    long : float
        Scores above it are bought.
    short : float, optional
        Scores below it are sold short; None for no short sales. At most `long`.

    >>> Threshold(0.55, short=0.45).target_weights([0.6, 0.5, 0.4, 0.7], [0.0] * 4, [True] * 4).round(3)
    array([ 0.333,  0.   , -0.333,  0.333])
    """

    long: float
    short: float | None = None

    def __post_init__(self) -> None:
        Allocation.__post_init__(self)
        _number(self, "long")
        _number(self, "short", optional=True)
        if self.short is not None and self.short > self.long:
            raise InputError(f"expected short at or below long; found short={self.short} and long={self.long}")

    @property
    def can_be_short(self) -> bool:  # noqa: D102
        return self.short is not None

    def choose(self, scores: Values) -> Values:  # noqa: D102
        share = np.where(scores > self.long, 1.0, 0.0)
        if self.short is not None:
            share[scores < self.short] = -1.0
        return np.asarray(share / max(np.count_nonzero(share), 1))


@dataclass(frozen=True, slots=True)
class ScoreWeighted(Allocation):
    """Weights proportional to the distance of the score from a centre.

    Parameters
    ----------
    center : float
        Neutral score: 0 for expected returns, 0.5 for probabilities.
    long_only : bool
        Whether scores below the centre are left out instead of sold short.

    >>> ScoreWeighted(0.5, long_only=False).target_weights([0.8, 0.5, 0.4], [0.0] * 3, [True] * 3)
    array([ 0.75,  0.  , -0.25])
    """

    center: float = 0.0
    long_only: bool = True

    def __post_init__(self) -> None:
        Allocation.__post_init__(self)
        _number(self, "center")
        if not isinstance(self.long_only, bool):
            raise InputError(f"expected long_only = true or false; found {self.long_only!r}")

    @property
    def can_be_short(self) -> bool:  # noqa: D102
        return not self.long_only

    def choose(self, scores: Values) -> Values:  # noqa: D102
        share: Values = scores - self.center
        if self.long_only:
            share = np.maximum(share, 0.0)
        # division by the largest value first keeps the sum finite for any finite scores
        largest = np.abs(share).max()
        if largest == 0.0:
            return np.zeros_like(scores)
        share = share / largest
        return np.asarray(share / math.fsum(np.abs(share)))


@dataclass(frozen=True, slots=True)
class EqualWeight(Allocation):
    """Equal weights for every ticker with a score; the comparison for selections from the universe.

    >>> EqualWeight().target_weights([0.3, float("nan"), -0.2], [0.0] * 3, [True] * 3)
    array([0.5, 0. , 0.5])
    """

    def choose(self, scores: Values) -> Values:  # noqa: D102
        return np.full_like(scores, 1.0 / len(scores))


ALLOCATIONS: dict[str, type[Allocation]] = {
    kind.__name__: kind for kind in (EqualWeight, LongShortQuantile, ScoreWeighted, Threshold, TopK)
}


def _share_places(share: Values, scores: Values, best: NDArray[np.intp], place: float) -> None:
    """Divide the last places of a selection equally among the tickers with the score at its border, in place.

    `best` are the selected positions, the one at the border last, with a weight of `place` each; without a tie `share`
    is unchanged.
    """
    border = scores[best[-1]]
    tied = scores == border
    places = int(np.count_nonzero(tied[best]))
    if places < np.count_nonzero(tied):
        share[tied] = place * places / np.count_nonzero(tied)


def make_allocation(name: str, **params: Any) -> Allocation:
    """Create an allocation from its name and settings.

    Parameters
    ----------
    name : str
        One of `ALLOCATIONS`, or `'package.module:Name'` of a class with `target_weights` and `can_be_short`.
    **params
        Settings of the allocation.

    Returns
    -------
    Allocation

    Raises
    ------
    InputError
        For an unknown name or setting (with the nearest known one), a missing setting, or a value out of range.

    >>> make_allocation("TopK", k=50, max_weight=0.05)
    TopK(gross=1.0, max_weight=0.05, max_turnover=None, on_missing_score='zero', k=50, min_score=0.0)
    """
    kind: Any
    if ":" in name:
        kind = import_name(name, "strategy.allocation")
        _check_custom(name, kind)
    elif name in ALLOCATIONS:
        kind = ALLOCATIONS[name]
    else:
        raise InputError(
            f"expected an allocation among {', '.join(ALLOCATIONS)} or 'package.module:Name'; found {name!r}"
            f"{_nearest(name, ALLOCATIONS)}"
        )
    if is_dataclass(kind):
        known = {f.name for f in fields(kind) if f.init}
        for key in params:
            if key not in known:
                former = renamed_key("strategy", key, {*known, "kind"})
                close = f"; {former}" if former else _nearest(key, known)
                raise InputError(f"expected a setting of {name} among {', '.join(sorted(known))}; found {key!r}{close}")
        required = [f.name for f in fields(kind) if f.init and f.default is MISSING and f.default_factory is MISSING]
        for key in required:
            if key not in params:
                raise InputError(f"expected a setting {key} for {name}; found none; add it")
    try:
        allocation: Allocation = kind(**params)
    except TypeError as error:
        raise InputError(f"expected settings that {name} takes; found {sorted(params)} ({error})") from error
    return allocation


def describe(allocation: Any) -> dict[str, Any]:
    """Return the settings of an allocation as plain JSON values; empty when it is not a dataclass."""
    if not is_dataclass(allocation) or isinstance(allocation, type):
        return {}
    plain: dict[str, Any] = {}
    for name, value in asdict(allocation).items():
        # JSON has no infinity, and settings of custom allocations may have any type
        is_plain = value is None or isinstance(value, bool | int | str)
        plain[name] = value if is_plain or (isinstance(value, float) and math.isfinite(value)) else str(value)
    return plain


def _check_custom(name: str, kind: Any) -> None:
    for needed in ("target_weights", "can_be_short"):
        if not hasattr(kind, needed):
            raise InputError(
                f"expected a class with target_weights(scores, weights, tradable) and can_be_short at {name}; found no "
                f"{needed}; derive it from backtests.allocations.Allocation"
            )


def _nearest(word: str, known: Iterable[str]) -> str:
    by_case = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), list(by_case), n=1, cutoff=0.5)
    return f"; did you mean {by_case[close[0]]!r}?" if close else ""


def _number(
    owner: Any,
    name: str,
    *,
    above: float = -math.inf,
    up_to: float = math.inf,
    optional: bool = False,
    infinite: bool = False,
) -> None:
    """Raise InputError for a setting that is not a number in (above, up_to]."""
    value = getattr(owner, name)
    if value is None and optional:
        return
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if number and (infinite or math.isfinite(value)) and not math.isnan(value) and (infinite or above < value <= up_to):
        return
    limits = f" above {above:g}" if above > -math.inf else ""
    limits += f"{' and' if limits else ''} at most {up_to:g}" if up_to < math.inf else ""
    raise InputError(f"expected {name} as a number{limits} in {type(owner).__name__}; found {value!r}")
