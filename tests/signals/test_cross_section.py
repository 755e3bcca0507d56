"""Labels and features that compare the names of a date are refused where there are too few of them."""

from __future__ import annotations

import numpy as np
import pytest

import rnn_strategies as rs
from signals.common.errors import InputError
from signals.dataset.cross_section_size import check_cross_section, small_universe_warning
from signals.dataset.dataset import make_dataset
from signals.dataset.labels import LABELS, make_labels
from signals.models.custom import CustomModel


@pytest.fixture(scope="module")
def prices():
    return rs.load_prices(
        source="simulated",
        seed=2,
        n_tickers=3,
        start="2012-01-01",
        end="2013-12-31",
        listing_fraction=0.0,
        delisting_fraction=0.0,
    )


def dataset(prices, *, kind="up", features=("return",), **filters):
    return make_dataset(
        prices,
        frequency="weekly",
        universe=rs.UniverseFilters(**filters),
        labels=rs.LabelSettings(kind=kind),
        windows=CustomModel("sklearn.linear_model:LogisticRegression", lookback=4),
        walk_forward=rs.WalkForward(test_start="2013-07-05"),
        features=features,
    )


@pytest.mark.parametrize(
    ("kind", "names", "instead"),
    [
        ("above_median", 1, '"up" or "return"'),
        ("terciles", 1, '"up" or "return"'),
        ("terciles", 2, '"above_median", "up" or "return"'),
        ("residual", 1, '"up" or "return"'),
    ],
)
def test_labels_that_compare_names_are_refused_with_what_to_use(prices, kind, names, instead):
    include = prices.tickers[:names]
    with pytest.raises(InputError, match=rf'labels.kind = "{kind}"') as refused:
        dataset(prices, kind=kind, include=include)
    assert str(refused.value).endswith(f"set labels.kind = {instead}")
    assert "SIM000" in str(refused.value)


@pytest.mark.parametrize("kind", [name for name, kind in LABELS.items() if kind.least_names == 1])
def test_what_the_message_advises_works_with_one_name(prices, kind):
    data = dataset(prices, kind=kind, include=prices.tickers[:1])
    assert np.isfinite(data.labels.label[data.eligible]).sum() > 40


@pytest.mark.parametrize("kind", [name for name, kind in LABELS.items() if kind.least_names == 2])
def test_two_names_are_enough_for_a_median_and_a_mean(prices, kind):
    data = dataset(prices, kind=kind, include=prices.tickers[:2])
    assert np.isfinite(data.labels.label[data.eligible]).sum() > 80


@pytest.mark.parametrize(
    ("feature", "instead"),
    [
        ("return minus market", "'return'"),
        ("momentum(26, 2) minus market", "'momentum(26, 2)'"),
        ("volatility minus sector", "'volatility'"),
        ("beta", "'volatility' or 'return'"),
        ("idiosyncratic_volatility", "'volatility' or 'return'"),
    ],
)
def test_features_against_the_market_are_refused_for_one_name(feature, instead):
    with pytest.raises(InputError) as refused:
        check_cross_section(rs.LabelSettings(kind="up"), ["return", feature], 1, names=["SPY"])
    assert f"{feature!r}" in str(refused.value)
    assert str(refused.value).endswith(f"found one (SPY); use {instead} instead")
    check_cross_section(rs.LabelSettings(kind="up"), ["return", feature], 2)


def test_a_universe_of_one_is_found_when_it_is_drawn(prices):
    with pytest.raises(InputError, match="expected at least 2 names on a date for the feature 'return minus market'"):
        dataset(prices, features=("return minus market",), max_tickers=1)


def test_a_date_with_too_few_names_has_no_label(prices):
    panel = prices.panel()
    decisions = np.arange(100, 155, 5)
    eligible = np.ones((3, len(decisions)), dtype=bool)
    eligible[1:, 3] = False
    eligible[2, 5] = False
    for kind, few in (("above_median", [3]), ("residual", [3]), ("terciles", [3, 5]), ("up", [])):
        labels = make_labels(panel, decisions, eligible, rs.LabelSettings(kind=kind, estimation_window=4))
        unlabelled = ~np.isfinite(labels.label[:, :-1]).any(axis=0)
        assert np.flatnonzero(unlabelled).tolist() == few, kind


def test_small_draws_are_counted():
    sizes = {"2012-01-06": 0, "2012-07-06": 1, "2013-01-04": 5}
    text = small_universe_warning(rs.LabelSettings(kind="above_median"), sizes)
    assert text.startswith("On 1 of 3 selection dates, the first 2012-07-06, the universe had fewer than 2 names")
    assert small_universe_warning(rs.LabelSettings(kind="up"), sizes) == ""
