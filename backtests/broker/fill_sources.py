"""Protocol of sources of fills, which the broker uses instead of simulation; see `journal.fill_journal`.

Calls of the broker (`day` is always the current session in backtrader's day numbers)::

    source.begin()                        at the start of every run of the Cerebro
    source.given(order, day)              for every order of the strategy in order of submission, rejected ones too;
                                          not for orders of the broker itself, such as liquidations
    source.expects(order, day)            before an order is rejected for lack of cash or of a bar: an order with
                                          fills on this session or later is not rejected
    source.fills_of(order, day)           for every waiting order that could fill on this session, once
        None                              simulate it as usual
        a sequence, possibly empty        book each `Fill` unchanged: no slippage, volume limit or cash check
    source.ending_of(order, day)          when the order is alive after its fills; an `Ending` ends it. Without one a
                                          market order expires (reason `UNFILLED`) and every other one waits
    source.left_over(day)                 after the last fill of the session: unmatched fills, each one an error

A fill has one commission. `split_commission` divides it between the closed and the opened part of the fill, which
backtrader books separately.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

__all__ = ["UNFILLED", "Ending", "Fill", "FillSource", "split_commission"]

# Reason of a market order without fills when the journal holds no reason.
UNFILLED = "no fill in the journal"


class Fill(NamedTuple):
    """One fill: signed shares (negative when sold), price per share, commission in account currency."""

    size: float
    price: float
    commission: float


class Ending(NamedTuple):
    """Status (of backtrader's `Order`) and reason of an order that ended before it was filled completely."""

    status: int
    reason: str


@runtime_checkable
class FillSource(Protocol):
    """Methods that `Broker(settings, fills=...)` calls; see the module docstring for when they are called."""

    def begin(self) -> None:
        """Reset the state at the start of a run."""

    def given(self, order: Any, day: float) -> None:
        """Register an order when it is submitted."""

    def expects(self, order: Any, day: float) -> bool:
        """Whether the source has fills of the order on this session or later."""

    def fills_of(self, order: Any, day: float) -> Sequence[Fill] | None:
        """Return the fills of the order on this session, or None to simulate them."""

    def ending_of(self, order: Any, day: float) -> Ending | None:
        """Return how the order ended on this session; None when it did not end."""

    def left_over(self, day: float) -> list[str]:
        """Return messages on fills up to this session that belong to no order."""


def split_commission(
    commission: float, closed: float, opened: float, simulated: tuple[float, float]
) -> tuple[float, float]:
    """Divide the commission of one fill between its closed and its opened part.

    Parameters
    ----------
    commission : float
        Commission of the whole fill.
    closed, opened : float
        Signed shares; their sum is the fill.
    simulated : tuple of float
        Commission of each part by the broker's own scheme. If they add up to `commission` they are returned, so that a
        replayed run has the floats of the simulated one; otherwise `commission` is divided in proportion to shares.

    Returns
    -------
    tuple of float
        Commission for the closed and for the opened shares; they add up to `commission`.

    Examples
    --------
    >>> split_commission(3.0, -100.0, -50.0, (1.0, 1.0))
    (2.0, 1.0)
    """
    if not opened:
        return commission, 0.0
    if not closed:
        return 0.0, commission
    if simulated[0] + simulated[1] == commission:
        return simulated
    part = commission * (closed / (closed + opened))
    return part, commission - part
