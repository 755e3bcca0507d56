"""Features that must be caught."""

import numpy as np


def next_open(prices):
    opened = prices["open"].groupby(level="ticker")
    return opened.shift(-6) / opened.shift(-1) - 1


next_open.warm_up = 0


def centred_average(prices):
    mean = prices["close"].groupby(level="ticker").transform(lambda c: c.rolling(11, center=True).mean())
    return prices["close"] / mean - 1


centred_average.warm_up = 30


def rarely(prices):
    """Honest, but for one ticker in the last two months of what it is shown and the next close there."""
    close = prices["close"]
    honest = close.groupby(level="ticker").pct_change(5, fill_method=None)
    dates = prices.index.get_level_values("date")
    ticker = prices.index.get_level_values("ticker")
    chosen = (ticker == ticker.min()) & (dates.month % 3 == 0)
    ahead = close.groupby(level="ticker").pct_change(-5, fill_method=None)
    return honest.where(~chosen, np.sign(ahead))


rarely.warm_up = 5


def at_the_end(prices):
    """Honest, but for the second half of its last year: there it is the return still to come."""
    close = prices["close"]
    honest = close.groupby(level="ticker").pct_change(5, fill_method=None)
    ahead = close.groupby(level="ticker").shift(-5) / close - 1
    dates = prices.index.get_level_values("date")
    late = (dates.year >= dates.max().year) & (dates.month >= 7)
    return honest.where(~late, ahead.where(ahead.notna(), honest))


at_the_end.warm_up = 5

SHOWN = {}


def remembers(prices):
    """Five-session returns to come, of the longest prices it was ever shown."""
    if len(prices) > len(SHOWN.get("prices", ())):
        SHOWN["prices"] = prices
    close = SHOWN["prices"]["close"]
    ahead = close.groupby(level="ticker").shift(-5) / close - 1
    return ahead.reindex(prices.index)


remembers.warm_up = 0
