from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.dataset.dataset import ReferenceData, make_dataset
from signals.dataset.fold_data import make_fold_data
from signals.dataset.folds import make_folds
from signals.dataset.windows import MASKED

MODEL = rs.RecurrentSettings(lookback=8)
WALK = rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W")


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=4,
        n_tickers=30,
        start="2012-01-01",
        end="2014-12-31",
        delisting_fraction=0.4,
        listing_fraction=0.3,
    )


def dataset(prices, **changes):
    options = {
        "frequency": "weekly",
        "universe": rs.UniverseFilters(min_history=30),
        "labels": rs.LabelSettings(),
        "windows": MODEL,
        "walk_forward": WALK,
    }
    return make_dataset(prices, **(options | changes))


@pytest.fixture(scope="module")
def data(prices):
    return dataset(prices)


@pytest.fixture(scope="module")
def folds(data):
    return [make_fold_data(data, fold, MODEL) for fold in make_folds(data.dates, WALK, first=data.first)]


def ends(data, rows):
    return data.labels.end[rows.windows.ticker, rows.windows.end]


def test_labels_end_before_the_next_slice_begins(data, folds):
    for fold in folds:
        validation, test = (data.decisions[span.start] for span in (fold.fold.validation, fold.fold.test))
        assert ends(data, fold.training).max() <= validation
        assert ends(data, fold.validation).max() <= test
        assert fold.trained_until <= data.dates[fold.fold.test.start]


def test_purge_removes_exactly_overlapping_rows(data, folds):
    fold = folds[0]
    kept = {*zip(fold.training.windows.ticker.tolist(), fold.training.windows.end.tolist(), strict=True)}
    span, limit = fold.fold.train, data.decisions[fold.fold.validation.start]
    gone = 0
    for ticker, date in np.argwhere(data.eligible):
        if date in span:
            end = data.labels.end[ticker, date]
            assert ((ticker, date) in kept) == (0 <= end <= limit)
            gone += (ticker, date) not in kept
    assert gone > 0


def test_scaler_and_vocabulary_use_training_windows_only(prices, data, folds):
    fold = folds[0]
    last = data.dates[fold.training.windows.end.max()]
    values = [
        data.returns[t, e - 7 : e + 1]
        for t, e in zip(fold.training.windows.ticker, fold.training.windows.end, strict=True)
    ]
    assert fold.scaler.low[0] >= min(v.min() for v in values)
    names = {data.panel.tickers[t] for t in fold.training.windows.ticker}
    assert set(fold.tickers) == names
    # returns after the last training window may be anything
    altered = data.features.values.copy()
    altered[:, int(np.searchsorted(data.dates, last)) + 1 :] *= 50
    from dataclasses import replace

    again = make_fold_data(replace(data, features=replace(data.features, values=altered)), fold.fold, MODEL)
    assert (again.scaler, again.tickers) == (fold.scaler, fold.tickers)


def test_new_listing_has_the_unknown_ticker_id(data, folds):
    fold = folds[-1]
    new = [t for t in np.unique(fold.test_ticker) if data.panel.tickers[t] not in fold.tickers]
    assert all((fold.test.category[fold.test_ticker == t] == 0).all() for t in new)
    known = fold.test.category[~np.isin(fold.test_ticker, new)]
    assert (known > 0).all()
    assert known.max() <= len(fold.tickers)


def test_every_row_has_a_bar_and_a_complete_window(data):
    for ticker, date in np.argwhere(data.eligible)[::37]:
        assert data.panel.traded[data.decisions[date], ticker]
        assert np.isfinite(data.returns[ticker, date - 7 : date + 1]).all()


def test_returns_are_last_close_to_last_close(data):
    ticker, date = np.argwhere(data.eligible)[500]
    closes = data.panel.close[: data.decisions[date] + 1, ticker]
    before = data.panel.close[: data.decisions[date - 1] + 1, ticker]
    expected = closes[np.isfinite(closes)][-1] / before[np.isfinite(before)][-1] - 1
    assert data.returns[ticker, date] == expected


def test_week_without_trades_has_nan_return(prices):
    frame = prices.frame.reset_index()
    name = frame["ticker"].iloc[0]
    gap = (frame["ticker"] == name) & frame["date"].between("2013-05-06", "2013-05-10")
    assert gap.any()
    data = dataset(rs.check_prices(frame[~gap].set_index(["date", "ticker"])))
    week = int(np.searchsorted(data.dates, np.datetime64("2013-05-10")))
    row = data.returns[data.panel.tickers.index(name)]
    assert np.isnan(row[[week, week + 1]]).all()
    assert np.isfinite(row[week + 2])


def test_row_hash_covers_exactly_the_rows_of_the_fold(prices, folds):
    def digests(changed):
        data = dataset(changed)
        return [
            make_fold_data(data, fold, MODEL).facts["rows"] for fold in make_folds(data.dates, WALK, first=data.first)
        ]

    base = [fold.facts["rows"] for fold in folds]
    assert digests(prices) == base
    assert digests(prices.until("2014-07-31"))[:2] == base[:2]
    frame = prices.frame.copy()
    early = frame.index.get_level_values("date") == np.datetime64("2012-06-15")
    frame.loc[early, ["open", "high", "low", "close"]] *= 1.001
    changed = digests(rs.check_prices(frame))
    assert all(a != b for a, b in zip(changed, base, strict=True))
    frame = prices.frame.copy()
    late = frame.index.get_level_values("date") >= np.datetime64("2014-03-01")
    frame.loc[late, ["open", "high", "low", "close"]] *= 1.5
    changed = digests(rs.check_prices(frame))
    assert changed[0] == base[0]
    assert changed[1] != base[1]


def test_open_to_open_labels_without_opens_raise_an_error(prices):
    closes = prices.frame[["close"]]
    close_only = rs.check_prices(closes, close_only=True, volume_known=False, raw_known=False)
    with pytest.raises(InputError, match="price_basis = 'close_to_close'"):
        dataset(close_only)
    assert dataset(close_only, labels=rs.LabelSettings(price_basis="close_to_close")).eligible.any()


# -- several features, short histories, numeric targets ---------------------------------------------------------------

SEVERAL = ("return", "volatility(21)", "month_sin")


def first_fold(data, windows):
    return make_fold_data(data, make_folds(data.dates, WALK, first=data.first)[0], windows)


def test_each_feature_is_scaled_by_its_training_cells(prices):
    data = dataset(prices, features=SEVERAL)
    fold = first_fold(data, MODEL)
    batch = fold.training.windows.gather(slice(None))
    assert batch.shape[1:] == (8, 3)
    for f in range(3):
        low, high, mean, std = (getattr(fold.scaler, name)[f] for name in ("low", "high", "mean", "std"))
        row = 100
        t, e = fold.training.windows.ticker[row], fold.training.windows.end[row]
        raw = data.features.values[t, e - 7 : e + 1, f]
        np.testing.assert_allclose(batch[row, :, f], (np.clip(raw, low, high) - mean) / std, rtol=1e-6, atol=1e-7)
    alone = first_fold(dataset(prices), MODEL)
    assert fold.facts["features"] == list(SEVERAL)
    assert alone.facts["rows"] != fold.facts["rows"]


def test_unknown_steps_of_short_histories_are_masked(prices):
    windows, everybody = rs.RecurrentSettings(lookback=26, min_steps=4), rs.UniverseFilters()
    data = dataset(prices, windows=windows, universe=everybody)
    whole = dataset(prices, windows=rs.RecurrentSettings(lookback=26), universe=everybody)
    assert (data.eligible >= whole.eligible).all()
    more = data.eligible & ~whole.eligible
    assert more.any()
    fold = first_fold(data, windows)
    rows = fold.both
    batch = rows.windows.gather(slice(None))[..., 0]
    masked = batch == MASKED
    assert masked.any()
    assert not masked[:, -4:].any()
    assert np.abs(batch[~masked]).max() < 50
    lengths = np.unique((~masked).sum(axis=1))
    assert lengths.min() >= 4
    assert len(lengths) > 5
    # a step is masked exactly where the feature is not known
    pad = 25
    for row in range(0, len(rows), 97):
        t, end = rows.windows.ticker[row], rows.windows.end[row] - pad
        raw = np.full(26, np.nan)
        known = data.returns[t, max(end - 25, 0) : end + 1]
        raw[26 - len(known) :] = known
        np.testing.assert_array_equal(np.isnan(raw), masked[row])


def test_numeric_target_is_clipped_standardised_and_restored(prices):
    data = dataset(prices, labels=rs.LabelSettings(kind="return"))
    fold = first_fold(data, MODEL)
    label = fold.training.label
    assert abs(label.mean()) < 1e-5
    assert label.std() == pytest.approx(1, abs=1e-5)
    low, high, *_ = fold.scaler.target
    raw = data.labels.label[fold.training.windows.ticker, fold.training.windows.end]
    np.testing.assert_allclose(fold.scaler.restore_target(label), np.clip(raw, low, high), atol=1e-7)


def test_rows_without_a_label_are_not_trained_on(prices):
    everybody = rs.UniverseFilters()
    data = dataset(prices, universe=everybody, labels=rs.LabelSettings(kind="volatility_scaled"))
    fold = first_fold(data, MODEL)
    assert np.isfinite(fold.training.label).all()
    assert len(fold.training) < len(first_fold(dataset(prices, universe=everybody), MODEL).training)


def test_rows_excluded_by_a_macro_series_are_counted(tmp_path):
    from signals.reference.macro_series import read_macro

    prices = rs.load_prices(source="simulated", seed=3, n_tickers=12, start="2012-01-01", end="2015-12-31")
    months = pd.date_range("2013-01-01", "2015-12-01", freq="MS")
    pd.DataFrame({"observation_date": months, "X": np.arange(len(months)) * 1.0, "Y": 1.0}).to_csv(
        tmp_path / "late.csv", index=False
    )
    options = {
        "frequency": "weekly",
        "universe": rs.UniverseFilters(min_history=30),
        "labels": rs.LabelSettings(),
        "windows": rs.RecurrentSettings(lookback=5),
        "walk_forward": rs.WalkForward(test_start="2015-01-01", validation="13W", test="26W"),
    }
    whole = make_dataset(prices, features=("return",), **options)
    assert whole.warnings == ()
    reference_data = ReferenceData(macro=read_macro(tmp_path / "late.csv", publication_lag="15D"))
    data = make_dataset(
        prices, features=("return", "macro(X)", "macro_change(X, 12)"), reference_data=reference_data, **options
    )
    early = data.dates < np.datetime64("2015-01-01")
    assert len(data.warnings) == 2
    for i, name in ((1, "macro(X)"), (2, "macro_change(X, 12)")):
        text = data.warnings[i - 1]
        known = np.isfinite(data.features.values[0, :, i])
        first = int(known.argmax())
        usable = np.convolve(known, np.ones(5))[: len(known)] == 5  # a whole window of known values
        lost = whole.eligible & ~usable
        assert text.startswith(f"{name} is not known before {data.dates[first]}: {int(lost.sum()):,} of ")
        assert f"of {int(whole.eligible.sum()):,} rows" in text
        assert f"{int(lost[:, early].sum()):,} of them before 2015-01-01" in text
    assert int(data.eligible.sum()) < int(whole.eligible.sum())
    early_file = pd.DataFrame({"observation_date": pd.date_range("2005-01-01", "2015-12-01", freq="MS"), "X": 1.0})
    early_file.to_csv(tmp_path / "early.csv", index=False)
    reference_data = ReferenceData(macro=read_macro(tmp_path / "early.csv", publication_lag="15D"))
    assert (
        make_dataset(prices, features=("return", "macro(X)"), reference_data=reference_data, **options).warnings == ()
    )
