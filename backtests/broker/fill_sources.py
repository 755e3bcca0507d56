"""Where fills come from: simulated by the broker, or replayed from what was in fact filled (`fill_journal`).

How the broker asks (`day` is always the current session in backtrader's day numbers)::

    source.begin()                        a run begins; called again before a second run of the same Cerebro
    source.given(order, day)              for every order of the strategy in the order they are given, refused ones too;
                                          not for orders of the broker's own, such as liquidations
    source.expects(order, day)            before an order is refused, for lack of cash or of a bar: what was in fact
                                          filled, on this session or later, is not refused
    source.fills_of(order, day)           for every waiting order that could fill on this session, once
        None                              simulate it as usual
        a sequence, possibly empty        book each `Fill` as it is: no slippage, volume limit or cash check
    source.ending_of(order, day)          when the order is alive after its fills; an `Ending` ends it. Without one a
                                          market order expires (reason `UNFILLED`) and every other one waits
    source.left_over(day)                 after the last fill of the session: complaints, each one an error

A commission comes in one sum. `split_commission` divides it between what an order closes and what it opens, as
backtrader books them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

__all__ = ["UNFILLED", "Ending", "Fill", "FillSource", "split_commission"]

# Why a market order came to nothing when the journal does not say it.
UNFILLED = "no fill in the journal"


class Fill(NamedTuple):
    """One fill: signed shares (negative when sold), price per share, commission in account currency."""

    size: float
    price: float
    commission: float


class Ending(NamedTuple):
    """How an order ended short of its size: one of backtrader's `Order` statuses, and why."""

    status: int
    reason: str


@runtime_checkable
class FillSource(Protocol):
    """What `Broker(settings, fills=...)` asks; see the head of this module for when it asks what."""

    def begin(self) -> None:
        """Begin a run."""

    def given(self, order: Any, day: float) -> None:
        """Hear of an order when it is given."""

    def expects(self, order: Any, day: float) -> bool:
        """Whether some of the order was in fact filled, whatever the check for cash says."""

    def fills_of(self, order: Any, day: float) -> Sequence[Fill] | None:
        """Give the fills of the order on this session, or None to simulate them."""

    def ending_of(self, order: Any, day: float) -> Ending | None:
        """Tell how the order ended on this session, when it did."""

    def left_over(self, day: float) -> list[str]:
        """Complaints about fills up to this session that no order asked for."""


def split_commission(
    commission: float, closed: float, opened: float, simulated: tuple[float, float]
) -> tuple[float, float]:
    """Divide the commission of one fill between what it closes and what it opens.

    Parameters
    ----------
    commission : float
        Journalled, for the whole fill.
    closed, opened : float
        Signed shares; their sum is the fill.
    simulated : tuple of float
        What the broker's own scheme would charge for either. When they add up to the journalled sum they are taken, so
        that a replayed run has the floats of the simulated one; otherwise the sum is divided by shares.

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
