"""Features as users write them: good ones, and ones that must be refused."""

import numpy as np
import pandas as pd


def five_sessions(prices):
    return prices["close"].groupby(level="ticker").pct_change(5, fill_method=None)


five_sessions.warm_up = 5


def one_column(prices):
    return five_sessions(prices).to_frame("anything")


one_column.warm_up = 5


def other_order(prices):
    return five_sessions(prices).sort_index(level="ticker", ascending=False)


other_order.warm_up = 5


def less_market(prices):
    wide = prices["close"].unstack("ticker").pct_change(fill_method=None)
    return wide.sub(wide.mean(axis=1), axis=0).stack().reindex(prices.index)


less_market.warm_up = 1


def own_average(prices):
    # each ticker's own bars, however many sessions they span: with holes it needs more sessions than bars
    mean = prices["close"].groupby(level="ticker").rolling(20).mean().droplevel(0)
    return prices["close"] / mean.reindex(prices.index) - 1.0


own_average.warm_up = 60


def mutates(prices):
    prices["close"] = prices["close"] * 2
    del prices["volume"]
    return prices["close"]


mutates.warm_up = 0


def whole_numbers(prices):
    return (prices["close"] > prices["open"]).astype("Int64")


whole_numbers.warm_up = 0


def tomorrow(prices):
    return prices["close"].groupby(level="ticker").shift(-1)


tomorrow.warm_up = 0


def whole_sample(prices):
    returns = prices["close"].groupby(level="ticker").pct_change(fill_method=None)
    return (returns - returns.mean()) / returns.std()


whole_sample.warm_up = 1


def centred(prices):
    wide = prices["close"].unstack("ticker")
    return (wide / wide.rolling(11, center=True, min_periods=1).mean()).stack().reindex(prices.index)


centred.warm_up = 30


def fifty_but_says_ten(prices):
    return prices["close"].unstack("ticker").rolling(50, min_periods=10).mean().stack().reindex(prices.index)


fifty_but_says_ten.warm_up = 10


def never_forgets(prices):
    return prices["close"].groupby(level="ticker").cumsum()


never_forgets.warm_up = 100


def undeclared(prices):
    return prices["close"]


def oddly_declared(prices):
    return prices["close"]


oddly_declared.warm_up = "20 days"


def raises(prices):
    return prices["cloze"]


raises.warm_up = 0


def array(prices):
    return prices["close"].to_numpy()


array.warm_up = 0


def two_columns(prices):
    return prices[["open", "close"]]


two_columns.warm_up = 0


def shorter(prices):
    return prices["close"].iloc[1:]


shorter.warm_up = 0


def other_index(prices):
    return prices["close"].reset_index(drop=True)


other_index.warm_up = 0


def text(prices):
    return prices["close"].astype(str)


text.warm_up = 0


def infinite(prices):
    values = prices["close"].copy()
    values.iloc[3] = np.inf
    return values


infinite.warm_up = 0


def unknown(prices):
    return pd.Series(np.nan, index=prices.index)


unknown.warm_up = 3

not_a_function = 3
