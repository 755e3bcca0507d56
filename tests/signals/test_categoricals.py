"""Sector, month, quarter, weekday and year of a row: point in time, and numbered by the training slice alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.dataset.categoricals import Categorical, calendar_categorical, make_categoricals
from signals.dataset.dataset import ReferenceData, make_dataset
from signals.dataset.fold_data import make_fold_data
from signals.dataset.folds import make_folds
from signals.execution.artifacts import Artifact, ArtifactStore
from signals.reference.sectors import read_sectors
from signals.trainers.base import Fitted

MODEL = rs.RecurrentSettings(lookback=8, categorical_embeddings={"sector": 2, "quarter": 2}, year_onehot=True)
WALK = rs.WalkForward(test_start="2014-01-01", validation="13W", test="26W")


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated", seed=4, n_tickers=30, start="2012-01-01", end="2014-12-31", delisting_fraction=0.3
    )


def sectors(prices, *, moved=None):
    """Three sectors in turn, the last ticker in none; the first moves to a sector of its own on a day."""
    names = list(prices.tickers)
    rows = [(name, "ABC"[i % 3], "2000-01-01", None) for i, name in enumerate(names[:-1])]
    if moved is not None:
        rows[0] = (names[0], "A", "2000-01-01", moved)
        rows.append((names[0], "AA new", moved, None))
    return read_sectors(pd.DataFrame(rows, columns=["ticker", "sector", "start", "end"]))


def dataset(prices, model=MODEL, **reference_data):
    return make_dataset(
        prices,
        frequency="weekly",
        universe=rs.UniverseFilters(min_history=30),
        labels=rs.LabelSettings(),
        windows=model,
        walk_forward=WALK,
        reference_data=ReferenceData(**reference_data),
    )


def folds_of(data, model=MODEL):
    return [make_fold_data(data, fold, model) for fold in make_folds(data.dates, WALK, first=data.first)]


def test_calendar_categoricals_equal_those_of_pandas():
    dates = np.arange("1969-11-20", "2031-02-03", np.timedelta64(17, "D"), dtype="datetime64[D]")
    stamps = pd.DatetimeIndex(dates)
    said = {"month": stamps.month, "quarter": stamps.quarter, "weekday": stamps.day_of_week + 1, "year": stamps.year}
    for name, numbers in said.items():
        found = calendar_categorical(name, dates, 2)
        assert found.codes.shape == (2, len(dates))
        assert [int(found.labels[code]) for code in found.codes[1]] == list(numbers)


def test_ids_use_the_vocabulary_of_the_training_slice(prices):
    data = dataset(prices, sectors=sectors(prices))
    first, second = folds_of(data)
    assert first.groups["sector"] == ("A", "B", "C")
    assert first.groups["quarter"] == ("01", "02", "03", "04")
    assert (first.groups["year"], second.groups["year"]) == (("2012", "2013"), ("2012", "2013", "2014"))
    assert first.group_sizes == {"sector": 4, "quarter": 5, "year": 3}
    for rows, ticker, date in (
        (first.training, first.training_ticker, first.training_date),
        (first.test, first.test_ticker, first.test_date),
    ):
        assert (rows.groups["sector"] == np.where(ticker == len(prices.tickers) - 1, 0, ticker % 3 + 1)).all()
        months = data.dates[date].astype("datetime64[M]").astype(int) % 12
        assert (rows.groups["quarter"] == months // 3 + 1).all()
        assert (rows.month == months).all()
    # no year of a test slice was learnt, those of a validation slice may have been
    assert (first.test.groups["year"] == 0).all()
    assert set(np.unique(second.test.groups["year"])) == {3}
    assert set(np.unique(first.training.groups["year"])) == {1, 2}
    assert set(first.validation.groups["year"].tolist()) <= {0, 2}


def test_sectors_are_point_in_time_and_untrained_sectors_are_unknown(prices):
    moved = "2014-03-03"
    data = dataset(prices, sectors=sectors(prices, moved=moved))
    fold = folds_of(data)[0]
    assert fold.groups["sector"] == ("A", "B", "C")
    mine = fold.test_ticker == 0
    after = data.dates[fold.test_date[mine]] >= np.datetime64(moved)
    assert after.any()
    assert not after.all()
    assert (fold.test.groups["sector"][mine] == np.where(after, 0, 1)).all()


def test_artifact_key_depends_on_the_categories_of_the_rows(prices):
    def facts(model=MODEL, **changes):
        data = dataset(prices, model, **changes)
        return [fold.facts for fold in folds_of(data, model)]

    base = facts(sectors=sectors(prices))
    assert facts(sectors=sectors(prices)) == base
    late = facts(sectors=sectors(prices, moved="2014-03-03"))
    assert late[0] == base[0]
    assert late[1] != base[1]
    # the same vocabulary, another ticker in another sector
    other = sectors(prices)
    swapped = replace(other, spells=replace(other.spells, value=("B", "A", *other.spells.value[2:])))
    assert [one["groups"] for one in facts(sectors=swapped)] == [one["groups"] for one in base]
    assert facts(sectors=swapped)[0]["rows"] != base[0]["rows"]
    # a network without them has the key it always had, whatever files there are
    plain = replace(MODEL, categorical_embeddings={}, year_onehot=False)
    assert facts(plain, sectors=sectors(prices)) == facts(plain)
    assert "groups" not in facts(plain)[0]


def test_missing_categoricals_raise_one_line_errors(prices):
    with pytest.raises(InputError, match=r"names sector; found none; set universe.sectors to its path"):
        dataset(prices)
    dates = np.array(["2020-01-01"], "datetime64[D]")
    with pytest.raises(InputError, match="found 'sectors'; did you mean 'sector'"):
        make_categoricals(["month", "sectors"], dates, 3, None)
    with pytest.raises(InputError, match="found 'moon'"):
        make_categoricals(["moon"], dates, 3, None)


def test_missing_category_has_id_zero():
    found = Categorical(("a", "b"), np.array([[0, -1], [1, -1]], np.int32))
    rows = (np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    assert found.vocabulary((rows[0][1::2], rows[1][1::2])) == ()
    assert found.ids((), rows).tolist() == [0, 0, 0, 0]
    assert found.ids(("b",), rows).tolist() == [0, 0, 1, 0]


def test_vocabularies_are_stored_with_the_network(prices, tmp_path):
    fold = folds_of(dataset(prices, sectors=sectors(prices)))[0]
    store = ArtifactStore(tmp_path)
    weights = {"w": np.ones(2, np.float32)}
    store.save("ab", Artifact(Fitted(weights, 1, ()), fold.tickers, fold.scaler, "2013-01-01", fold.groups))
    assert store.load("ab").groups == fold.groups


def test_real_sectors_enter_the_data_set(shared_data):
    names = ["AAPL", "GE", "JPM", "MSFT", "PFE", "XOM"]
    prices = rs.load_prices(
        source="files",
        path=shared_data / "us-stocks-daily" / "ohlcv_top600.parquet",
        on_bad="repair",
        tickers=names,
        start="2012-01-01",
        end="2014-12-31",
    )
    file = shared_data / "book-metadata" / "us_equities_meta_data.csv.gz"
    fold = folds_of(dataset(prices, sectors=read_sectors(file)))[0]
    said = pd.read_csv(file).set_index("ticker")["sector"]
    assert fold.groups["sector"] == tuple(sorted({said[name] for name in names}))
    for number, name in enumerate(fold.tickers, start=1):
        (found,) = np.unique(fold.test.groups["sector"][fold.test.category == number])
        assert fold.groups["sector"][found - 1] == said[name]
