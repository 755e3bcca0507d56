"""Optional inputs together on real data: stocks, sectors, macro series, several features, labels and models."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import rnn_strategies as rs
from signals.dataset.dataset import ReferenceData
from signals.evaluation.cross_section_metrics import auc_by_date, binary_outcome
from signals.evaluation.long_run_variance import mean_interval
from signals.models.custom import CustomModel
from signals.reference.macro_series import read_macro
from signals.reference.sectors import read_sectors
from signals.walk_forward.panel_walk_forward import compute_signals

FEATURES = [
    "return",
    "return(4) minus sector",
    "volatility(63) minus market",
    "momentum(26, 4)",
    "relative_volume",
    "month_sin",
    "macro_change(UMCSENT, 12)",
]


@pytest.fixture(scope="module")
def prices(shared_data):
    import pyarrow.parquet as pq

    path = shared_data / "us-stocks-daily" / "ohlcv_top600.parquet"
    names = sorted(set(pq.read_table(path, columns=["ticker"])["ticker"].to_pylist()))[::5]
    return rs.load_prices(
        source="files", path=path, on_bad="repair", tickers=names, start="2008-06-01", end="2013-12-31"
    )


@pytest.fixture(scope="module")
def reference_data(shared_data, prices):
    table = pd.read_csv(shared_data / "book-metadata" / "us_equities_meta_data.csv.gz", keep_default_na=False)
    table = table.loc[table["ticker"].isin(prices.tickers) & (table["sector"] != ""), ["ticker", "sector"]]
    macro = read_macro(
        shared_data / "us-macro-monthly" / "sentiment_ip_1978_2019.csv", publication_lag={"UMCSENT": "5D"}
    )
    return ReferenceData(sectors=read_sectors(table), macro=macro)


def score(prices, reference_data, **changes):
    options = {
        "walk_forward": rs.WalkForward(test_start="2011-01-01", validation="26W", test="1Y"),
        "universe": rs.UniverseFilters(min_price=5, min_history=120, max_tickers=100),
        "labels": rs.LabelSettings(horizon=4),
        "model": CustomModel(LogisticRegression(C=0.01), lookback=13),
        "training": rs.TrainingSettings(),
        "seeds": [0],
        "artifacts": "unused",
        "features": FEATURES,
        "reference_data": reference_data,
    }
    return compute_signals(prices, **(options | changes))


@pytest.fixture(scope="module")
def scored(prices, reference_data):
    return score(prices, reference_data)


def test_logistic_regression_has_little_skill_on_real_prices(scored):
    auc = auc_by_date(scored.signals["score"], binary_outcome(scored.labels["label"]))
    mean = mean_interval(auc, horizon=4)
    assert len(auc) > 140
    assert 0.45 < mean.mean < 0.56
    assert mean.high - mean.low > 0.005  # with four-week outcomes neighbouring dates are alike


@pytest.mark.parametrize("day", ["2012-08-15", "2011-12-30"])
def test_cut_and_poisoned_after_a_day_nothing_before_it_changes(support, prices, reference_data, scored, day):
    from feature_worlds import poisoned

    for other in (prices.until(day), poisoned(prices, day)):
        again = score(other, reference_data)
        one, two = (result.signals[result.signals.index.get_level_values("date") <= day] for result in (scored, again))
        pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_real_returns_by_thirds_and_in_their_own_unit(prices, reference_data):
    thirds = score(prices, reference_data, labels=rs.LabelSettings(kind="terciles"))
    counts = thirds.labels.groupby("date")["label"].value_counts().unstack()
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1
    from sklearn.linear_model import Ridge

    ridge = CustomModel(Ridge(1000.0), lookback=13)
    returns = score(prices, reference_data, labels=rs.LabelSettings(kind="return"), model=ridge)
    assert np.abs(returns.signals["score"]).median() < 0.03  # weekly returns, as a fraction
    residual = score(prices, reference_data, labels=rs.LabelSettings(kind="residual"), model=ridge)
    # what is left of the market has no common part: the mean over the names of a date is near zero
    common = residual.labels["label"].groupby("date").mean().std()
    assert common < 0.3 * residual.labels["forward_return"].groupby("date").mean().std()
