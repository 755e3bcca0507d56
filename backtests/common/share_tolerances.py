"""Tolerances of share arithmetic: which rounding remainders are treated as zero shares."""

from __future__ import annotations

__all__ = ["HALF_SHARE", "ROUNDING", "SHARE_TOLERANCE", "is_remainder", "settled"]

# Largest rounding remainder, relative to the position or order that it is left of: 0.1 + 0.2 - 0.3 is not a position.
SHARE_TOLERANCE = 1e-9

# A remainder is also less than half a share, so that one share left of a position of billions is a position.
HALF_SHARE = 0.5

# A target of exactly 100 shares may be computed as 99.99999999999999.
ROUNDING = 1e-12


def is_remainder(shares: float, *, of: float) -> bool:
    """Whether a number of shares is a rounding remainder of another number of shares; True for 0.

    Parameters
    ----------
    shares : float
        Signed shares.
    of : float
        Shares of the position or the order that they are left of; the sign is ignored.

    Examples
    --------
    >>> is_remainder(0.1 + 0.2 - 0.3, of=0.3), is_remainder(0.001, of=0.3), is_remainder(1.0, of=5e9)
    (True, False, False)
    """
    return -HALF_SHARE < shares < HALF_SHARE and abs(shares) <= SHARE_TOLERANCE * abs(of)


def settled(held: float, change: float) -> float:
    """Return the change of a position, adjusted to close it exactly when the given one would leave a remainder.

    Parameters
    ----------
    held, change : float
        Signed shares of the position, and of a fill or an order for it.

    Examples
    --------
    >>> settled(0.1 + 0.2, -0.3), settled(10.0, -4.0)
    (-0.30000000000000004, -4.0)
    """
    after = held + change
    if after and held and is_remainder(after, of=max(abs(held), abs(change))):
        return -held
    return change
