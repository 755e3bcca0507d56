from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from signals.dataset.windows import Windows, valid_windows


def make(n_tickers=3, n_dates=9, lookback=4, n_features=2):
    panel = np.arange(n_tickers * n_dates * n_features, dtype=np.float32).reshape(n_tickers, n_dates, n_features)
    ticker = np.array([0, 2, 1], np.int32)
    end = np.array([3, 8, 5], np.int32)
    return Windows(panel, ticker, end, lookback)


def test_gather_returns_the_steps_up_to_and_including_the_end():
    windows = make()
    batch = windows.gather(slice(None))
    assert batch.shape == (3, 4, 2)
    for row, (ticker, end) in enumerate(zip(windows.ticker, windows.end, strict=True)):
        np.testing.assert_array_equal(batch[row], windows.panel[ticker, end - 3 : end + 1])


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(1, 12))
def test_valid_windows_against_the_definition(known, lookback):
    expected = [t + 1 >= lookback and all(known[t - lookback + 1 : t + 1]) for t in range(len(known))]
    assert valid_windows(np.array([known]), lookback)[0].tolist() == expected
