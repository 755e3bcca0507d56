"""Stress periods with fixed dates, and compounded returns over them; pyfolio's list depends on the current date."""

from __future__ import annotations

import pandas as pd

__all__ = ["CRISES", "crisis_returns"]

CRISES: tuple[tuple[str, str, str], ...] = (
    ("Dot-com bust", "2000-03-10", "2002-10-09"),
    ("September 11", "2001-09-10", "2001-09-21"),
    ("Quant quake", "2007-08-03", "2007-08-10"),
    ("Global financial crisis", "2007-10-09", "2009-03-09"),
    ("Lehman collapse", "2008-09-12", "2008-11-20"),
    ("Momentum crash", "2009-03-09", "2009-05-29"),
    ("Flash crash", "2010-05-05", "2010-05-20"),
    ("US downgrade and euro crisis", "2011-07-22", "2011-10-03"),
    ("Taper tantrum", "2013-05-21", "2013-06-24"),
    ("October 2014 sell-off", "2014-09-18", "2014-10-16"),
    ("China devaluation", "2015-08-17", "2015-09-29"),
    ("Oil and growth scare", "2015-12-29", "2016-02-11"),
    ("Brexit vote", "2016-06-23", "2016-06-27"),
    ("Volatility shock", "2018-01-26", "2018-02-08"),
    ("Fourth quarter 2018", "2018-09-20", "2018-12-24"),
    ("Covid crash", "2020-02-19", "2020-03-23"),
    ("Vaccine rotation", "2020-11-06", "2020-11-30"),
    ("Meme-stock squeeze", "2021-01-22", "2021-02-01"),
    ("Inflation bear market 2022", "2022-01-03", "2022-10-12"),
    ("US regional banks", "2023-03-08", "2023-03-24"),
    ("Yen carry unwind", "2024-07-16", "2024-08-05"),
    ("Tariff shock", "2025-02-19", "2025-04-08"),
)


def crisis_returns(returns: dict[str, pd.Series]) -> pd.DataFrame:
    """Compound returns over each period of `CRISES`, from the close of its first day to that of its last.

    Parameters
    ----------
    returns : dict of str to Series
        Columns of the result; returns per UTC session. A period is included when the first series
        starts no later and ends no earlier.

    Returns
    -------
    DataFrame indexed by `spell`
        `start`, `end` (text) and one column per series, a fraction; NaN where a series has gaps in it.

    >>> days = pd.bdate_range("2018-01-01", "2018-12-31", tz="UTC")
    >>> crisis_returns({"mine": pd.Series(0.0, index=days)}).index.tolist()
    ['Volatility shock', 'Fourth quarter 2018']
    """
    first = next(iter(returns.values()))
    rows = []
    for name, start, end in CRISES:
        peak, trough = pd.Timestamp(start, tz="UTC"), pd.Timestamp(end, tz="UTC")
        sessions = first.index[(first.index > peak) & (first.index <= trough)]
        if first.index[0] > peak or first.index[-1] < trough or len(sessions) == 0:
            continue
        row: dict[str, object] = {"spell": name, "start": start, "end": end}
        for column, series in returns.items():
            inside = series.reindex(sessions)
            row[column] = float("nan") if inside.isna().any() else float((1.0 + inside).prod() - 1.0)
        rows.append(row)
    return pd.DataFrame(rows, columns=["spell", "start", "end", *returns]).set_index("spell")
