"""Formatting of numbers, dates and intervals for the report: minus signs, units, and a dash for missing values."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from signals.evaluation.long_run_variance import TOO_FEW_DATES

__all__ = [
    "DASH",
    "UNKNOWN",
    "bps",
    "count",
    "day",
    "interval",
    "interval_of_mean",
    "money",
    "number",
    "percent",
    "points",
    "prose_day",
    "small_bps",
    "small_percent",
]

DASH = "–"
UNKNOWN = "unknown"  # for costs that were not recorded; the dash is for figures that do not exist


def _known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


def _minus(text: str) -> str:
    # a rounded zero has no sign
    text = text.replace("-", "−")
    return text[1:] if text.startswith("−") and not any(c in "123456789" for c in text) else text


def percent(value: Any, digits: int = 1) -> str:
    """Write a fraction as a percentage.

    >>> percent(-0.0312), percent(None), percent(-0.00001), percent(12.3)
    ('−3.1%', '–', '0.0%', '1,230.0%')
    """
    return _minus(f"{100 * float(value):,.{digits}f}%") if _known(value) else DASH


def points(value: Any, digits: int = 1) -> str:
    """Write a difference of two fractions in percentage points, signed.

    >>> points(0.0123), points(-0.5)
    ('+1.2', '−50.0')
    """
    return _minus(f"{100 * float(value):+,.{digits}f}") if _known(value) else DASH


def number(value: Any, digits: int = 2) -> str:
    """Write a plain number.

    >>> number(-1.234), number(float("nan"))
    ('−1.23', '–')
    """
    return _minus(f"{float(value):,.{digits}f}") if _known(value) else DASH


def count(value: Any) -> str:
    """Write a whole number with thousands separated.

    >>> count(12345)
    '12,345'
    """
    return number(value, 0)


def bps(value: Any, digits: int = 1) -> str:
    r"""Write a number that already is in basis points.

    >>> bps(10)
    '10.0\xa0bp'
    """
    return f"{number(value, digits)}\N{NO-BREAK SPACE}bp" if _known(value) else DASH


def small_bps(value: Any) -> str:
    r"""Write basis points; a nonzero number that would round to zero is "less than 0.1 bp".

    >>> small_bps(10), small_bps(0.004)
    ('10.0\xa0bp', 'less than 0.1\xa0bp')
    """
    return bps(value) if not _known(value) or abs(float(value)) >= 0.05 or not value else f"less than {bps(0.1)}"


def small_percent(value: Any) -> str:
    """Write a fraction as a percentage with two digits; what would round to zero, but is not, is "less than 0.01%".

    >>> small_percent(0.0123), small_percent(0.00002), small_percent(0.0)
    ('1.23%', 'less than 0.01%', '0.00%')
    """
    if not _known(value) or abs(float(value)) >= 0.00005 or not value:
        return percent(value, 2)
    return f"less than {percent(0.0001, 2)}"


def money(value: Any) -> str:
    """Write an amount of account currency: whole units, or cents below a hundred.

    >>> money(1234567.8), money(12.345)
    ('1,234,568', '12.35')
    """
    return number(value, 0 if _known(value) and abs(float(value)) >= 100 else 2)


def day(value: Any) -> str:
    """Write a date as ISO text; a dash for none.

    >>> day(pd.Timestamp("2024-03-01")), day(pd.NaT), day("2024-03-01")
    ('2024-03-01', '–', '2024-03-01')
    """
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return DASH
    return value if isinstance(value, str) else f"{value:%Y-%m-%d}"


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def prose_day(iso: Any) -> str:
    r"""Write an ISO date for running text, without line breaks and independent of the locale.

    >>> prose_day("2017-09-08")
    '8\xa0Sep\xa02017'
    """
    year, month, date = str(iso).split("-")
    return "\N{NO-BREAK SPACE}".join((str(int(date)), _MONTHS[int(month) - 1], year))


def interval(low: Any, high: Any, digits: int = 3) -> str:
    """Write the two ends of an interval.

    >>> interval(-0.0011, 0.5), interval(None, 1)
    ('−0.001 to 0.500', '–')
    """
    if not (_known(low) and _known(high)):
        return DASH
    return f"{number(low, digits)} to {number(high, digits)}"


def interval_of_mean(mean: Any, low: Any, high: Any, digits: int = 3) -> str:
    """Write the interval of a mean over dates, or the reason when the mean is known and its interval is not.

    >>> interval_of_mean(0.5, 0.4, 0.6), interval_of_mean(0.5, None, None), interval_of_mean(None, None, None)
    ('0.400 to 0.600', 'too few independent dates', '–')
    """
    ends = interval(low, high, digits)
    return TOO_FEW_DATES if ends == DASH and _known(mean) else ends
