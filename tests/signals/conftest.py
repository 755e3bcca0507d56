"""Small valid price tables for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from signals.calendar import sessions
from signals.data.prices import PRICE_COLUMNS


@pytest.fixture
def make_bars() -> Callable[..., pd.DataFrame]:
    """Function that makes a valid frame for `check_prices`: random walks, a factor that is not 1."""

    def make(
        tickers: tuple[str, ...] = ("AAA", "BBB"), start: str = "2010-01-04", days: int = 10, seed: int = 0
    ) -> pd.DataFrame:
        dates = sessions(start, np.datetime64(start) + np.timedelta64(2 * days + 10, "D"))[:days]
        rng = np.random.default_rng(seed)
        shape = (days, len(tickers))
        close = 20 * np.exp(np.cumsum(rng.normal(0, 0.02, shape), axis=0))
        opened = close * np.exp(rng.normal(0, 0.01, shape))
        columns = {
            "open": opened,
            "high": np.maximum(opened, close) * 1.01,
            "low": np.minimum(opened, close) * 0.99,
            "close": close,
            "volume": rng.integers(1_000, 1_000_000, shape).astype(float),
            "adj_factor": np.full(shape, 0.5),
        }
        index = pd.MultiIndex.from_product(
            [pd.DatetimeIndex(dates.astype("datetime64[ns]")), pd.Index(sorted(tickers), dtype=object)],
            names=["date", "ticker"],
        )
        return pd.DataFrame({name: columns[name].ravel() for name in PRICE_COLUMNS}, index=index)

    return make
